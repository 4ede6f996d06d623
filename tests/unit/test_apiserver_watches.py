"""Watches: first what there is, then changes; entering and leaving a selection; bookmarks; expiry."""

from __future__ import annotations

import asyncio

import pytest

from api import errors
from api.scheme import by_resource
from component.client import Binding
from controlplane.apiserver import selecting
from controlplane.apiserver.watches import watch
from tests.api_server import config_map, node, pod, running_core
from tests.waiting import DEADLINE_SECONDS


async def take(stream, count):
    """The next `count` events that are no bookmarks."""
    found = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(found) < count:
            found += [event for event in await anext(stream) if event.type != "BOOKMARK"]
    return found


async def test_an_empty_watch_starts_with_a_bookmark(api, cluster):
    (event,) = await anext(api.watch("configmaps"))
    assert (event.type, event.revision) == ("BOOKMARK", cluster.replica.state.revision)


async def test_the_objects_there_are_come_first_with_their_own_revisions(api):
    created = [await api.create(config_map(name)) for name in ("a", "b")]
    stream = api.watch("configmaps", "default")
    events = await take(stream, 2)
    assert [(event.type, event.revision, event.object) for event in events] == [
        ("ADDED", each.revision, each) for each in created
    ]


async def test_no_change_between_the_first_objects_and_the_rest_is_lost(api):
    await api.create(config_map("a"))
    stream = api.watch("configmaps")
    await take(stream, 1)
    expected = [(await api.create(config_map(f"m{index}"))).revision for index in range(20)]
    assert [event.revision for event in await take(stream, 20)] == expected


async def test_changes_after_a_revision_come_in_order(api):
    first = await api.create(config_map("a", {"k": "1"}))
    second = await api.update(config_map("a", {"k": "2"}))
    third = await api.delete("configmaps", "default", "a")
    events = await take(api.watch("configmaps", revision=first.revision), 2)
    assert [(event.type, event.revision) for event in events] == [
        ("MODIFIED", second.revision),
        ("DELETED", third.revision),
    ]
    assert events[1].object.json == second.json


async def test_other_namespaces_are_not_shown(api):
    stream = api.watch("configmaps", "kube-system")
    await anext(stream)
    await api.create(config_map("a"))
    mine = await api.create(config_map("b", namespace="kube-system"))
    assert [event.object for event in await take(stream, 1)] == [mine]


async def test_entering_a_selection_is_added_and_leaving_it_deleted(api):
    stream = api.watch("configmaps", label_selector="app=web")
    await anext(stream)
    await api.create(config_map("a", labels={"app": "db"}))
    entered = await api.update(config_map("a", labels={"app": "web"}))
    changed = await api.update(config_map("a", {"k": "1"}, labels={"app": "web"}))
    left = await api.update(config_map("a", labels={"app": "db"}))
    await api.delete("configmaps", "default", "a")
    back = await api.create(config_map("b", labels={"app": "web"}))
    events = await take(stream, 4)
    assert [(event.type, event.revision) for event in events] == [
        ("ADDED", entered.revision),
        ("MODIFIED", changed.revision),
        ("DELETED", left.revision),
        ("ADDED", back.revision),
    ]
    assert events[2].object.json == changed.json


async def test_a_nodes_pods_are_watched_from_binding_to_the_end(api):
    await api.create(node("n1"))
    stream = api.watch("pods", field_selector="spec.nodeName=n1,status.phase!=Failed")
    await anext(stream)
    created = await api.create(pod("a"))
    await api.create(pod("b"))
    await api.bind([Binding("default", "a", created.uid, "n1")])
    tree = (await api.get("pods", "default", "a")).tree()
    await api.update_status({**tree, "status": {"phase": "Failed"}})
    events = await take(stream, 2)
    assert [(event.type, event.object.name) for event in events] == [("ADDED", "a"), ("DELETED", "a")]


async def test_a_revision_that_is_kept_nowhere_is_expired(tmp_path):
    async with running_core(tmp_path, history_bytes=0) as cluster:
        for index in range(30):
            await cluster.local.create(config_map(f"m{index}", {"k": "x" * 1000}))
        cluster.replica.hub._history_bytes = 10_000
        await cluster.local.create(config_map("last"))
        with pytest.raises(
            errors.Expired, match=r"changes of configmaps after resource version 1 are not kept .* list"
        ):
            await anext(cluster.local.watch("configmaps", revision=1))


async def test_a_reader_that_falls_behind_the_window_is_expired(tmp_path):
    async with running_core(tmp_path, history_bytes=0) as cluster:
        stream = cluster.local.watch("configmaps")
        await anext(stream)
        cluster.replica.hub._history_bytes = 10_000
        for index in range(30):
            await cluster.local.create(config_map(f"m{index}", {"k": "x" * 1000}))
        with pytest.raises(errors.Expired, match="are not kept any more"):
            await take(stream, 30)


