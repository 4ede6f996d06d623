"""The admin socket of a replica: who may come in by it, and as whom."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import stat
import sys
import tempfile
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from api import errors
from component.rpc_client import RpcClient
from component.rpc_failover import Replicas
from controlplane.admission.request import LOCAL_ADMIN
from controlplane.apiserver.admin_socket import CONNECTIONS, AdminSocket
from controlplane.apiserver.authn import Authenticator
from controlplane.apiserver.server import ApiServer
from controlplane.apiserver.webhook_calls import WebhookCalls
from controlplane.audit.log import AuditLog
from controlplane.audit.policy import policy_of
from controlplane.audit.record import line_of
from tests.api_server import NoStreams, Status, Tokens, config_map, make_env, make_pki, running_core
from tests.waiting import DEADLINE_SECONDS, eventually
from tests.webhook_server import hook, validating

pytestmark = pytest.mark.slow


@asynccontextmanager
async def served(folder, audit=None, webhooks=None, **options):
    """A core behind gRPC with TLS on TCP, and an admin socket at a path that is short enough for one."""
    keys = make_pki()
    async with running_core(folder, webhooks=webhooks) as cluster:
        with tempfile.TemporaryDirectory(prefix="tim-") as run_dir:
            authenticator = Authenticator(cluster.core.authorizer)
            grpc = ApiServer(cluster.core, NoStreams(), Tokens(), Status(), authenticator, keys.server, audit)
            admin = AdminSocket(Path(run_dir), **options)
            admin.prepare()
            grpc.listen_locally(admin.inner)
            port = await grpc.start("127.0.0.1:0")
            await admin.start()
            cluster.admin, cluster.keys, cluster.addresses = admin, keys, [f"127.0.0.1:{port}"]
            try:
                yield cluster
            finally:
                await admin.close()
                await grpc.server.stop(0)
            assert not admin.path.exists()


def client_of(cluster, seconds=DEADLINE_SECONDS, metadata=()):
    connect = partial(Replicas, metadata=metadata)
    return RpcClient([f"unix:{cluster.admin.path}"], None, cluster.env, timeout_seconds=seconds, connect=connect)


@asynccontextmanager
async def with_broken_webhook(folder, audit=None):
    """As `served`, with a webhook for everything that nobody answers and that must not fail."""
    calls = WebhookCalls(lambda: None)
    async with served(folder, audit, calls) as cluster:
        everything = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}
        client = {"url": "https://127.0.0.1:1/", "caBundle": base64.b64encode(cluster.keys.ca.cert_pem).decode()}
        await cluster.local.create(validating("broken", hook("broken", client, everything)))
        try:
            yield cluster
        finally:
            await calls.close()


async def test_root_may_do_everything_without_a_certificate(tmp_path):
    async with served(tmp_path) as cluster, client_of(cluster) as client:
        await client.create(config_map("c", {"k": "v" * 100_000}, namespace="default"))
        assert len((await client.get("configmaps", "default", "c")).json) > 100_000
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {}}
        told = (await client.create(review)).tree()["status"]["userInfo"]
        assert told["username"] == LOCAL_ADMIN.user


async def test_no_webhook_is_asked_of_root_but_of_everybody_else_also_of_whom_root_acts_as(tmp_path):
    async with with_broken_webhook(tmp_path) as cluster:
        async with client_of(cluster) as root:
            await root.create(config_map("a", {}, namespace="default"))
            await root.patch("configmaps", "default", "a", "merge", b'{"data": {"k": "1"}}')
            await root.delete("configmaps", "default", "a")
        acting = (("impersonate-user", "jane"), ("impersonate-group", "system:masters"))
        async with (
            client_of(cluster, metadata=acting) as jane,
            RpcClient(cluster.addresses, cluster.keys.admin, cluster.env) as admin,
        ):
            for client in (jane, admin):
                with pytest.raises(errors.ApiError, match="failed calling webhook"):
                    await client.create(config_map("b", {}, namespace="default"))
        async with client_of(cluster) as root:
            await root.delete("validatingwebhookconfigurations.admissionregistration.k8s.io", "", "broken")
        async with RpcClient(cluster.addresses, cluster.keys.admin, cluster.env) as admin:
            await admin.create(config_map("b", {}, namespace="default"))


async def test_roles_count_for_whom_root_acts_as(tmp_path):
    async with served(tmp_path) as cluster, client_of(cluster, metadata=(("impersonate-user", "jane"),)) as jane:
        with pytest.raises(errors.Forbidden, match='"jane" cannot list'):
            await jane.list("secrets")


async def test_the_audit_log_names_root_and_whom_it_acts_as(tmp_path):
    events = []
    audit = AuditLog(policy_of("Metadata"), events.append, make_env())
    async with served(tmp_path / "core", audit) as cluster:
        async with client_of(cluster) as root:
            await root.create(config_map("c", {}, namespace="default"))
        async with client_of(cluster, metadata=(("impersonate-user", "jane"),)) as jane:
            with pytest.raises(errors.Forbidden):
                await jane.list("secrets")
        await eventually(lambda: len(events) == 2)
    lines = [json.loads(line_of(event)) for event in events]
    assert [line["user"]["username"] for line in lines] == [LOCAL_ADMIN.user] * 2
    assert [line["user"]["groups"] for line in lines] == [["system:masters"]] * 2
    assert [line.get("impersonatedUser", {}).get("username") for line in lines] == [None, "jane"]
    assert [line["responseStatus"]["code"] for line in lines] == [200, 403]
    assert not any("sourceIPs" in line for line in lines), "a socket has no address"


AT_ITS_PLACE = 'mount -t tmpfs none /run && mkdir /run/timonier && ln -s "$0" /run/timonier/admin.sock && exec "$@"'


async def tim_says(cluster, *words, environment=None, before=()):
    """What `tim` answers on a machine whose /run/timonier/admin.sock is this one: exit code, output, errors."""
    program = [*before, str(Path(sys.executable).parent / "tim"), *words]
    process = await asyncio.create_subprocess_exec(
        *("unshare", "-m", "sh", "-c", AT_ITS_PLACE, str(cluster.admin.path), *program),
        env={"PATH": os.environ["PATH"], "HOME": "/nowhere", **(environment or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), DEADLINE_SECONDS)
    return process.returncode, out.decode(), err.decode()


@pytest.mark.root
async def test_tim_takes_the_socket_by_itself_only_for_root_who_named_no_configuration(tmp_path):
    async with served(tmp_path) as cluster:
        code, out, err = await tim_says(cluster, "auth", "whoami")
        assert (code, err) == (0, "")
        assert LOCAL_ADMIN.user in out
        missing = str(tmp_path / "no.conf")
        for words, environment in (
            (["--kubeconfig", missing], {}),
            ([], {"TIMCONFIG": missing}),
        ):
            code, out, err = await tim_says(cluster, *words, "auth", "whoami", environment=environment)
            assert (code, out, err.count("\n")) == (1, "", 1), (words, environment)
            assert "no client configuration at" in err
        # Another user to the program, but one who may read a checkout in root's home.
        nobody = ("unshare", "--map-user=65534", "--map-group=65534")
        code, _, err = await tim_says(cluster, "auth", "whoami", before=nobody)
        assert code == 1
        assert "no client configuration at /nowhere/.tim/config" in err


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
        await eventually(lambda: not cluster.admin._carried)


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
        await eventually(lambda: len(cluster.admin._carried) == CONNECTIONS)
        reader, writer = await asyncio.open_unix_connection(cluster.admin.path)
        assert await reader.read() == b""
        for each in (writer, *(one for _, one in opened)):
            each.close()
