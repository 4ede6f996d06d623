"""`tim history`: the changes of one object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import options
from cli.connect import call
from cli.mistakes import Misused
from cli.output import align
from cli.targets import parse
from cli.verb import Verb

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from api.v1.apiserver_pb2 import HistoryResponse
    from component.rpc_client import RpcClient

ADDED, MODIFIED, DELETED = 1, 2, 3  # of EventType
_WORDS = {ADDED: "created", MODIFIED: "changed", DELETED: "deleted"}


@click.command(
    cls=Verb,
    examples=(
        "tim history deploy/web             oldest change first: when, who, which fields",
        "tim get deploy/web --at 1234 -o yaml",
        "tim diff deploy/web --at 1234 --to 1300",
    ),
)
@click.argument("words", nargs=-1, metavar="KIND NAME | KIND/NAME")
@options.namespace()
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="The latest changes only."
)
def history(words: tuple[str, ...], namespace: str, limit: int) -> None:
    """Show the changes of an object, as far back as the cluster's history goes.

    Objects that are gone have a history, too.
    """

    async def work(client: RpcClient, default: str) -> HistoryResponse:
        targets = parse(words)
        if len(targets) != 1 or not targets[0].name:
            raise Misused("name one object: KIND/NAME")
        where = namespace or default if targets[0].kind.namespaced else ""
        return await client.history(targets[0].kind.resource, where, targets[0].name, limit=limit)

    found = call(work)
    rows = [
        [str(each.revision), each.time, _WORDS.get(each.type, "?"), each.user or "-", ", ".join(each.paths)]
        for each in found.changes
    ]
    click.echo(align([["REVISION", "TIME", "CHANGE", "BY", "FIELDS"], *rows]))
    if not found.complete:
        click.echo(f"earlier changes are not shown: --limit is {limit}", err=True)
    elif not found.changes or found.changes[0].type != ADDED:
        since = f" ({found.oldest_time})" if found.oldest_time else ""
        click.echo(f"history begins at revision {found.oldest_revision}{since}: earlier changes are not kept", err=True)
