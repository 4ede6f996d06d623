"""`tim scale`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from api.errors import ApiError, Conflict
from api.object import Tree
from cli import options
from cli.connect import call, fail_after
from cli.edit import chosen, edit_each
from cli.mistakes import Misused
from cli.output import told
from cli.targets import parse
from cli.verb import Verb

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient

SCALABLE = ("deployments.apps", "replicasets.apps")


@click.command(
    cls=Verb,
    examples=(
        "tim scale deploy/web --replicas 5",
        "tim scale deploy/web --replicas 5 --current-replicas 3",
    ),
)
@click.argument("words", nargs=-1, required=True, metavar="KIND/NAME... | KIND NAME... | KIND -l SELECTOR")
@click.option("--replicas", type=click.IntRange(min=0), required=True, help="How many pods there should be.")
@click.option("--current-replicas", type=click.IntRange(min=-1), default=-1, help="Only if it has this many now.")
@options.namespace()
@options.selector("All objects of the kind with these labels.")
@click.option("--all", "everything", is_flag=True, help="All objects of the kind in the namespace.")
@options.dry_run
@options.output("name", "yaml", "json")
def scale(
    words: tuple[str, ...],
    replicas: int,
    current_replicas: int,
    namespace: str,
    selector: str,
    everything: bool,
    dry_run: str,
    output: str,
) -> None:
    """Set how many pods Deployments or ReplicaSets should have."""

    async def work(client: RpcClient, default: str) -> list[ApiError]:
        for target in parse(words):
            if target.kind.resource not in SCALABLE:
                raise Misused(f"{target.kind.plural} cannot be scaled; deployments and replicasets can")
        where = namespace or default
        targets = await chosen(client, words, where, selector=selector, everything=everything)
        return await edit_each(
            client,
            targets,
            where,
            lambda tree: scaled(tree, replicas, current_replicas),
            lambda stored, _changed: click.echo(told(stored, done, output)),
            dry_run=dry_run != "none",
        )

    done = "scaled" if dry_run == "none" else "scaled (dry run)"
    fail_after(call(work))


def scaled(tree: Tree, replicas: int, current_replicas: int) -> Tree | None:
    """The object with that many replicas; None when it has them. Conflict when it has not `current_replicas` (-1: any)."""
    now = tree["spec"].get("replicas", 1)
    if current_replicas not in {-1, now}:
        raise Conflict(f"{tree['metadata']['name']} has {now} replicas, not {current_replicas}")
    return None if now == replicas else {**tree, "spec": {**tree["spec"], "replicas": replicas}}
