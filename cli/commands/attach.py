"""`tim attach`: the streams of what a container runs already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import options
from cli.connect import call
from cli.pods import choose_container, find_pod
from cli.sessions import join, note, of_terminal
from cli.verb import Verb

if TYPE_CHECKING:  # gRPC is loaded when the call is made
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
    use_tty = of_terminal(tty=use_tty, doing="attaching")

    async def work(client: RpcClient, default: str) -> None:
        from api.v1.apiserver_pb2 import AttachStart  # noqa: PLC0415 - help does without protobuf

        found = await find_pod(client, pod, namespace or default, tell=note)
        name, choice = choose_container(found.tree(), container)
        if choice:
            note(choice)
        start = AttachStart(namespace=found.namespace, pod=found.name, container=name, stdin=use_stdin, tty=use_tty)
        await join(client, start)

    call(work)
