"""Waiting for a condition with a deadline, so that no test sleeps for a guessed time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from bench.processes import cpu_time

DEADLINE_SECONDS = 60.0
"""Of whatever is awaited without being promised by a time: test machines are shared, and stand still for seconds.

A test that proves a promised time measures it by itself. What the host of a virtual machine takes is not counted.
"""
POLL_SECONDS = 0.02

Found = TypeVar("Found")


class Deadline:
    """`seconds` from now, and as much later as the machine is kept from running meanwhile."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began_time, self._machine = time.monotonic(), cpu_time()

    def over(self) -> bool:
        """Whether it has passed; what was stolen is asked only in the end, because that costs more than the clock."""
        passed_seconds = time.monotonic() - self._began_time
        if passed_seconds <= self._seconds:
            return False
        return passed_seconds * (1.0 - cpu_time().stolen_since(self._machine)) > self._seconds


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
