"""`tim exec`: a command in a container, with or without a terminal."""

from __future__ import annotations

import signal
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
    from api.v1.apiserver_pb2 import ExecStart
    from component.rpc_client import RpcClient

KILLED = 128 + signal.SIGKILL


class _Exec(Verb):
    """Everything behind `--` is the command; without `--` everything behind the pod is."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As a verb does; options may stand behind the pod only if `--` ends them."""
        ctx.allow_interspersed_args = "--" in args
        return super().parse_args(ctx, args)


@click.command(
    name="exec",
    cls=_Exec,
    examples=(
        "tim exec web -- ls -la /",
        "tim exec -it deploy/web -c app -- sh",
    ),
)
@options.namespace()
@click.option("-c", "--container", default="", metavar="NAME", help="This container [default: the pod's first].")
@click.option("-i", "--stdin", "use_stdin", is_flag=True, help="Pass standard input on.")
@click.option("-t", "--tty", "use_tty", is_flag=True, help="With a terminal.")
@click.argument("pod", metavar="POD | KIND/NAME")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND [ARG...]")
def exec_command(
    namespace: str, container: str, use_stdin: bool, use_tty: bool, pod: str, command: tuple[str, ...]
) -> None:
    """Run COMMAND in a container; exits with its exit code."""
    if use_tty and not sys.stdin.isatty():
        click.echo("standard input is no terminal: running without one", err=True)
        use_tty = False

    async def work(client: RpcClient, default: str) -> int:
        from api.v1.apiserver_pb2 import ExecStart  # noqa: PLC0415 - help does without protobuf

        found = await find_pod(client, pod, namespace or default, tell=_note)
        name, note = choose_container(found.tree(), container)
        if note:
            _note(note)
        start = ExecStart(
            namespace=found.namespace, pod=found.name, container=name, command=command, stdin=use_stdin, tty=use_tty
        )
        with raw(enabled=use_tty and use_stdin):
            return await _run(client, start)

    code = call(work)
    if code == KILLED:
        _note(f"exit code {code}: the command was killed; so is every command of a container that ends")
    if code:
        raise click.exceptions.Exit(code)


async def _run(client: RpcClient, start: ExecStart) -> int:
    async for frame in client.exec(start, frames(stdin=start.stdin, terminal=start.tty)):
        if not show(frame) and frame.WhichOneof("frame") == "exit_code":
            return int(frame.exit_code)
    raise Unavailable("the connection ended before the command did; it may still be running")


def _note(text: str) -> None:
    click.echo(text, err=True)
