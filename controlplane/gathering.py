"""When a batch of transactions is worth what it costs: whether to wait for those that will come in a moment.

A batch costs three replicas several wake-ups and a sync each, whatever is in it. Writers that were answered together
mostly write again together. Pure; whoever proposes has the clock and the timers.
"""

from __future__ import annotations

from typing import Final

COMPANY: Final = 3
"""A batch of so many shows that more will come soon: whoever writes alone, or almost, never waits for others."""

MOST_EXPECTED: Final = 32
"""With more writers two batches take turns: one is decided while the log works on the other."""

LOOK_SECONDS: Final = 0.002
"""When nobody came for so long, the others are not waited for."""

PATIENCE: Final = 4
"""Times what the batch before took, which is how long its writers waited already; at most `PATIENCE_SECONDS`."""

PATIENCE_SECONDS: Final = 0.02


class Gathering:
    """How full the next batch is to be; nothing is expected at first."""

    def __init__(self) -> None:
        self._expected = 0
        self._seen = 0
        self._left_seconds = 0.0

    def after(self, size: int, waiting: int, took_seconds: float) -> None:
        """Learn from a batch of `size` that is done, behind which `waiting` transactions have come meanwhile."""
        if size >= COMPANY:
            self._expected = min(size + waiting, MOST_EXPECTED)
            self._seen = 0
            self._left_seconds = min(PATIENCE * took_seconds, PATIENCE_SECONDS)

    def complete(self, waiting: int) -> bool:
        """Whether there is no reason to wait for more than these."""
        return waiting >= self._expected

    def pause_seconds(self, waiting: int) -> float:
        """How long to wait before looking again; 0: the batch is to go now, and nothing is expected after it."""
        if self.complete(waiting) or waiting == self._seen or self._left_seconds <= 0:
            self._expected = 0
            return 0.0
        self._seen = waiting
        self._left_seconds -= LOOK_SECONDS
        return LOOK_SECONDS
