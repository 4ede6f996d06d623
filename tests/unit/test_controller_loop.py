"""The shell around controllers: retries, freshness, order, cancellation."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter

import pytest

from api import errors
from api.core import ConfigMap
from component.informer import Informer
from component.tasks import run_together
from controlplane.controllers.actions import Create, Delete, DropOwners, ReleaseFinalizer, Update, Wake, delete
from controlplane.controllers.events import EventWriter
from controlplane.controllers.loop import MAX_CALLS, ControllerLoop, Source, own_key
from controlplane.controllers.turns import SLICE_SECONDS, WOKEN_AT_ONCE, Turns
from tests.builders import config_map, owned_by
from tests.fake_env import FakeClock, fake_env
from tests.fakes import FakeApi
from tests.waiting import eventually


class Scripted:
    """A controller whose plans are functions of the cache; it notes every pass."""

    name = "scripted"

    def __init__(self, cache, plan):
        self.cache = cache
        self._plan = plan
        self.passes = []
        self.failures = []

    def sources(self):
        return [Source(self.cache, own_key)]

    def all_keys(self):
        return [cached.key for cached in self.cache.items()]

    async def plan(self, key, failure):
        self.passes.append(key)
        self.failures.append(failure)
        return self._plan(key, failure)


@contextlib.asynccontextmanager
async def running(api, plan, **kwargs):
    cache = Informer(api, "configmaps", ConfigMap, api.env)
    controller = Scripted(cache, lambda key, failure: plan(cache, key, failure))
    recorder = EventWriter(api, api.env, Turns(api.env)).recorder("test")
    loop = ControllerLoop(controller, api, api.env, recorder, Turns(api.env), **kwargs)
    task = asyncio.ensure_future(run_together(cache.run(), loop.run()))
    try:
        yield controller, loop
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def keep_three(cache, key, failure):
    """Wants three children with derived names for the object `parent`; would ask again on a stale cache."""
    del failure
    if key != ("default", "parent"):
        return []
    names = [f"child-{n}" for n in range(3)]
    return [Create(config_map(name)) for name in names if name not in cache.in_namespace("default")]


async def test_everything_there_is_at_the_start_is_looked_at():
    api = FakeApi()
    api.put(config_map("a"))
    async with running(api, lambda *_: []) as (controller, _):
        await eventually(lambda: controller.passes == [("default", "a")])


async def test_changes_are_looked_at():
    api = FakeApi()
    async with running(api, lambda *_: []) as (controller, loop):
        await eventually(lambda: controller.cache.synced)
        await api.create(config_map("a"))
        await eventually(lambda: ("default", "a") in controller.passes and loop.idle)


async def test_a_pass_sees_its_own_writes():
    api = FakeApi()
    api.put(config_map("parent"))
    async with running(api, keep_three) as (controller, loop):
        api.watching = False
        await eventually(lambda: len(api.names("configmaps")) == 4)
        loop.add(("default", "parent"))
        for _ in range(20):
            await asyncio.sleep(0)
        assert controller.passes.count(("default", "parent")) == 1
        api.release_watches()
        await eventually(lambda: controller.passes.count(("default", "parent")) == 2)
    assert sum(call.verb == "create" for call in api.calls) == 3


async def test_a_pass_sees_its_own_deletions():
    api = FakeApi()
    api.put(config_map("a"))

    def remove(cache, key, failure):
        del failure
        cached = cache.get(*key)
        return [delete(cached.object)] if cached else []

    async with running(api, remove) as (controller, loop):
        api.watching = False
        await eventually(lambda: not api.names("configmaps"))
        loop.add(("default", "a"))
        for _ in range(20):
            await asyncio.sleep(0)
        api.release_watches()
        await eventually(lambda: len(controller.passes) >= 2 and loop.idle)
    assert sum(call.verb == "delete" for call in api.calls) == 1


async def test_a_failed_write_is_tried_again_and_the_next_pass_told_why():
    api = FakeApi()
    api.put(config_map("parent"))
    api.fault = lambda call: errors.TooLarge("quota") if call.verb == "create" and len(api.calls) < 8 else None
    async with running(api, keep_three) as (controller, loop):
        await eventually(lambda: len(api.names("configmaps")) == 4 and loop.idle)
    assert any(isinstance(failure, errors.TooLarge) for failure in controller.failures)
    assert controller.failures[-1] is None


async def test_an_api_that_is_away_is_no_failure_of_what_was_asked():
    api = FakeApi()
    api.put(config_map("parent"))
    outages = iter([errors.Unavailable("no leader"), errors.Unknown("time-out")])
    api.fault = lambda call: next(outages, None) if call.verb == "create" else None
    async with running(api, keep_three) as (controller, loop):
        await eventually(lambda: len(api.names("configmaps")) == 4 and loop.idle)
    assert set(controller.failures) == {None}


async def test_what_is_refused_once_is_not_asked_a_hundred_times():
    api = FakeApi()
    api.put(config_map("a"))
    api.fault = lambda call: errors.TooLarge("quota") if call.verb == "create" else None

    def plan(cache, key, failure):
        del cache, key
        return [] if failure else [Create(config_map(f"child-{n}")) for n in range(300)]

    async with running(api, plan) as (controller, loop):
        await eventually(lambda: len(controller.passes) >= 2 and loop.idle)
    assert 1 <= sum(call.verb == "create" for call in api.calls) <= MAX_CALLS


async def test_the_calls_of_one_pass_do_not_begin_all_together():
    """A call within this process computes for a while before it waits for anything."""
    clock = FakeClock()
    api = FakeApi(env=fake_env(clock))
    api.put(config_map("a"))
    rounds = Counter()
    now = 0

    def computing(call):
        if call.verb == "create":
            rounds[now] += 1
            clock.advance(SLICE_SECONDS)

    api.fault = computing

    def plan(cache, key, failure):
        del key, failure
        return [] if cache.get("default", "child-0") else [Create(config_map(f"child-{n}")) for n in range(60)]

    async with running(api, plan):
        async with asyncio.timeout(30):
            while rounds.total() < 60:
                now += 1
                await asyncio.sleep(0)
    assert max(rounds.values()) <= WOKEN_AT_ONCE


async def test_a_stale_update_is_retried_without_being_a_failure():
    api = FakeApi()
    stale = api.put(config_map("a")).tree()
    api.put(config_map("a") | {"data": {"other": "writer"}})

    def mark(cache, key, failure):
        del failure
        current = cache.get(*key)
        if "mark" in current.view.data:
            return []
        tree = stale if len(controller.passes) == 1 else current.object.tree()
        return [Update(tree | {"data": {"mark": "x"}})]

    async with running(api, mark) as (controller, loop):
        await eventually(lambda: api.tree("configmaps", "default", "a")["data"] == {"mark": "x"} and loop.idle)
    assert set(controller.failures) == {None}


async def test_later_actions_wait_for_earlier_ones_and_are_left_out_when_those_fail():
    api = FakeApi()
    api.put(config_map("a"))
    api.fault = lambda call: errors.Forbidden("no") if call.verb == "create" else None

    def plan(cache, key, failure):
        return [] if failure else [Create(config_map("b")), delete(cache.get(*key).object)]

    async with running(api, plan) as (controller, loop):
        await eventually(lambda: len(controller.passes) >= 2 and loop.idle)
    assert api.names("configmaps") == ["a"]


@pytest.mark.slow
async def test_a_controller_that_breaks_is_tried_again():
    api = FakeApi()
    api.put(config_map("a"))

    def plan(cache, key, failure):
        del cache, key, failure
        if len(controller.passes) < 3:
            raise KeyError("bug")
        return []

    async with running(api, plan) as (controller, loop):
        await eventually(lambda: len(controller.passes) == 3 and loop.idle)


async def test_a_key_can_ask_to_be_looked_at_later():
    api = FakeApi()
    api.put(config_map("a"))

    def plan(cache, key, failure):
        del cache, key, failure
        return [Wake(0.001)] if len(controller.passes) < 3 else []

    async with running(api, plan) as (controller, loop):
        await eventually(lambda: len(controller.passes) == 3 and loop.idle)


async def test_a_resync_looks_at_everything_again():
    api = FakeApi()
    api.put(config_map("a"))
    async with running(api, lambda *_: [], resync_seconds=0.002) as (controller, _):
        await eventually(lambda: len(controller.passes) >= 3)


async def test_what_is_gone_already_counts_as_done():
    api = FakeApi()
    api.put(config_map("a"))
    actions = [
        Delete("configmaps", "default", "gone", "u"),
        Delete("configmaps", "default", "a", "another-uid"),
        ReleaseFinalizer("configmaps", "default", "gone", "u", "f"),
        ReleaseFinalizer("configmaps", "default", "a", "another-uid", "f"),
        DropOwners("configmaps", "default", "gone", "u", frozenset({"o"})),
        Update(config_map("gone")),
    ]
    async with running(api, lambda *_: actions) as (controller, loop):
        await eventually(lambda: controller.passes and loop.idle)
    assert controller.failures == [None]
    assert api.names("configmaps") == ["a"]


async def test_finalizers_and_owners_are_taken_off_the_current_object():
    api = FakeApi()
    owner = config_map("owner")
    item = api.put(config_map("a", owners=[owned_by(owner)], finalizers=["keep", "drop"]))
    actions = [
        ReleaseFinalizer("configmaps", "default", "a", item.uid, "drop"),
        DropOwners("configmaps", "default", "a", item.uid, frozenset({"uid-of-owner"})),
    ]
    async with running(api, lambda *_: actions) as (_, loop):
        await eventually(lambda: "ownerReferences" not in api.tree("configmaps", "default", "a")["metadata"])
        await eventually(lambda: loop.idle)
    assert api.tree("configmaps", "default", "a")["metadata"]["finalizers"] == ["keep"]


async def test_others_run_between_passes_that_find_nothing_to_do():
    clock = FakeClock()
    api = FakeApi(env=fake_env(clock))
    turns, busy = 0, 0

    def slow(*_):
        nonlocal busy
        busy += 1
        clock.advance(0.001)
        return []

    async with running(api, slow, workers=1) as (controller, loop):
        await eventually(lambda: controller.cache.synced)
        for number in range(100):
            loop.add(("default", f"c{number}"))
        while busy < 100:
            turns += 1
            await asyncio.sleep(0)
    assert turns >= 20


async def test_a_deletion_that_a_busy_api_refuses_is_tried_again():
    api = FakeApi()
    api.put(config_map("a"))
    refusals = iter([errors.Conflict("given up after 10 retries, the state keeps changing")])
    api.fault = lambda call: next(refusals, None) if call.verb == "delete" else None

    def remove(cache, key, failure):
        del failure
        cached = cache.get(*key)
        return [delete(cached.object)] if cached else []

    async with running(api, remove) as (_, loop):
        await eventually(lambda: not api.names("configmaps") and loop.idle)
    assert sum(call.verb == "delete" for call in api.calls) == 2
