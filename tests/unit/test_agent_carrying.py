"""Work at the end of a stream is done, however often the stream is ended."""

from __future__ import annotations

import asyncio

import pytest

from agent.carrying import begun, to_its_end


class Stream:
    """A command whose end takes a while."""

    def __init__(self):
        self.asked = asyncio.Event()
        self.closed = False

    async def close(self):
        self.asked.set()
        await asyncio.sleep(0.01)
        self.closed = True


async def test_a_second_end_does_not_stop_what_the_first_began():
    stream = Stream()
    ending = asyncio.ensure_future(to_its_end(stream.close()))
    await stream.asked.wait()
    for _ in range(3):
        ending.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert stream.closed


async def test_a_command_that_begins_while_its_client_leaves_is_ended_even_if_that_is_said_twice():
    stream = Stream()

    async def begin():
        await asyncio.sleep(0.01)
        return stream

    task = asyncio.ensure_future(begun(begin()))
    await asyncio.sleep(0)
    task.cancel()
    await stream.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stream.closed


async def test_what_goes_wrong_at_the_end_is_told():
    async def fail():
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        await to_its_end(fail())
