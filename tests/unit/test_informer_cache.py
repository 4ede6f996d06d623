"""The informer: a cache that follows the API through errors and compactions."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
import structlog

from api import errors
from api.core import ConfigMap, Pod
from component.informer import TAKEN_AT_ONCE, Informer, PartialObjectMetadata, owner_uids
from tests.builders import config_map, owned_by, pod
from tests.fakes import FakeApi
from tests.waiting import eventually


@contextlib.asynccontextmanager
async def following(api, resource="configmaps", kind=ConfigMap, **kwargs):
    informer = Informer(api, resource, kind, api.env, **kwargs)
    task = asyncio.ensure_future(informer.run())
    try:
        yield informer
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def log_of(informer):
    """Names of objects as they come (+), change (~) and go (-)."""
    seen = []

    def note(change):
        sign = "+" if change.old is None else "-" if change.new is None else "~"
        seen.append(sign + change.latest.object.name)

    informer.subscribe(note)
    return seen


def names(informer):
    return sorted(cached.object.name for cached in informer.items())


async def test_it_holds_what_was_there_and_what_comes():
    api = FakeApi()
    api.put(config_map("a"))
    async with following(api) as informer:
        assert not informer.synced
        await informer.wait_synced()
        assert names(informer) == ["a"]
        seen = log_of(informer)
        written = await api.create(config_map("b"))
        await informer.wait_revision(written.revision)
        assert names(informer) == ["a", "b"]
        await api.update(config_map("b") | {"data": {"k": "v"}})
        await api.delete("configmaps", "default", "a")
        await eventually(lambda: seen == ["+b", "~b", "-a"])
        assert informer.get("default", "a") is None
        assert informer.get("default", "b").view.data == {"k": "v"}


async def test_others_run_while_a_long_list_is_taken_in():
    api = FakeApi()
    for number in range(5 * TAKEN_AT_ONCE):
        api.put(config_map(f"c{number}"))
    async with following(api) as informer:
        sizes = {0}
        while not informer.synced:
            sizes.add(len(informer))
            await asyncio.sleep(0)
        assert sizes >= {number * TAKEN_AT_ONCE for number in range(6)}


async def test_others_run_while_many_changes_that_came_together_are_taken_in():
    api = FakeApi()
    async with following(api) as informer:
        await informer.wait_synced()
        api.watching = False
        for number in range(5 * TAKEN_AT_ONCE):
            await api.create(config_map(f"c{number}"))
        api.release_watches()
        sizes = set()
        while len(informer) < 5 * TAKEN_AT_ONCE:
            sizes.add(len(informer))
            await asyncio.sleep(0)
        assert sizes >= {number * TAKEN_AT_ONCE for number in range(5)}


async def test_waiting_for_a_write_makes_it_visible():
    api = FakeApi()
    async with following(api) as informer:
        await informer.wait_synced()
        api.watching = False
        written = await api.create(config_map("a"))
        waiting = asyncio.ensure_future(informer.wait_revision(written.revision))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        api.release_watches()
        await waiting
        assert names(informer) == ["a"]


async def test_waiting_for_a_deletion_ends_when_the_object_is_gone_or_going():
    api = FakeApi()
    api.put(pod("a", node=""))
    going = api.put(pod("b", node="n1"))
    async with following(api, "pods", Pod) as informer:
        await informer.wait_synced()
        uid = informer.get("default", "a").object.uid
        await api.delete("pods", "default", "a")
        await informer.wait_deleted("default", "a", uid)
        assert informer.get("default", "a") is None
        await api.delete("pods", "default", "b")
        await informer.wait_deleted("default", "b", going.uid)
        assert informer.get("default", "b").metadata.deletion_timestamp is not None


async def test_a_compaction_lists_again_and_tells_the_differences():
    api = FakeApi()
    for name in ("stays", "changes", "goes", "is-replaced"):
        api.put(config_map(name))
    async with following(api) as informer:
        await informer.wait_synced()
        seen = log_of(informer)
        api.watching = False
        await api.update(config_map("changes") | {"data": {"k": "v"}})
        await api.delete("configmaps", "default", "goes")
        await api.delete("configmaps", "default", "is-replaced")
        await api.create(config_map("is-replaced"))
        await api.create(config_map("comes"))
        api.compact()
        api.release_watches()
        await eventually(lambda: "+comes" in seen)
        assert sorted(seen) == ["+comes", "+is-replaced", "-goes", "-is-replaced", "~changes"]


async def test_a_broken_watch_is_resumed_without_listing_again():
    api = FakeApi()
    api.fault = lambda call: errors.Unavailable("cut") if call.verb == "watch" and len(api.calls) < 5 else None
    api.put(config_map("a"))
    async with following(api) as informer:
        await informer.wait_synced()
        seen = log_of(informer)
        await api.create(config_map("b"))
        await eventually(lambda: seen == ["+b"])
    assert sum(call.verb == "list" for call in api.calls) == 1


async def test_it_waits_until_the_api_can_be_listed():
    api = FakeApi()
    api.fault = lambda call: errors.Unavailable("no leader") if len(api.calls) < 3 else None
    async with following(api) as informer:
        await informer.wait_synced()
    assert sum(call.verb == "list" for call in api.calls) == 3


async def test_objects_are_found_by_index_and_namespace():
    api = FakeApi()
    owner = config_map("owner")
    api.put(config_map("a", owners=[owned_by(owner)]))
    api.put(config_map("b", owners=[owned_by(owner)]))
    api.put(config_map("c"))
    async with following(api, indexes={"owners": owner_uids}) as informer:
        await informer.wait_synced()
        assert [c.object.name for c in informer.by_index("owners", "uid-of-owner")] == ["a", "b"]
        assert set(informer.in_namespace("default")) == {"a", "b", "c"}
        assert not informer.in_namespace("elsewhere")
        api.put(config_map("a"))
        await api.delete("configmaps", "default", "b")
        await eventually(lambda: not informer.by_index("owners", "uid-of-owner"))
        assert set(informer.in_namespace("default")) == {"a", "c"}


async def test_a_cache_of_metadata_keeps_no_bodies():
    api = FakeApi()
    api.put(config_map("a") | {"data": {"secret": "x" * 1_000}})
    async with following(api, kind=PartialObjectMetadata) as informer:
        await informer.wait_synced()
        cached = informer.get("default", "a")
        assert cached.object.json == b""
        assert cached.metadata.name == "a"


async def test_an_object_that_cannot_be_decoded_hides_only_itself():
    api = FakeApi()
    api.put(config_map("broken") | {"data": "not a map"})
    api.put(config_map("good"))
    async with following(api) as informer:
        await informer.wait_synced()
        assert names(informer) == ["good"]


async def test_a_field_selector_narrows_the_cache():
    api = FakeApi()
    api.put(pod("a", node="n1"))
    api.put(pod("b", node="n2"))
    async with following(api, "pods", Pod, field_selector="spec.nodeName=n2") as informer:
        await informer.wait_synced()
        assert names(informer) == ["b"]


async def test_a_listener_that_raises_is_logged_and_costs_nobody_else_a_change():
    api = FakeApi()

    def broken(_change):
        raise ValueError("a bug")

    with structlog.testing.capture_logs() as logs:
        async with following(api) as informer:
            informer.subscribe(broken)
            seen = log_of(informer)
            await informer.wait_synced()
            for name in ("a", "b"):
                written = await api.create(config_map(name))
                await informer.wait_revision(written.revision)
    assert seen == ["+a", "+b"]
    assert names(informer) == ["a", "b"]
    assert [(each["event"], each["name"]) for each in logs] == [("listener_failed", "a"), ("listener_failed", "b")]


async def test_a_listener_can_stop_listening():
    api = FakeApi()
    async with following(api) as informer:
        await informer.wait_synced()
        seen = []
        unsubscribe = informer.subscribe(seen.append)
        unsubscribe()
        written = await api.create(config_map("a"))
        await informer.wait_revision(written.revision)
        assert seen == []


async def test_it_ends_by_cancellation():
    api = FakeApi()
    async with following(api) as informer:
        await informer.wait_synced()
        waiting = asyncio.ensure_future(informer.wait_revision(10**9))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_everything_is_told_bit_by_bit_as_it_is_when_its_turn_comes():
    api = FakeApi()
    for number in range(3 * TAKEN_AT_ONCE):
        api.put(config_map(f"c{number:04}"))
    async with following(api) as informer:
        await informer.wait_synced()
        told = []
        async for cached in informer.each():
            if not told:
                await api.delete("configmaps", "default", "c0299")
                await eventually(lambda: informer.get("default", "c0299") is None)
            told.append(cached.object.name)
    assert told == [f"c{number:04}" for number in range(3 * TAKEN_AT_ONCE - 1)]


async def test_an_object_that_was_made_again_under_its_name_is_indexed_once():
    api = FakeApi()
    owner = config_map("owner")
    tree = config_map("a")
    tree["metadata"]["ownerReferences"] = [owned_by(owner)]
    first = api.put(tree)
    async with following(api, indexes={"owners": owner_uids}) as informer:
        await informer.wait_synced()
        await api.delete("configmaps", "default", "a")
        written = await api.create(tree)
        await informer.wait_revision(written.revision)
        assert [cached.object.uid for cached in informer.by_index("owners", "uid-of-owner")] == [written.uid]
        assert written.uid != first.uid
        assert len(informer) == 1


async def test_a_cache_that_nobody_needs_any_more_lets_go_of_everything():
    api = FakeApi()
    for number in range(3):
        api.put(config_map(f"c{number}"))
    async with following(api, indexes={"owners": owner_uids}) as informer:
        await informer.wait_synced()
    await informer.forget()
    assert not informer.synced
    assert len(informer) == 0
    assert names(informer) == []
