"""Work on large objects: in a thread of its own, one piece at a time, users in turns."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from api.errors import Invalid
from controlplane.admission.request import Identity
from controlplane.apiserver.fairness.aside import LARGE_BYTES, Aside
from controlplane.apiserver.fairness.gate import Gate
from controlplane.apiserver.fairness.limits import Limits
from tests.waiting import eventually

JANE, JOE = Identity("jane"), Identity("joe")


def make() -> Aside:
    return Aside(Gate(Limits(), time.monotonic))


def burn(seconds: float) -> None:
    """Use the CPU for so long."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


async def test_small_work_is_done_at_once_and_large_work_in_another_thread():
    aside = make()
    here = threading.get_ident()
    assert await aside.run(JANE, LARGE_BYTES - 1, threading.get_ident) == here
    assert await aside.run(JANE, LARGE_BYTES, threading.get_ident) != here


async def test_the_loop_goes_on_meanwhile():
    told = threading.Event()
    waiting = asyncio.ensure_future(make().run(JANE, LARGE_BYTES, lambda: told.wait(60)))
    await asyncio.sleep(0)
    told.set()
    assert await waiting


async def test_what_the_work_raises_its_caller_gets():
    def refuse():
        raise Invalid("no")

    with pytest.raises(Invalid, match="no"):
        await make().run(JANE, LARGE_BYTES, refuse)


async def test_one_piece_runs_at_a_time_and_who_used_much_lets_others_go_first():
    aside, order, first = make(), [], threading.Event()

    def piece(name: str) -> None:
        first.wait(60)
        order.append(name)
        burn(0.01)

    asked = [asyncio.ensure_future(aside.run(JANE, LARGE_BYTES, lambda at=at: piece(f"jane{at}"))) for at in range(3)]
    await asyncio.sleep(0)
    asked.append(asyncio.ensure_future(aside.run(JOE, LARGE_BYTES, lambda: piece("joe"))))
    await asyncio.sleep(0)
    first.set()
    await asyncio.gather(*asked)
    assert order == ["jane0", "joe", "jane1", "jane2"]


async def test_who_gives_up_leaves_the_line_and_a_piece_that_runs_keeps_its_place_to_its_end():
    aside, told, done = make(), threading.Event(), []

    def last() -> None:
        done.append("second")

    def first() -> None:
        told.wait(60)
        done.append("first")

    running = asyncio.ensure_future(aside.run(JANE, LARGE_BYTES, first))
    await asyncio.sleep(0)
    waiting = asyncio.ensure_future(aside.run(JANE, LARGE_BYTES, lambda: done.append("never")))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(aside.run(JANE, LARGE_BYTES, last))
    await asyncio.sleep(0)
    for each in (running, waiting):
        each.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)
    told.set()
    await second
    assert done == ["first", "second"]
    await eventually(lambda: not aside._flows)


async def test_what_belongs_to_the_loop_is_done_by_the_loop():
    aside, here = make(), threading.get_ident()

    def fail() -> None:
        raise Invalid(str(threading.get_ident()))

    ident, failing = aside.on_loop(threading.get_ident), aside.on_loop(fail)
    assert ident() == here
    assert await aside.run(JANE, LARGE_BYTES, ident) == here
    with pytest.raises(Invalid, match=str(here)):
        await aside.run(JANE, LARGE_BYTES, failing)
