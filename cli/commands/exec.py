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

import click

from api.v1 import apiserver_pb2
from cli.connect import call
from cli.pods import find_pod
from component.rpc_client import RpcClient

READ_BYTES = 32 << 10
StreamFrame = apiserver_pb2.StreamFrame


@click.command(name="exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("-n", "--namespace", default="")
@click.option("-c", "--container", default="")
@click.option("-i", "--stdin", "use_stdin", is_flag=True, help="Pass standard input on.")
@click.option("-t", "--tty", "use_tty", is_flag=True, help="With a terminal.")
@click.argument("pod", metavar="POD | KIND/NAME")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND [ARG...]")
def exec_command(
    namespace: str, container: str, use_stdin: bool, use_tty: bool, pod: str, command: tuple[str, ...]
) -> None:
    """Run COMMAND in a container; exits with its exit code."""
    words = list(command)
    while words and words[0] in {"-it", "-ti", "-i", "-t", "--"}:
        word = words.pop(0)
        use_stdin, use_tty = use_stdin or "i" in word, use_tty or "t" in word

    async def work(client: RpcClient, default: str) -> int:
        found = await find_pod(client, pod, namespace or default)
        terminal = use_tty and sys.stdin.isatty()
        start = apiserver_pb2.ExecStart(
            namespace=found.namespace,
            pod=found.name,
            container=container,
            command=words,
            stdin=use_stdin,
            tty=use_tty,
        )
        with _raw(enabled=terminal and use_stdin):
            return await _run(client, start, terminal=terminal)

    code = call(work)
    if code:
        raise click.exceptions.Exit(code)


async def _run(client: RpcClient, start: apiserver_pb2.ExecStart, *, terminal: bool) -> int:
    async for frame in client.exec(start, _frames(stdin=start.stdin, terminal=terminal)):
        match frame.WhichOneof("frame"):
            case "stdout":
                _write(sys.stdout.fileno(), frame.stdout)
            case "stderr":
                _write(sys.stderr.fileno(), frame.stderr)
            case "exit_code":
                return int(frame.exit_code)
    return 1


async def _frames(*, stdin: bool, terminal: bool) -> AsyncIterator[StreamFrame]:
    """What goes to the container: the terminal's size whenever it changes, and standard input to its end."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[StreamFrame | None] = asyncio.Queue(16)
    if terminal:
        loop.add_signal_handler(signal.SIGWINCH, lambda: queue.put_nowait(_size()))
        queue.put_nowait(_size())
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
    stream = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    try:
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), sys.stdin.buffer)
        while data := await stream.read(READ_BYTES):
            await queue.put(StreamFrame(stdin=data))
    except (ValueError, PermissionError):  # a plain file: epoll does not take those, and it never blocks
        while data := sys.stdin.buffer.read(READ_BYTES):
            await queue.put(StreamFrame(stdin=data))
    await queue.put(StreamFrame(stdin_closed=True))
    await queue.put(None)


def _size() -> StreamFrame:
    columns, lines = os.get_terminal_size(sys.stdin.fileno())
    return StreamFrame(resize=apiserver_pb2.TerminalSize(width=columns, height=lines))


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


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
