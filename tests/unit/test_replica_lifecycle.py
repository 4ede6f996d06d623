"""A replica from start to end: snapshots, restarts, installed states, read barriers, and what must stop it."""

from __future__ import annotations

import asyncio
import errno
import os
import random

import pytest
from structlog.testing import capture_logs

from api import errors
from component.env import Env
from controlplane import replica_snapshots
from controlplane.commands import (
    COMMAND_VERSION,
    Attest,
    Envelope,
    Key,
    Put,
    StartIncarnation,
    StartIncarnationAt,
    Transaction,
    UnknownCommandVersion,
    encode_entry,
    encode_transaction,
)
from controlplane.raft.protocol import Entry, NotLeader, RaftStatus, Snapshot
from controlplane.replica import DEADLINE_SECONDS as REPLICA_SECONDS
from controlplane.replica import SLICE_SECONDS, Replica
from controlplane.replica_reads import ROUND_SECONDS
from controlplane.store import snapshot
from controlplane.store.divergence import PERIOD_ENTRIES, Diverged
from controlplane.store.snapshot import CorruptSnapshot
from controlplane.store.state import State
from tests.single_log import SingleLog
from tests.waiting import DEADLINE_SECONDS, eventually


class Peers:
    """A leader elsewhere that answers read indexes when the test lets it."""

    def __init__(self):
        self.asked = []
        self.answer = None

    async def propose(self, leader, term, transactions):
        raise NotLeader(leader)

    async def read_index(self, leader):
        self.asked.append(leader)
        if self.answer is None:
            raise NotLeader(leader)
        return await self.answer


class HandLog:
    """A log that delivers what the test gives it."""

    def __init__(self):
        self.status = RaftStatus("follower", 1, "r2", 0, 0)
        self.saved = []
        self.proposed = []

    async def connect(self, applied, on_entries, on_status, on_install):
        self.applied = applied
        self.deliver, self.say, self.install = on_entries, on_status, on_install

    def propose(self, data, term, on_refused, *, awaited_elsewhere=False):
        self.proposed.append(data)

    async def read_index(self):
        raise NotLeader

    def snapshot_saved(self, saved):
        self.saved.append(saved)

    async def close(self):
        pass


def environment(monotonic=None, seed=3):
    loop = asyncio.get_running_loop()
    return Env(monotonic or loop.time, lambda: 1.7e9, random.Random(seed), str)


def put(number, body=b"{}"):
    return Put(Envelope(Key("pods", "d", f"p{number}"), f"u{number}"), body)


def entry(index, *ops, term=1):
    data = encode_transaction(Transaction(index.to_bytes(16, "big"), ops))
    return Entry(index, term, encode_entry([data], index))


@pytest.fixture
async def log():
    return HandLog()


@pytest.fixture
async def peers():
    return Peers()


@pytest.fixture
async def replica(log, peers, tmp_path):
    replica = Replica("r1", log, peers, tmp_path / "own", environment())
    await replica.start()
    yield replica
    await replica.close()


async def test_a_restarted_replica_goes_on_from_its_snapshot(tmp_path):
    log = SingleLog("r1")
    first = Replica("r1", log, Peers(), tmp_path, environment())
    await first.start()
    for number in range(5):
        await first.commit([put(number)])
    first._snapshots.begin(first.state)
    await eventually(lambda: log._snapshot is not None)
    await first.commit([put(5)])
    await first.close()
    second = Replica("r1", log, Peers(), tmp_path, environment(seed=4))
    await second.start()
    try:
        assert second.state.count("pods") == 5
        await second.read_barrier()
        assert list(second.state.scan("pods")) == list(first.state.scan("pods"))
        with pytest.raises(errors.Expired):
            second.hub.cursor("pods", 4)
        assert [event.revision for event in second.hub.cursor("pods", 5).pull()] == [6]
    finally:
        await second.close()


