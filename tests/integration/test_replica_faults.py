"""Reads and writes at all replicas while a Raft process is killed, frozen, starved or cut off: what they may tell.

The revision of the state is the register: an acknowledged write has one, and a read that began after it, at any
replica, must see it. The Raft processes are real, with a TCP link between each two that can be cut.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from api import errors
from controlplane.commands import Add, Check, Envelope, Key, Put
from controlplane.replica import DEADLINE_SECONDS
from tests.integration.test_replica_processes import Cluster
from tests.tcp_link import TcpLink
from tests.waiting import eventually

pytestmark = pytest.mark.slow

FAULT_SECONDS = 1.5  # an election takes 0.3 to 0.6
STARVED_SECONDS = 0.09  # of each tenth of a second


class Register:
    """Writers and readers at every replica, and what each of them was told."""

    def __init__(self, cluster):
        self._cluster = cluster
        self.newest = 0  # revision of an acknowledged write or a finished read
        self.written = 0
        self.doubtful = 0
        self.reads = dict.fromkeys(cluster.raft.names, 0)
        self.stale = []

    async def write_at(self, name):
        number = 0
        while True:
            key = Key("pods", "d", f"{name}-{number:05d}")
            ops = [Check(key, absent=True), Put(Envelope(key, key.name), b"{}"), Add("all", {"pods": 1})]
            try:
                committed = await self._cluster.replicas[name].commit(ops)
            except errors.Unavailable:
                await asyncio.sleep(0.01)
                continue
            except (errors.Unknown, asyncio.CancelledError) as told:
                self.doubtful += 1
                if isinstance(told, asyncio.CancelledError):
                    raise
            else:
                self.written += 1
                self.newest = max(self.newest, committed.last_revision)
            number += 1

    async def read_at(self, name):
        while True:
            before = self.newest
            try:
                await self._cluster.replicas[name].read_barrier()
            except errors.Unavailable:
                await asyncio.sleep(0.01)
                continue
            revision = self._cluster.replicas[name].state.revision
            self.reads[name] += 1
            self.newest = max(self.newest, revision)
            if revision < before:
                self.stale.append((name, revision, before))
            await asyncio.sleep(0.002)

    @asynccontextmanager
    async def busy(self):
        tasks = [
            asyncio.create_task(work(name))
            for name in self._cluster.raft.names
            for work in (self.write_at, self.read_at)
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                assert isinstance(ended, asyncio.CancelledError), ended

    async def more(self, names):
        """Wait until reads at these replicas and writes go on."""
        written, reads = self.written + 20, dict(self.reads)
        await eventually(lambda: self.written > written and all(self.reads[name] > reads[name] + 5 for name in names))


@pytest.fixture
async def cluster(tmp_path):
    async with AsyncExitStack() as stack:
        cluster = Cluster(tmp_path)
        cluster.links = {}
        for name in cluster.raft.names:
            config = cluster.raft.config(name)
            peers = dict(config["peers"])
            for peer in peers.keys() - {name}:
                link = await stack.enter_async_context(TcpLink(peers[peer]))
                cluster.links[name, peer] = link
                peers[peer] = link.address
            (cluster.raft.home(name) / "raft.json").write_text(json.dumps({**config, "peers": peers}))
        cluster.raft.start()
        for name in cluster.raft.names:
            await cluster.start_api(name)
        await eventually(lambda: all(each.ready for each in cluster.replicas.values()))
        yield cluster
        for replica in cluster.replicas.values():
            await replica.close()
        cluster.raft.close()


@asynccontextmanager
async def killed(cluster, victim):
    cluster.raft.kill(victim)
    yield
    cluster.raft.start(victim)


@asynccontextmanager
async def frozen(cluster, victim):
    process = cluster.raft.running[victim]
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@asynccontextmanager
async def starved(cluster, victim):
    pid = cluster.raft.running[victim].pid

    async def starve():
        while True:
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(STARVED_SECONDS)
            os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(0.1 - STARVED_SECONDS)

    starving = asyncio.create_task(starve())
    try:
        yield
    finally:
        starving.cancel()
        await asyncio.gather(starving, return_exceptions=True)
        os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def cut_off(cluster, victim):
    mine = [link for pair, link in cluster.links.items() if victim in pair]
    for link in mine:
        link.up.clear()
    yield
    for link in mine:
        link.up.set()


@pytest.mark.parametrize("role", ["leader", "follower"])
@pytest.mark.parametrize("fault", [killed, frozen, starved, cut_off], ids=lambda fault: fault.__name__)
async def test_no_read_is_older_than_what_was_acknowledged_before_it(cluster, fault, role):
    register = Register(cluster)
    leader = await cluster.leader()
    victim = leader if role == "leader" else next(name for name in cluster.raft.names if name != leader)
    others = [name for name in cluster.raft.names if name != victim]
    async with register.busy():
        await register.more(cluster.raft.names)
        async with fault(cluster, victim):
            await asyncio.sleep(FAULT_SECONDS)
            await register.more(others)
        await register.more(cluster.raft.names)
    assert register.stale == []
    state = await cluster.equal()
    assert state.count("pods") == state.ledger("all")["pods"]
    assert register.written <= state.count("pods") <= register.written + register.doubtful


async def test_a_leader_that_is_cut_off_answers_no_read_and_says_so_soon(cluster):
    leader = await cluster.leader()
    async with cut_off(cluster, leader):
        await eventually(lambda: any(name != leader and each.status.leading for name, each in cluster.replicas.items()))
        other = next(name for name, each in cluster.replicas.items() if name != leader and each.status.leading)
        await cluster.write(other, 1)
        await eventually(lambda: cluster.replicas[leader].status.cut_off)
        async with asyncio.timeout(DEADLINE_SECONDS / 2):  # before anybody waited in vain
            with pytest.raises(errors.Unavailable, match=r"no replica leads|lost the majority"):
                await cluster.replicas[leader].read_barrier()
            with pytest.raises(errors.Unavailable, match=r"no replica leads|lost the majority"):
                await cluster.write(leader, 2)
        # What may be old is served to those who ask for it.
        assert cluster.replicas[leader].state.revision < cluster.replicas[other].state.revision
    await cluster.equal()
