"""`tim drain`: emptying nodes for maintenance."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from api.core import Pod
from api.errors import ApiError, Conflict, Invalid, NotFound
from api.object import Object
from cli import options
from cli.commands.nodes import mark, node_target
from cli.connect import call, fail_after
from cli.edit import chosen
from cli.follow import TimedOut, wait_gone
from cli.targets import Target
from cli.verb import Verb
from component.client import ApiClient

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asked for."""

    nodes: tuple[str, ...]
    selector: str
    ignore_daemonsets: bool
    delete_emptydir_data: bool
    force: bool
    grace_period: int
    timeout: float
    dry_run: str

    @property
    def trying(self) -> bool:
        """Whether nothing is to be changed."""
        return self.dry_run != "none"


@click.command(
    cls=Verb,
    examples=(
        "tim drain n1 --ignore-daemonsets --delete-emptydir-data",
        "tim drain -l rack=7 --dry-run     what would be evicted, and what is in the way",
        "tim uncordon n1                   when it may take pods again",
    ),
)
@click.argument("nodes", nargs=-1, metavar="NODE...")
@options.selector("The nodes with these labels.")
@click.option("--ignore-daemonsets", is_flag=True, help="Leave pods of DaemonSets where they are.")
@click.option("--delete-emptydir-data", is_flag=True, help="Also pods with emptyDir volumes, whose data is lost.")
@click.option("--force", is_flag=True, help="Also pods that nobody makes again elsewhere.")
@click.option("--grace-period", type=int, default=-1, help="Seconds for pods to end; -1: their own.")
@click.option(
    "--timeout", type=options.Duration(), default=0.0, help="How long to wait: 30s, 5m; 0: as long as it takes."
)
@options.dry_run
def drain(**given: Any) -> None:
    """Cordon nodes and delete their pods; returns when they are gone."""
    wanted = Wanted(**given)
    if bool(wanted.nodes) == bool(wanted.selector):
        raise click.UsageError("name nodes, or choose them with -l")
    fail_after(call(lambda client, _default: _drain_all(client, wanted)))


async def _drain_all(client: RpcClient, wanted: Wanted) -> list[ApiError]:
    """Cordon all, so that no pod moves from one to the next, then empty one after the other."""
    if wanted.selector:
        targets = await chosen(client, ["nodes"], "", selector=wanted.selector, everything=False)
        if not targets:
            click.echo("No resources found", err=True)
    else:
        targets = [node_target(node) for node in wanted.nodes]
    problems = await mark(client, targets, unschedulable=True, dry_run=wanted.trying)
    if problems:
        return problems
    for target in targets:
        try:
            await _drain(client, target, wanted)
        except ApiError as error:
            problems.append(error)
    return problems


async def _drain(client: RpcClient, target: Target, wanted: Wanted) -> None:
    pods = (await client.list("pods", "", field_selector=f"spec.nodeName={target.name}")).items
    leaving = _leaving(pods, target.name, wanted)
    note = " (dry run)" if wanted.trying else ""
    for pod in leaving:
        click.echo(f"evicting pod {pod.namespace}/{pod.name}{note}")
    if not wanted.trying:
        grace = None if wanted.grace_period < 0 else wanted.grace_period
        await asyncio.gather(*(_evict(client, pod, grace) for pod in leaving))
        try:
            async with asyncio.timeout(wanted.timeout or None):
                await asyncio.gather(*(_wait(client, pod) for pod in leaving))
        except TimeoutError:
            late = f"pods of {target.name} are not gone after {wanted.timeout:g} s; they are still ending"
            raise TimedOut(late) from None
    click.echo(f"node/{target.name} drained{note}")


def _leaving(pods: Sequence[Object], node: str, wanted: Wanted) -> list[Object]:
    """The pods to evict. Conflict with every pod that is in the way."""
    leaving, obstacles = [], []
    for pod in pods:
        obstacle = _obstacle(pod.view(Pod), wanted)
        if obstacle == "DaemonSet":
            if not wanted.ignore_daemonsets:
                obstacles.append(f"{pod.namespace}/{pod.name} belongs to a DaemonSet (--ignore-daemonsets)")
        elif obstacle:
            obstacles.append(f"{pod.namespace}/{pod.name} {obstacle}")
        else:
            leaving.append(pod)
    if obstacles:
        state = "would not be drained" if wanted.trying else "is cordoned but not drained"
        raise Conflict(f"node {node} {state}: " + "; ".join(obstacles))
    return leaving


def _obstacle(pod: Pod, wanted: Wanted) -> str:
    """Why a pod must not simply be deleted; "" when it may."""
    if pod.status.phase in {"Succeeded", "Failed"}:
        return ""
    controllers = [owner.kind for owner in pod.metadata.owner_references if owner.controller]
    if "DaemonSet" in controllers:
        return "DaemonSet"
    if not controllers and not wanted.force:
        return "is not made again by any controller (--force deletes it for good)"
    if any(volume.empty_dir is not None for volume in pod.spec.volumes) and not wanted.delete_emptydir_data:
        return "has an emptyDir volume (--delete-emptydir-data loses its data)"
    return ""


async def _evict(client: ApiClient, pod: Object, grace_seconds: int | None) -> None:
    try:
        await client.delete("pods", pod.namespace, pod.name, uid=pod.uid, grace_seconds=grace_seconds)
    except NotFound:
        return
    except Conflict as error:
        raise Invalid(f"pod {pod.name} changed meanwhile: run drain again") from error


async def _wait(client: RpcClient, pod: Object) -> None:
    await wait_gone(client, pod)
    click.echo(f"pod/{pod.name} evicted")
