"""Long work in slices, of which the event loop runs one at a time, so that those of several never add up to a long pause."""

from __future__ import annotations

import asyncio
from collections import deque
from weakref import ReferenceType, WeakKeyDictionary, ref


class _Waiting:
    """Who waits for the next slice on one loop, the longest first. The loop holds it while anybody waits, and nobody else."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._futures: deque[asyncio.Future[None]] = deque()

    def add(self) -> asyncio.Future[None]:
        """What is done when it is one's turn."""
        future = self._loop.create_future()
        if not self._futures:
            self._loop.call_soon(self._next)
        self._futures.append(future)
        return future

    def _next(self) -> None:
        """Let one go on in the next pass of the loop, and look again in that."""
        while self._futures:
            future = self._futures.popleft()
            if not future.done():
                future.set_result(None)
                break
        if self._futures:
            self._loop.call_soon(self._next)


# What waits knows its loop: with more than a reference that does not count, no loop that is done with would ever go.
_WAITING: WeakKeyDictionary[asyncio.AbstractEventLoop, ReferenceType[_Waiting]] = WeakKeyDictionary()


async def let_others_run() -> None:
    """Go on in a later pass of the loop, and in another one than everybody else who waits here.

    Between slices of long work. `asyncio.sleep(0)` lets all of them go on in the same pass: with four writers of large
    transactions and as many caches that follow them the loop was held for 60 ms by slices of 3 ms.
    """
    loop = asyncio.get_running_loop()
    known = _WAITING.get(loop)
    waiting = known() if known is not None else None
    if waiting is None:
        waiting = _Waiting(loop)
        _WAITING[loop] = ref(waiting)
    await waiting.add()
