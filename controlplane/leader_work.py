"""What a replica does only while it leads: started with each leadership's epoch, stopped at once when it ends.

It must not know what the work is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

RETRY_SECONDS: Final = 0.2

log = structlog.get_logger()


class LeaderWork:
    """Runs `work(epoch)` again and again while the epoch lasts; two of them never run at once."""

    def __init__(self, work: Callable[[int], Awaitable[None]]) -> None:
        self._work = work
        self._leading: asyncio.Task[None] | None = None

    def leadership_changed(self, epoch: int | None) -> None:
        """Start with the epoch of a leadership that begins; None: it is over."""
        if self._leading is not None:
            self._leading.cancel()
        if epoch is not None:
            self._leading = asyncio.ensure_future(self._lead(epoch, self._leading))

    async def close(self) -> None:
        """Stop, and return when everything has stopped."""
        self.leadership_changed(None)
        if self._leading is not None:
            await asyncio.gather(self._leading, return_exceptions=True)

    async def _lead(self, epoch: int, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.gather(before, return_exceptions=True)
        log.info("leading_started", epoch=epoch)
        try:
            while True:
                await self._lead_once(epoch)
                await asyncio.sleep(RETRY_SECONDS)
        finally:
            log.info("leading_stopped", epoch=epoch)

    async def _lead_once(self, epoch: int) -> None:
        try:
            await self._work(epoch)
        except Exception:
            log.exception("leading_failed")