async def test_a_snapshot_is_written_after_so_much_log_and_only_then_is_the_log_told(replica, log):
    big = b"x" * 1_000_000
    count = replica_snapshots.LOG_BYTES // len(big) + 1
    log.deliver([entry(index, put(index % 7, big)) for index in range(1, count)])
    await eventually(lambda: replica.state.applied_index == count - 1)
    assert log.saved == []
    log.deliver([entry(count, put(1, big))])
    await eventually(lambda: log.saved)
    [saved] = log.saved
    assert (saved.index, saved.term) == (count, 1)
    assert snapshot.load(saved.path).digest == replica.state.digest


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=errno.errorcode.get)
async def test_a_snapshot_that_cannot_be_written_costs_nothing_but_the_snapshot(
    replica, log, tmp_path, monkeypatch, error
):
    def fails(_descriptor):
        raise OSError(error, os.strerror(error))

    log.deliver([entry(1, put(1))])
    with monkeypatch.context() as broken, capture_logs() as logs:
        broken.setattr(os, "fsync", fails)
        replica._snapshots.begin(replica.state)
        await eventually(lambda: replica._snapshots._writing is None)
    (told,) = [each for each in logs if each["event"] == "snapshot_failed"]
    assert os.strerror(error) in told["error"]
    log.deliver([entry(2, put(2))])
    assert (log.saved, replica.state.applied_index) == ([], 2)
    replica._snapshots.begin(replica.state)
    await eventually(lambda: log.saved)
    assert [each.index for each in snapshot.listed(tmp_path / "own")] == [2], "no half of one is left"
    assert snapshot.load(log.saved[0].path).digest == replica.state.digest


async def test_damaged_snapshots_only_are_refused_with_the_remedy(tmp_path, log, peers):
    (tmp_path / f"{5:020d}-{1:020d}.snapshot").write_bytes(b"rot")
    replica = Replica("r1", log, peers, tmp_path, environment())
    with pytest.raises(CorruptSnapshot, match="move it away"):
        await replica.start()
    await replica.close()


def leaders_state(count):
    state = State()
    for index in range(1, count + 1):
        state.apply(entry(index, put(index), term=2))
    return state


async def test_an_installed_snapshot_replaces_the_state_and_expires_watches(replica, log, tmp_path):
    log.deliver([entry(1, put(1))])
    cursor = replica.hub.cursor("pods", 1)
    newer = leaders_state(9)
    written = snapshot.write(newer, tmp_path / "raft")
    waiting = asyncio.ensure_future(replica.at_least(9))
    await log.install(Snapshot(written.index, written.term, written.path))
    await asyncio.wait_for(waiting, DEADLINE_SECONDS)
    assert (replica.state.digest, replica.state.applied_index, replica.hub.revision) == (newer.digest, 9, 9)
    with pytest.raises(errors.Expired):
        cursor.pull()
    assert [each.index for each in snapshot.listed(tmp_path / "own")] == [9]
    log.deliver([entry(10, put(10), term=2)])
    assert replica.state.count("pods") == 10


async def test_whoever_reads_the_state_before_an_installed_one_finds_it_whole(replica, log, tmp_path):
    log.deliver([entry(index, put(index)) for index in range(1, 300)])
    before = replica.state
    await eventually(lambda: before.applied_index == 299)
    written = snapshot.write(leaders_state(400), tmp_path / "raft")
    await log.install(Snapshot(written.index, written.term, written.path))
    assert replica.state.count("pods") == 400
    assert len(before.scan("pods")) == before.count("pods") == 299


async def test_an_installed_snapshot_that_is_damaged_ends_the_replica(replica, log, tmp_path):
    path = tmp_path / "received"
    path.write_bytes(b"rot")
    with pytest.raises(CorruptSnapshot):
        await log.install(Snapshot(9, 2, path))
    with pytest.raises(CorruptSnapshot):
        await replica.wait_failed()


async def test_an_older_snapshot_never_replaces_a_newer_state(replica, log, tmp_path):
    log.deliver([entry(index, put(index)) for index in (1, 2, 3)])
    await eventually(lambda: replica.state.applied_index == 3)
    written = snapshot.write(leaders_state(2), tmp_path / "raft")
    await log.install(Snapshot(2, 2, written.path))
    assert replica.state.applied_index == 3


async def test_a_newer_command_ends_the_replica_and_nothing_after_it_is_applied(replica, log):
    log.deliver([entry(1, put(1)), Entry(2, 1, bytes([COMMAND_VERSION + 1]) + b"new"), entry(3, put(3))])
    log.deliver([entry(3, put(3))])
    with pytest.raises(UnknownCommandVersion):
        await replica.wait_failed()
    assert (replica.state.applied_index, replica.ready) == (1, False)


async def test_a_gap_in_the_log_ends_the_replica(replica, log):
    log.deliver([entry(1, put(1)), entry(3, put(3))])
    with pytest.raises(AssertionError, match="from entry 1 to 3"):
        await replica.wait_failed()


