"""Structured concurrency in a fixed order: what is started together ends together, however it ends.

Tasks start, are cancelled and are awaited in the order they were given, and the first in it tells its error, so that a
simulation repeats exactly; `asyncio.TaskGroup` and `asyncio.wait` go by the order of a set.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
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

    Raises what a job that ended raised, also its cancellation, which tells least of several. How the others take being cancelled is not told. A second
    cancellation of the caller is passed on to those that still end, and waits for them, too.
    """
    tasks = [asyncio.ensure_future(job) for job in jobs]
    ended = asyncio.Event()
    for task in tasks:
        task.add_done_callback(lambda _: ended.set())
    try:
        await ended.wait()
        for task in sorted(filter(asyncio.Future.done, tasks), key=asyncio.Future.cancelled):
            task.result()
    finally:
        await _end(tasks)


@contextmanager
def cancelled_elsewhere_as(error: Exception) -> Iterator[None]:
    """Raise `error` when what is awaited here ends as cancelled though nobody cancelled the task that waits for it.

    So end calls of grpc.aio that another task cancels, or whose channel is closed. Only who is cancelled itself must see a
    cancellation: any other one would end the task unnoticed, and with it what it was to do for ever.
    """
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise error from None


async def _end(tasks: Sequence[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
