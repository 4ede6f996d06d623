"""Events: aggregated, bounded, retried, expiring."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from api import errors
from controlplane.controllers import events
from controlplane.controllers.actions import Record
from controlplane.controllers.turns import Turns
from tests.builders import cached, pod
from tests.fake_env import FakeClock, fake_env
from tests.fakes import FakeApi
from tests.waiting import eventually


@contextlib.asynccontextmanager
async def writing(api):
    writer = events.EventWriter(api, api.env, Turns(api.env))
    task = asyncio.ensure_future(writer.run())
    try:
        yield writer.recorder("tester")
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def record(message="it happened", name="a", kind="Normal"):
    return Record(cached(pod(name)).object, kind, "Happened", message)


async def test_an_event_says_what_happened_to_what():
    api = FakeApi()
    async with writing(api) as recorder:
        recorder.record(record())
        await eventually(lambda: api.trees("events"))
    (tree,) = api.trees("events")
    assert tree["metadata"]["namespace"] == "default"
    assert tree["metadata"]["name"].startswith("a-")
    assert tree["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "a",
        "namespace": "default",
        "uid": "uid-of-a",
        "resourceVersion": "1",
    }
    assert (tree["type"], tree["reason"], tree["message"]) == ("Normal", "Happened", "it happened")
    assert (tree["count"], tree["source"]) == (1, {"component": "tester"})


async def test_repeats_are_counted_on_one_object():
    clock = FakeClock()
    api = FakeApi(fake_env(clock))
    async with writing(api) as recorder:
        for _ in range(3):
            recorder.record(record())
        await eventually(lambda: api.trees("events"))
        clock.advance(60)
        recorder.record(record())
        await eventually(lambda: api.trees("events")[0]["count"] == 4)
    (tree,) = api.trees("events")
    assert tree["firstTimestamp"] == "2025-06-15T15:06:40Z"
    assert tree["lastTimestamp"] == "2025-06-15T15:07:40Z"


async def test_many_similar_events_are_combined():
    api = FakeApi()
    async with writing(api) as recorder:
        for number in range(50):
            recorder.record(record(f"pod {number} created"))
        await eventually(lambda: sum(t["count"] for t in api.trees("events")) == 50)
    trees = api.trees("events")
    assert len(trees) == events.SIMILAR_LIMIT + 1
    (combined,) = [t for t in trees if t["count"] > 1]
    assert combined["message"] == "(combined from similar events): pod 49 created"


async def test_events_of_different_objects_are_not_combined():
    api = FakeApi()
    async with writing(api) as recorder:
        for number in range(20):
            recorder.record(record(name=f"p{number}"))
        await eventually(lambda: len(api.trees("events")) == 20)


async def test_an_event_that_expired_meanwhile_is_made_anew():
    api = FakeApi()
    async with writing(api) as recorder:
        recorder.record(record())
        await eventually(lambda: api.trees("events"))
        (first,) = api.names("events")
        await api.delete("events", "default", first)
        api.env.now.advance(10)
        recorder.record(record())
        await eventually(lambda: api.trees("events"))
    assert api.trees("events")[0]["count"] == 1


async def test_recording_never_blocks_and_is_bounded_while_the_api_is_away():
    api = FakeApi()
    api.fault = lambda call: errors.Unavailable("no leader") if call.verb == "create" else None
    async with writing(api) as recorder:
        for number in range(events.MAX_PENDING + 200):
            recorder.record(record(name=f"p{number}"))
        assert len(recorder.writer._pending) == events.MAX_PENDING


async def test_a_refused_event_is_dropped():
    api = FakeApi()
    api.fault = lambda call: errors.Forbidden("namespace is going") if call.name.startswith("a-") else None
    async with writing(api) as recorder:
        recorder.record(record(name="a"))
        recorder.record(record(name="b"))
        await eventually(lambda: api.trees("events"))
        assert [t["involvedObject"]["name"] for t in api.trees("events")] == ["b"]
        assert not recorder.writer._pending


@pytest.mark.slow
async def test_an_event_waits_until_the_api_is_back():
    api = FakeApi()
    api.fault = lambda call: errors.Unavailable("no leader") if call.verb == "create" else None
    async with writing(api) as recorder:
        recorder.record(record())
        await eventually(lambda: any(c.verb == "create" for c in api.calls))
        api.fault = None
        await eventually(lambda: api.trees("events"))
    assert api.trees("events")[0]["count"] == 1


def test_an_event_of_a_series_lasts_an_hour_after_its_last_repetition():
    tree = {"metadata": {}, "eventTime": "2026-11-21T10:00:00.000001Z"}
    later = {**tree, "series": {"count": 2, "lastObservedTime": "2026-11-21T10:30:00Z"}}
    half_past_eleven = events.parse_time("2026-11-21T11:30:00Z")
    assert events.expired(tree, half_past_eleven - 1)
    assert not events.expired(later, half_past_eleven - 1)
    assert events.expired(later, half_past_eleven)
    assert not events.expired({"metadata": {}}, half_past_eleven)


async def test_events_expire_an_hour_after_they_were_last_seen():
    clock = FakeClock()
    api = FakeApi(fake_env(clock))
    async with writing(api) as recorder:
        recorder.record(record(name="old"))
        await eventually(lambda: api.trees("events"))
        clock.advance(1_800)
        recorder.record(record(name="new"))
        await eventually(lambda: len(api.trees("events")) == 2)
    clock.advance(1_800)
    await events._expire_once(api, clock())
    assert [t["involvedObject"]["name"] for t in api.trees("events")] == ["new"]