async def test_a_reader_that_falls_behind_the_rings_misses_nothing(api, cluster):
    stream = api.watch("configmaps")
    await anext(stream)
    cluster.replica.hub._history_bytes = 10_000
    created = [await api.create(config_map(f"m{index}", {"k": "x" * 1000})) for index in range(30)]
    assert not cluster.replica.hub.holds("configmaps", created[0].revision)
    assert [event.object for event in await take(stream, 30)] == created
    later = await api.create(config_map("later"))
    assert [event.object for event in await take(stream, 1)] == [later]


async def test_a_watch_resumes_from_before_a_restart(tmp_path):
    async with running_core(tmp_path) as cluster:
        first = await cluster.local.create(config_map("a", {"k": "1"}))
        second = await cluster.local.update({**first.tree(), "data": {"k": "2"}})
        await cluster.local.delete("configmaps", "default", "a")
        cluster.replica._snapshots.begin(cluster.replica.state)
        await cluster.replica._snapshots._writing
        log = cluster.log
    async with running_core(tmp_path, seed=8, log=log) as cluster:
        await cluster.replica.read_barrier()
        assert not cluster.replica.hub.holds("configmaps", second.revision)
        stream = cluster.local.watch("configmaps", revision=first.revision)
        third = await cluster.local.create(config_map("b"))
        events = await take(stream, 3)
        assert [(event.type, event.revision) for event in events] == [
            ("MODIFIED", second.revision),
            ("DELETED", second.revision + 1),
            ("ADDED", third.revision),
        ]
        assert [event.object.json for event in events] == [second.json, second.json, third.json]
        with pytest.raises(errors.Expired, match="events"):
            await anext(cluster.local.watch("events", revision=first.revision))


async def test_an_idle_watch_gets_bookmarks_that_move_on(api, cluster):
    selected = selecting.parse("configmaps", "", "", "")
    stream = watch(cluster.replica, by_resource("configmaps"), selected, None, bookmark_seconds=0.02)
    first = await anext(stream)
    await api.create(pod("elsewhere"))
    second = await anext(stream)
    assert (first.events, second.events) == ((), ())
    assert first.bookmark < second.bookmark == cluster.replica.state.revision
    await stream.aclose()


async def test_a_watch_that_selects_nothing_gets_bookmarks_while_others_are_busy(api, cluster):
    selected = selecting.parse("configmaps", "", "app=none", "")
    stream = watch(cluster.replica, by_resource("configmaps"), selected, None, bookmark_seconds=0.02)
    await anext(stream)

    async def be_busy():
        count = 0
        while True:
            await api.create(config_map(f"m{count}"))
            count += 1

    busy = asyncio.create_task(be_busy())
    try:
        batch = await asyncio.wait_for(anext(stream), DEADLINE_SECONDS)
    finally:
        busy.cancel()
        await asyncio.gather(busy, return_exceptions=True)
    assert (batch.events, batch.bookmark > 0) == ((), True)
    await stream.aclose()


async def test_a_bookmark_can_be_resumed_from(api, cluster):
    stream = api.watch("configmaps")
    (bookmark,) = await anext(stream)
    await stream.aclose()
    created = await api.create(config_map("a"))
    assert [event.object for event in await take(api.watch("configmaps", revision=bookmark.revision), 1)] == [created]


@pytest.mark.slow
async def test_a_watch_of_many_objects_comes_in_parts_and_ends_with_one_bookmark(api):
    for index in range(1_001):
        await api.create(config_map(f"m{index:05}"))
    stream = api.watch("configmaps")
    sizes = [len(await anext(stream)) for _ in range(4)]
    assert sizes == [500, 500, 1, 1]


async def test_bad_selectors_end_the_watch_at_once(api):
    with pytest.raises(errors.Invalid):
        await anext(api.watch("pods", label_selector="a b"))
    with pytest.raises(errors.Invalid):
        await anext(api.watch("pods", field_selector="spec.colour=red"))


async def test_a_revision_that_nobody_ever_gave_is_expired(api, cluster):
    with pytest.raises(errors.Expired, match="list again"):
        await anext(api.watch("configmaps", revision=cluster.replica.state.revision + 1))


async def test_a_replica_that_lags_catches_up_before_it_calls_a_revision_unknown(api, cluster):
    stale = cluster.replica.state.clone()
    created = await api.create(config_map("a"))
    real, fresh = cluster.replica.read_barrier, cluster.replica.state
    cluster.replica.state = stale

    async def catch_up():
        cluster.replica.state = fresh
        await real()

    cluster.replica.read_barrier = catch_up
    stream = api.watch("configmaps", revision=created.revision)
    waiting = asyncio.ensure_future(anext(stream))
    later = await api.create(config_map("b"))
    assert [event.object for event in await waiting] == [later]


async def test_a_replica_without_a_leader_sends_the_watcher_elsewhere(api, cluster):
    revision = cluster.replica.state.revision + 1
    cluster.log.step_down()

    async def nobody():
        raise errors.Unavailable("no leader")

    cluster.replica.read_barrier = nobody
    with pytest.raises(errors.Unavailable):
        await anext(api.watch("configmaps", revision=revision))
