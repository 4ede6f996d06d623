"""Structured concurrency in a fixed order: what is started together ends together, however it ends.

Tasks start, are cancelled and are awaited in the order they were given, and the first in it tells its error, so that a
simulation repeats exactly; `asyncio.TaskGroup` and `asyncio.wait` go by the order of a set.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any


async def run_together(*jobs: Awaitable[Any]) -> None:
    """Run jobs until all have ended, one fails (its error is raised) or the caller is cancelled; none outlives the call."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        await asyncio.gather(*tasks)
    finally:
        await _end(tasks)


async def run_until_one_ends(*jobs: Awaitable[Any]) -> None:
    """Run jobs until one of them has ended or the caller is cancelled; the others are cancelled, and none outlives the call.

    Raises what a job that ended raised, also its cancellation. How the others take being cancelled is not told. A second
    cancellation of the caller is passed on to those that still end, and waits for them, too.
    """
    tasks = [asyncio.ensure_future(job) for job in jobs]
    ended = asyncio.Event()
    for task in tasks:
        task.add_done_callback(lambda _: ended.set())
    try:
        await ended.wait()
        for task in tasks:
            if task.done():
                task.result()
    finally:
        await _end(tasks)


async def _end(tasks: Sequence[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
