"""The Unix socket between the two processes of a replica: production code on both ends, bytes in between.

The Raft process reads it when its poller says so; the API process has an asyncio transport. What was written before
a process died still arrives, then the end of the stream. It must not know what the bytes say.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from controlplane.raft.poller import READ
from tests.simulation.loop import ProcessLoop

HOP_SECONDS = (0.00002, 0.0003)


class SimPoller:
    """`Poller` without a kernel: the Raft half asks which descriptors are ready."""

    def __init__(self) -> None:
        self.ready: dict[int, Callable[[int], None]] = {}
        self.before_sleep: Callable[[float], None] = lambda _timeout: None

    def watch(self, descriptor: int, events: int, ready: Callable[[int], None]) -> None:
        self.ready[descriptor] = ready

    def forget(self, descriptor: int) -> None:
        self.ready.pop(descriptor, None)

    def wake(self) -> None:
        """Nobody sleeps in a thread."""

    def poll(self, timeout_seconds: float) -> None:
        self.before_sleep(timeout_seconds)


class RaftEnd:
    """The connection as the Raft process has it: what `socket.socket` offers and the link uses."""

    _numbers = itertools.count(1000)

    def __init__(self, number: int, send: Callable[[bytes], None], closed: Callable[[], None]) -> None:
        self._number = number
        self._send = send
        self._closed = closed
        self.received = bytearray()
        self.ended = False
        self.open = True

    def setblocking(self, _blocking: bool) -> None:
        """It never blocks."""

    def fileno(self) -> int:
        return self._number

    def recv(self, limit: int) -> bytes:
        if not self.received:
            if self.ended:
                return b""
            raise BlockingIOError
        taken = bytes(self.received[:limit])
        del self.received[:limit]
        return taken

    def send(self, content: Any) -> int:
        if self.ended:
            raise BrokenPipeError(32, "Broken pipe")
        self._send(bytes(content))
        return len(content)

    def close(self) -> None:
        if self.open:
            self.open = False
            self._closed()


class ApiEnd(asyncio.Transport):
    """The connection as the API process has it."""

    def __init__(self, send: Callable[[bytes], None], closed: Callable[[], None]) -> None:
        super().__init__()
        self._send = send
        self._closed = closed
        self.closing = False

    def write(self, data: Any) -> None:
        if not self.closing:
            self._send(bytes(data))

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        """The reader's buffer is not bounded here: credits bound it."""

    def resume_reading(self) -> None:
        """See `pause_reading`."""

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        if not self.closing:
            self.closing = True
            self._closed()

    close = abort


class Listener:
    """The socket's name: `accept` hands the Raft process its ends of new connections."""

    def __init__(self, number: int, wake: Callable[[int], None], rng: Any, raft_loop: ProcessLoop) -> None:
        self._number = number
        self._wake = wake
        self._rng = rng
        self._raft_loop = raft_loop
        self._waiting: list[RaftEnd] = []
        self._next = number
        self._arrivals: dict[object, float] = {}
        self.connections: list[tuple[RaftEnd, ApiEnd, asyncio.Protocol, ProcessLoop]] = []

    def fileno(self) -> int:
        return self._number

    def accept(self) -> tuple[RaftEnd, str]:
        if not self._waiting:
            raise BlockingIOError
        return self._waiting.pop(0), ""

    def close(self) -> None:
        """Connections live on."""

    def connect(
        self, factory: Callable[[], asyncio.Protocol], api_loop: ProcessLoop
    ) -> tuple[ApiEnd, asyncio.Protocol]:
        """What `create_unix_connection` gives the API process."""
        self._next += 1
        number = self._next
        protocol = factory()
        world = self._raft_loop.simulator.world

        def to_raft(content: bytes | None) -> None:
            world.call_at(self._arrival((number, "r")), self._at_raft, raft_end, content)

        def to_api(content: bytes | None) -> None:
            world.call_at(self._arrival((number, "a")), self._at_api, api_end, protocol, api_loop, content)

        raft_end = RaftEnd(number, to_api, lambda: to_api(None))
        api_end = ApiEnd(to_raft, lambda: to_raft(None))
        self._waiting.append(raft_end)
        self.connections.append((raft_end, api_end, protocol, api_loop))
        protocol.connection_made(api_end)
        self._wake(self._number)
        return api_end, protocol

    def raft_died(self) -> None:
        """The kernel closes what the Raft process had open."""
        for raft_end, _, _, _ in self.connections:
            raft_end.close()

    def api_died(self, api_loop: ProcessLoop) -> None:
        """The kernel closes what the API process had open."""
        for _, api_end, _, loop in self.connections:
            if loop is api_loop:
                api_end.abort()
        self.connections = [each for each in self.connections if each[3] is not api_loop]

    def _arrival(self, direction: object) -> float:
        """Streams keep their order."""
        world = self._raft_loop.simulator.world
        due = max(world.time() + self._rng.uniform(*HOP_SECONDS), self._arrivals.get(direction, 0.0))
        self._arrivals[direction] = due
        return due

    def _at_raft(self, end: RaftEnd, content: bytes | None) -> None:
        if not end.open:
            return
        if content is None:
            end.ended = True
        else:
            end.received += content
        self._wake(end.fileno())

    def _at_api(self, end: ApiEnd, protocol: asyncio.Protocol, loop: ProcessLoop, content: bytes | None) -> None:
        if end.closing or loop.dead:
            return
        if content is None:
            end.closing = True
            loop.call_soon(_end_of_stream, protocol)
        else:
            loop.call_soon(protocol.data_received, content)


def _end_of_stream(protocol: asyncio.Protocol) -> None:
    protocol.eof_received()
    protocol.connection_lost(None)


__all__ = ["READ", "ApiEnd", "Listener", "RaftEnd", "SimPoller"]
