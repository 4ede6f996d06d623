"""The share of the event loop that controllers have, together."""

from __future__ import annotations

import asyncio
import contextlib

from controlplane.controllers.turns import SLICE_SECONDS, WOKEN_AT_ONCE, Turns
from tests.fake_env import FakeClock, fake_env

PASSES_A_SLICE = 4


class Workers:
    """Workers whose passes never wait, each of a fourth of a slice."""

    def __init__(self, count, passes=1_000_000):
        self.clock = FakeClock()
        self.turns = Turns(fake_env(self.clock))
        self.passes = [0] * count
        self.tasks = [asyncio.ensure_future(self.work(number, passes)) for number in range(count)]

    async def work(self, number, passes):
        for _ in range(passes):
            await self.turns.rest()
            self.passes[number] += 1
            self.clock.advance(SLICE_SECONDS / PASSES_A_SLICE)

    async def rounds(self, count):
        """How many passes there were in each round of the loop."""
        found = []
        for _ in range(count):
            before = sum(self.passes)
            await asyncio.sleep(0)
            found.append(sum(self.passes) - before)
        return found

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        for task in self.tasks:
            task.cancel()
        for task in self.tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def test_however_many_workers_there_are_a_round_of_the_loop_has_one_slice_of_passes():
    async with Workers(100) as workers:
        assert max(await workers.rounds(200)) <= PASSES_A_SLICE + WOKEN_AT_ONCE


async def test_everybody_has_a_turn():
    async with Workers(100) as workers:
        await workers.rounds(100)
        assert min(workers.passes) >= 2


async def test_one_worker_alone_goes_on_until_its_slice_is_over():
    async with Workers(1) as workers:
        rounds = await workers.rounds(100)
    assert PASSES_A_SLICE <= max(rounds) <= PASSES_A_SLICE + 1
    assert sum(rounds) >= 100


async def test_workers_that_end_while_they_wait_keep_nobody_waiting():
    async with Workers(30, passes=5) as workers:
        await workers.rounds(3)
        for task in workers.tasks[:20]:
            task.cancel()
        await workers.rounds(200)
        assert workers.passes[20:] == [5] * 10
