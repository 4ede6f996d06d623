"""How long the latest syncs of the log took: what an election time-out must be compared with."""

from __future__ import annotations

from collections import deque
from typing import Final

REMEMBERED: Final = 512


class SyncTimes:
    """The latest durations, in seconds."""

    def __init__(self) -> None:
        self._latest: deque[float] = deque(maxlen=REMEMBERED)

    def record(self, seconds: float) -> None:
        """One sync took so long."""
        self._latest.append(seconds)

    def percentiles(self) -> tuple[float, float]:
        """The median and the 99th percentile; zeros before the first sync."""
        ordered = sorted(self._latest)
        if not ordered:
            return 0.0, 0.0
        return ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
