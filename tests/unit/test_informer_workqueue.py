"""The work queue: each key once, in one pair of hands, with back-off."""

from __future__ import annotations

import asyncio
import random

import pytest

from component.workqueue import WorkQueue
from tests.waiting import DEADLINE_SECONDS, eventually


@pytest.fixture
async def queue():
    queue = WorkQueue(random.Random(1), first_backoff_seconds=0.002, max_backoff_seconds=0.01)
    yield queue
    queue.close()


async def test_keys_come_in_order_and_once(queue):
    for key in ("a", "b", "a"):
        queue.add(key)
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_added_while_in_work_comes_again_afterwards(queue):
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert queue.idle


async def test_takers_are_woken(queue):
    takers = [asyncio.ensure_future(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    for key in ("a", "b", "c"):
        queue.add(key)
    assert await asyncio.gather(*takers) == ["a", "b", "c"]


async def test_a_cancelled_taker_loses_no_key(queue):
    first, second = (asyncio.ensure_future(queue.get()) for _ in range(2))
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert await second == "a"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_waiting_taker_can_be_cancelled(queue):
    taker = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    taker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taker
    queue.add("a")
    assert await queue.get() == "a"


async def test_delayed_keys_come_later_and_the_earliest_delay_counts(queue):
    queue.add_after("a", 60.0)
    queue.add_after("a", 0.001)
    queue.add_after("a", 60.0)
    assert len(queue) == 0
    assert not queue.idle
    assert await asyncio.wait_for(queue.get(), DEADLINE_SECONDS) == "a"


async def test_adding_now_ends_a_delay(queue):
    queue.add_after("a", 0.001)
    queue.add("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert queue.idle


async def test_backoff_grows_to_its_bound_and_is_forgotten(queue):
    delays = []
    for _ in range(6):
        delays.append(queue.retry("a"))
        assert await queue.get() == "a"
        queue.done("a")
    assert 0.001 <= delays[0] <= 0.002
    assert all(0.005 <= delay <= 0.01 for delay in delays[3:])
    queue.forget("a")
    assert queue.retry("a") <= 0.002


async def test_closing_cancels_delays(queue):
    queue.add_after("a", 0.001)
    queue.close()
    assert queue.idle
    await eventually(lambda: queue.idle)
