"""Peers that vanished without a word: a cut network, a machine without power. A reader who only pauses is none of them.

TCP_USER_TIMEOUT would take one for the other: it ends a connection whose reader pauses although its machine answers.
The kernel's own patience is 15 minutes to half an hour for what waits to be taken.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass
from typing import Any, Final

import structlog

log = structlog.get_logger()

SWEEP_SECONDS: Final = 15.0

_TCP_INFO: Final = struct.Struct("=8B 12I")  # up to tcpi_last_ack_recv; see linux/tcp.h
_PROBES, _UNACKED, _LAST_ACK = 3, 12, 19
"""Probes that nobody answered, segments on their way, milliseconds since the peer's kernel last said anything."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a peer may say nothing at all.

    `idle_seconds`: while nothing waits for it, asked every third of it in the second half. `unanswered_seconds`: while
    something does; a reader who pauses long is asked only every 120 s by the kernel, so this must be more than twice that.
    """

    idle_seconds: int = 60
    unanswered_seconds: float = 300.0

    def apply(self, connection: Any) -> None:
        """Let the kernel look after a connection while nothing waits to be acknowledged."""
        half, sixth = max(self.idle_seconds // 2, 1), max(self.idle_seconds // 6, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, half)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, sixth)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)

    def over(self, connection: Any) -> bool:
        """Whether something waits to be acknowledged and the peer has been silent for too long. OSError."""
        found = _TCP_INFO.unpack(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size))
        waits = found[_UNACKED] or found[_PROBES]
        return bool(waits) and found[_LAST_ACK] > self.unanswered_seconds * 1000


class Watchman:
    """Looks at open connections every `sweep_seconds` and cuts those whose peer vanished."""

    def __init__(self, patience: Patience = Patience(), sweep_seconds: float = SWEEP_SECONDS) -> None:
        self._patience = patience
        self._sweep_seconds = sweep_seconds
        self._open: set[asyncio.Transport] = set()

    def opened(self, transport: asyncio.Transport) -> None:
        """One more connection."""
        self._patience.apply(transport.get_extra_info("socket"))
        self._open.add(transport)

    def closed(self, transport: asyncio.Transport) -> None:
        """One less."""
        self._open.discard(transport)

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.sleep(self._sweep_seconds)
            for transport in tuple(self._open):
                self._look(transport)

    def _look(self, transport: asyncio.Transport) -> None:
        try:
            gone = self._patience.over(transport.get_extra_info("socket"))
        except OSError:  # it is being closed
            return
        if gone:
            log.info("peer_vanished", address=str((transport.get_extra_info("peername") or ("",))[0]))
            self._open.discard(transport)
            transport.abort()
