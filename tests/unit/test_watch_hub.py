"""Rings, cursors and selections."""

from __future__ import annotations

import asyncio

import pytest

from api import errors
from controlplane.commands import ADDED, DELETED, MODIFIED, Change, Envelope, Key
from controlplane.watch import hub as hub_module
from controlplane.watch.events import EVENT_OVERHEAD_BYTES
from controlplane.watch.hub import Hub
from controlplane.watch.selection import selection
from tests.waiting import DEADLINE_SECONDS


def envelope(name="a", namespace="d", resource="pods", node="", **labels):
    return Envelope(Key(resource, namespace, name), "u", labels, node=node)


def added(revision, new=None, body=b"{}"):
    return Change(revision, ADDED, new or envelope(), body)


def modified(revision, old, new, body=b"{}"):
    return Change(revision, MODIFIED, new, body, old, b'{"old":1}')


def deleted(revision, old):
    return Change(revision, DELETED, old, b'{"old":1}', old, b'{"old":1}')


def seen(events):
    return [(event.type, event.revision) for event in events]


def test_a_cursor_sees_what_comes_after_its_revision_in_order_and_once():
    hub = Hub()
    hub.append([added(1), added(2), added(3, envelope(resource="services"))])
    cursor = hub.cursor("pods", 1)
    assert seen(cursor.pull()) == [(1, 2)]
    assert cursor.pull() == []
    hub.append([added(4), added(5), added(6)])
    assert seen(cursor.pull(limit=2)) == [(1, 4), (1, 5)]
    assert seen(cursor.pull()) == [(1, 6)]


def test_a_bookmark_says_what_the_cursor_has_seen_and_never_more():
    hub = Hub()
    hub.append([added(1), added(2)])
    cursor = hub.cursor("pods", 0)
    assert cursor.revision == 0
    cursor.pull(limit=1)
    assert cursor.revision == 1
    cursor.pull()
    hub.append([added(9, envelope(resource="services"))])
    assert cursor.revision == 9


def test_a_cursor_may_start_at_a_revision_that_is_still_to_come():
    hub = Hub()
    cursor = hub.cursor("pods", 5)
    hub.append([added(4), added(5)])
    assert cursor.pull() == []
    hub.append([added(6)])
    assert seen(cursor.pull()) == [(1, 6)]


def test_changes_before_the_hub_began_are_expired():
    hub = Hub(revision=10)
    with pytest.raises(errors.Expired, match="list again"):
        hub.cursor("pods", 9)
    assert hub.cursor("pods", 10).pull() == []


def test_a_reader_that_falls_behind_gets_expired_and_memory_stays_bounded():
    size = EVENT_OVERHEAD_BYTES + 2 * 1000
    hub = Hub(history_bytes=20 * size)
    slow, fast = hub.cursor("pods", 0), hub.cursor("pods", 0)
    for revision in range(1, 101):
        hub.append([added(revision, body=b"x" * 1000)])
        assert hub.size_bytes <= 20 * size
        assert seen(fast.pull()) == [(1, revision)]
    with pytest.raises(errors.Expired):
        slow.pull()
    with pytest.raises(errors.Expired):
        hub.cursor("pods", 1)


def test_a_chatty_kind_does_not_cost_a_quiet_one_its_history():
    hub = Hub(history_bytes=20_000)
    hub.append([added(1, envelope(resource="services"))])
    for revision in range(2, 200):
        hub.append([added(revision)])
    assert seen(hub.cursor("services", 0).pull()) == [(1, 1)]


def test_a_reset_expires_every_cursor_that_is_not_where_the_state_goes_on():
    hub, state = Hub(), Hub(revision=9)
    cursor = hub.cursor("pods", 0)
    hub.append([added(1)])
    hub.reset(state)
    with pytest.raises(errors.Expired):
        cursor.pull()
    assert (hub.revision, hub.size_bytes) == (9, 0)
    with pytest.raises(errors.Expired):
        hub.cursor("pods", 1)
    follower = hub.cursor("pods", 9)
    hub.reset(state)
    hub.append([added(10)])
    assert seen(follower.pull()) == [(1, 10)]


OLD, NEW = envelope(app="x"), envelope(app="y")


@pytest.mark.parametrize(
    ("change", "label", "expected"),
    [
        (added(1, OLD), "x", ADDED),
        (added(1, OLD), "y", 0),
        (modified(1, OLD, OLD), "x", MODIFIED),
        (modified(1, OLD, NEW), "y", ADDED),
        (modified(1, OLD, NEW), "x", DELETED),
        (modified(1, OLD, NEW), "z", 0),
        (deleted(1, OLD), "x", DELETED),
        (deleted(1, OLD), "y", 0),
    ],
)
def test_entering_a_selection_is_added_and_leaving_it_deleted(change, label, expected):
    match = selection(labels=lambda labels: labels.get("app") == label)
    assert match(change) == expected


def test_leaving_a_selection_shows_the_object_as_it_was_last_at_the_new_revision():
    hub = Hub()
    cursor = hub.cursor("pods", 0)
    hub.append([modified(7, OLD, NEW)])
    [event] = cursor.pull(selection(labels=lambda labels: labels.get("app") == "x"))
    assert (event.type, event.revision, event.envelope, event.body) == (DELETED, 7, OLD, b'{"old":1}')


