"""`tim label` and `tim annotate`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from api.errors import ApiError
from api.object import Object, Tree
from cli import options
from cli.connect import call, fail_after
from cli.edit import chosen, edit_each
from cli.labels import changed, split
from cli.mistakes import Misused
from cli.output import object_name, told
from cli.verb import Verb

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient

Function = TypeVar("Function", bound=Callable[..., Any])


def _options(function: Function) -> Function:
    for option in (
        options.output("name", "yaml", "json"),
        options.dry_run,
        click.option("--list", "show", is_flag=True, help="Print what is there afterwards."),
        click.option("--overwrite", is_flag=True, help="Change values that are there."),
        click.option("--all", "everything", is_flag=True, help="All objects of the kind in the namespace."),
        options.selector("All objects of the kind with these labels."),
        options.namespace(),
        click.argument("words", nargs=-1, required=True, metavar="KIND NAME... KEY=VALUE... KEY-..."),
    ):
        function = option(function)
    return function


@click.command(
    cls=Verb,
    examples=(
        "tim label pod web tier=front",
        "tim label nodes --all disk=ssd --overwrite",
        "tim label pod/web tier-",
    ),
)
@_options
def label(**given: Any) -> None:
    """Set labels (KEY=VALUE) or remove them (KEY-)."""
    _write("labels", "labeled", **given)


@click.command(
    cls=Verb,
    examples=(
        'tim annotate deploy/web kubernetes.io/change-cause="new logo"',
        "tim annotate deploy/web kubernetes.io/change-cause-",
    ),
)
@_options
def annotate(**given: Any) -> None:
    """Set annotations (KEY=VALUE) or remove them (KEY-)."""
    _write("annotations", "annotated", **given)


def _write(
    field: str,
    done: str,
    *,
    words: tuple[str, ...],
    namespace: str,
    selector: str,
    everything: bool,
    overwrite: bool,
    show: bool,
    dry_run: str,
    output: str,
) -> None:
    async def work(client: RpcClient, default: str) -> list[ApiError]:
        objects, settings, removals = split(words)
        if not (settings or removals or show):
            raise Misused("say what to set (KEY=VALUE) or to remove (KEY-)")
        where = namespace or default
        targets = await chosen(client, objects, where, selector=selector, everything=everything)

        def change(tree: Tree) -> Tree | None:
            return changed(tree, field, settings, removals, overwrite=overwrite)

        return await edit_each(client, targets, where, change, tell, dry_run=dry_run != "none")

    def tell(stored: Object, was_changed: bool) -> None:
        if show:
            values = stored.tree()["metadata"].get(field, {})
            click.echo("\n".join([object_name(stored), *(f"  {key}={value}" for key, value in sorted(values.items()))]))
            return
        word = (done if was_changed else f"not {done}") + (" (dry run)" if dry_run != "none" else "")
        click.echo(told(stored, word, output))

    fail_after(call(work))
