"""History on three replicas over real Raft processes and TLS: restarts, and a replica that does not have it."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import aclosing, suppress

import pytest

from api import errors
from component.env import system_env
from component.rpc_client import RpcClient
from controlplane.admission.chain import default_chain
from controlplane.apiserver.authn import Authenticator
from controlplane.apiserver.core import ApiCore
from controlplane.apiserver.server import ApiServer
from controlplane.commands import Envelope, Key, Put
from controlplane.raft.link import SocketLog
from controlplane.replica import Replica
from controlplane.store import snapshot
from tests.api_server import NoStreams, Status, Tokens, config_map, make_pki
from tests.integration.raft_processes import RaftProcesses
from tests.waiting import eventually

pytestmark = pytest.mark.slow

FILLER_BYTES = 1_000_000
LOG_BYTES = 24_000_000  # more than a log keeps for those that fell behind
PATIENCE_SECONDS = 60.0
_values = itertools.count()


class Link:
    """The way to the leader without gRPC."""

    def __init__(self, replicas):
        self.replicas = replicas

    async def propose(self, leader, term, transactions):
        self.replicas[leader].accept(term, transactions)

    async def read_index(self, leader):
        return await self.replicas[leader].leader_read_index()


class Cluster:
    """Raft processes, and the API halves of the same replicas in this process, each behind an endpoint of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.keys = make_pki()
        self.raft = RaftProcesses(folder)
        self.replicas, self.cores, self.servers = {}, {}, {}
        self.ports = dict.fromkeys(self.raft.names, 0)
        self.clients = []

    async def start_api(self, name):
        log = SocketLog(self.raft.socket_path(name), name)
        replica = Replica(name, log, Link(self.replicas), self.folder / name / "snapshots", system_env())
        await replica.start()
        core = ApiCore(replica, default_chain(), system_env())
        server = ApiServer(core, NoStreams(), Tokens(), Status(), Authenticator(core.authorizer), self.keys.server)
        self.ports[name] = await server.start(f"127.0.0.1:{self.ports[name]}")
        self.replicas[name], self.cores[name], self.servers[name] = replica, core, server

    async def stop_api(self, name):
        await self.servers.pop(name).server.stop(0)
        await self.replicas.pop(name).close()

    async def ready(self):
        await eventually(lambda: all(each.ready for each in self.replicas.values()), PATIENCE_SECONDS)

    def client(self, *names):
        addresses = [f"127.0.0.1:{self.ports[name]}" for name in names]
        self.clients.append(RpcClient(addresses, self.keys.admin, system_env(), timeout_seconds=PATIENCE_SECONDS))
        return self.clients[-1]

    async def snapshot(self, name):
        """What every 8 MB of log bring about, now."""
        schedule = self.replicas[name]._snapshots
        if schedule._writing is not None:
            await schedule._writing
        schedule.begin(self.replicas[name].state)
        await schedule._writing

    async def close(self):
        for client in self.clients:
            await client.close()
        for name in [*self.replicas]:
            await self.stop_api(name)
        self.raft.close()


@pytest.fixture
async def cluster(tmp_path):
    cluster = Cluster(tmp_path)
    try:
        cluster.raft.start()
        for name in cluster.raft.names:
            await cluster.start_api(name)
        await cluster.ready()
        tree = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}
        await cluster.client(*cluster.raft.names).create(tree)
        yield cluster
    finally:
        await cluster.close()


async def write(client, count):
    """ConfigMaps that come, change and go; returns every list there was, by its revision."""
    lists = {}
    for number in range(count):
        stored, _ = await client.apply(config_map(f"m{number % 3}", {"k": str(next(_values))}))
        if number % 4 == 3:
            with suppress(errors.NotFound):  # what a repeated attempt says, after an election
                await client.delete("configmaps", "default", f"m{number % 3}", uid=stored.uid)
        listed = await client.list("configmaps", "default")
        lists[listed.revision] = listed
    return lists


