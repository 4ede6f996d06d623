"""`tim diff`: what changed in the cluster between two points, or what a manifest would change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import options
from cli.connect import call
from cli.mistakes import Misused
from cli.verb import Verb

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from cli.differences import Pair
    from component.rpc_client import RpcClient

EXIT_DIFFERENT = 1  # as kubectl: 0 is none, 1 is some, more is a failure


class Failed(click.ClickException):
    """It could not be told whether there are differences."""

    exit_code = 2


@click.command(
    cls=Verb,
    examples=(
        "tim diff --ago 10m                 whatever changed in the namespace since then",
        "tim diff deploy,svc -A --at 1234   of these kinds, in all namespaces",
        "tim diff deploy/web --at 10:00 --to 10:30",
        "tim diff -f web.yaml               what `tim apply -f web.yaml` would change",
    ),
)
@click.argument("words", nargs=-1, metavar="[KIND[,KIND...] [NAME...] | KIND/NAME...]")
@options.files("What applying these manifests would change: file, folder or - for standard input.")
@options.namespace()
@click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces.")
@options.selector()
@click.option("--field-selector", default="", metavar="FIELDS", help="Only those: spec.nodeName=n1")
@options.at
@options.point("--to", "The later point [default: now].")
def diff(
    words: tuple[str, ...],
    files: tuple[str, ...],
    recursive: bool,
    namespace: str,
    all_namespaces: bool,
    selector: str,
    field_selector: str,
    at: str,
    ago: float | None,
    to: str,
) -> None:
    """Show what changed between two points in time, object by object, or what a manifest would change.

    Exits with 1 when there are differences and with 2 when it failed.
    """
    from cli import differences  # noqa: PLC0415 - `--help` does without kinds and YAML

    async def work(client: RpcClient, default: str) -> list[Pair]:
        if files:
            if words or at or ago is not None or to or selector or field_selector or all_namespaces:
                raise Misused("-f compares manifests with what is stored now: leave out everything but -f and -n")
            return await differences.of_manifests(client, files, namespace, default, recursive=recursive)
        question = differences.Question(
            words, "" if all_namespaces else namespace or default, selector, field_selector, at, ago, to
        )
        return await differences.between(client, question)

    try:
        pairs = call(work)
    except click.UsageError:
        raise
    except click.ClickException as error:
        raise Failed(error.format_message()) from error
    texts = [text for pair in pairs if (text := differences.shown(pair))]
    if texts:
        click.echo("".join(texts), nl=False)
        raise click.exceptions.Exit(EXIT_DIFFERENT)
