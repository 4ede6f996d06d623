"""Waiting for a condition with a deadline, so that no test sleeps for a guessed time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

DEADLINE_SECONDS = 10.0


async def eventually(condition: Callable[[], object], deadline_seconds: float = DEADLINE_SECONDS) -> None:
    """Return once `condition` is true; fail the test after the deadline."""
    end_time = time.monotonic() + deadline_seconds
    while not condition():
        assert time.monotonic() < end_time, "the condition did not come true in time"
        await asyncio.sleep(0.001)
