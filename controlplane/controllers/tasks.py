"""Structured concurrency in a fixed order.

Tasks start, are cancelled and are awaited in the order they were given, so that a simulation repeats exactly;
`asyncio.TaskGroup` cancels in the order of a set.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def run_together(*jobs: Coroutine[Any, Any, None]) -> None:
    """Run jobs until all have ended, one fails (its error is raised) or the caller is cancelled; none outlives the call."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
