"""Starting a Raft process with something wrong: one clear line, and no harm to the others."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest

from component import pki
from controlplane.raft.protocol import Snapshot
from tests.integration.raft_processes import ROOT, RaftProcesses, leading, put
from tests.waiting import DEADLINE_SECONDS, eventually

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(tmp_path):
    cluster = RaftProcesses(tmp_path, 3)
    yield cluster
    cluster.close()


def run(path):
    """Run one Raft process that is expected to end by itself; returns (exit code, last log line)."""
    ended = subprocess.run(
        [sys.executable, "-m", "controlplane.raft.main", "--config", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    return ended.returncode, ended.stderr.strip().splitlines()[-1]


def config_path(cluster, name):
    return cluster.home(name) / "raft.json"


def test_a_missing_configuration_is_named(tmp_path):
    code, line = run(tmp_path / "nowhere.json")
    assert code == 70
    assert "nowhere.json" in line


def test_an_unknown_setting_is_named(cluster):
    path = config_path(cluster, "r1")
    path.write_text(json.dumps({**cluster.config("r1"), "election": 1}))
    code, line = run(path)
    assert code == 70
    assert "election" in line


def test_a_taken_port_is_named(cluster):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(cluster.addresses["r1"].rsplit(":")[-1])))
        taken.listen()
        code, line = run(config_path(cluster, "r1"))
    assert code == 70
    assert f"cannot listen on {cluster.addresses['r1']}" in line


def test_a_bad_peer_address_is_named(cluster):
    path = config_path(cluster, "r1")
    path.write_text(json.dumps({**cluster.config("r1"), "peers": {"r2": "somewhere"}}))
    code, line = run(path)
    assert code == 70
    assert "somewhere" in line


def test_a_missing_certificate_is_named(cluster):
    (cluster.home("r1") / "raft.crt").unlink()
    code, line = run(config_path(cluster, "r1"))
    assert code == 70
    assert "raft.crt" in line


def test_a_key_that_does_not_fit_is_named(cluster):
    (cluster.home("r1") / "raft.key").write_bytes((cluster.home("r2") / "raft.key").read_bytes())
    code, line = run(config_path(cluster, "r1"))
    assert code == 70
    assert "raft.key" in line


async def test_a_folder_in_use_is_refused(cluster):
    cluster.start("r1")
    await eventually(lambda: cluster.socket_path("r1").exists())
    code, line = run(config_path(cluster, "r1"))
    assert code == 70
    assert "another process uses" in line


async def test_a_damaged_log_is_refused_with_a_remedy(cluster):
    apis = [cluster.api(name) for name in cluster.names]
    cluster.start()
    for api in apis:
        await api.connect()
    for number in range(5):
        await put(apis, b"%d" % number * 100)
        # Two are enough to commit, and r1 may be slow to start: it must not get all of them in its last batch, where
        # damage cannot be told from a torn write.
        await eventually(lambda number=number: b"%d" % number * 100 in apis[0].seen)
    for api in apis:
        await api.log.close()
    cluster.kill("r1")
    segment = next((cluster.home("r1") / "raft" / "log").iterdir())
    with segment.open("r+b") as file:
        file.seek(150)
        file.write(b"\xff\xff\xff")
    code, line = run(config_path(cluster, "r1"))
    assert code == 70
    assert "damaged" in line
    assert "join it anew" in line


async def test_a_damaged_membership_beside_the_snapshot_is_refused_with_a_remedy(cluster):
    api = cluster.api("r1")
    apis = [api, cluster.api("r2")]
    cluster.start("r1", "r2")
    for each in apis:
        await each.connect()
    await put(apis, b"x")
    await eventually(lambda: b"x" in api.seen)
    state = cluster.folder / "state"
    state.write_bytes(b"state")
    index, term = api.applied
    api.log.snapshot_saved(Snapshot(index, term, state))
    folder = cluster.home("r1") / "raft" / "snapshot"
    await eventually(lambda: list(folder.glob("snapshot-*")) and not list(folder.glob("*.partial")))
    for each in apis:
        await each.log.close()
    cluster.kill("r1")
    (beside,) = folder.glob("*.membership")
    content = bytearray(beside.read_bytes())
    content[-1] ^= 1
    beside.write_bytes(content)
    code, line = run(config_path(cluster, "r1"))
    assert code == 70
    assert f"the membership beside the snapshot at index {index} has a wrong checksum: {beside}" in line
    assert "join it anew" in line


@pytest.mark.parametrize("wrong", ["ca", "name", "cluster"])
async def test_a_replica_with_a_wrong_identity_takes_no_part(cluster, wrong):
    home = cluster.home("r3")
    ca = pki.make_ca("foreign-ca", time.time())
    if wrong == "ca":
        pair = pki.issue(ca, "raft:r3", time.time(), dns_names=["x"])
        (home / "raft.crt").write_bytes(pair.cert_pem)
        (home / "raft.key").write_bytes(pair.key_pem)
    elif wrong == "name":
        for file in ("raft.crt", "raft.key"):
            (home / file).write_bytes((cluster.home("r2") / file).read_bytes())
    else:
        config_path(cluster, "r3").write_text(json.dumps({**cluster.config("r3"), "cluster_uid": "other"}))
    apis = {name: cluster.api(name) for name in cluster.names}
    cluster.start()
    try:
        for api in apis.values():
            await api.connect()
        await put([apis["r1"], apis["r2"]], b"x")
        refused = {"peer_refused", "peer_unreachable"}
        await eventually(lambda: any(line["event"] in refused for line in cluster.logs("r1")))
        await eventually(lambda: any(line["event"] in refused for line in cluster.logs("r3")))
        assert not apis["r3"].data
        assert not any(line["event"] == "peer_connected" and line.get("peer") == "r3" for line in cluster.logs("r1"))
    finally:
        for api in apis.values():
            await api.log.close()


async def test_a_renewed_certificate_is_used_without_a_restart(cluster, tmp_path):
    apis = {name: cluster.api(name) for name in cluster.names}
    cluster.start("r1", "r2")
    try:
        for api in apis.values():
            await api.connect()
        await leading(list(apis.values()))
        # A rotation: the new CA joins the bundle of every replica, then r3 comes with a certificate of the new one.
        now = time.time()
        ca = pki.make_ca("next-ca", now)
        for name in cluster.names:
            path = cluster.home(name) / "ca.crt"
            path.write_bytes(path.read_bytes() + ca.cert_pem)
            os.utime(path, (now + 5, now + 5))
        pair = pki.issue(ca, "raft:r3", now, dns_names=["x"])
        (cluster.home("r3") / "raft.crt").write_bytes(pair.cert_pem)
        (cluster.home("r3") / "raft.key").write_bytes(pair.key_pem)
        cluster.start("r3")
        await put(list(apis.values()), b"x")
        await eventually(lambda: b"x" in apis["r3"].seen)
    finally:
        for api in apis.values():
            await api.log.close()
