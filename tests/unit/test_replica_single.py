"""One replica over a log without peers."""

from __future__ import annotations

import asyncio
import dataclasses
import random

import pytest

from api import errors
from component.env import Env
from controlplane.commands import Check, Claim, CommitRefused, Committed, Envelope, Key, Put
from controlplane.raft.protocol import NotLeader
from controlplane.replica import Replica
from tests.single_log import SingleLog
from tests.waiting import DEADLINE_SECONDS

POD = Key("pods", "default", "a")


def env(seed: int = 1) -> Env:
    rng = random.Random(seed)
    loop = asyncio.get_running_loop()
    return Env(loop.time, lambda: 1_700_000_000.0 + loop.time(), rng, lambda: f"uid-{rng.random()}")


class NoPeers:
    async def propose(self, leader, term, transactions):
        raise NotLeader(leader)

    async def read_index(self, leader):
        raise NotLeader(leader)


@pytest.fixture
async def log():
    return SingleLog("r1")


@pytest.fixture
async def replica(log, tmp_path):
    replica = Replica("r1", log, NoPeers(), tmp_path, env())
    await replica.start()
    yield replica
    await replica.close()


def put(name: str = "a", body: bytes = b"{}", uid: str = "u") -> Put:
    return Put(Envelope(Key("pods", "default", name), uid=uid), body)


async def test_a_commit_is_in_the_state_when_it_returns(replica):
    assert await replica.commit([Check(POD, absent=True), put()]) == Committed(1, 1)
    assert replica.state.get(POD).revision == 1


async def test_a_refused_commit_names_its_operation(replica):
    await replica.commit([put()])
    with pytest.raises(CommitRefused) as caught:
        await replica.commit([Claim("ports", "80", "x"), Check(POD, absent=True), put()])
    assert (caught.value.refused.reason, caught.value.refused.op_index) == ("Exists", 1)
    assert isinstance(caught.value.error, errors.AlreadyExists)
    assert replica.state.claimed("ports", "80") is None


async def test_commits_of_one_moment_share_entries(replica, log):
    before = log.status.last_index
    results = await asyncio.gather(*(replica.commit([put(f"p{i}")]) for i in range(200)))
    assert sorted(each.first_revision for each in results) == list(range(1, 201))
    assert log.status.last_index - before <= 4


async def test_without_a_quorum_the_outcome_is_unknown_and_the_write_may_happen(replica, log):
    await replica.commit([put()])
    log.pause()
    with pytest.raises(errors.Unknown):
        await replica.commit([put("b")], deadline_seconds=0.2)  # it is sent well before
    log.resume()
    await replica.at_least(2)
    assert replica.state.get(Key("pods", "default", "b")) is not None


async def test_without_a_leader_nothing_was_changed(replica, log):
    await replica.commit([put()])
    log.step_down()
    with pytest.raises(errors.Unavailable, match=r"no replica leads.*; nothing was changed"):
        await replica.commit([put("b")], deadline_seconds=0.02)
    log.lead()
    await replica.commit([put("c")])
    assert replica.state.get(Key("pods", "default", "b")) is None


async def test_a_write_that_a_lost_leader_had_not_committed_is_made_again_by_the_next(replica, log):
    await replica.commit([put()])
    log.pause()
    write = asyncio.ensure_future(replica.commit([put("b")]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    log.step_down()
    log.lead()
    log.resume()
    assert await write == Committed(2, 2)


async def test_leadership_comes_with_an_epoch_and_goes_at_once(replica, log):
    seen = []
    replica.on_leadership(seen.append)
    await replica.commit([put()])
    assert seen == [1]
    log.step_down()
    log.lead()
    await replica.commit([put("b")])
    await replica.commit([put("c")])
    assert seen == [1, None, 2]
    with pytest.raises(CommitRefused) as caught:
        await replica.commit([put("d")], epoch=1)
    assert caught.value.refused.reason == "Epoch"
    await replica.commit([put("d")], epoch=2)


async def test_a_read_barrier_waits_for_what_is_committed(replica):
    await replica.read_barrier()
    assert replica.state.applied_index >= 1


async def test_nobody_waits_for_a_leader_that_has_been_gone_for_long(replica, log, monkeypatch):
    await replica.commit([put()])
    log.step_down()
    with pytest.raises(errors.Unavailable):
        await replica.read_barrier(deadline_seconds=0.03)
    with monkeypatch.context() as patched:
        patched.setattr("controlplane.replica.LEADERLESS_SECONDS", 0.0)
        async with asyncio.timeout(DEADLINE_SECONDS):
            with pytest.raises(errors.Unavailable, match="no replica leads"):
                await replica.read_barrier(deadline_seconds=3600)
            with pytest.raises(errors.Unavailable, match="no replica leads"):
                await replica.commit([put("b")], deadline_seconds=3600)
    log.lead()
    await replica.commit([put("c")])


async def test_a_read_barrier_without_a_leader_is_unavailable(replica, log):
    await replica.commit([put()])
    log.step_down()
    with pytest.raises(errors.Unavailable, match="no replica leads: a majority of the replicas must be up"):
        await replica.read_barrier(deadline_seconds=0.03)


async def test_a_revision_from_the_future_is_expired(replica):
    with pytest.raises(errors.Expired, match="too large"):
        await replica.at_least(10**12, seconds=0.01)


async def test_changes_reach_a_watcher(replica):
    cursor = replica.hub.cursor("pods", 0)
    await replica.commit([put()])
    await cursor.wait()
    assert [(event.type, event.revision) for event in cursor.pull()] == [(1, 1)]


class SeverableLog(SingleLog):
    """A log whose Raft process can go away, and with it what is known of a leader."""

    severed = False

    @property
    def status(self):
        status = super().status
        return (
            dataclasses.replace(status, role="follower", leader="", leading=False, connected=False)
            if self.severed
            else status
        )

    def sever(self):
        self.pause()
        self.severed = True
        self._wake.set()

    def mend(self):
        self.severed = False
        self.resume()


async def test_a_replica_whose_raft_process_went_away_sends_its_callers_on(tmp_path):
    log = SeverableLog()
    replica = Replica("single", log, NoPeers(), tmp_path, env())
    await replica.start()
    try:
        await replica.commit([put()])
        log.pause()
        write = asyncio.ensure_future(replica.commit([put("b")], deadline_seconds=3600))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        log.sever()
        async with asyncio.timeout(DEADLINE_SECONDS):
            with pytest.raises(errors.Unknown, match="lost the connection to its Raft process before the write's"):
                await write
            with pytest.raises(errors.Unavailable, match="nothing was changed"):
                await replica.commit([put("c")], deadline_seconds=3600)
            with pytest.raises(errors.Unavailable):
                await replica.read_barrier(deadline_seconds=3600)
        log.mend()
        await replica.commit([put("d")])
        assert replica.state.get(Key("pods", "default", "b")) is not None
        assert replica.state.get(Key("pods", "default", "c")) is None
    finally:
        await replica.close()


async def test_a_raft_process_that_is_back_at_once_costs_no_write(tmp_path, monkeypatch):
    monkeypatch.setattr("controlplane.replica.CUT_OFF_SECONDS", 60.0)
    log = SeverableLog()
    replica = Replica("single", log, NoPeers(), tmp_path, env())
    await replica.start()
    try:
        await replica.commit([put()])
        log.sever()
        write = asyncio.ensure_future(replica.commit([put("b")]))
        await asyncio.sleep(0)
        log.mend()
        assert await write == Committed(2, 2)
    finally:
        await replica.close()