async def test_an_entry_delivered_twice_is_applied_once(replica, log):
    log.deliver([entry(1, put(1))])
    log.deliver([entry(1, put(1)), entry(2, put(2))])
    await eventually(lambda: replica.state.applied_index == 2)
    assert (replica.state.applied_index, replica.state.revision) == (2, 2)


async def test_the_wait_for_a_failure_ends_with_the_replica(log, peers, tmp_path):
    replica = Replica("r1", log, peers, tmp_path, environment())
    await replica.start()
    waiting = asyncio.ensure_future(replica.wait_failed())
    await replica.close()
    await waiting


async def test_a_long_batch_is_applied_in_slices_between_which_others_run(log, peers, tmp_path):
    clock = [0.0]

    def monotonic():
        clock[0] += SLICE_SECONDS / 10
        return clock[0]

    replica = Replica("r1", log, peers, tmp_path, environment(monotonic))
    await replica.start()
    log.deliver([entry(index, put(index)) for index in range(1, 101)])
    seen = [replica.state.applied_index]
    while replica.state.applied_index < 100:
        await asyncio.sleep(0)
        seen.append(replica.state.applied_index)
    assert 8 <= len(seen) <= 14
    await replica.close()


@pytest.mark.parametrize(
    ("start", "first"),
    [(StartIncarnation(), 1_000_000_001), (StartIncarnationAt(1_764_000_000_000_000), 1_764_000_000_000_000)],
)
async def test_a_new_incarnation_expires_every_watch(replica, log, start, first):
    cursor = replica.hub.cursor("pods", 0)
    log.deliver([entry(1, put(1)), entry(2, start, put(2))])
    await eventually(lambda: replica.state.applied_index == 2)
    with pytest.raises(errors.Expired):
        cursor.pull()
    assert replica.hub.revision == replica.state.revision == first + 1


async def test_one_round_serves_all_readers_that_wait_and_later_ones_get_the_next(replica, log, peers):
    loop = asyncio.get_running_loop()
    peers.answer = loop.create_future()
    early = [asyncio.ensure_future(replica.read_barrier()) for _ in range(50)]
    await eventually(lambda: peers.asked)
    late = asyncio.ensure_future(replica.read_barrier())
    await asyncio.sleep(0)
    first, peers.answer = peers.answer, loop.create_future()
    first.set_result(1)
    await eventually(lambda: len(peers.asked) == 2)
    assert not any(each.done() for each in early), "entry 1 is not applied here yet"
    log.deliver([entry(1, put(1))])
    await asyncio.wait_for(asyncio.gather(*early), DEADLINE_SECONDS)
    assert not late.done(), "its round began after the first one's index was asked for"
    peers.answer.set_result(1)
    await asyncio.wait_for(late, DEADLINE_SECONDS)
    assert peers.asked == ["r2", "r2"]


async def test_a_read_barrier_finds_the_leader_that_comes(replica, log, peers):
    waiting = asyncio.ensure_future(replica.read_barrier())
    await eventually(lambda: peers.asked)
    peers.answer = asyncio.get_running_loop().create_future()
    peers.answer.set_result(0)
    log.say(log.status)
    await asyncio.wait_for(waiting, DEADLINE_SECONDS)


async def test_a_read_round_at_a_former_leader_starts_over_when_another_one_is_known(replica, log, peers):
    """A leader whose link was cut never answers; nobody waits for it once there is another."""
    peers.answer = asyncio.get_running_loop().create_future()
    waiting = asyncio.ensure_future(replica.read_barrier())
    await eventually(lambda: peers.asked == ["r2"])
    peers.answer = asyncio.get_running_loop().create_future()
    peers.answer.set_result(0)
    log.status = RaftStatus("follower", 2, "r3", 0, 0)
    log.say(log.status)
    async with asyncio.timeout(ROUND_SECONDS / 2):
        await waiting
    assert peers.asked == ["r2", "r3"]


