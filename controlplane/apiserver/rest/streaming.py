"""Answers that are sent in pieces to readers who may be slow, or leave: bounded in memory and time."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final, Self

import structlog
from aiohttp import web

log = structlog.get_logger()

SLOW_READER_SECONDS: Final = 30.0
"""A reader who takes nothing for so long is cut off."""


class Outflow:
    """One answer. A context: it ends when its block does; whatever breaks it later than its head cuts the connection.

    What was handed over and not taken yet is at most one piece and the socket's buffer. `slow_reader_seconds` None: a
    reader may pause as long as he likes, because whoever writes waits.
    """

    def __init__(
        self,
        request: web.Request,
        content_type: str,
        *,
        compressed: bool = False,
        slow_reader_seconds: float | None = SLOW_READER_SECONDS,
    ) -> None:
        self._request = request
        self.response = web.StreamResponse(headers={"Content-Type": content_type})
        if compressed:
            self.response.enable_compression(web.ContentCoding.gzip)
        self._slow_reader_seconds = slow_reader_seconds

    async def __aenter__(self) -> Self:
        """Nothing is sent yet."""
        return self

    async def start(self) -> None:
        """Send the head, unless it was sent."""
        if not self.response.prepared:
            await self.response.prepare(self._request)

    async def write(self, piece: bytes) -> None:
        """Send a piece and wait until the connection can take another one."""
        await self.start()
        async with asyncio.timeout(self._slow_reader_seconds):
            await self.response.write(piece)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """End the answer. An error before the head is the caller's; after it nothing but the cut can tell of it."""
        if error is None:
            await self.start()
            return False
        if not self.response.prepared or not isinstance(error, Exception):
            return False
        if not isinstance(error, ConnectionError | TimeoutError):
            log.error("answer_broke_off", path=self._request.path, exc_info=error)
        self.cut()
        return True

    def cut(self) -> None:
        """Let the reader see that something is missing."""
        if self._request.transport is not None:
            self._request.transport.abort()
