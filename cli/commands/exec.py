"""`tim exec`: a command in a container, with or without a terminal."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from api.errors import Unavailable
from cli import options
from cli.connect import call
from cli.pods import choose_container, find_pod
from cli.verb import Verb

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from api.v1.apiserver_pb2 import ExecStart, StreamFrame
    from component.rpc_client import RpcClient

READ_BYTES = 32 << 10
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
        with _raw(enabled=use_tty and use_stdin):
            return await _run(client, start)

    code = call(work)
    if code == KILLED:
        _note(f"exit code {code}: the command was killed; so is every command of a container that ends")
    if code:
        raise click.exceptions.Exit(code)


async def _run(client: RpcClient, start: ExecStart) -> int:
    async for frame in client.exec(start, _frames(stdin=start.stdin, terminal=start.tty)):
        match frame.WhichOneof("frame"):
            case "stdout":
                sys.stdout.buffer.write(frame.stdout)
                sys.stdout.buffer.flush()
            case "stderr":
                sys.stderr.buffer.write(frame.stderr)
                sys.stderr.buffer.flush()
            case "exit_code":
                return int(frame.exit_code)
    raise Unavailable("the connection ended before the command did; it may still be running")


async def _frames(*, stdin: bool, terminal: bool) -> AsyncIterator[StreamFrame]:
    """What goes to the container: the terminal's size whenever it changes, and standard input to its end."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[StreamFrame | None] = asyncio.Queue(16)
    if terminal:
        loop.add_signal_handler(signal.SIGWINCH, _offer_size, queue)
        _offer_size(queue)
    reader = asyncio.ensure_future(_read_stdin(queue)) if stdin else None
    try:
        if reader is None and not terminal:
            return
        while (frame := await queue.get()) is not None:
            yield frame
    finally:
        if terminal:
            loop.remove_signal_handler(signal.SIGWINCH)
        if reader is not None:
            reader.cancel()


async def _read_stdin(queue: asyncio.Queue[StreamFrame | None]) -> None:
    from api.v1.apiserver_pb2 import StreamFrame  # noqa: PLC0415 - help does without protobuf

    while data := await _read_some():
        await queue.put(StreamFrame(stdin=data))
    await queue.put(StreamFrame(stdin_closed=True))
    await queue.put(None)


async def _read_some() -> bytes:
    """The next bytes of standard input, b"" at its end.

    It is not made non-blocking, as asyncio's pipes do: a terminal shares that flag with standard output and the shell.
    """
    loop = asyncio.get_running_loop()
    try:
        descriptor = sys.stdin.fileno()
        ready = loop.create_future()
        loop.add_reader(descriptor, lambda: None if ready.done() else ready.set_result(None))
    except (OSError, ValueError):  # a plain file, which never blocks; epoll does not take those
        return sys.stdin.buffer.read(READ_BYTES)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
    try:
        return os.read(descriptor, READ_BYTES)
    except OSError:  # the terminal was hung up
        return b""


def _offer_size(queue: asyncio.Queue[StreamFrame | None]) -> None:
    from api.v1.apiserver_pb2 import StreamFrame, TerminalSize  # noqa: PLC0415 - help does without protobuf

    columns, lines = os.get_terminal_size(sys.stdin.fileno())
    if not queue.full():  # the network stalls: the next change of size will do
        queue.put_nowait(StreamFrame(resize=TerminalSize(width=columns, height=lines)))


def _note(text: str) -> None:
    click.echo(text, err=True)


@contextmanager
def _raw(*, enabled: bool) -> Iterator[None]:
    """Keys go to the container as they are typed; the terminal is as before afterwards."""
    if not enabled:
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
