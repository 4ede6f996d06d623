"""Three real Raft processes on loopback: killed, frozen, left behind."""

import asyncio
import os
import random
import signal
import time

import pytest

from controlplane.raft.protocol import NotLeader, Snapshot
from tests.integration.raft_processes import RaftProcesses, leading, put
from tests.waiting import DEADLINE_SECONDS, eventually

pytestmark = pytest.mark.slow

TRIES = 10  # until one is fast: a shared machine may stand still; a failover that is slow is slow each time


class Cluster(RaftProcesses):
    """With an API end per replica that stays connected."""

    async def up(self):
        self.start()
        self.apis = {name: self.api(name) for name in self.names}
        for api in self.apis.values():
            await api.connect()
        return await leading(list(self.apis.values()))

    def readers(self):
        return list(self.apis.values())

    def name_of(self, reader):
        return next(name for name, api in self.apis.items() if api is reader)

    async def equal(self):
        """Wait until every replica delivered the same last entry."""
        await eventually(lambda: len({api.applied for api in self.readers()}) == 1)
        common = max(api.entries[0].index for api in self.readers())
        logs = [[entry for entry in api.entries if entry.index >= common] for api in self.readers()]
        assert all(log == logs[0] for log in logs)

    async def snapshot(self, name):
        """What an API process does now and then."""
        path = self.folder / f"state-{name}"
        path.write_bytes(b"state")
        await eventually(lambda: self.apis[name].entries)
        self.apis[name].log.snapshot_saved(Snapshot(*self.apis[name].applied, path))

    async def down(self):
        try:
            for api in self.apis.values():
                await api.log.close()
        finally:
            self.close()


@pytest.fixture
async def cluster(tmp_path):
    cluster = Cluster(tmp_path)
    await cluster.up()
    yield cluster
    await cluster.down()


class Writer:
    """Writes numbered entries one after the other; `acknowledged` are those delivered where they were proposed."""

    def __init__(self, cluster, name=0):
        self._cluster = cluster
        self._name = name
        self.acknowledged = []
        self._task = asyncio.create_task(self._run())

    async def _run(self):
        number = 0
        while True:
            number += 1
            data = b"write %d.%d" % (self._name, number)
            await put(self._cluster.readers(), data)
            self.acknowledged.append(data)

    async def more(self, count=20):
        goal = len(self.acknowledged) + count
        await eventually(lambda: len(self.acknowledged) >= goal or self._task.done())
        if self._task.done():
            self._task.result()

    async def stop(self):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture
async def writer(cluster):
    writer = Writer(cluster)
    await writer.more(5)
    yield writer
    await writer.stop()


async def assert_nothing_lost(cluster, *writers):
    """Every API end saw every acknowledged write, and the logs on disk still say the same from their start."""
    acknowledged = {data for writer in writers for data in writer.acknowledged}
    known = {}
    for api in cluster.readers():
        assert acknowledged <= api.seen
        indexes = [entry.index for entry in api.entries]
        assert indexes == list(range(indexes[0], indexes[0] + len(indexes)))
        known |= {entry.index: entry for entry in api.entries}
        await api.log.close()
    for name in cluster.names:
        cluster.apis[name] = cluster.api(name)
        await cluster.apis[name].connect()
    await put(cluster.readers(), b"read again")
    await cluster.equal()
    for api in cluster.readers():
        assert all(known[entry.index] == entry for entry in api.entries if entry.index in known)
        if not api.installed:
            assert acknowledged <= api.seen


async def test_five_kills_of_the_leader_lose_no_acknowledged_write(cluster, writer):
    for _ in range(5):
        victim = cluster.name_of(await leading(cluster.readers()))
        cluster.kill(victim)
        await writer.more()
        cluster.start(victim)
        await writer.more()
    await writer.stop()
    await cluster.equal()
    await assert_nothing_lost(cluster, writer)


async def test_killing_all_replicas_at_once_loses_no_acknowledged_write(cluster, writer):
    for _ in range(2):
        await writer.more()
        cluster.kill(*cluster.names)
        cluster.start()
        await writer.more()
    await writer.stop()
    await cluster.equal()
    await assert_nothing_lost(cluster, writer)


async def test_the_next_write_follows_the_leaders_death_within_a_second(cluster):
    pauses = []
    for number in range(TRIES):
        await put(cluster.readers(), b"before %d" % number)
        victim = cluster.name_of(await leading(cluster.readers()))
        await cluster.equal()
        start = time.monotonic()
        cluster.kill(victim)
        await put(cluster.readers(), b"after %d" % number)
        pauses.append(time.monotonic() - start)
        if pauses[-1] < 1.0:
            return
        cluster.start(victim)
    pytest.fail(f"no failover within a second: {pauses}")


async def test_a_frozen_leader_is_replaced_and_answers_no_read_when_it_wakes(cluster):
    old = await put(cluster.readers(), b"before")
    name = cluster.name_of(old)
    process = cluster.running[name]
    os.kill(process.pid, signal.SIGSTOP)
    try:
        others = [api for api in cluster.readers() if api is not old]
        await put(others, b"while frozen")
        reading = asyncio.create_task(old.log.read_index())
    finally:
        os.kill(process.pid, signal.SIGCONT)
    with pytest.raises(NotLeader):
        await asyncio.wait_for(reading, DEADLINE_SECONDS)
    await cluster.equal()


