"""How every command of `tim` reads its words: kubectl's habits that click does not have, and the nearest name for typos.

Imported by every start of `tim`, so it must load nothing but click.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:  # only a shell that completes loads it
    from click.shell_completion import CompletionItem

META_CONTEXT = "timonier.context"
META_CONFIG = "timonier.config"
META_SOCKET = "timonier.socket"
META_USER = "timonier.as"
META_GROUPS = "timonier.as-group"
META_NAMESPACE = "timonier.namespace"
FEW = 16  # names that still fit into an error
HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


COMPLETED = {"words": "objects", "pod": "pods", "node": "nodes", "nodes": "nodes"}
"""Name of an argument -> what a shell proposes for it; all verbs call these the same."""


class Completed(click.types.StringParamType):
    """Text for which a shell proposes "objects" (kinds and names) or the names of one resource."""

    def __init__(self, what: str) -> None:
        self.what = what

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 - click's signature
        """The proposals; none when the cluster cannot be asked."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - only a shell that completes asks

        from cli.completing import candidates  # noqa: PLC0415 - the same

        return [CompletionItem(each) for each in candidates(self.what, ctx, incomplete)]


class OptionalValue(click.Option):
    """An option that may stand without a value, as `--dry-run` for `--dry-run=server`; a value needs the `=`."""

    def __init__(self, *arguments: Any, bare: str, **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.bare = bare


class Verb(click.Command):
    """A command that takes `--flag=false`, `-o=yaml` and, behind its name, the options that all commands share.

    `examples` end its help, as they are.
    """

    def __init__(self, *arguments: Any, examples: Sequence[str] = (), **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.examples = examples
        self.context_settings = {**HELP, **self.context_settings}
        self.params = [*self.params, *connection_options(hidden=True)]
        for each in self.params:
            if isinstance(each, click.Argument) and each.name in COMPLETED and each.type is click.STRING:
                each.type = Completed(COMPLETED[each.name])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, after rewriting what only kubectl's users write."""
        return super().parse_args(ctx, list(normalised(args, self.params)))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """The examples."""
        _write_examples(self.examples, formatter)


class VerbGroup(click.Group):
    """A group whose commands are verbs and that suggests the nearest name for an unknown one."""

    command_class = Verb
    group_class = type  # groups inside are of this kind, too

    def __init__(self, *arguments: Any, examples: Sequence[str] = (), **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.examples = examples
        self.context_settings = {**HELP, **self.context_settings}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, after rewriting what only kubectl's users write."""
        return super().parse_args(ctx, list(normalised(args, self.params)))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """The examples."""
        _write_examples(self.examples, formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest name suggested for an unknown one."""
        known = self.list_commands(ctx)
        if args and args[0] not in known:
            hint = nearest(args[0], known) or (f"; there are {', '.join(known)}" if len(known) <= FEW else "")
            ctx.fail(f"unknown command {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)


def _write_examples(examples: Sequence[str], formatter: click.HelpFormatter) -> None:
    if examples:
        with formatter.section("Examples"):
            for line in examples:
                formatter.write(f"  {line}\n")


def nearest(word: str, known: Sequence[str]) -> str:
    """`: did you mean 'get'?`, or nothing when no known word is near."""
    import difflib  # noqa: PLC0415 - only mistakes need it, and every start would pay

    near = difflib.get_close_matches(word, known, n=1)
    return f": did you mean {near[0]!r}?" if near else ""


def normalised(args: Sequence[str], params: Sequence[click.Parameter]) -> Iterator[str]:
    """Rewrite `--flag=true`, `--flag=false`, `-o=yaml` and `--dry-run`; what follows `--` stays as it is."""
    options = {name: each for each in params if isinstance(each, click.Option) for name in each.opts}
    for index, word in enumerate(args):
        if word == "--":
            yield from args[index:]
            return
        name, equals, value = word.partition("=")
        option = options.get(name)
        if option is None:
            yield word
        elif isinstance(option, OptionalValue) and not equals:
            yield f"{name}={option.bare}"
        elif option.is_flag and equals and value in {"true", "false"}:
            if value == "true":
                yield name
            elif option.secondary_opts:
                yield option.secondary_opts[0]
        elif equals and not name.startswith("--"):
            yield from (name, value)
        else:
            yield word


def connection_options(*, hidden: bool = False) -> list[click.Parameter]:
    """Which cluster is meant, and as whom; the same before and behind a command's name."""

    def option(*names: str, key: str, metavar: str, text: str, several: bool = False) -> click.Parameter:
        return click.Option(
            names,
            default=None if several else "",
            multiple=several,
            metavar=metavar,
            hidden=hidden,
            expose_value=False,
            callback=remember(key),
            help=text,
        )

    return [
        option("--context", key=META_CONTEXT, metavar="NAME", text="Use this context of the client configuration."),
        option(
            *("--kubeconfig", "--config"),
            key=META_CONFIG,
            metavar="FILE",
            text="Client configuration (default: $TIMCONFIG, ~/.tim/config, $KUBECONFIG).",
        ),
        option(
            "--socket",
            key=META_SOCKET,
            metavar="PATH",
            text="On a replica, as root: its admin socket (/run/timonier/admin.sock), without certificates or webhooks.",
        ),
        option(
            "--as", "as_user", key=META_USER, metavar="USER", text="Act as this user, if you may (verb impersonate)."
        ),
        option(
            *("--as-group", "as_groups"),
            key=META_GROUPS,
            metavar="GROUP",
            text="Act as a member of this group, with --as; may be repeated.",
            several=True,
        ),
    ]


def remember(key: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    """Keep an option's value for all contexts of this run, unless it is empty."""

    def keep(ctx: click.Context, _parameter: click.Parameter, value: Any) -> None:
        if value:
            ctx.meta[key] = value

    return keep
