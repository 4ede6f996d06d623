"""`tim cordon`, `uncordon` and `drain`: taking nodes out of use and back."""

from __future__ import annotations

import asyncio

import click

from api import scheme
from api.core import Pod
from api.errors import ApiError, Conflict, Invalid, NotFound
from api.object import Object, Tree
from cli.commands.delete import wait_gone
from cli.connect import call, fail_after
from cli.edit import edit
from cli.targets import Target
from component.client import ApiClient
from component.rpc_client import RpcClient


@click.command()
@click.argument("nodes", nargs=-1, required=True)
def cordon(nodes: tuple[str, ...]) -> None:
    """Keep new pods off nodes; what runs there stays."""
    call(lambda client, _default: _mark_all(client, nodes, unschedulable=True))


@click.command()
@click.argument("nodes", nargs=-1, required=True)
def uncordon(nodes: tuple[str, ...]) -> None:
    """Let new pods onto nodes again."""
    call(lambda client, _default: _mark_all(client, nodes, unschedulable=False))


@click.command()
@click.argument("node")
@click.option("--ignore-daemonsets", is_flag=True, help="Leave pods of DaemonSets where they are.")
@click.option("--delete-emptydir-data", is_flag=True, help="Also pods with emptyDir volumes, whose data is lost.")
@click.option("--force", is_flag=True, help="Also pods that nobody makes again elsewhere.")
@click.option("--grace-period", type=int, default=-1, help="Seconds for pods to end; -1: their own.")
@click.option("--timeout", type=float, default=0.0, help="Seconds to wait; 0: as long as it takes.")
def drain(
    node: str, ignore_daemonsets: bool, delete_emptydir_data: bool, force: bool, grace_period: int, timeout: float
) -> None:
    """Cordon a node and delete its pods; returns when they are gone."""

    async def work(client: RpcClient, _default: str) -> list[ApiError]:
        await _mark(client, node, unschedulable=True)
        pods = (await client.list("pods", "", field_selector=f"spec.nodeName={node}")).items
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
            raise Conflict(f"node {node} is cordoned but not drained: " + "; ".join(obstacles))
        await asyncio.gather(*(_evict(client, pod, None if grace_period < 0 else grace_period) for pod in leaving))
        try:
            async with asyncio.timeout(timeout or None):
                await asyncio.gather(*(_wait(client, pod) for pod in leaving))
        except TimeoutError:
            return [Conflict(f"pods of {node} are not gone after {timeout:g} s; they are still ending")]
        click.echo(f"node/{node} drained")
        return []

    fail_after(call(work))


async def _mark_all(client: ApiClient, nodes: tuple[str, ...], *, unschedulable: bool) -> None:
    for node in nodes:
        await _mark(client, node, unschedulable=unschedulable)


async def _mark(client: ApiClient, node: str, *, unschedulable: bool) -> None:
    def change(tree: Tree) -> Tree | None:
        if bool(tree["spec"].get("unschedulable")) == unschedulable:
            return None
        spec = {name: value for name, value in tree["spec"].items() if name != "unschedulable"}
        return {**tree, "spec": {**spec, **({"unschedulable": True} if unschedulable else {})}}

    _, changed = await edit(client, Target(scheme.by_resource("nodes"), node), "", change)
    word = "cordoned" if unschedulable else "uncordoned"
    click.echo(f"node/{node} {word if changed else 'already ' + word}")


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
