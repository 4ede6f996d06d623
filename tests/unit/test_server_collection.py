"""Garbage collection of the API process: what stays is looked at once, and everything is collected at quiet moments."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.util
import subprocess
import sys
import weakref

import pytest

from controlplane import collection
from controlplane.collection import Collection
from tests.fake_env import FakeClock, fake_env
from tests.waiting import eventually


class Node:
    """Something that can be part of a cycle."""

    def __init__(self):
        self.other = self


@contextlib.contextmanager
def collecting(env, changes):
    subject = Collection(env, changes, look_seconds=0.001)
    thresholds = gc.get_threshold()
    subject.start()
    try:
        yield subject
    finally:
        subject.close()
        assert gc.get_threshold() == thresholds


def test_what_survived_a_full_collection_is_not_looked_at_again():
    with collecting(fake_env(FakeClock()), lambda: 0):
        kept = [Node() for _ in range(1_000)]
        gc.collect()
        assert not any(isinstance(each, Node) for each in gc.get_objects())
    assert sum(isinstance(each, Node) for each in gc.get_objects()) >= len(kept)


async def test_cycles_among_what_was_put_aside_go_at_a_quiet_moment():
    clock = FakeClock()
    with collecting(fake_env(clock), lambda: 0) as subject:
        node = Node()
        gc.collect()
        gone = weakref.ref(node)
        del node
        gc.collect()
        assert gone() is not None, "it was put aside"
        running = asyncio.ensure_future(subject.run())
        try:
            await asyncio.sleep(0)
            clock.advance(collection.QUIET_SECONDS)
            await eventually(lambda: gone() is None)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_a_busy_process_is_left_alone():
    clock, changes = FakeClock(), 0

    def busy():
        nonlocal changes
        changes += 10 * collection.QUIET_CHANGES
        return changes

    with collecting(fake_env(clock), busy) as subject:
        node = Node()
        gc.collect()
        gone = weakref.ref(node)
        del node
        running = asyncio.ensure_future(subject.run())
        try:
            await asyncio.sleep(0)
            clock.advance(collection.LONGEST_SECONDS - 1)
            seen = changes
            await eventually(lambda: changes > seen + 100 * collection.QUIET_CHANGES)
            assert gone() is not None
            clock.advance(1)
            await eventually(lambda: gone() is None)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@pytest.mark.slow
@pytest.mark.parametrize("module", ["controlplane.main", "agent.main"])
def test_no_process_loads_the_rich_that_a_development_tool_brought_along(module):
    if importlib.util.find_spec("rich") is None:
        pytest.skip("not installed")
    code = f"import {module}, sys; assert 'rich' not in sys.modules; import rich"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