class Watcher:
    """What a client's watch showed."""

    def __init__(self, client, revision):
        self.events = []
        self._task = asyncio.create_task(self._follow(client, revision))

    async def _follow(self, client, revision):
        async with aclosing(client.watch("configmaps", revision=revision)) as batches:
            async for batch in batches:
                self.events += [(each.type, each.revision, each.object) for each in batch if each.type != "BOOKMARK"]

    async def up_to(self, revision):
        """The events so far, once the one of this revision is among them; or what the watch ended with."""
        try:
            await eventually(
                lambda: self._task.done() or (self.events and self.events[-1][1] >= revision), PATIENCE_SECONDS
            )
        finally:
            self._task.cancel()
            (ended,) = await asyncio.gather(self._task, return_exceptions=True)
        if isinstance(ended, errors.ApiError):
            raise ended
        return self.events


async def follow(client, revision, last):
    """The events after a revision, up to one at `last`."""
    return await Watcher(client, revision).up_to(last)


async def fall_behind(cluster, name):
    """Let a replica miss more than the log reaches back, and come back with the state of another."""
    await cluster.stop_api(name)
    cluster.raft.kill(name)
    await eventually(lambda: any(each.status.leading for each in cluster.replicas.values()), PATIENCE_SECONDS)
    writer = next(iter(cluster.replicas.values()))
    written = 0
    async with asyncio.timeout(2 * PATIENCE_SECONDS):
        while written < LOG_BYTES:
            with suppress(errors.Unavailable, errors.Unknown):  # an election; writing it again does no harm
                await writer.commit([Put(Envelope(Key("fillers", "", "f"), "u"), b"x" * FILLER_BYTES)])
                written += FILLER_BYTES
    for other in cluster.replicas:
        await cluster.snapshot(other)
    cluster.raft.start(name)
    await cluster.start_api(name)
    await cluster.ready()
    newest = writer.state.revision
    await eventually(lambda: cluster.replicas[name].state.revision >= newest, PATIENCE_SECONDS)
    assert snapshot.listed(cluster.folder / name / "snapshots"), "it got every entry instead"


async def test_what_a_replica_does_not_have_clients_get_from_another(cluster):
    lists = await write(cluster.client("r1", "r2"), 12)
    first, last = min(lists), max(lists)
    expected = await follow(cluster.client("r1"), first, last)
    await fall_behind(cluster, "r3")
    alone = cluster.client("r3")
    for attempt in (
        alone.list("configmaps", "default", at_revision=first),
        alone.get("configmaps", "default", "m0", at_revision=first),
        alone.moment(revision=first),
        follow(alone, first, last),
    ):
        with pytest.raises(errors.Expired, match="history on replica r3 begins at revision"):
            await attempt
    with pytest.raises(errors.NotFound, match="nor any change of it in the history that is kept"):
        await alone.history("configmaps", "default", "m2")  # deleted before
    assert not (await alone.history("configmaps", "default", "m1")).changes  # it is there, and did not change since
    for name in ("m1", "m2"):
        whole = await cluster.client("r1").history("configmaps", "default", name)
        assert whole.changes
        assert await cluster.client("r3", "r1", "r2").history("configmaps", "default", name) == whole
    for revision, listed in lists.items():
        client = cluster.client("r3", "r1", "r2")
        assert (await client.list("configmaps", "default", at_revision=revision)).items == listed.items
    assert await follow(cluster.client("r3", "r1", "r2"), first, last) == expected
    later = await write(cluster.client("r3"), 3)
    assert (await alone.list("configmaps", "default", at_revision=min(later))).items == later[min(later)].items


async def test_watches_go_on_without_a_list_when_every_api_process_restarts_after_a_snapshot(cluster):
    """The rings are empty then: what happened before the snapshot comes from segments, what came later from the log."""
    names = cluster.raft.names
    lists = await write(cluster.client(*names), 4)
    revision = min(lists)
    watching = [Watcher(cluster.client(name, *names), revision) for name in names]
    for name in names:
        lists.update(await write(cluster.client(*names), 4))
        for each in names:
            await cluster.snapshot(each)
        lists.update(await write(cluster.client(*names), 2))
        await cluster.stop_api(name)
        await cluster.start_api(name)
        await cluster.ready()
    last = max(lists)
    found = [await each.up_to(last) for each in watching]
    assert [each[1] for each in found[0]] == list(range(revision + 1, last + 1))
    assert found[0] == found[1] == found[2]
    for name in names:
        assert not cluster.replicas[name].hub.holds("configmaps", revision)
        assert await follow(cluster.client(name), revision, last) == found[0]
        for at, listed in lists.items():
            assert (await cluster.client(name).list("configmaps", "default", at_revision=at)).items == listed.items
