"""Every read of the past equals what the state was, through cuts, restarts and a window that closes behind it."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.errors import Expired
from controlplane.commands import (
    Committed,
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
from controlplane.store.state import State

RESOURCES = ["pods", "nodes", "events"]
NAMES = ["a", "b", "c", "d"]

put = st.tuples(st.just("put"), st.sampled_from(RESOURCES), st.sampled_from(NAMES), st.integers(0, 9))
delete = st.tuples(st.just("delete"), st.sampled_from(RESOURCES), st.sampled_from(NAMES), st.just(0))
entry = st.lists(st.lists(st.one_of(put, put, delete), min_size=1, max_size=4), min_size=1, max_size=3)
incarnation = st.builds(StartIncarnation) | st.builds(
    StartIncarnationAt, st.sampled_from([0, 10**7, 1_764_000_000_000_000])
)
step = st.one_of(
    st.tuples(st.just("entry"), entry),
    st.tuples(st.just("entry"), entry),
    st.tuples(st.sampled_from(["cut", "snapshot", "restart", "no-op", "repeat"]), st.just(())),
    st.tuples(st.just("incarnation"), incarnation),
)


async def at_once(function):
    return function()


@dataclass
class World:
    """One replica's state and history, its log since the last snapshot, and what every state was."""

    folder: Path
    keep_bytes: int
    state: State = field(default_factory=State)
    snapshot: State = field(default_factory=State)
    log: list[Entry] = field(default_factory=list)
    index: int = 0
    ends: dict[int, dict] = field(default_factory=dict)  # revision after each transaction: everything there was
    times: list[tuple[int, int]] = field(default_factory=list)
    changes: list[tuple] = field(default_factory=list)  # revision, key, the object after it
    inside: dict[int, int] = field(default_factory=dict)  # revision: the end of its transaction

    async def open(self):
        self.history = History("r1", self.folder, at_once, keep_bytes=self.keep_bytes)
        await self.history.open(self.state)

    def append(self, data):
        self.index += 1
        self.log.append(Entry(self.index, 1, data))
        self.apply(self.log[-1])

    def apply(self, each):
        incarnation, before = self.state.incarnation, self.state.revision
        applied = self.state.apply(each)
        if incarnation != self.state.incarnation:
            self.history.reset(self.state)
            self.ends, self.times = {self.state.revision: contents(self.state)}, []
            self.changes, self.inside = [], {}
            return
        self.history.applied(self.state, applied, len(each.data))
        self.note(applied, before)

    def note(self, applied, before):
        model = dict(self.ends.get(before, {}))
        changes = iter(applied.changes)
        for _, result in applied.results:
            if not isinstance(result, Committed) or result.last_revision < max(before + 1, result.first_revision):
                continue  # nothing changed, or it is the answer to a repetition
            for revision in range(result.first_revision, result.last_revision + 1):
                change = next(changes)
                assert change.revision == revision
                key = change.envelope.key
                created = model[key][3] if key in model else revision
                model[key] = (change.envelope.uid, change.body, revision, created)
                if change.type == 3:
                    del model[key]
                self.inside[revision] = result.last_revision
                if (revision, key) not in {each[:2] for each in self.changes}:  # not replayed after a restart
                    self.changes.append((revision, key, model.get(key)))
            self.ends[result.last_revision] = dict(model)
            self.times.append((self.state.time_ms, result.last_revision))

    def entry(self, transactions):
        encoded = []
        for number, operations in enumerate(transactions):
            ops = []
            for verb, resource, name, value in operations:
                key = Key(resource, "ns", name)
                ops.append(Delete(key) if verb == "delete" else Put(Envelope(key, f"uid-{name}"), b"%d" % value * 40))
            identity = f"{self.index:08d}{number:08d}".encode()
            encoded.append(encode_transaction(Transaction(identity, tuple(ops))))
        self.append(encode_entry(encoded, 1_000_000 + 10 * self.index))

    async def do(self, verb, argument):
        match verb:
            case "entry":
                self.entry(argument)
            case "repeat" if self.log:
                self.append(self.log[-1].data)
            case "no-op":
                self.append(b"")
            case "incarnation":
                identity = f"new{self.index:013d}".encode()
                self.append(encode_entry([encode_transaction(Transaction(identity, (argument,)))], 0))
            case "cut":
                self.history.cut(self.state)
            case "snapshot":
                self.history.cut(self.state)
                self.snapshot, self.log = self.state.clone(), []
                await self.history.persist()
            case "restart":
                await self.history.close()
                replay = self.log
                self.state = self.snapshot.clone()
                await self.open()
                for each in replay:
                    self.apply(each)
        await asyncio.sleep(0)

    async def check(self):
        beginning = self.history.beginning.revision
        for revision, expected in self.ends.items():
            if revision < beginning:
                with pytest.raises(Expired, match="begins at revision"):
                    await self.history.rewound(self.state, "pods", revision)
                continue
            for resource in ("pods", "nodes"):
                past = await self.history.rewound(self.state, resource, revision)
                assert contents(past, resource) == {k: v for k, v in expected.items() if k.resource == resource}
                assert past.revision == revision
                for name in NAMES:
                    key = Key(resource, "ns", name)
                    one = (await self.history.rewound(self.state, resource, revision, key)).get(key)
                    assert (one and facts(one)) == expected.get(key)
        for revision, end in self.inside.items():
            if revision > beginning:
                assert (await self.history.transaction_end(revision)).revision == end
        for time_ms, revision in self.times:
            if revision > beginning:
                newest = max(end for when, end in self.times if when <= time_ms)
                assert (await self.history.newest_at(time_ms)).revision == newest
        await self.check_versions(beginning)

    async def check_versions(self, beginning):
        for resource in ("pods", "nodes"):
            for name in NAMES:
                key = Key(resource, "ns", name)
                versions, complete = await self.history.versions(self.state, key, 1000)
                assert complete
                told = [(each.revision, each.after and facts(each.after)) for each in versions]
                assert told == [(at, after) for at, whose, after in self.changes if whose == key and at > beginning]


def facts(stored):
    return stored.envelope.uid, stored.body, stored.revision, stored.created_revision


def contents(state, *resources):
    return {
        each.envelope.key: facts(each) for resource in resources or state.resources() for each in state.scan(resource)
    }


@pytest.mark.slow
@settings(max_examples=150)
@given(st.lists(step, max_size=25), st.sampled_from([1 << 30, 2_000]))
def test_every_read_of_the_past_equals_what_was(steps, keep_bytes):
    async def run():
        with tempfile.TemporaryDirectory() as folder:
            world = World(Path(folder), keep_bytes)
            world.ends[0] = {}
            await world.open()
            for verb, argument in steps:
                await world.do(verb, argument)
            await world.history.persist()
            await world.check()
            await world.history.close()

    asyncio.run(run())
