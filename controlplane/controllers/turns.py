"""How much of each round of the event loop the controllers take, all of their workers together.

Passes that find nothing to do never wait for anything: a new leader has one for each of 100,000 pods, and dozens of
workers that take a few milliseconds each would hold the loop for as long as all of them. So would 64 calls of the API,
within the same process, that begin together. It knows nothing of keys and calls.
"""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf

from component.env import Env

SLICE_SECONDS = 0.002  # of passes in a row
WOKEN_AT_ONCE = 8  # in a round: the first to come takes the slice, the others do one pass or call each


class Turns:
    """Shared by workers of one event loop, who come to `rest` after each pass and before each call."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._end_time = -inf  # of the slice; infinite until the first who was woken begins it
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._waking = False

    async def rest(self) -> None:
        """Return at once while the slice lasts, else in a later round of the loop, in the order of coming."""
        if self._env.monotonic() < self._end_time < inf:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._wake_soon()
        await waiter
        if self._end_time == inf:
            self._end_time = self._env.monotonic() + SLICE_SECONDS

    def _wake_soon(self) -> None:
        if not self._waking:
            self._waking = True
            asyncio.get_running_loop().call_soon(self._wake)

    def _wake(self) -> None:
        self._waking = False
        self._end_time = inf
        for _ in range(min(WOKEN_AT_ONCE, len(self._waiting))):
            waiter = self._waiting.popleft()
            if not waiter.done():  # it may have been cancelled
                waiter.set_result(None)
        if self._waiting:
            self._wake_soon()
