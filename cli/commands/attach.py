"""`tim attach`: the streams of what a container runs already."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from api.errors import Unavailable
from cli import options
from cli.connect import call
from cli.pods import choose_container, find_pod
from cli.terminal import frames, raw, show
from cli.verb import Verb

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from api.v1.apiserver_pb2 import AttachStart
    from component.rpc_client import RpcClient


@click.command(
    cls=Verb,
    examples=(
        "tim attach web",
        "tim attach -it deploy/shell -c app",
    ),
)
@options.namespace()
@click.option("-c", "--container", default="", metavar="NAME", help="This container [default: the pod's first].")
@click.option("-i", "--stdin", "use_stdin", is_flag=True, help="Pass standard input on.")
@click.option("-t", "--tty", "use_tty", is_flag=True, help="With the container's terminal.")
@click.argument("pod", metavar="POD | KIND/NAME")
def attach(namespace: str, container: str, use_stdin: bool, use_tty: bool, pod: str) -> None:
    """Join what a container runs, from now on and until it ends; Ctrl-C leaves it, except in a terminal with -i."""
    if use_tty and not sys.stdin.isatty():
        _note("standard input is no terminal: attaching without one")
        use_tty = False

    async def work(client: RpcClient, default: str) -> None:
        from api.v1.apiserver_pb2 import AttachStart  # noqa: PLC0415 - help does without protobuf

        found = await find_pod(client, pod, namespace or default, tell=_note)
        name, note = choose_container(found.tree(), container)
        if note:
            _note(note)
        start = AttachStart(namespace=found.namespace, pod=found.name, container=name, stdin=use_stdin, tty=use_tty)
        if use_tty:
            _note("if you see no prompt, press enter")
        with raw(enabled=use_tty and use_stdin):
            await _join(client, start)

    call(work)


async def _join(client: RpcClient, start: AttachStart) -> None:
    async for frame in client.attach(start, frames(stdin=start.stdin, terminal=start.tty)):
        if not show(frame) and frame.WhichOneof("frame") == "ended":
            return
    raise Unavailable("the connection ended; what the container runs goes on")


def _note(text: str) -> None:
    click.echo(text, err=True)
