"""Either process of a replica that stands still or gets hardly any CPU: others go on, nothing is lost, no read is old.

Three real replicas under one client that writes anywhere and one reader for each replica. The revision of the state is
the register: a read that began after a write was acknowledged, at any replica, must see its revision.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager

import pytest

from api.errors import AlreadyExists, ApiError
from tests.integration.server_processes import ServerProcesses, eventually

pytestmark = pytest.mark.slow

FAULT_SECONDS = 2.0  # a silent API process is noticed after 0.75 s, a Raft process after 0.6 s
STARVED_SECONDS = 0.09  # of each tenth of a second
NAMESPACE = "default"


class Register:
    """What a writer at all replicas and a reader at each were told."""

    def __init__(self, cluster, tag):
        self._cluster = cluster
        self._tag = tag
        self._newest = 0  # revision of an acknowledged write or a finished read
        self._reads = dict.fromkeys(cluster.names, 0)
        self.acknowledged = []
        self.stale = []

    async def _write(self):
        async with self._cluster.client() as client:
            number = 0
            while True:
                name = f"{self._tag}-{number:05d}"
                tree = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NAMESPACE}}
                try:
                    self._newest = max(self._newest, (await client.create(tree)).revision)
                except AlreadyExists:  # of an attempt whose outcome was unknown
                    pass
                except ApiError:
                    await asyncio.sleep(0.02)
                    continue
                self.acknowledged.append(name)
                number += 1
                await asyncio.sleep(0.005)

    async def _read(self, replica):
        async with self._cluster.client(replica) as client:
            while True:
                before = self._newest
                try:
                    revision = (await client.list("configmaps", NAMESPACE, limit=1)).revision
                except ApiError:
                    await asyncio.sleep(0.02)
                    continue
                if revision < before:
                    self.stale.append((replica, revision, before))
                self._newest = max(self._newest, revision)
                self._reads[replica] += 1
                await asyncio.sleep(0.02)

    @asynccontextmanager
    async def busy(self):
        tasks = [asyncio.create_task(self._write()), *(asyncio.create_task(self._read(name)) for name in self._reads)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                assert isinstance(ended, asyncio.CancelledError), ended

    async def more(self, replicas):
        """Wait until writes, and reads at these replicas, go on."""
        written, reads = len(self.acknowledged) + 10, dict(self._reads)

        async def going_on():
            return len(self.acknowledged) > written and all(self._reads[name] > reads[name] + 3 for name in replicas)

        await eventually(going_on, f"writes, and reads at {', '.join(replicas)}")


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """One cluster for all tests of the module: each leaves it well."""
    cluster = ServerProcesses(tmp_path_factory.mktemp("standstill"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


@asynccontextmanager
async def frozen(cluster, replica, process):
    cluster.send_signal(replica, process, signal.SIGSTOP)
    try:
        yield
    finally:
        cluster.send_signal(replica, process, signal.SIGCONT)


@asynccontextmanager
async def starved(cluster, replica, process):
    async def starve():
        while True:
            cluster.send_signal(replica, process, signal.SIGSTOP)
            await asyncio.sleep(STARVED_SECONDS)
            cluster.send_signal(replica, process, signal.SIGCONT)
            await asyncio.sleep(0.1 - STARVED_SECONDS)

    starving = asyncio.create_task(starve())
    try:
        yield
    finally:
        starving.cancel()
        await asyncio.gather(starving, return_exceptions=True)
        cluster.send_signal(replica, process, signal.SIGCONT)


async def well(cluster):
    """Wait until all replicas are ready; returns the one that leads."""
    leader = ""

    async def ready():
        nonlocal leader
        async with cluster.client() as client:
            replicas = (await client.cluster_status()).replicas
        leader = next((each.id for each in replicas if each.role == "leader"), "")
        return leader and sum(each.ready for each in replicas) == len(cluster.names)

    await eventually(ready, "all replicas are ready")
    return leader


async def names_at(cluster, replica):
    async with cluster.client(replica) as client:
        return {item.name for item in (await client.list("configmaps", NAMESPACE)).items}


@pytest.mark.parametrize("role", ["leader", "follower"])
@pytest.mark.parametrize("process", ["raft", "api"])
@pytest.mark.parametrize("fault", [frozen, starved], ids=lambda fault: fault.__name__)
async def test_the_others_go_on_without_a_process_that_stands_still_and_it_comes_back(servers, fault, process, role):
    leader = await well(servers)
    victim = leader if role == "leader" else next(name for name in servers.names if name != leader)
    others = [name for name in servers.names if name != victim]
    register = Register(servers, f"{fault.__name__}-{process}-{role}")
    async with register.busy():
        await register.more(servers.names)
        async with fault(servers, victim, process):
            await asyncio.sleep(FAULT_SECONDS)
            await register.more(others)
        await register.more(servers.names)
    assert register.stale == []
    await well(servers)
    found = []

    async def the_same():
        """Whether all hold the same; the create that was given up at the end may still come."""
        found[:] = [await names_at(servers, name) for name in servers.names]
        assert found[0] <= found[1] <= found[2], "a read is older than the one before it"
        return found[0] == found[2]

    await eventually(the_same, "all replicas hold the same")
    assert set(register.acknowledged) <= found[0]
