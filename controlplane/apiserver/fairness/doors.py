"""Connections to the HTTPS port: so many from one address, and none that never gets to its request.

It stands between the transport and the HTTP server's own protocol. It must not know what is said.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final, cast

import structlog

from controlplane.apiserver.fairness.vanished import Watchman

log = structlog.get_logger()

HANDSHAKE_SECONDS: Final = 30.0
"""For TLS."""

IDLE_SECONDS: Final = 75.0
"""Between two requests, and until the head of the first one has come; as nginx has it."""

_REFUSAL: Final = (
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b"
)


class Doors:
    """Makes the protocol of each connection; `inner` makes the HTTP server's. `most`: connections from one address."""

    def __init__(self, inner: Callable[[], asyncio.Protocol], most: int, watchman: Watchman) -> None:
        self._inner = inner
        self._watchman = watchman
        self._most = most
        self._open: Counter[str] = Counter()

    def __call__(self) -> asyncio.Protocol:
        """The protocol of one more connection."""
        return _Connection(self, self._inner(), self._watchman)

    def enter(self, address: str) -> bool:
        """Whether one more connection from there may be open."""
        if self._open[address] >= self._most:
            log.info("connection_refused", address=address, open=self._open[address])
            return False
        self._open[address] += 1
        return True

    def leave(self, address: str) -> None:
        """One of them is closed."""
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]

    def refusal(self) -> bytes:
        """What is answered instead of serving."""
        text = b"this address has %d connections open here, which is the limit: close some\n" % self._most
        return _REFUSAL % (len(text), text)


class _Connection(asyncio.Protocol):
    """Passes everything on, once it was let in."""

    def __init__(self, doors: Doors, inner: asyncio.Protocol, watchman: Watchman) -> None:
        self._doors = doors
        self._inner = inner
        self._watchman = watchman
        self._transport: asyncio.Transport | None = None
        self._address = ""
        self._let_in = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._address = str((transport.get_extra_info("peername") or ("",))[0])
        self._let_in = self._doors.enter(self._address)
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by descent
        if self._let_in:
            self._watchman.opened(self._transport)
            self._inner.connection_made(transport)
            return
        self._transport.write(self._doors.refusal())
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._let_in:
            assert self._transport is not None, "told of it"
            self._watchman.closed(self._transport)
            self._doors.leave(self._address)
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._let_in:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._let_in else None

    def pause_writing(self) -> None:
        if self._let_in:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._let_in:
            self._inner.resume_writing()
