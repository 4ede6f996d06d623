"""`tim events`: what happened, oldest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from api.cells import last_seen
from api.errors import Expired
from api.object import Tree
from cli import options
from cli.connect import call, system_time
from cli.mistakes import Misused
from cli.output import align, column_widths, rows
from cli.targets import Target, parse
from cli.verb import Verb

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient


@click.command(
    cls=Verb,
    examples=(
        "tim events --for pod/web",
        "tim events -A --types Warning -w",
    ),
)
@options.namespace()
@click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces, with a column that names them.")
@click.option("--for", "subject", default="", metavar="KIND/NAME", help="Only what happened to this object.")
@click.option("--types", default="", metavar="TYPES", help="Normal, Warning or both: Normal,Warning")
@click.option("-w", "--watch", is_flag=True, help="Go on and print what happens.")
@click.option("--no-headers", is_flag=True, help="No line with the columns' names.")
def events(namespace: str, all_namespaces: bool, subject: str, types: str, watch: bool, no_headers: bool) -> None:
    """List what happened, oldest first."""

    async def work(client: RpcClient, default: str) -> None:
        target, kinds = _subject(subject), _types(types)
        where = "" if all_namespaces else namespace or default
        listed = await client.list("events", where, field_selector=_fields(target))
        found = sorted((each.tree() for each in listed.items), key=last_seen)
        widths = _print([tree for tree in found if _fits(tree, kinds)], None)
        if not watch and widths is None:
            click.echo(f"No events found in {where} namespace." if where else "No events found", err=True)
        revision = listed.revision
        while watch:
            try:
                async for batch in client.watch("events", where, revision=revision, field_selector=_fields(target)):
                    trees = [each.object.tree() for each in batch if each.object and each.type != "DELETED"]
                    widths = _print([tree for tree in trees if _fits(tree, kinds)], widths)
            except Expired:
                revision = (await client.list("events", where, limit=1)).revision

    def _print(trees: list[Tree], widths: list[int] | None) -> list[int] | None:
        """Below its heading the first time; returns the widths of the columns."""
        if not trees:
            return widths
        table = rows("events", trees, system_time(), with_namespace=all_namespaces)
        lines = align(table, widths or ()).split("\n")
        click.echo("\n".join(lines[1:] if no_headers or widths else lines))
        return column_widths(table, widths or ())

    call(work)


def _subject(text: str) -> Target | None:
    if not text:
        return None
    target = parse([text])[0]
    if not target.name:
        raise Misused(f"--for {text!r}: write it as KIND/NAME")
    return target


def _types(text: str) -> set[str]:
    wanted = {word.strip().capitalize() for word in text.split(",") if word.strip()}
    unknown = sorted(wanted - {"Normal", "Warning"})
    if unknown:
        raise Misused(f"--types {text!r}: there are Normal and Warning")
    return wanted


def _fields(target: Target | None) -> str:
    return f"involvedObject.kind={target.kind.kind},involvedObject.name={target.name}" if target else ""


def _fits(tree: Tree, types: set[str]) -> bool:
    return not types or tree.get("type") in types