def test_a_namespace_and_a_predicate_narrow_too():
    change = modified(1, envelope(), envelope(), b'{"phase":"Failed"}')
    failed = selection("d", predicate=lambda _, body: b"Failed" in body)
    assert failed(change) == ADDED
    assert selection("other")(change) == 0
    assert selection("d")(change) == MODIFIED
    assert selection("other", predicate=lambda *_: True)(change) == 0
    assert selection() is None


def test_all_watchers_of_a_kind_share_one_event_and_its_frame():
    hub = Hub()
    one, two = hub.cursor("pods", 0), hub.cursor("pods", 0)
    hub.append([added(1)])
    [first], [second] = one.pull(), two.pull(selection("d"))
    assert first is second
    assert first.frame is second.frame


def test_a_node_sees_its_own_pods_only_as_they_come_change_and_go():
    hub = Hub()
    cursor = hub.node_cursor("n1", 0)
    free, here, there = envelope(), envelope(node="n1"), envelope(node="n2")
    hub.append([added(1, free), modified(2, free, here), modified(3, here, here), added(4, envelope("b", node="n2"))])
    hub.append([modified(5, here, there), added(6, envelope("c", node="n1")), deleted(7, envelope("c", node="n1"))])
    assert seen(cursor.pull(limit=2)) == [(ADDED, 2), (MODIFIED, 3)]
    assert seen(cursor.pull()) == [(DELETED, 5), (ADDED, 6), (DELETED, 7)]
    assert cursor.revision == 7


def test_an_idle_nodes_cursor_outlives_the_history_of_other_nodes():
    hub = Hub(history_bytes=10_000)
    cursor = hub.node_cursor("n1", 0)
    for revision in range(1, 100):
        hub.append([added(revision, envelope(node="n2"))])
    assert cursor.pull() == []
    hub.append([added(100, envelope(node="n1"))])
    assert seen(cursor.pull()) == [(ADDED, 100)]


async def test_a_node_that_missed_one_of_its_own_pods_is_expired():
    hub = Hub(history_bytes=10_000)
    cursor = hub.node_cursor("n1", 0)
    hub.append([added(1, envelope(node="n1"))])
    for revision in range(2, 100):
        hub.append([added(revision, envelope(node="n2"))])
    assert cursor.revision == 0
    await asyncio.wait_for(cursor.wait(), DEADLINE_SECONDS)
    with pytest.raises(errors.Expired):
        cursor.pull()


async def blocked(awaitable):
    task = asyncio.ensure_future(awaitable)
    for _ in range(3):
        await asyncio.sleep(0)
    assert not task.done()
    return task


async def test_waiting_ends_with_a_change_of_the_kind_and_costs_others_nothing():
    hub = Hub()
    pods = await blocked(hub.cursor("pods", 0).wait())
    node = await blocked(hub.node_cursor("n1", 0).wait())
    hub.append([added(1, envelope(resource="services")), added(2, envelope(node="n2"))])
    await asyncio.wait_for(pods, DEADLINE_SECONDS)
    assert not node.done()
    hub.append([added(3, envelope(node="n1"))])
    await asyncio.wait_for(node, DEADLINE_SECONDS)
    await asyncio.wait_for(hub.cursor("pods", 2).wait(), DEADLINE_SECONDS)


async def test_cancelling_one_waiter_does_not_wake_the_others():
    hub = Hub()
    one = await blocked(hub.node_cursor("n1", 0).wait())
    two = await blocked(hub.node_cursor("n1", 0).wait())
    one.cancel()
    await asyncio.gather(one, return_exceptions=True)
    assert not two.done()
    hub.append([added(1, envelope(node="n1"))])
    await asyncio.wait_for(two, DEADLINE_SECONDS)


async def test_a_reset_wakes_waiters_so_that_they_learn_of_it():
    hub = Hub()
    cursor, of_node = hub.cursor("pods", 0), hub.node_cursor("n1", 0)
    waiting = [await blocked(cursor.wait()), await blocked(of_node.wait())]
    hub.reset(Hub(revision=5))
    await asyncio.wait_for(asyncio.gather(*waiting), DEADLINE_SECONDS)
    for each in (cursor, of_node):
        with pytest.raises(errors.Expired):
            each.pull()


async def test_a_selector_that_matches_nothing_is_pulled_in_bounded_steps():
    hub = Hub()
    hub.append([added(revision) for revision in range(1, hub_module.SCAN_EVENTS + 11)])
    cursor, match = hub.cursor("pods", 0), selection("other")
    assert cursor.pull(match) == []
    assert cursor.revision == hub_module.SCAN_EVENTS
    await asyncio.wait_for(cursor.wait(), DEADLINE_SECONDS)
    assert cursor.pull(match) == []
    assert cursor.revision == hub_module.SCAN_EVENTS + 10


async def test_topics_of_nodes_that_are_gone_take_no_memory():
    hub = Hub(history_bytes=10_000)
    waiting = await blocked(hub.node_cursor("idle", 0).wait())
    for revision in range(1, 500):
        hub.append([added(revision, envelope(node=f"n{revision}"))])
    ring = hub._rings["pods"]
    assert len(ring.topics) < 20
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert "idle" not in ring.topics
