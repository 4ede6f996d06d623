"""Replicas whose network needs seconds for what an election gives a fraction of one: nobody is deposed for that."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.integration.raft_processes import ROOT, RaftProcesses, leading, put
from tests.waiting import eventually

pytestmark = pytest.mark.slow

MEGABIT = 20
"""A second, of both followers together."""
LARGE = bytes(range(256)) * 4096 * 4
"""4 MiB, half of what a transaction may have: 3.4 s on the way."""


class SlowNetwork:
    """A network namespace of its own, held by a process, whose loopback interface lets `MEGABIT` through."""

    def __init__(self) -> None:
        # Answers wait behind the data here, where both directions are one: a queue of no more than a tenth of a second.
        limit = f"tc qdisc add dev lo root tbf rate {MEGABIT}mbit burst 64kb limit 256kb"
        set_up = f"ip link set lo up mtu 1500 && {limit} && echo ready && exec sleep infinity"
        self._holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "-n", "sh", "-c", set_up], stdout=subprocess.PIPE
        )
        assert self._holder.stdout.readline() == b"ready\n"
        self.enter = ["nsenter", "-t", str(self._holder.pid), "-n", "env", "-C", str(ROOT)]

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()
        self._holder.stdout.close()


@pytest.fixture
async def slow(tmp_path):
    """Three replicas and their readers."""
    network = SlowNetwork()
    cluster = RaftProcesses(tmp_path / "raft", 3)
    readers = {name: cluster.api(name) for name in cluster.names}
    try:
        cluster.enter = dict.fromkeys(cluster.names, network.enter)
        cluster.start()
        for reader in readers.values():
            await reader.connect()
        yield cluster, readers
    finally:
        for reader in readers.values():
            await reader.log.close()
        cluster.close()
        network.close()


async def test_a_large_entry_deposes_nobody(slow):
    _, readers = slow
    leader = await leading(list(readers.values()))
    term, began_time = leader.log.status.term, time.monotonic()
    await put([leader], LARGE)
    lasted_seconds = time.monotonic() - began_time
    await put([leader], b"after it")
    await eventually(lambda: all(b"after it" in reader.data for reader in readers.values()))
    assert lasted_seconds > 1.0, "the network was not slow"
    assert (leader.log.status.leading, leader.log.status.term) == (True, term)
    assert leader.proposed == 2, "it was refused, and tried again"
    assert all(reader.data == [LARGE, b"after it"] for reader in readers.values())


async def test_a_replica_that_misses_much_catches_up_without_losing_sight_of_its_leader(slow):
    cluster, readers = slow
    leader = await leading(list(readers.values()))
    term = leader.log.status.term
    behind = next(name for name, reader in readers.items() if reader is not leader)
    await readers[behind].log.close()
    cluster.kill(behind)
    for part in range(8):
        await put([leader], bytes([part]) * (1 << 20))
    cluster.start(behind)
    readers[behind] = again = cluster.api(behind)
    await again.connect()
    await eventually(lambda: again.log.status.leader)
    seen = len(again.statuses)
    await eventually(lambda: len(again.data) == 8)
    assert {(status.term, bool(status.leader)) for status in again.statuses[seen:]} <= {(term, True)}
    assert (leader.log.status.leading, leader.log.status.term) == (True, term)
