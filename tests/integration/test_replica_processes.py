"""Three replicas over real Raft processes: a lost leader is a delay, never an error and never a second write."""

from __future__ import annotations

import asyncio
import time

import pytest

from api import errors
from component.env import system_env
from controlplane.commands import Add, Check, CommitRefused, Envelope, Key, Put
from controlplane.raft.link import SocketLog
from controlplane.replica import DEADLINE_SECONDS, Replica
from controlplane.store import divergence, snapshot
from controlplane.store.divergence import Diverged
from tests.integration.raft_processes import RaftProcesses
from tests.waiting import eventually

pytestmark = pytest.mark.slow


class InProcessLink:
    """The way to the leader without gRPC."""

    def __init__(self):
        self.replicas = {}

    async def propose(self, leader, term, transactions):
        self.replicas[leader].accept(term, transactions)

    async def read_index(self, leader):
        return await self.replicas[leader].leader_read_index()


class Cluster:
    def __init__(self, folder):
        self.folder = folder
        self.raft = RaftProcesses(folder)
        self.link = InProcessLink()
        self.written = 0

    @property
    def replicas(self):
        return self.link.replicas

    async def start_api(self, name):
        log = SocketLog(self.raft.socket_path(name), name)
        replica = Replica(name, log, self.link, self.folder / name / "snapshots", system_env())
        self.replicas[name] = replica
        await replica.start()
        return replica

    async def leader(self):
        await eventually(lambda: any(each.status.leading for each in self.replicas.values()))
        return max(
            (name for name, each in self.replicas.items() if each.status.leading),
            key=lambda name: self.replicas[name].status.term,
        )

    async def write(self, name, number):
        key = Key("pods", "d", f"{name}-{number:05d}")
        await self.replicas[name].commit(
            [Check(key, absent=True), Put(Envelope(key, key.name), b"{}"), Add("all", {"pods": 1})]
        )
        self.written += 1

    def in_step(self):
        """Whether all replicas have applied the same at this moment."""
        return len({each.state.applied_index for each in self.replicas.values()}) == 1

    async def equal(self):
        """Wait until all replicas have applied the same, and return one of their states."""
        await eventually(lambda: all(each.ready for each in self.replicas.values()))
        for replica in self.replicas.values():
            await replica.read_barrier()
        await eventually(self.in_step)
        assert len({each.state.digest for each in self.replicas.values()}) == 1
        return next(iter(self.replicas.values())).state


@pytest.fixture
async def cluster(tmp_path):
    cluster = Cluster(tmp_path)
    cluster.raft.start()
    for name in cluster.raft.names:
        await cluster.start_api(name)
    await eventually(lambda: all(each.ready for each in cluster.replicas.values()))
    yield cluster
    for replica in cluster.replicas.values():
        await replica.close()
    cluster.raft.close()


class Losses:
    """How often a replica was cut off from its Raft process or the majority: only then a write's outcome may be open."""

    def __init__(self, replica):
        self.count = 0
        self._cut_off = False
        replica.on_status(self._note)

    def _note(self, status):
        cut_off = not status.connected or status.cut_off
        self.count += cut_off and not self._cut_off
        self._cut_off = cut_off


async def test_killing_the_leading_raft_process_loses_and_repeats_no_write(cluster):
    """A caller of the replica that lost its process is sent on; what was under way there may or may not happen.

    Nobody else is told of a doubt: not at the other replicas, and not who comes while the process is away.
    """
    stopping = asyncio.Event()
    losses = {name: Losses(replica) for name, replica in cluster.replicas.items()}
    doubtful = 0
    unfounded = []

    async def write_on(name):
        nonlocal doubtful
        number = 0
        while not stopping.is_set():
            count, began = losses[name].count, time.monotonic()
            try:
                await cluster.write(name, number)
            except errors.Unavailable:
                continue
            except errors.Unknown as told:
                doubtful += 1
                if losses[name].count == count and time.monotonic() - began < DEADLINE_SECONDS:
                    unfounded.append(f"{name}: {told}")
            number += 1

    writers = [asyncio.create_task(write_on(name)) for name in cluster.raft.names]
    for _ in range(4):
        before = cluster.written
        await eventually(lambda before=before: cluster.written > before + 50)
        await eventually(lambda: all(each.ready for each in cluster.replicas.values()))  # or the majority would be gone
        name = await cluster.leader()
        cluster.raft.kill(name)
        cluster.raft.start(name)
    before = cluster.written
    await eventually(lambda: cluster.written > before + 50)
    stopping.set()
    await asyncio.gather(*writers)
    state = await cluster.equal()
    assert state.count("pods") == state.ledger("all")["pods"]
    assert cluster.written <= state.count("pods") <= cluster.written + doubtful
    assert unfounded == []


async def test_a_replica_that_was_away_for_longer_than_the_log_reaches_goes_on_from_the_leaders_snapshot(cluster):
    behind = next(name for name in cluster.raft.names if not cluster.replicas[name].status.leading)
    await cluster.replicas.pop(behind).close()
    cluster.raft.kill(behind)
    writer = cluster.replicas[await cluster.leader()]
    body = b"x" * 1_000_000
    for number in range(64):
        key = Key("pods", "d", f"p{number % 4}")
        await writer.commit([Put(Envelope(key, key.name), body)])
    await eventually(lambda: all(snapshot.listed(cluster.folder / name / "snapshots") for name in cluster.replicas))
    for name in cluster.replicas:  # whichever leads by then: its log must not reach back any more
        await eventually(lambda name=name: any(line["event"] == "log_compacted" for line in cluster.raft.logs(name)))
    cluster.raft.start(behind)
    replica = await cluster.start_api(behind)
    await eventually(lambda: replica.ready and replica.state.revision == 64)
    assert snapshot.listed(cluster.folder / behind / "snapshots"), "it got every entry instead"
    await replica.commit([Put(Envelope(Key("pods", "d", "own"), "own"), b"{}")])
    assert (await cluster.equal()).count("pods") == 5


async def test_a_replica_whose_state_went_wrong_ends_and_names_the_index_and_the_others_go_on(cluster, monkeypatch):
    """An object vanishes from one replica's memory, so that it lets happen what the others refuse."""
    monkeypatch.setattr(divergence, "PERIOD_ENTRIES", 20)
    leader = await cluster.leader()
    victim = next(name for name in cluster.raft.names if name != leader)
    key = Key("pods", "d", "planted")
    create = [Check(key, absent=True), Put(Envelope(key, key.name), b"{}")]
    await cluster.replicas[leader].commit(create)
    await cluster.equal()
    cluster.replicas[victim].state.put_back("pods", "d", "planted", None)
    with pytest.raises(CommitRefused):
        await cluster.replicas[leader].commit(create)
    differs = cluster.replicas[leader].state.applied_index
    failed = asyncio.ensure_future(cluster.replicas[victim].wait_failed())
    number = 0
    while not failed.done():
        await cluster.write(leader, number)
        number += 1
        # One that lags says late what it has: the victim would be told of a later entry than the first that differs.
        await eventually(lambda: failed.done() or cluster.in_step())
    with pytest.raises(
        Diverged, match=r"the state after log entry (\d+) has digest .* here and .* on 2 replicas"
    ) as told:
        await failed
    named = int(str(told.value).split()[5])
    assert differs <= named < differs + 2 * divergence.PERIOD_ENTRIES
    assert number < 10 * divergence.PERIOD_ENTRIES
    del cluster.replicas[victim]
    await cluster.equal()
