"""A queue of keys to look at again: each key at most once, each in one pair of hands at a time.

It holds keys, not events, so that any number of changes of one object cost one pass, and its size is bounded by
the number of objects. It knows nothing of what a key means.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import Generic, TypeVar

Key = TypeVar("Key")

FIRST_BACKOFF_SECONDS = 0.005
MAX_BACKOFF_SECONDS = 30.0


class WorkQueue(Generic[Key]):
    """De-duplicating queue with exponential back-off per key.

    A key that is added while it is being worked on is handed out once more when that pass is done. Belongs to one
    event loop. Back-off is jittered down by at most a half, so that failing keys do not come back together.
    """

    def __init__(
        self,
        rng: random.Random,
        *,
        first_backoff_seconds: float = FIRST_BACKOFF_SECONDS,
        max_backoff_seconds: float = MAX_BACKOFF_SECONDS,
    ) -> None:
        self._rng = rng
        self._first_backoff_seconds = first_backoff_seconds
        self._max_backoff_seconds = max_backoff_seconds
        self._ready: deque[Key] = deque()
        self._wanted: set[Key] = set()  # must be handed out (again): in _ready, or in work and added meanwhile
        self._in_work: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._takers: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """How many keys wait to be handed out now, delayed ones not counted."""
        return len(self._ready)

    @property
    def idle(self) -> bool:
        """Whether nothing waits, is delayed or is in work."""
        return not (self._wanted or self._in_work or self._timers)

    def add(self, key: Key) -> None:
        """Hand `key` out as soon as somebody takes it; a pending delay of the key ends here."""
        self._drop_timer(key)
        if key in self._wanted:
            return
        self._wanted.add(key)
        if key not in self._in_work:
            self._put(key)

    def add_after(self, key: Key, seconds: float) -> None:
        """Add `key` in `seconds`; of several delays of one key the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        if key in self._wanted:
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        pending = self._timers.get(key)
        if pending is not None and pending.when() <= due:
            return
        self._drop_timer(key)
        self._timers[key] = loop.call_at(due, self.add, key)

    def retry(self, key: Key) -> float:
        """Add `key` again after its back-off, doubled with every call until `forget`; returns the delay."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        longest = min(self._first_backoff_seconds * 2.0 ** min(failures, 40), self._max_backoff_seconds)
        delay = longest * (1.0 - self._rng.random() / 2.0)
        self.add_after(key, delay)
        return delay

    def forget(self, key: Key) -> None:
        """The key's pass went well: its next failure starts with the first back-off again."""
        self._failures.pop(key, None)

    async def get(self) -> Key:
        """Take the key that waits longest; the taker must call `done` with it."""
        while not self._ready:
            taker = asyncio.get_running_loop().create_future()
            self._takers.append(taker)
            try:
                await taker
            except asyncio.CancelledError:
                if taker in self._takers:
                    self._takers.remove(taker)
                elif self._ready:
                    self._wake()
                raise
        key = self._ready.popleft()
        self._wanted.discard(key)
        self._in_work.add(key)
        return key

    def done(self, key: Key) -> None:
        """End the work on a key taken with `get`."""
        self._in_work.discard(key)
        if key in self._wanted:
            self._put(key)

    def close(self) -> None:
        """Cancel all delays. Waiting takers are cancelled by their own tasks."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _put(self, key: Key) -> None:
        self._ready.append(key)
        self._wake()

    def _wake(self) -> None:
        while self._takers:
            taker = self._takers.popleft()
            if not taker.done():
                taker.set_result(None)
                return

    def _drop_timer(self, key: Key) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
