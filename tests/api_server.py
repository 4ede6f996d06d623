"""API servers for tests: one replica over a log without peers, behind as many real TLS endpoints as a test wants."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from api.v1 import apiserver_pb2 as pb
from component import pki
from component.env import Env
from component.rpc import API_SERVER_NAME, Tls
from component.rpc_client import RpcClient
from controlplane.admission.chain import default_chain
from controlplane.admission.request import MASTERS_GROUP, Identity
from controlplane.apiserver.authn import Authenticator
from controlplane.apiserver.bootstrap import bootstrap
from controlplane.apiserver.core import ApiCore
from controlplane.apiserver.fairness.limits import DEFAULTS
from controlplane.apiserver.local_client import LocalClient
from controlplane.apiserver.server import ApiServer
from controlplane.audit.log import AuditLog
from controlplane.commands import RaiseLevel
from controlplane.level import KNOWN_LEVEL
from controlplane.raft.protocol import NotLeader
from controlplane.replica import Replica
from tests.single_log import SingleLog
from tests.waiting import DEADLINE_SECONDS, POLL_SECONDS

ADMIN = Identity("kubernetes-admin", (MASTERS_GROUP,))


def make_env(seed: int = 7) -> Env:
    rng = random.Random(seed)
    return Env(time.monotonic, time.time, rng, lambda: str(uuid.UUID(int=rng.getrandbits(128), version=4)))


class NoPeers:
    async def propose(self, leader, term, transactions):
        raise NotLeader(leader)

    async def read_index(self, leader):
        raise NotLeader(leader)


class NoStreams:
    """Echoes commands and prints one line of log."""

    async def logs(self, request):
        yield f"log of {request.namespace}/{request.pod}\n".encode()

    async def exec(self, frames):
        first = await anext(frames)
        yield pb.StreamFrame(stdout=" ".join(first.exec.command).encode())
        async for frame in frames:
            if frame.WhichOneof("frame") == "stdin":
                yield pb.StreamFrame(stdout=frame.stdin)
        yield pb.StreamFrame(exit_code=3)

    async def attach(self, frames):
        first = await anext(frames)
        yield pb.StreamFrame(stdout=f"joined {first.attach.container}".encode())
        async for frame in frames:
            if frame.WhichOneof("frame") == "stdin":
                yield pb.StreamFrame(stderr=frame.stdin)
                yield pb.StreamFrame(ended=True)
                return


class Tokens:
    async def create_token(self, request):
        return pb.CreateJoinTokenResponse(token=f"{request.role}.secret")


class Status:
    async def cluster_status(self):
        return pb.ClusterStatusResponse(cluster_uid="c1", answered_by="r1")


@dataclass
class Pki:
    ca: pki.KeyPair
    server: Tls

    def client(self, user: str, *groups: str) -> Tls:
        pair = pki.issue(self.ca, user, time.time(), groups=groups)
        return Tls(self.ca.cert_pem, pair.cert_pem, pair.key_pem)

    @property
    def admin(self) -> Tls:
        return self.client(ADMIN.user, *ADMIN.groups)


def make_pki() -> Pki:
    ca = pki.make_ca("test-ca", time.time())
    pair = pki.issue(ca, "system:replica:r1", time.time(), groups=["system:replicas"], dns_names=[API_SERVER_NAME])
    return Pki(ca, Tls(ca.cert_pem, pair.cert_pem, pair.key_pem))


@dataclass
class Cluster:
    """A core on one replica, and the servers in front of it."""

    env: Env
    log: SingleLog
    replica: Replica
    core: ApiCore
    keys: Pki
    servers: list[ApiServer] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    clients: list[RpcClient] = field(default_factory=list)
    audit: AuditLog | None = None

    async def serve(self, port: int = 0) -> str:
        """Start one more endpoint; returns its address. A port that was given up before may be taken for a moment."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                server = ApiServer(
                    self.core,
                    NoStreams(),
                    Tokens(),
                    Status(),
                    Authenticator(self.core.authorizer),
                    self.keys.server,
                    self.audit,
                )
                try:
                    bound = await server.start(f"127.0.0.1:{port}")
                    break
                except OSError:
                    if not port:
                        raise
                    await asyncio.sleep(POLL_SECONDS)
        self.servers.append(server)
        self.addresses.append(f"127.0.0.1:{bound}")
        return self.addresses[-1]

    def client(self, tls: Tls | None = None, *, addresses=None, timeout_seconds: float = DEADLINE_SECONDS) -> RpcClient:
        client = RpcClient(
            addresses or self.addresses, tls or self.keys.admin, self.env, timeout_seconds=timeout_seconds
        )
        self.clients.append(client)
        return client

    async def stop(self, index: int, grace_seconds: float = 0.0) -> None:
        """Take one endpoint away, as if its process were killed."""
        await self.servers[index].server.stop(grace_seconds)

    @property
    def local(self) -> LocalClient:
        return LocalClient(self.core, ADMIN)


@asynccontextmanager
async def running_core(
    folder: Path,
    seed: int = 7,
    log: SingleLog | None = None,
    level: int = KNOWN_LEVEL,
    limits=DEFAULTS,
    webhooks=None,
    **options,
) -> AsyncIterator[Cluster]:
    """A core without servers, with the objects every cluster has. `options` are those of Replica."""
    env, log = make_env(seed), log or SingleLog("r1")
    replica = Replica("r1", log, NoPeers(), folder, env, **options)
    await replica.start()
    try:
        core = ApiCore(replica, default_chain(), env, limits=limits, webhooks=webhooks)
        if level > replica.state.level:
            await replica.commit((RaiseLevel(level),))
        await bootstrap(LocalClient(core, ADMIN), "10.96.0.0/16", 6443)
        yield Cluster(env, log, replica, core, None)
    finally:
        await replica.close()


@asynccontextmanager
async def running_cluster(folder: Path, endpoints: int = 1, **options) -> AsyncIterator[Cluster]:
    """A core behind `endpoints` TLS endpoints."""
    async with running_core(folder, **options) as cluster:
        cluster.keys = make_pki()
        try:
            for _ in range(endpoints):
                await cluster.serve()
            yield cluster
        finally:
            for client in cluster.clients:
                await client.close()
            await asyncio.gather(*(server.server.stop(0) for server in cluster.servers))


def pod(name: str, **extra) -> dict:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **extra.pop("metadata", {})},
        "spec": {"containers": [{"name": "main", "image": "app:1"}], **extra},
    }


def config_map(name: str, data: dict | None = None, **metadata) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": data or {}}


def node(name: str, **allocatable) -> dict:
    amounts = {"cpu": "4", "memory": "8Gi", "pods": "110", **allocatable}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "status": {"allocatable": amounts, "capacity": amounts},
    }
