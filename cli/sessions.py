"""Following one container from its start to its end: its output as it comes, our input if that is wanted.

Who only looks on gets all of the output, from the log. Who takes part joins the container once it runs, and sees what it
writes from then on, as with kubectl; of one that has ended by then the log is shown.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from api.errors import NotReady, Unavailable
from api.object import Object, Tree, at
from cli.follow import TimedOut, wait_until
from cli.terminal import frames, raw, show

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from api.v1.apiserver_pb2 import AttachStart
    from component.rpc_client import RpcClient

STATUSES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
FINAL_PHASES = ("Succeeded", "Failed")
NEVER_STARTED = "StartError"  # the reason of an end without a beginning


@dataclass(frozen=True, slots=True)
class Session:
    """How somebody follows a container: with input, in a terminal; how long it may take to start."""

    stdin: bool = False
    tty: bool = False
    patience_seconds: float = 60.0


def note(text: str) -> None:
    """Tell something beside the output of a container."""
    click.echo(text, err=True)


def of_terminal(*, tty: bool, doing: str) -> bool:
    """Whether to use a terminal: what was asked for, unless standard input is none, which is told."""
    if tty and not sys.stdin.isatty():
        note(f"standard input is no terminal: {doing} without one")
        return False
    return tty


async def join(client: RpcClient, start: AttachStart) -> None:
    """Be part of a running container's streams until it ends. Unavailable when the connection ends before."""
    if start.tty and start.stdin:
        note("if you see no prompt, press enter")
    with raw(enabled=start.tty and start.stdin):
        async for frame in client.attach(start, frames(stdin=start.stdin, terminal=start.tty)):
            if not show(frame) and frame.WhichOneof("frame") == "ended":
                return
    raise Unavailable("the connection ended; what the container runs goes on")


async def follow(client: RpcClient, pod: Object, container: str, session: Session) -> None:
    """Follow a container to its end. TimedOut when it does not start in time, NotFound when the pod goes before."""
    from api.v1.apiserver_pb2 import AttachStart, LogsRequest  # noqa: PLC0415 - help does without protobuf

    running = await _begun(client, pod, container, session.patience_seconds)
    if running and (session.stdin or session.tty):
        start = AttachStart(
            namespace=pod.namespace, pod=pod.name, container=container, stdin=session.stdin, tty=session.tty
        )
        try:
            await join(client, start)
        except NotReady:  # it has ended meanwhile
            note("the container has ended already; this is its log")
        else:
            return
    request = LogsRequest(namespace=pod.namespace, pod=pod.name, container=container, follow=True)
    async for data in client.logs(request):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


async def exit_code(client: RpcClient, pod: Object) -> int:
    """How the only container of a pod ended, once the pod is over. Unavailable when that is not known."""
    last: Tree = {}

    def over(tree: Tree) -> bool:
        last.update(tree)
        return at(tree, "status.phase", "") in FINAL_PHASES

    await wait_until(client, pod, over)
    if at(last, "status.phase", "") == "Succeeded":
        return 0
    ended = next((each["state"].get("terminated") for each in at(last, "status.containerStatuses", [])), None) or {}
    code = int(ended.get("exitCode", 0))
    if not code:
        raise Unavailable(f"pod {pod.name} failed with unknown exit code")
    note(f"pod {pod.name} terminated ({ended.get('reason', 'Error')})")
    return code


async def _begun(client: RpcClient, pod: Object, container: str, patience_seconds: float) -> bool:
    """Wait until the container runs, which is told, or has ended, or never will run."""
    status: Tree = {}

    def begun(tree: Tree) -> bool:
        nonlocal status
        status = _status_of(tree, container)
        return _has_run(status) or at(tree, "status.phase", "") in FINAL_PHASES

    try:
        async with asyncio.timeout(patience_seconds):
            await wait_until(client, pod, begun)
    except TimeoutError:
        waiting = at(status, "state.waiting", {})
        why = ": ".join(filter(None, (waiting.get("reason", ""), waiting.get("message", "")))) or "no reason is known"
        message = f"container {container} of pod {pod.name} has not started within {patience_seconds:g} s ({why})"
        raise TimedOut(message) from None
    return "running" in status.get("state", {})


def _has_run(status: Tree) -> bool:
    """Whether a container runs or has ended. One that ends at once may be seen only between two of its runs."""
    if {"running", "terminated"} & status.get("state", {}).keys():
        return True
    reason: str = at(status, "lastState.terminated.reason", NEVER_STARTED)
    return reason != NEVER_STARTED


def _status_of(pod: Tree, container: str) -> Tree:
    statuses = [each for field in STATUSES for each in at(pod, f"status.{field}", [])]
    found: Tree = next((each for each in statuses if each.get("name") == container), {})
    return found
