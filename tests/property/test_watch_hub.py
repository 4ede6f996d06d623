"""Every watcher gets exactly what a replay of all changes through its selector gives, or Expired."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api import errors
from controlplane.commands import ADDED, DELETED, MODIFIED, Change, Envelope, Key
from controlplane.watch.events import EVENT_OVERHEAD_BYTES
from controlplane.watch.hub import Hub
from controlplane.watch.selection import selection

pytestmark = pytest.mark.slow

WRITES = st.tuples(
    st.sampled_from(["pods", "services"]),
    st.sampled_from(["d", "e"]),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["x", "y", None]),  # the label; None deletes
    st.sampled_from(["", "n1", "n2"]),
)
STEPS = st.lists(
    st.tuples(st.just("append"), st.lists(WRITES, max_size=5))
    | st.tuples(st.just("pull"), st.integers(0, 3), st.integers(1, 4))
    | st.tuples(st.just("open"), st.integers(0, 3), st.integers(0, 8)),
    max_size=60,
)
WATCHERS = [  # resource, namespace, label, node
    ("pods", "", "", ""),
    ("pods", "d", "x", ""),
    ("pods", "", "", "n1"),
    ("services", "", "y", ""),
]


class World:
    """Objects by key, and every change that ever happened."""

    def __init__(self):
        self.objects = {}
        self.changes = []

    def write(self, resource, namespace, name, label, node):
        key = Key(resource, namespace, name)
        revision = len(self.changes) + 1
        old = self.objects.pop(key, None)
        if label is None:
            if old is None:
                return []
            change = Change(revision, DELETED, *old, *old)
        else:
            new = Envelope(key, "u", {"app": label}, node=node), b"%d" % revision
            self.objects[key] = new
            change = Change(revision, MODIFIED, *new, *old) if old else Change(revision, ADDED, *new)
        self.changes.append(change)
        return [change]


def expected(changes, after, resource, namespace, label, node):
    """The events of a watch, derived from what was selected before and after each change."""
    found = []
    for change in changes:
        if change.revision <= after or change.envelope.key.resource != resource:
            continue

        def selected(envelope):
            return (
                envelope is not None
                and (not namespace or envelope.key.namespace == namespace)
                and (not label or envelope.labels["app"] == label)
                and (not node or envelope.node == node)
            )

        was = selected(change.previous_envelope)
        now = change.type != DELETED and selected(change.envelope)
        if was or now:
            kind = DELETED if not now else MODIFIED if was else ADDED
            body = change.previous_body if kind == DELETED else change.body
            found.append((kind, change.revision, body))
    return found


class Watcher:
    def __init__(self, hub, which, after):
        self.which = which
        resource, namespace, label, node = which
        self.after = after
        self.cursor = hub.node_cursor(node, after, resource) if node else hub.cursor(resource, after)
        labels = (lambda labels: labels["app"] == label) if label else None
        self.match = selection(namespace, labels, node)
        self.got = []

    def pull(self, limit):
        events = self.cursor.pull(self.match, limit)
        assert len(events) <= limit
        self.got += [(event.type, event.revision, event.body) for event in events]


def perform(step, world, hub, watchers):
    match step:
        case "append", writes:
            hub.append([change for write in writes for change in world.write(*write)])
        case "pull", index, limit:
            try:
                watchers[index].pull(limit)
            except errors.Expired:
                watchers[index] = Watcher(hub, WATCHERS[index], len(world.changes))
                return 1
        case "open", index, back:
            try:
                watchers[index] = Watcher(hub, WATCHERS[index], max(0, len(world.changes) - back))
            except errors.Expired:
                return 1
    return 0


def run(steps, history_bytes):
    """Perform the steps, check every watcher against the replay, and return how often one was expired."""
    world, hub = World(), Hub(history_bytes=history_bytes)
    watchers = [Watcher(hub, which, 0) for which in WATCHERS]
    expired = 0
    for step in steps:
        expired += perform(step, world, hub, watchers)
        assert hub.size_bytes <= history_bytes
    for watcher in watchers:
        wanted = expected(world.changes, watcher.after, *watcher.which)
        try:
            while watcher.cursor._behind():
                watcher.pull(3)
        except errors.Expired:
            expired += 1
            assert watcher.got == wanted[: len(watcher.got)]
        else:
            assert watcher.got == wanted
            assert watcher.cursor.revision == max(len(world.changes), watcher.after)
    return expired


@given(STEPS)
@settings(max_examples=300)
def test_each_matching_change_comes_once_and_in_order(steps):
    assert run(steps, 10**9) == 0


@given(STEPS)
@settings(max_examples=300)
def test_a_watcher_that_falls_behind_is_told_so_before_it_can_miss_anything(steps):
    run(steps, 12 * EVENT_OVERHEAD_BYTES)
