"""The audit log as a file: both transports, rotation, a disk that takes no more, and the end of the process."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import stat
import subprocess
import sys
import threading

import aiohttp
import pytest
import structlog

from api import errors
from api.v1 import apiserver_pb2 as pb
from controlplane.admission.request import Identity
from controlplane.audit.file import RotatingFile
from controlplane.audit.log import AuditLog
from controlplane.audit.policy import Level, policy_of, read_policy
from controlplane.audit.record import Event
from controlplane.audit.writer import AuditWriter
from controlplane.rbac.attributes import Attributes
from tests.api_server import config_map, make_env, make_pki, pod, running_core
from tests.rest_server import USER_TOKEN, serving_rest
from tests.waiting import DEADLINE_SECONDS, eventually, wait_until

CANARY = "c4n4ry-4711"
EVERYTHING = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: RequestResponse}]"
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"password": CANARY}}


def event(number=0):
    asked = Attributes("create", resource="pods", namespace="default", name=f"p{number}")
    return Event(f"id-{number}", 1.0, 0.1, Level.METADATA, Identity("jane"), asked, 201, "/api")


def lines_of(*paths):
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


async def told_of(path, outcome):
    def told():
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):  # not begun, or the last line half written
            return outcome in outcomes(path)
        return False

    await eventually(told)


@contextlib.contextmanager
def recording(path, policy):
    writer = AuditWriter(RotatingFile(path, 1 << 20, 1))
    writer.start()
    try:
        yield AuditLog(policy, writer.put, make_env())
    finally:
        writer.close(DEADLINE_SECONDS)


def outcomes(path):
    found = []
    for line in lines_of(path):
        reference = line.get("objectRef", {})
        what = "/".join(filter(None, (reference.get("resource"), reference.get("subresource"), reference.get("name"))))
        found.append((line["verb"], what or line["requestURI"], line["responseStatus"]["code"]))
    return found


@contextlib.asynccontextmanager
async def serving_grpc(folder, audit):
    async with running_core(folder / "snapshots") as cluster:
        cluster.keys, cluster.audit = make_pki(), audit
        await cluster.serve()
        try:
            yield cluster
        finally:
            for client in cluster.clients:
                await client.close()
            await cluster.stop(0)


async def test_over_grpc_writes_and_refusals_leave_a_line_and_reads_none(tmp_path):
    path = tmp_path / "audit.log"
    with recording(path, policy_of("")) as audit:
        async with serving_grpc(tmp_path, audit) as cluster:
            client = cluster.client()
            await client.create(pod("web"))
            await client.get("pods", "default", "web")
            await client.list("pods")
            with pytest.raises(errors.AlreadyExists):
                await client.create(pod("web"))
            jane = cluster.client(cluster.keys.client("jane", "dev"))
            with pytest.raises(errors.Forbidden):
                await jane.list("secrets")
    assert outcomes(path) == [("create", "pods/web", 200), ("create", "pods/web", 409), ("list", "secrets", 403)]
    created, _, refused = lines_of(path)
    assert created["user"] == {"username": "kubernetes-admin", "groups": ["system:masters"]}
    assert created["sourceIPs"] == ["127.0.0.1"]
    assert "grpc" in created["userAgent"]
    assert float(created["annotations"]["timonier.dev/latency-ms"]) > 0
    assert refused["user"] == {"username": "jane", "groups": ["dev"]}
    assert refused["responseStatus"]["reason"] == "Forbidden"


async def test_over_grpc_a_stream_leaves_a_line_at_its_end_and_no_secret_is_shown(tmp_path):
    path = tmp_path / "audit.log"
    with recording(path, read_policy(EVERYTHING, "p")) as audit:
        async with serving_grpc(tmp_path, audit) as cluster:
            client = cluster.client()
            await client.create(pod("web"))
            await client.create(SECRET)
            await client.get("secrets", "default", "s")
            await client.patch("secrets", "default", "s", "merge", json.dumps(SECRET).encode())
            await client.create_join_token(role="node", name="n1", ttl_seconds=60)
            watch = client.watch("pods")
            await anext(aiter(watch))
            await watch.aclose()
            await told_of(path, ("watch", "pods", 200))
            async for _ in client.logs(pb.LogsRequest(namespace="default", pod="web")):
                pass
    text = path.read_text()
    assert CANARY not in text
    assert "node.secret" not in text
    assert set(outcomes(path)) >= {
        ("create", "secrets/s", 200),
        ("get", "secrets/s", 200),
        ("patch", "secrets/s", 200),
        ("watch", "pods", 200),
        ("get", "pods/log/web", 200),
    }
    created = next(line for line in lines_of(path) if line["verb"] == "create" and line["objectRef"]["name"] == "web")
    assert created["requestObject"]["kind"] == "Pod"
    assert created["responseObject"]["metadata"]["uid"]


async def test_over_https_writes_and_refusals_leave_a_line_and_reads_none(tmp_path):
    path = tmp_path / "audit.log"
    with recording(path, policy_of("")) as audit:
        async with serving_rest(tmp_path, audit=audit) as rest:
            maps = "/api/v1/namespaces/default/configmaps"
            await rest.ask("POST", maps + "?fieldManager=me&dryRun=All", config_map("m"))
            await rest.ask("POST", maps, config_map("m"))
            await rest.ask("GET", maps + "/m")
            await rest.ask("GET", "/healthz")
            await rest.ask("POST", maps, config_map("m"))
            token = {"Authorization": f"Bearer {USER_TOKEN}"}
            await rest.ask("GET", maps, session=rest.session(None), headers=token)
            await rest.ask("GET", maps, session=rest.session(None))
            acting = {"Impersonate-User": "joe"}
            await rest.ask("DELETE", maps + "/m", headers=acting)
    assert outcomes(path) == [
        ("create", "configmaps/m", 201),
        ("create", "configmaps/m", 201),
        ("create", "configmaps/m", 409),
        ("list", "configmaps", 403),
        ("get", maps, 401),
        ("delete", "configmaps/m", 403),
    ]
    dry, _, taken, refused, unknown, impersonated = lines_of(path)
    assert dry["annotations"].items() >= {"timonier.dev/dry-run": "true", "timonier.dev/field-manager": "me"}.items()
    assert dry["requestURI"] == maps
    assert taken["responseStatus"]["reason"] == "AlreadyExists"
    assert refused["user"]["username"] == "jane"
    assert {"dev", "ops"} <= set(refused["user"]["groups"])
    assert unknown["user"] == {"username": ""}
    assert impersonated["user"]["username"] == "kubernetes-admin"
    assert impersonated["impersonatedUser"]["username"] == "joe"


async def test_over_https_bodies_are_shown_and_secrets_are_not(tmp_path):
    path = tmp_path / "audit.log"
    with recording(path, read_policy(EVERYTHING, "p")) as audit:
        async with serving_rest(tmp_path, audit=audit) as rest:
            pods, secrets = "/api/v1/namespaces/default/pods", "/api/v1/namespaces/default/secrets"
            await rest.ask("POST", pods, pod("web"))
            await rest.ask("POST", secrets, SECRET)
            await rest.ask("POST", pods, SECRET)
            await rest.ask("GET", secrets)
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}
            await rest.ask("POST", "/api/v1/namespaces/default/serviceaccounts", account)
            asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
            answer = await rest.ask("POST", "/api/v1/namespaces/default/serviceaccounts/robot/token", asked)
            token = answer.tree["status"]["token"]
            review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
            await rest.ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
            timeout = aiohttp.ClientTimeout(total=DEADLINE_SECONDS)
            async with rest.admin.get(f"{rest.url}{pods}?watch=true", timeout=timeout) as watch:
                await watch.content.readline()
                watch.close()
            await told_of(path, ("watch", "pods", 200))
    text = path.read_text()
    assert CANARY not in text
    assert token not in text
    lines = lines_of(path)
    assert lines[0]["requestObject"]["kind"] == lines[0]["responseObject"]["kind"] == "Pod"
    assert [line["level"] for line in lines[1:2]] == ["Metadata"]


def test_full_files_are_put_aside_and_the_oldest_goes(tmp_path):
    path = tmp_path / "folder" / "audit.log"
    file = RotatingFile(path, 100, 2)
    for number in range(10):
        file.append(b'{"number": %d, "pad": "%s"}\n' % (number, b"x" * 20))
    file.close()
    files = [path.with_name("audit.log.2"), path.with_name("audit.log.1"), path]
    assert sorted(path.parent.iterdir()) == sorted(files)
    assert [line["number"] for line in lines_of(*files)] == [4, 5, 6, 7, 8, 9]
    assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}


def test_a_file_that_was_moved_away_or_cut_off_is_begun_anew(tmp_path):
    path = tmp_path / "audit.log"
    path.write_bytes(b'{"cut')
    file = RotatingFile(path, 1_000, 0)
    file.append(b"{}\n")
    path.rename(tmp_path / "elsewhere")
    file.append(b'{"new": 1}\n')
    file.close()
    assert (tmp_path / "elsewhere").read_bytes() == b'{"cut\n{}\n'
    assert lines_of(path) == [{"new": 1}]


LIMITED = """
import resource, signal, sys
from pathlib import Path
from controlplane.audit.file import RotatingFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50, resource.RLIM_INFINITY))
file = RotatingFile(Path(sys.argv[1]), 1_000, 1)
file.append(b"x" * 29 + b"\\n")
try:
    file.append(b"y" * 29 + b"\\n")
