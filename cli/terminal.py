"""The user's terminal: its size and keys as frames for a container, whose output goes to ours."""

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

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from api.v1.apiserver_pb2 import StreamFrame

READ_BYTES = 32 << 10


def show(frame: StreamFrame) -> bool:
    """Write a frame of output to ours; whether it was one."""
    match frame.WhichOneof("frame"):
        case "stdout":
            stream, data = sys.stdout.buffer, frame.stdout
        case "stderr":
            stream, data = sys.stderr.buffer, frame.stderr
        case _:
            return False
    stream.write(data)
    stream.flush()
    return True


async def frames(*, stdin: bool, terminal: bool) -> AsyncIterator[StreamFrame]:
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


@contextmanager
def raw(*, enabled: bool) -> Iterator[None]:
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