async def test_a_replica_left_behind_catches_up_from_the_log(cluster):
    leader = await put(cluster.readers(), b"before")
    victim = next(name for name, api in cluster.apis.items() if api is not leader)
    cluster.kill(victim)
    for number in range(50):
        await put(cluster.readers(), b"%d" % number * 100)
    cluster.start(victim)
    await cluster.equal()
    assert not cluster.apis[victim].installed


async def test_a_replica_left_far_behind_catches_up_from_the_snapshot(cluster, tmp_path):
    leader = await put(cluster.readers(), b"before")
    victim = next(name for name, api in cluster.apis.items() if api is not leader)
    await cluster.equal()
    cluster.kill(victim)
    for number in range(20):  # more than the tail for laggards
        leader = await put(cluster.readers(), b"%d" % number + bytes(1 << 20))
    content = os.urandom(3 << 20)
    for name, api in cluster.apis.items():
        if name != victim:
            await eventually(lambda api=api: api.applied >= leader.applied)
            path = tmp_path / f"state-{name}"
            path.write_bytes(content)
            api.log.snapshot_saved(Snapshot(*api.applied, path))
    # Both, since either may lead by the time that the victim is back.
    others = [name for name in cluster.names if name != victim]
    await eventually(
        lambda: all(any(line["event"] == "log_compacted" for line in cluster.logs(name)) for name in others)
    )
    cluster.start(victim)
    lagging = cluster.apis[victim]
    await eventually(lambda: lagging.installed)
    assert lagging.installed[0].path.read_bytes() == content
    await put(cluster.readers(), b"after")
    await eventually(lambda: lagging.data and lagging.data[-1] == b"after")
    assert lagging.entries[-1].index > lagging.installed[0].index
    # A restarted API process without state of its own gets the same snapshot again, from its own Raft process.
    await lagging.log.close()
    again = cluster.apis[victim] = cluster.api(victim)
    await again.connect()
    await eventually(lambda: again.data and again.data[-1] == b"after")
    assert again.installed[0].index == lagging.installed[0].index


async def test_a_terminated_leader_hands_over_before_it_ends(cluster):
    pauses = []
    for number in range(TRIES):
        await put(cluster.readers(), b"before %d" % number)
        await cluster.equal()
        name = cluster.name_of(await leading(cluster.readers()))
        before = len(cluster.logs(name))
        assert await asyncio.to_thread(cluster.stop, name) == 0
        start = time.monotonic()
        await put(cluster.readers(), b"after %d" % number)
        pauses.append(time.monotonic() - start)
        events = [line["event"] for line in cluster.logs(name)[before:]]
        assert events[-1] == "raft_stopped"
        # It may have lost the leadership just before it was told to end: then it had none to hand over.
        assert "leadership_handed_over" in events or "stepped_down" in events
        if "leadership_handed_over" in events and pauses[-1] < 0.5:
            return
        cluster.start(name)
    pytest.fail(f"no hand-over within half a second: {pauses}")


async def test_a_dead_api_process_costs_its_replica_the_leadership(cluster):
    leader = await put(cluster.readers(), b"before")
    name = cluster.name_of(leader)
    await leader.log.close()
    others = [api for api in cluster.readers() if api is not leader]
    await put(others, b"after")
    await eventually(lambda: any(line["event"] == "stepped_down" for line in cluster.logs(name)))


async def test_a_silent_api_process_costs_its_replica_the_leadership(cluster):
    reasons = []
    for _ in range(TRIES):
        leader = await leading(cluster.readers())
        name = cluster.name_of(leader)
        leader.log._ticking.cancel()  # its loop hangs
        others = [api for api in cluster.readers() if api is not leader]
        await leading(others)
        reasons = [line.get("reason") for line in cluster.logs(name) if line["event"] == "leadership_handed_over"]
        if reasons:
            break
        leader.log._tick()  # an election was faster, as when its process gets no CPU
    assert reasons == ["api process silent"]


async def test_mixed_faults_under_many_writers_lose_no_acknowledged_write(cluster):
    rng = random.Random(int(os.environ.get("RAFT_SEED", "1")))
    writers = [Writer(cluster, number) for number in range(16)]
    try:
        for _ in range(int(os.environ.get("RAFT_ROUNDS", "6"))):
            await writers[0].more(10)
            victim = rng.choice([cluster.name_of(await leading(cluster.readers())), *cluster.names])
            match rng.choice(["kill", "freeze", "api", "all", "snapshot"]):
                case "kill":
                    cluster.kill(victim)
                    await writers[0].more(10)
                    cluster.start(victim)
                case "freeze":
                    os.kill(cluster.running[victim].pid, signal.SIGSTOP)
                    await asyncio.sleep(rng.uniform(0.2, 1.2))
                    os.kill(cluster.running[victim].pid, signal.SIGCONT)
                case "api":
                    await eventually(lambda victim=victim: cluster.apis[victim].log._writer)
                    cluster.apis[victim].log._writer.transport.abort()
                case "all":
                    cluster.kill(*cluster.names)
                    cluster.start()
                case "snapshot":
                    await cluster.snapshot(victim)
    finally:
        for writer in writers:
            await writer.stop()
    await put(cluster.readers(), b"last")
    await cluster.equal()
    await assert_nothing_lost(cluster, *writers)
    assert sum(len(writer.acknowledged) for writer in writers) > 200
