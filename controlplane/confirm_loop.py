"""Asking the leader now and then how far the log is, so that a replica cut off later knows how old its state is."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from api import errors
from controlplane.replica import Replica

PERIOD_SECONDS: Final = 1.0


class ConfirmLoop:
    """Runs in every API process: bounded-stale reads are answered from what it, or any linearizable read, found out."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with contextlib.suppress(errors.Unavailable):
                await self._replica.confirmed_within(PERIOD_SECONDS)
            await asyncio.sleep(PERIOD_SECONDS)
