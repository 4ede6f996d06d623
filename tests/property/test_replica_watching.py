"""A watch that goes on from any revision, at any time, sees every later change once and in order, or is told it cannot."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api import errors
from controlplane.commands import (
    Delete,
    Envelope,
    Key,
    Put,
    StartIncarnation,
    StartIncarnationAt,
    Transaction,
    encode_entry,
    encode_transaction,
)
from controlplane.raft.protocol import Entry
from controlplane.replica_history import History
from controlplane.replica_watching import Backlog, Place
from controlplane.store.state import State
from controlplane.watch.hub import Hub
from controlplane.watch.selection import selection

pytestmark = pytest.mark.slow

WATCHERS = [  # resource, namespace, label, node
    ("pods", "", "", ""),
    ("pods", "d", "x", ""),
    ("pods", "", "", "n1"),
    ("services", "", "y", ""),
    ("events", "", "", ""),
]
puts = st.tuples(
    st.sampled_from(["pods", "pods", "services", "events"]),
    st.sampled_from(["d", "e"]),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["x", "y", None]),  # the label; None deletes
    st.sampled_from(["", "n1", "n2"]),
)
transactions = st.lists(st.lists(puts, min_size=1, max_size=4), min_size=1, max_size=3)
ARGUMENTS = {
    "entry": transactions,
    "pull": st.tuples(st.integers(0, 4), st.integers(1, 5)),
    "open": st.tuples(st.integers(0, 4), st.integers(0, 40)),
    "install": transactions,
    "incarnation": st.builds(StartIncarnation)
    | st.builds(StartIncarnationAt, st.sampled_from([0, 10**7, 1_764_000_000_000_000])),
}
VERBS = [*["entry", "pull", "open"] * 6, *["cut", "snapshot", "evict", "restart"] * 2, "install", "incarnation"]
steps = st.lists(
    st.sampled_from(VERBS).flatmap(lambda verb: st.tuples(st.just(verb), ARGUMENTS.get(verb, st.none()))),
    min_size=10,
    max_size=60,
)


async def at_once(function):
    return function()


@dataclass
class Watcher:
    """A client: it keeps what it got and comes back from the revision of its last bookmark."""

    which: tuple[str, str, str, str]
    after: int
    place: Place
    got: list = field(default_factory=list)

    @property
    def match(self):
        _, namespace, label, node = self.which
        labels = (lambda labels: labels.get("app") == label) if label else None
        return selection(namespace, labels, node)

    async def pull(self, limit):
        events = await self.place.pull(self.match, limit)
        assert len(events) <= limit
        self.got += [(event.type, event.revision, event.envelope, event.body) for event in events]


@dataclass
class World:
    """A replica that is restarted at times, and every change that it ever made."""

    folder: Path
    ring_bytes: int
    keep_bytes: int
    page_bytes: int
    state: State = field(default_factory=State)
    snapshot: State = field(default_factory=State)
    log: list[Entry] = field(default_factory=list)
    index: int = 0
    changes: dict = field(default_factory=dict)  # by revision
    watchers: list[Watcher] = field(default_factory=list)

    async def start(self):
        """Load the snapshot, take up history, replay the log; the clients come back."""
        self.state = self.snapshot.clone()
        self.hub = Hub(history_bytes=self.ring_bytes)
        self.hub.reset(self.state)
        self.history = History("r1", self.folder, at_once, keep_bytes=self.keep_bytes)
        self.backlog = Backlog(self.history, page_bytes=self.page_bytes, kept_bytes=3 * self.page_bytes)
        await self.history.open(self.state)
        for each in self.log:
            self.apply(each)
        for watcher in self.watchers:
            resource, _, _, node = watcher.which
            watcher.place = Place(self.hub, self.backlog, resource, watcher.place.revision, node)

    def watch(self, which, revision):
        return Watcher(which, revision, Place(self.hub, self.backlog, which[0], revision, which[3]))

    def append(self, operations_of_each):
        self.log.append(self.entry(operations_of_each))
        self.apply(self.log[-1])

    def entry(self, operations_of_each):
        self.index += 1
        encoded = [
            encode_transaction(Transaction(f"{self.index:08d}{number:08d}".encode(), tuple(operations)))
            for number, operations in enumerate(operations_of_each)
        ]
        return Entry(self.index, 1, encode_entry(encoded, 1_000 * self.index))

    def apply(self, entry):
        incarnation = self.state.incarnation
        applied = self.state.apply(entry)
        if incarnation != self.state.incarnation:
            self.hub.reset(self.state)
            self.history.reset(self.state)
            return
        self.hub.append(applied.changes)
        self.history.applied(self.state, applied, len(entry.data))
        self.changes.update((change.revision, change) for change in applied.changes)

    def operations(self, writes):
        for resource, namespace, name, label, node in writes:
            key = Key(resource, namespace, name)
            if label is None:
                yield Delete(key)
            else:
                yield Put(Envelope(key, f"uid-{name}", {"app": label}, node=node), b"%d" % self.index * 20)

    async def do(self, verb, argument):
        match verb:
            case "entry":
                self.append([tuple(self.operations(writes)) for writes in argument])
            case "pull" if self.watchers:
                which, limit = argument
                await self.pull(self.watchers[which % len(self.watchers)], limit)
            case "open":
                which, back = argument
                self.watchers.append(self.watch(WATCHERS[which], max(0, self.state.revision - back)))
            case "cut":
                self.history.cut(self.state)
            case "snapshot":
                self.history.cut(self.state)
                self.snapshot, self.log = self.state.clone(), []
                await self.history.persist()
            case "incarnation":
                self.append([(argument,)])
            case "install":
                self.install(argument)
            case "restart":
                await self.history.close()
                await self.start()
            case "evict":
                self.hub._history_bytes = 0
                self.hub._evict()
                self.hub._history_bytes = self.ring_bytes
        await asyncio.sleep(0)

    def install(self, written):
        """Take the state from another replica: this one never sees the changes before it."""
        entry = self.entry([tuple(self.operations(writes)) for writes in written])
        applied = self.state.apply(entry)
        self.changes.update((change.revision, change) for change in applied.changes)
        self.snapshot, self.log = self.state.clone(), []
        self.hub.reset(self.state)
        self.history.reset(self.state)

    async def pull(self, watcher, limit):
        """Expired is right only for what is out of the window; the client then lists and watches from there."""
        try:
            await watcher.pull(limit)
        except errors.Expired:
            outside = watcher.place.revision < self.history.beginning.revision
            assert outside or watcher.which[0] == "events"
            self.check(watcher, watcher.place.revision)
            self.watchers.remove(watcher)

    def check(self, watcher, end):
        """It got all that matches up to `end`, and nothing else."""
        wanted = []
        for revision, change in sorted(self.changes.items()):
            if watcher.after < revision <= end and change.envelope.key.resource == watcher.which[0]:
                event_type = watcher.match(change) if watcher.match else change.type
                left = event_type == 3 and change.previous_envelope is not None
                shown = (change.previous_envelope, change.previous_body) if left else (change.envelope, change.body)
                wanted += [(event_type, revision, *shown)] if event_type else []
        assert [each for each in watcher.got if each[1] <= end] == wanted
        assert len(watcher.got) == len(wanted)

    async def finish(self):
        for watcher in list(self.watchers):
            while watcher in self.watchers and (watcher.place._cursor is None or watcher.place._cursor._behind()):
                await self.pull(watcher, 3)
            if watcher in self.watchers:
                assert watcher.place.revision == self.state.revision
                self.check(watcher, self.state.revision)


@settings(max_examples=250)
@given(
    steps,
    st.sampled_from([1 << 30, 8_000, 3_000]),
    st.sampled_from([1 << 30, 2_000]),
    st.sampled_from([1, 2_000, 1 << 20]),
)
def test_a_watch_goes_on_from_any_revision_without_loss_doubling_or_reordering(
    taken, ring_bytes, keep_bytes, page_bytes
):
    async def run():
        with tempfile.TemporaryDirectory() as folder:
            world = World(Path(folder), ring_bytes, keep_bytes, page_bytes)
            await world.start()
            for verb, argument in taken:
                await world.do(verb, argument)
            await world.finish()
            await world.history.close()

    asyncio.run(run())


@settings(max_examples=40)
@given(st.lists(transactions, min_size=2, max_size=12), st.data(), st.sampled_from([1, 2_000, 1 << 20]))
def test_the_seam_between_segments_and_ring_may_lie_at_any_revision(written, data, page_bytes):
    """A restart at a snapshot after any entry, with a segment cut anywhere before it, and a watch from every revision."""
    cuts = data.draw(st.sets(st.integers(0, len(written) - 1)))
    seam = data.draw(st.integers(0, len(written) - 1))

    async def run():
        with tempfile.TemporaryDirectory() as folder:
            world = World(Path(folder), 1 << 30, 1 << 30, page_bytes)
            await world.start()
            for number, each in enumerate(written):
                await world.do("entry", each)
                if number in cuts:
                    await world.do("cut", None)
                if number == seam:
                    await world.do("snapshot", None)
            await world.do("restart", None)
            assert world.history.beginning.revision == 0
            for revision in range(world.state.revision + 1):
                world.watchers = [world.watch(which, revision) for which in WATCHERS[:4]]
                await world.finish()
                assert len(world.watchers) == 4, "a revision of the window is never refused"
            await world.history.close()

    asyncio.run(run())
