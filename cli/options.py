"""The options that many commands share, each with its one meaning. Loads nothing but click: `--help` must be quick."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cli.verb import META_NAMESPACE, Completed, OptionalValue

Function = TypeVar("Function", bound=Callable[..., Any])

FORMATS = ("table", "wide", "yaml", "json", "name")
SHAPES = ("jsonpath", "jsonpath-as-json", "custom-columns")  # followed by = and what to print; `tim get` only
SHAPE_FILES = ("jsonpath-file", "custom-columns-file")  # followed by = and the file where that stands
REFUSED_FORMATS = ("go-template", "go-template-file", "template")
_NUMBER = r"\d+(?:\.\d+)?"
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Duration(click.ParamType[float]):
    """Seconds from `90`, `30s`, `10m`, `1h30m`, `2d`; `0` is zero."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it; a usage error for anything else."""
        if isinstance(value, float | int):
            return float(value)
        try:
            return seconds(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Output(click.ParamType[str]):
    """One of the output formats, with a word about those of kubectl that do not exist here.

    With `shaped` also jsonpath=TEMPLATE and custom-columns=SPECIFICATION.
    """

    name = "format"

    def __init__(self, formats: tuple[str, ...] = FORMATS, *, shaped: bool = False) -> None:
        self.formats = formats
        self.shaped = shaped

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002 - click's signature
        """The formats, as the help shows them."""
        return "|".join((*self.formats, *(f"{each}=..." for each in (*SHAPES, *SHAPE_FILES) if self.shaped)))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read it; a usage error for anything else."""
        word = str(value).partition("=")[0]
        shape = word in {*SHAPES, *SHAPE_FILES}
        if word in REFUSED_FORMATS or (shape and not self.shaped):
            instead = "`tim get -o jsonpath=...`" if shape else "jsonpath=..., custom-columns=... or json"
            self.fail(f"{word} is not supported here; use {instead}", param, ctx)
        if shape:
            from cli.shaping import check, from_file  # noqa: PLC0415 - most starts print tables

            try:
                text = from_file(str(value)) if word in SHAPE_FILES else str(value)
                check(text)
            except ValueError as error:
                self.fail(str(error), param, ctx)
            return text
        if value and value not in self.formats:
            self.fail(f"{value!r} is not one of {', '.join(self.formats)}", param, ctx)
        return str(value)


def seconds(text: str) -> float:
    """Read a duration as kubectl does, in seconds; a bare number is seconds. Raises ValueError."""
    if re.fullmatch(rf"{_NUMBER}|(?:{_NUMBER}(?:ms|[smhd]))+", text, re.ASCII) is None:
        raise ValueError(f"{text!r} is no duration: write it as 30s, 10m, 2h or 1h30m")
    parts = re.findall(rf"({_NUMBER})(ms|[smhd]|$)", text)
    return sum(float(number) * UNITS[unit or "s"] for number, unit in parts)


def namespace(help_text: str = "Namespace (default: the context's).") -> Callable[[Function], Function]:
    """`-n`; without one the value given before the command's name counts: `tim -n web get pods`."""

    def inherited(ctx: click.Context, _parameter: click.Parameter, value: str) -> str:
        return value or str(ctx.meta.get(META_NAMESPACE, ""))

    return click.option(
        *("-n", "--namespace"),
        type=Completed("namespaces"),
        default="",
        metavar="NAME",
        callback=inherited,
        help=help_text,
    )


def selector(
    help_text: str = "Only those with these labels: app=web,tier in (a,b),!old",
) -> Callable[[Function], Function]:
    """`-l`."""
    return click.option("-l", "--selector", default="", metavar="LABELS", help=help_text)


def files(help_text: str = "File, folder or - for standard input; may be repeated.") -> Callable[[Function], Function]:
    """`-f` and `-R`."""

    def both(function: Function) -> Function:
        function = click.option("-R", "--recursive", is_flag=True, help="Folders with all that is below them.")(
            function
        )
        return click.option("-f", "--filename", "files", multiple=True, metavar="PATH", help=help_text)(function)

    return both


def directory(help_text: str) -> Callable[[Function], Function]:
    """`--dir`: where the configuration of this machine's replica or node is."""
    return click.option(
        *("--dir", "directory"),
        type=click.Path(path_type=Path),
        default=Path("/etc/timonier"),
        show_default=True,
        help=help_text,
    )


def dry_run(function: Function) -> Function:
    """`--dry-run`, bare or with kubectl's words; the value is "none", "client" or "server"."""
    return click.option(
        "--dry-run",
        cls=OptionalValue,
        bare="server",
        type=click.Choice(["none", "client", "server"]),
        default="none",
        help="Change nothing. server, or no value: the cluster checks everything; client: only look at it here.",
    )(function)


def pull_policy(function: Function) -> Function:
    """`--image-pull-policy`; None is the default of the image's tag."""
    return click.option(
        "--image-pull-policy",
        "pull_policy",
        type=click.Choice(["Always", "IfNotPresent", "Never"]),
        default=None,
        help="When the image is pulled.",
    )(function)


def joining(function: Function) -> Function:
    """`-i` and `-t` of a container that is made, as `use_stdin` and `use_tty`."""
    function = click.option("-t", "--tty", "use_tty", is_flag=True, help="With a terminal; needs -i.")(function)
    return click.option(
        *("-i", "--stdin", "use_stdin"), is_flag=True, help="Join the container, and pass standard input on."
    )(function)


def point(name: str, help_text: str) -> Callable[[Function], Function]:
    """A revision or a time, "" without the option: an empty value (a variable that is not set) must not mean now."""

    def given(_ctx: click.Context, parameter: click.Parameter, value: str | None) -> str:
        if value is not None and not value.strip():
            raise click.BadParameter("it is empty: write a revision or a time", param=parameter)
        return value or ""

    return click.option(name, default=None, callback=given, metavar="REVISION|TIME", help=help_text)


def at(function: Function) -> Function:
    """`--at` and `--ago`."""
    function = click.option(
        "--ago", type=Duration(), default=None, metavar="DURATION", help="As it was so long ago: 30s, 10m, 2h."
    )(function)
    return point("--at", "As it was then: 1234, 2026-11-21T10:00:00Z, 10:00.")(function)


def stale(function: Function) -> Function:
    """`--stale`, bare or with a duration; the value is seconds, None without it."""
    return click.option(
        "--stale",
        cls=OptionalValue,
        bare="10s",
        type=Duration(),
        default=None,
        metavar="[=DURATION]",
        help="Need no leader: what any replica knows that was cut off no longer than this; without a value 10s.",
    )(function)


def output(*formats: str) -> Callable[[Function], Function]:
    """`-o` of commands that change things: without it they tell in words what they did."""
    return click.option(
        "-o", "--output", type=Output(formats), default="", help="Print the objects this way instead of a line each."
    )
