"""The admin socket of a replica: who may come in by it, and as whom."""

from __future__ import annotations

import asyncio
import os
import stat
import tempfile
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from api import errors
from component.rpc_client import RpcClient
from controlplane.admission.request import LOCAL_ADMIN
from controlplane.apiserver.admin_socket import CONNECTIONS, AdminSocket
from controlplane.apiserver.authn import Authenticator
from controlplane.apiserver.server import ApiServer
from tests.api_server import NoStreams, Status, Tokens, config_map, make_pki, running_core
from tests.waiting import DEADLINE_SECONDS

pytestmark = pytest.mark.slow


@asynccontextmanager
async def served(folder, **options):
    """A core behind gRPC with TLS on TCP, and an admin socket at a path that is short enough for one."""
    async with running_core(folder) as cluster:
        with tempfile.TemporaryDirectory(prefix="tim-") as run_dir:
            authenticator = Authenticator(cluster.core.authorizer)
            grpc = ApiServer(cluster.core, NoStreams(), Tokens(), Status(), authenticator, make_pki().server)
            admin = AdminSocket(Path(run_dir), **options)
            admin.prepare()
            grpc.listen_locally(admin.inner)
            await grpc.start("127.0.0.1:0")
            await admin.start()
            cluster.admin = admin
            try:
                yield cluster
            finally:
                await admin.close()
                await grpc.server.stop(0)
            assert not admin.path.exists()


def client_of(cluster, seconds=DEADLINE_SECONDS):
    return RpcClient([f"unix:{cluster.admin.path}"], None, cluster.env, timeout_seconds=seconds)


async def test_root_may_do_everything_without_a_certificate(tmp_path):
    async with served(tmp_path) as cluster, client_of(cluster) as client:
        await client.create(config_map("c", {"k": "v" * 100_000}, namespace="default"))
        assert len((await client.get("configmaps", "default", "c")).json) > 100_000
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {}}
        told = (await client.create(review)).tree()["status"]["userInfo"]
        assert told["username"] == LOCAL_ADMIN.user


async def test_watches_go_through(tmp_path):
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        served(tmp_path) as cluster,
        client_of(cluster) as client,
        aclosing(client.watch("namespaces")) as watched,
    ):
        assert (await anext(watched))[0].object.name


async def test_what_was_carried_ends_with_the_connection(tmp_path):
    async with served(tmp_path) as cluster, asyncio.timeout(DEADLINE_SECONDS):
        reader, writer = await asyncio.open_unix_connection(cluster.admin.path)
        assert await reader.read(1), "gRPC says something first"
        assert cluster.admin._carried
        writer.close()
        while cluster.admin._carried:
            await asyncio.sleep(0.01)


async def test_whoever_is_not_root_gets_nothing(tmp_path):
    async with served(tmp_path, users=frozenset({os.geteuid() + 1})) as cluster, asyncio.timeout(DEADLINE_SECONDS):
        reader, writer = await asyncio.open_unix_connection(cluster.admin.path)
        assert await reader.read() == b""
        writer.close()
        async with client_of(cluster, 1.0) as client:
            with pytest.raises(errors.Unavailable):
                await client.get("namespaces", "", "default")


async def test_only_the_owner_can_reach_the_sockets(tmp_path):
    async with served(tmp_path) as cluster:
        assert stat.S_IMODE(cluster.admin.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(cluster.admin.inner.parent.stat().st_mode) == 0o700


async def test_connections_are_bounded(tmp_path):
    async with served(tmp_path) as cluster, asyncio.timeout(DEADLINE_SECONDS):
        opened = [await asyncio.open_unix_connection(cluster.admin.path) for _ in range(CONNECTIONS)]
        while len(cluster.admin._carried) < CONNECTIONS:
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_unix_connection(cluster.admin.path)
        assert await reader.read() == b""
        for each in (writer, *(one for _, one in opened)):
            each.close()
