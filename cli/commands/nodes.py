"""`tim cordon`, `uncordon` and `drain`: taking nodes out of use and back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from api import scheme
from api.core import Pod
from api.errors import ApiError, Conflict, Invalid, NotFound
from api.object import Object, Tree
from cli import options
from cli.connect import call, fail_after
from cli.edit import edit_each
from cli.follow import TimedOut, wait_gone
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


@click.command(
    cls=Verb,
    examples=(
        "tim drain n1 --ignore-daemonsets --delete-emptydir-data",
        "tim uncordon n1                   when it may take pods again",
    ),
)
@click.argument("node", metavar="NODE")
@click.option("--ignore-daemonsets", is_flag=True, help="Leave pods of DaemonSets where they are.")
@click.option("--delete-emptydir-data", is_flag=True, help="Also pods with emptyDir volumes, whose data is lost.")
@click.option("--force", is_flag=True, help="Also pods that nobody makes again elsewhere.")
@click.option("--grace-period", type=int, default=-1, help="Seconds for pods to end; -1: their own.")
@click.option(
    "--timeout", type=options.Duration(), default=0.0, help="How long to wait: 30s, 5m; 0: as long as it takes."
)
def drain(
    node: str, ignore_daemonsets: bool, delete_emptydir_data: bool, force: bool, grace_period: int, timeout: float
) -> None:
    """Cordon a node and delete its pods; returns when they are gone."""

    async def work(client: RpcClient, _default: str) -> list[ApiError]:
        target = _node(node)
        problems = await _mark(client, [target], unschedulable=True)
        if problems:
            return problems
        pods = (await client.list("pods", "", field_selector=f"spec.nodeName={target.name}")).items
        leaving, obstacles = [], []
        for pod in pods:
            obstacle = _obstacle(pod.view(Pod), delete_emptydir_data=delete_emptydir_data, force=force)
            if obstacle == "DaemonSet":
                if not ignore_daemonsets:
                    obstacles.append(f"{pod.namespace}/{pod.name} belongs to a DaemonSet (--ignore-daemonsets)")
            elif obstacle:
                obstacles.append(f"{pod.namespace}/{pod.name} {obstacle}")
            else:
                leaving.append(pod)
        if obstacles:
            raise Conflict(f"node {target.name} is cordoned but not drained: " + "; ".join(obstacles))
        await asyncio.gather(*(_evict(client, pod, None if grace_period < 0 else grace_period) for pod in leaving))
        try:
            async with asyncio.timeout(timeout or None):
                await asyncio.gather(*(_wait(client, pod) for pod in leaving))
        except TimeoutError:
            return [TimedOut(f"pods of {target.name} are not gone after {timeout:g} s; they are still ending")]
        click.echo(f"node/{target.name} drained")
        return []

    fail_after(call(work))


def _mark_all(nodes: tuple[str, ...], *, unschedulable: bool) -> None:
    async def work(client: RpcClient, _default: str) -> list[ApiError]:
        return await _mark(client, [_node(node) for node in nodes], unschedulable=unschedulable)

    fail_after(call(work))


async def _mark(client: ApiClient, nodes: Sequence[Target], *, unschedulable: bool) -> list[ApiError]:
    def change(tree: Tree) -> Tree | None:
        if bool(tree["spec"].get("unschedulable")) == unschedulable:
            return None
        spec = {name: value for name, value in tree["spec"].items() if name != "unschedulable"}
        return {**tree, "spec": {**spec, **({"unschedulable": True} if unschedulable else {})}}

    def tell(stored: Object, changed: bool) -> None:
        word = "cordoned" if unschedulable else "uncordoned"
        click.echo(f"node/{stored.name} {word if changed else 'already ' + word}")

    return await edit_each(client, nodes, "", change, tell)


def _node(word: str) -> Target:
    """`n1` or `node/n1`."""
    target = parse([word])[0] if "/" in word else Target(scheme.by_resource("nodes"), word)
    if target.kind.resource != "nodes":
        raise Misused(f"{word!r} is no node")
    return target


def _obstacle(pod: Pod, *, delete_emptydir_data: bool, force: bool) -> str:
    """Why a pod must not simply be deleted; "" when it may."""
    if pod.status.phase in {"Succeeded", "Failed"}:
        return ""
    controllers = [owner.kind for owner in pod.metadata.owner_references if owner.controller]
    if "DaemonSet" in controllers:
        return "DaemonSet"
    if not controllers and not force:
        return "is not made again by any controller (--force deletes it for good)"
    if any(volume.empty_dir is not None for volume in pod.spec.volumes) and not delete_emptydir_data:
        return "has an emptyDir volume (--delete-emptydir-data loses its data)"
    return ""


async def _evict(client: ApiClient, pod: Object, grace_seconds: int | None) -> None:
    try:
        await client.delete("pods", pod.namespace, pod.name, uid=pod.uid, grace_seconds=grace_seconds)
    except NotFound:
        return
    except Conflict as error:
        raise Invalid(f"pod {pod.name} changed meanwhile: run drain again") from error
    click.echo(f"evicting pod {pod.namespace}/{pod.name}")


async def _wait(client: RpcClient, pod: Object) -> None:
    await wait_gone(client, pod)
    click.echo(f"pod/{pod.name} evicted")
