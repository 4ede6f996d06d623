"""Joining what a container runs, so that neither looking at it nor leaving it changes anything.

Podman's attach would: conmon ends a container's input when a client leaves (conmon 2.1, conn_sock.c), even one that only
looked, and a slow client holds up the container. So it is used for terminals, which have neither problem, and for the one
session that `stdinOnce` speaks of. Otherwise output comes from the log, and input goes into the container's own pipe.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import structlog

from agent.logs import LogOptions, read_log
from agent.runtime.protocol import Container, ContainerRuntime, ContainerStreams
from api import errors
from api.core import Container as Wanted

log = structlog.get_logger()

PIECES_AHEAD = 4

Piece = tuple[Literal["stdout", "stderr"], bytes]
_OUTPUTS: Final[tuple[Literal["stdout", "stderr"], ...]] = ("stdout", "stderr")


def check_streams(wanted: Wanted, *, stdin: bool, tty: bool) -> None:
    """Raise Invalid for a stream that the container does not have."""
    if stdin and not wanted.stdin:
        raise errors.Invalid(f"container {wanted.name} takes no input: its `stdin` is not true")
    if tty and not wanted.tty:
        raise errors.Invalid(f"container {wanted.name} has no terminal: its `tty` is not true")


async def join(
    runtime: ContainerRuntime, wanted: Wanted, running: Container, *, stdin: bool, path: Path, ended: Callable[[], bool]
) -> ContainerStreams:
    """The streams of a running container. Invalid, RuntimeFailure."""
    if wanted.tty or (stdin and wanted.stdin_once):
        return await runtime.attach(running.id, stdin=stdin, tty=bool(wanted.tty))
    pipe = InputPipe(running.pid, wanted.name) if stdin else None
    return LoggedStreams(path, ended, pipe)


class InputPipe:
    """A write end of a container's standard input, beside the one that stays open in conmon."""

    def __init__(self, pid: int, name: str) -> None:
        """Invalid when the container's first process has another input by now."""
        path = f"/proc/{pid}/fd/0"
        message = f"the first process of container {name} has closed its standard input"
        self._descriptor = -1
        try:
            if stat.S_ISFIFO(os.stat(path).st_mode):  # noqa: PTH116 - a descriptor's link, not a file's path
                self._descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise errors.Invalid(message) from error
        if self._descriptor < 0:
            raise errors.Invalid(message)

    async def write(self, data: bytes) -> None:
        """Write everything; waits while the pipe is full, and drops what nobody will read."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                await self._writable()
            except BrokenPipeError:
                return

    def close(self) -> None:
        """Let go of the pipe, which stays open for the container."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_writer(self._descriptor, lambda: None if ready.done() else ready.set_result(None))
        try:
            await ready
        finally:
            loop.remove_writer(self._descriptor)


class LoggedStreams:
    """What a container writes from now on, read from its log, and a pipe to its input; implements ContainerStreams."""

    def __init__(self, path: Path, ended: Callable[[], bool], pipe: InputPipe | None) -> None:
        self._path = path
        self._ended = ended
        self._pipe = pipe
        self._pieces: asyncio.Queue[Piece | None] = asyncio.Queue(PIECES_AHEAD)
        self._tasks = [asyncio.ensure_future(self._follow(name)) for name in _OUTPUTS]
        self._left = len(self._tasks)

    async def read(self) -> Piece | None:
        """The next piece of output, None once the container has ended."""
        while self._left:
            if (piece := await self._pieces.get()) is not None:
                return piece
            self._left -= 1
        return None

    async def write(self, data: bytes) -> None:
        """Send to standard input, if that was asked for."""
        if self._pipe is not None:
            await self._pipe.write(data)

    async def close_stdin(self) -> None:
        """The client says nothing more; another one may."""

    async def resize(self, width: int, height: int) -> None:
        """There is no terminal."""

    def container_ending(self) -> bool:
        """A log tells nobody, and holds nothing up."""
        return False

    async def close(self) -> None:
        """Leave."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._pipe is not None:
            self._pipe.close()

    async def _follow(self, name: Literal["stdout", "stderr"]) -> None:
        options = LogOptions(follow=True, tail_lines=0, stream=name)
        try:
            async for piece in read_log(self._path, options, self._ended):
                await self._pieces.put((name, piece))
        except OSError as error:
            log.warning("log_unreadable", path=str(self._path), error=str(error))
        await self._pieces.put(None)
