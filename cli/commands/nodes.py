"""`tim cordon` and `uncordon`: keeping new pods off nodes and letting them back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from api import scheme
from api.errors import ApiError
from api.object import Object, Tree
from cli.connect import call, fail_after
from cli.edit import edit_each
from cli.mistakes import Misused
from cli.targets import Target, parse
from cli.verb import Verb
from component.client import ApiClient

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient


@click.command(cls=Verb)
@click.argument("nodes", nargs=-1, required=True, metavar="NODE...")
def cordon(nodes: tuple[str, ...]) -> None:
    """Keep new pods off nodes; what runs there stays."""
    _mark_all(nodes, unschedulable=True)


@click.command(cls=Verb)
@click.argument("nodes", nargs=-1, required=True, metavar="NODE...")
def uncordon(nodes: tuple[str, ...]) -> None:
    """Let new pods onto nodes again."""
    _mark_all(nodes, unschedulable=False)


def _mark_all(nodes: tuple[str, ...], *, unschedulable: bool) -> None:
    async def work(client: RpcClient, _default: str) -> list[ApiError]:
        return await mark(client, [node_target(node) for node in nodes], unschedulable=unschedulable)

    fail_after(call(work))


async def mark(
    client: ApiClient, nodes: Sequence[Target], *, unschedulable: bool, dry_run: bool = False
) -> list[ApiError]:
    """Cordon or uncordon nodes and tell of each; returns what was refused."""

    def change(tree: Tree) -> Tree | None:
        if bool(tree["spec"].get("unschedulable")) == unschedulable:
            return None
        spec = {name: value for name, value in tree["spec"].items() if name != "unschedulable"}
        return {**tree, "spec": {**spec, **({"unschedulable": True} if unschedulable else {})}}

    def tell(stored: Object, changed: bool) -> None:
        word = "cordoned" if unschedulable else "uncordoned"
        click.echo(f"node/{stored.name} {word if changed else 'already ' + word}{' (dry run)' if dry_run else ''}")

    return await edit_each(client, nodes, "", change, tell, dry_run=dry_run)


def node_target(word: str) -> Target:
    """`n1` or `node/n1`."""
    target = parse([word])[0] if "/" in word else Target(scheme.by_resource("nodes"), word)
    if target.kind.resource != "nodes":
        raise Misused(f"{word!r} is no node")
    return target
