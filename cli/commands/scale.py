"""`tim scale`."""

from __future__ import annotations

import click

from api.errors import Conflict, Invalid
from api.object import Tree
from cli.connect import call
from cli.edit import edit
from cli.output import object_name
from cli.targets import parse
from component.rpc_client import RpcClient


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="KIND/NAME... | KIND NAME...")
@click.option("--replicas", type=click.IntRange(min=0), required=True)
@click.option("--current-replicas", type=int, default=-1, help="Only if it has this many now.")
@click.option("-n", "--namespace", default="")
def scale(words: tuple[str, ...], replicas: int, current_replicas: int, namespace: str) -> None:
    """Set how many pods a Deployment or ReplicaSet should have."""

    def change(tree: Tree) -> Tree | None:
        now = tree["spec"].get("replicas", 1)
        if current_replicas not in {-1, now}:
            raise Conflict(f"{tree['metadata']['name']} has {now} replicas, not {current_replicas}")
        return None if now == replicas else {**tree, "spec": {**tree["spec"], "replicas": replicas}}

    async def work(client: RpcClient, default: str) -> None:
        for target in parse(words):
            _check_scalable(target.kind.resource, target.name)
            stored, _ = await edit(client, target, namespace or default, change)
            click.echo(f"{object_name(stored)} scaled")

    call(work)


def _check_scalable(resource: str, name: str) -> None:
    if resource not in {"deployments.apps", "replicasets.apps"}:
        raise Invalid(f"{resource} cannot be scaled; deployments and replicasets can")
    if not name:
        raise Invalid("name the object to scale: tim scale deployment/web --replicas 3")