async def test_a_replica_that_lost_the_majority_sends_readers_and_writers_on(replica, log, peers):
    peers.answer = asyncio.get_running_loop().create_future()
    log.status = RaftStatus("leader", 1, "r1", 0, 0)
    log.say(log.status)
    writing = asyncio.ensure_future(replica.commit([put(1)]))
    await eventually(lambda: log.proposed)
    log.status = RaftStatus("follower", 1, "r2", 0, 0)
    reading = asyncio.ensure_future(replica.read_barrier())
    await eventually(lambda: peers.asked)
    log.status = RaftStatus("follower", 1, "", 0, 0, cut_off=True)
    log.say(log.status)
    async with asyncio.timeout(REPLICA_SECONDS / 2):
        with pytest.raises(errors.Unknown, match="lost the majority"):
            await writing
        with pytest.raises(errors.Unavailable, match="lost the majority"):
            await reading
        with pytest.raises(errors.Unavailable, match="no replica leads"):
            await replica.commit([put(2)])


async def test_callers_are_told_what_is_in_the_way_when_they_are_sent_on_and_not_what_was(replica, log):
    log.status = RaftStatus("leader", 1, "r1", 0, 0)
    log.say(log.status)
    writing = asyncio.ensure_future(replica.commit([put(1)]))
    await eventually(lambda: log.proposed)
    for status in (
        RaftStatus("follower", 1, "", 0, 0, connected=False),
        RaftStatus("follower", 1, "", 0, 0, cut_off=True),  # the Raft process is back and finds nobody
    ):
        log.status = status
        log.say(status)
    async with asyncio.timeout(REPLICA_SECONDS / 2):
        with pytest.raises(errors.Unknown, match="lost the majority"):
            await writing


async def test_readers_that_gave_up_are_forgotten(replica):
    for revision in range(1, 100):
        with pytest.raises(errors.Expired):
            await replica.at_least(revision, seconds=0)
    assert len(replica._revision._waiting) <= 1


async def test_a_closing_replica_ends_read_barriers(log, peers, tmp_path):
    peers.answer = asyncio.get_running_loop().create_future()
    replica = Replica("r1", log, peers, tmp_path, environment())
    await replica.start()
    waiting = asyncio.ensure_future(replica.read_barrier())
    await eventually(lambda: peers.asked)
    await replica.close()
    with pytest.raises(errors.Unavailable, match="shutting down"):
        await waiting


async def test_ready_means_caught_up_once_and_a_known_leader(replica, log):
    log.status = RaftStatus("follower", 1, "r2", 2, 2)
    log.say(log.status)
    log.deliver([entry(1, put(1))])
    assert not replica.ready
    log.deliver([entry(2, put(2))])
    assert replica.ready
    log.status = RaftStatus("follower", 1, "", 2, 2)
    assert not replica.ready


async def test_a_replica_that_differs_from_the_majority_ends_and_names_the_index(replica, log):
    log.deliver([entry(index) for index in range(1, PERIOD_ENTRIES + 1)])
    await eventually(lambda: replica.state.applied_index == PERIOD_ENTRIES)
    own, other = replica.state.digest, b"o" * 16
    for index, (who, digest) in enumerate([("r1", own), ("r2", other), ("r3", other)], PERIOD_ENTRIES + 1):
        assert not replica._failed.done()
        with capture_logs() as logs:
            log.deliver([entry(index, Attest(who, PERIOD_ENTRIES, digest))])
    with pytest.raises(Diverged, match=f"entry {PERIOD_ENTRIES} .*, so this one diverged: keep its data folder"):
        await replica.wait_failed()
    [told] = logs
    assert (told["event"], told["exc_info"]) == ("replica_failed", None)  # one line says it, no traceback
    assert "join again empty" in told["reason"]


async def test_a_replica_in_the_majority_goes_on(replica, log):
    log.deliver([entry(index) for index in range(1, PERIOD_ENTRIES + 1)])
    await eventually(lambda: replica.state.applied_index == PERIOD_ENTRIES)
    own, other = replica.state.digest, b"o" * 16
    for index, (who, digest) in enumerate([("r2", other), ("r1", own), ("r3", own)], PERIOD_ENTRIES + 1):
        log.deliver([entry(index, Attest(who, PERIOD_ENTRIES, digest))])
    assert replica.state.applied_index == PERIOD_ENTRIES + 3


async def test_every_thousandth_entry_is_attested_in_the_log(tmp_path):
    log = SingleLog("r1")
    replica = Replica("r1", log, Peers(), tmp_path, environment())
    await replica.start()
    for _ in range(PERIOD_ENTRIES):
        await replica.commit([])
    await eventually(lambda: "r1" in replica.state.attestations)
    assert replica.state.attestations["r1"][0] == PERIOD_ENTRIES
    await replica.close()
