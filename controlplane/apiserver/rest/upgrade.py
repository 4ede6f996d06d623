"""The connection behind a request after both sides left HTTP for another protocol, with bounded memory both ways.

aiohttp knows only WebSocket to change to. It must not know what is spoken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from aiohttp import web

AHEAD_BYTES: Final = 256 << 10
"""The client is not read from while more than this waits to be taken."""


class Upgraded:
    """The raw bytes of one connection. The request's handler must not return before it is done with them."""

    def __init__(self, request: web.Request, protocol: str, headers: Mapping[str, str]) -> None:
        self._request = request
        self.response = web.StreamResponse(
            status=101, headers={"Connection": "Upgrade", "Upgrade": protocol, **headers}
        )
        self.response.force_close()
        self._waiting = bytearray()
        self._changed = asyncio.Event()
        self._ended = False

    async def accept(self) -> None:
        """Agree to the change: from here on everything that comes and goes is the other protocol's. ConnectionError."""
        self._request.protocol.set_parser(self)  # type: ignore[arg-type] # only what a WebSocket's reader has is declared
        await self.response.prepare(self._request)

    async def read(self) -> bytes:
        """What arrived since the last call, at least one byte; b"" when the client has gone."""
        while not self._waiting and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        piece = bytes(self._waiting)
        self._waiting.clear()
        if self._request.transport is not None and not self._ended:
            self._request.transport.resume_reading()
        return piece

    async def write(self, piece: bytes) -> None:
        """Send; waits while the client does not keep up. ConnectionError."""
        await self.response.write(piece)

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Called by aiohttp with what arrives: whether that was all, and what is left over."""
        self._waiting += data
        self._changed.set()
        if len(self._waiting) > AHEAD_BYTES and self._request.transport is not None:
            self._request.transport.pause_reading()
        return False, b""

    def feed_eof(self) -> None:
        """Called by aiohttp when the connection is lost."""
        self._ended = True
        self._changed.set()
