"""Waiting for a condition with a deadline, so that no test sleeps for a guessed time."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

DEADLINE_SECONDS = 60.0
"""Of whatever is awaited without being promised by a time: test machines are shared, and stand still for seconds.

A test that proves a promised time measures it by itself. What the host of a virtual machine takes is not counted.
"""
POLL_SECONDS = 0.02
STEAL_FIELD = 8  # in the first line of /proc/stat, proc_stat(5)

Found = TypeVar("Found")


class Deadline:
    """`seconds` from now, and as much later as the machine is kept from running meanwhile."""

    def __init__(self, seconds: float) -> None:
        self._end_time = time.monotonic() + seconds
        self._stolen_seconds = stolen_seconds()

    def over(self) -> bool:
        """Whether it has passed; the file is read only in the end, because that costs more than a look at the clock."""
        late_seconds = time.monotonic() - self._end_time
        return late_seconds > 0 and late_seconds > stolen_seconds() - self._stolen_seconds


def stolen_seconds() -> float:
    """How long each processor had to wait for the host since boot, on average."""
    ticks = int(Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[STEAL_FIELD])
    return ticks / os.sysconf("SC_CLK_TCK") / (os.cpu_count() or 1)


async def eventually(condition: Callable[[], object], deadline_seconds: float = DEADLINE_SECONDS) -> None:
    """Return once `condition` is true; fail the test after the deadline."""
    deadline = Deadline(deadline_seconds)
    while not condition():
        assert not deadline.over(), "the condition did not come true in time"
        await asyncio.sleep(0.001)


def wait_until(
    condition: Callable[[], Found], seconds: float = DEADLINE_SECONDS, explain: Callable[[], object] = str
) -> Found:
    """As `eventually`, for tests without a loop; returns what `condition` gave. `explain` says more of a failure."""
    deadline = Deadline(seconds)
    while not (found := condition()):
        assert not deadline.over(), f"after {seconds:g} s still not so: {explain()}"
        time.sleep(POLL_SECONDS)
    return found
