"""Jobs that are run together end together, whatever ends them, in the order in which they were given."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from component.tasks import cancelled_elsewhere_as, run_together, run_until_one_ends

EITHER = pytest.mark.parametrize("run", [run_together, run_until_one_ends])


class Jobs:
    """Endless jobs, which note in which order they began and ended."""

    def __init__(self):
        self.begun, self.ended = [], []

    async def forever(self, name):
        self.begun.append(name)
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.append(name)

    async def reluctant(self, leave):
        """However often it is cancelled, it ends only when `leave` is set."""
        try:
            await asyncio.Event().wait()
        finally:
            while not leave.is_set():
                with suppress(asyncio.CancelledError):
                    await leave.wait()
            self.ended.append("reluctant")


async def fail(message="broken"):
    raise ValueError(message)


async def turns():
    """Let everything go on that can."""
    for _ in range(20):
        await asyncio.sleep(0)


@EITHER
async def test_a_job_that_fails_ends_the_others_and_its_error_is_raised(run):
    jobs = Jobs()
    with pytest.raises(ValueError, match="broken"):
        await run(jobs.forever("a"), fail(), jobs.forever("b"))
    assert jobs.begun == jobs.ended == ["a", "b"]


@EITHER
async def test_a_caller_that_is_cancelled_ends_all_jobs(run):
    jobs = Jobs()
    task = asyncio.ensure_future(run(jobs.forever("a"), jobs.forever("b")))
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert jobs.begun == jobs.ended == ["a", "b"]


@EITHER
async def test_no_job_outlives_the_call_even_when_its_caller_is_cancelled_twice(run):
    jobs, leave = Jobs(), asyncio.Event()
    task = asyncio.ensure_future(run(jobs.reluctant(leave), jobs.forever("a")))
    for _ in range(2):
        await turns()
        task.cancel()
    await turns()
    assert jobs.ended == ["a"]
    assert not task.done()
    leave.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert jobs.ended == ["a", "reluctant"]


async def test_together_goes_on_until_the_last_job_has_ended():
    ended = asyncio.Event()
    task = asyncio.ensure_future(run_together(ended.wait(), asyncio.sleep(0)))
    await turns()
    assert not task.done()
    ended.set()
    await task


async def test_until_one_ends_ends_with_the_first_one():
    jobs = Jobs()
    await run_until_one_ends(jobs.forever("a"), asyncio.sleep(0), jobs.forever("b"))
    assert jobs.begun == jobs.ended == ["a", "b"]


async def test_of_several_jobs_that_fail_at_once_the_first_given_tells():
    with pytest.raises(ValueError, match="one"):
        await run_until_one_ends(asyncio.Event().wait(), fail("one"), fail("two"))


async def test_what_others_make_of_being_cancelled_is_not_told():
    async def breaks_at_its_end():
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("no")

    await run_until_one_ends(asyncio.sleep(0), breaks_at_its_end())


async def test_a_job_that_somebody_else_cancelled_ends_the_call_as_cancelled():
    """As calls of grpc.aio do whose channel is closed under them."""
    jobs, lost = Jobs(), asyncio.get_running_loop().create_future()
    lost.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run_until_one_ends(jobs.forever("a"), lost)
    assert jobs.ended == ["a"]


async def test_a_failure_tells_more_than_a_cancellation():
    lost = asyncio.get_running_loop().create_future()
    lost.cancel()
    with pytest.raises(ValueError, match="one"):
        await run_until_one_ends(lost, fail("one"))


async def test_who_was_not_cancelled_sees_another_error():
    lost = asyncio.get_running_loop().create_future()
    lost.cancel()
    with pytest.raises(OSError, match="gone"), cancelled_elsewhere_as(OSError("gone")):
        await lost


async def test_who_was_cancelled_sees_that():
    async def waits():
        with cancelled_elsewhere_as(OSError("gone")):
            await asyncio.Event().wait()

    task = asyncio.ensure_future(waits())
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_is_shielded_goes_on_after_the_call():
    jobs = Jobs()
    kept = asyncio.ensure_future(jobs.forever("kept"))
    await run_until_one_ends(asyncio.sleep(0), asyncio.shield(kept))
    await turns()
    assert not kept.done()
    kept.cancel()
    await asyncio.gather(kept, return_exceptions=True)