except OSError as error:
    print(type(error).__name__)
file.append(b"z" * 9 + b"\\n")
"""


def test_what_fits_only_in_part_leaves_no_half_line(tmp_path):
    path = tmp_path / "audit.log"
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == "OSError\n"
    assert path.read_text().splitlines() == ["x" * 29, "z" * 9]


class FullDisk:
    """Takes nothing while it is full."""

    def __init__(self):
        self.full = True
        self.refused = 0
        self.data = b""

    def append(self, data):
        if self.full:
            self.refused += 1
            raise OSError(errno.ENOSPC, "No space left on device", "audit.log")
        self.data += data

    def close(self):
        pass


def test_a_full_disk_is_told_of_once_and_lines_go_on_when_there_is_room():
    disk = FullDisk()
    writer = AuditWriter(disk, gather_seconds=0.001)
    with structlog.testing.capture_logs() as logs:
        writer.start()
        for number in range(3):
            writer.put(event(number))
            wait_until(lambda number=number: disk.refused > number)
        wait_until(lambda: writer.lost == 3)
        disk.full = False
        writer.put(event(3))
        writer.close(DEADLINE_SECONDS)
    assert [json.loads(line)["auditID"] for line in disk.data.splitlines()] == ["id-3"]
    assert [(entry["event"], entry["lost"]) for entry in logs] == [
        ("audit_lines_lost", 1),
        ("audit_log_written_again", 3),
    ]
    assert "No space left" in logs[0]["reason"]


class StuckDisk(FullDisk):
    """Hangs in the first write until it is let go."""

    def __init__(self):
        super().__init__()
        self.reached, self.free = threading.Event(), threading.Event()

    def append(self, data):
        self.reached.set()
        self.free.wait(DEADLINE_SECONDS)
        self.data += data


def test_a_stuck_disk_holds_nobody_up_and_what_there_is_no_room_for_is_counted():
    disk = StuckDisk()
    writer = AuditWriter(disk, queue_bytes=10 * event().size_bytes)
    with structlog.testing.capture_logs() as logs:
        writer.start()
        writer.put(event())
        assert disk.reached.wait(DEADLINE_SECONDS)
        for number in range(1, 1_000):
            writer.put(event(number))
        assert writer.lost == 990
        disk.free.set()
        writer.close(DEADLINE_SECONDS)
    assert len(disk.data.splitlines()) == 10
    assert [entry["event"] for entry in logs] == ["audit_lines_lost", "audit_log_written_again"]


def test_closing_writes_what_was_taken(tmp_path):
    path = tmp_path / "audit.log"
    writer = AuditWriter(RotatingFile(path, 1 << 24, 1))
    writer.start()
    for number in range(5_000):
        writer.put(event(number))
    writer.close(DEADLINE_SECONDS)
    assert [line["auditID"] for line in lines_of(path)] == [f"id-{number}" for number in range(5_000)]


async def test_recording_waits_for_no_disk(tmp_path):
    disk = StuckDisk()
    writer = AuditWriter(disk, queue_bytes=10 * event().size_bytes)
    writer.start()
    try:
        async with serving_grpc(tmp_path, AuditLog(policy_of(""), writer.put, make_env())) as cluster:
            client = cluster.client()
            async with asyncio.timeout(DEADLINE_SECONDS):
                for number in range(15):
                    await client.create(pod(f"p{number}"))
            assert not disk.data
    finally:
        disk.free.set()
        writer.close(DEADLINE_SECONDS)
