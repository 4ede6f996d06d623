"""Waiting for a condition with a deadline, so that no test sleeps for a guessed time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

DEADLINE_SECONDS = 60.0
"""Of whatever is awaited without being promised by a time: test machines are shared, and stand still for seconds.

A test that proves a promised time measures it by itself.
"""
POLL_SECONDS = 0.02

Found = TypeVar("Found")


async def eventually(condition: Callable[[], object], deadline_seconds: float = DEADLINE_SECONDS) -> None:
    """Return once `condition` is true; fail the test after the deadline."""
    end_time = time.monotonic() + deadline_seconds
    while not condition():
        assert time.monotonic() < end_time, "the condition did not come true in time"
        await asyncio.sleep(0.001)


def wait_until(
    condition: Callable[[], Found], seconds: float = DEADLINE_SECONDS, explain: Callable[[], object] = str
) -> Found:
    """As `eventually`, for tests without a loop; returns what `condition` gave. `explain` says more of a failure."""
    end_time = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end_time, f"after {seconds:g} s still not so: {explain()}"
        time.sleep(POLL_SECONDS)
    return found
