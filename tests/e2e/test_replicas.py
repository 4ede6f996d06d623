"""The replicas themselves, on a lab of its own: grown, one replaced, all but one lost, restored elsewhere.

One lab and one pod through all of it: what the pod's container is at the end shows that no node was disturbed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lab import cluster as labs
from lab import replicas
from lab.layout import Host
from tests.e2e.cluster import Cluster, condition, eventually
from tests.e2e.labs import UP_SECONDS, small_lab
from tests.e2e.writer import Writer

MICROSECONDS = 1_000_000
POD = """
apiVersion: v1
kind: Pod
metadata: {name: lasting}
spec:
  nodeName: n1
  containers: [{name: main, image: "localhost/busybox:1", command: [sleep, "100000"]}]
"""


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    """A lab of one replica and one node, removed afterwards whatever happens."""
    with small_lab("r") as cluster:
        yield cluster


def lab(cluster: Cluster, *words: str) -> None:
    """`tim lab` on this lab; hosts may be other ones afterwards."""
    cluster.tim("lab", *words, "--name", cluster.lab.name, seconds=UP_SECONDS)
    cluster.lab = labs.load(cluster.lab.name)


def listed(cluster: Cluster) -> dict[str, str]:
    """Role by replica, as `tim replica list` says; it also brings the client configuration up to date. {} if refused."""
    rows = cluster.tim("replica", "list", check=False).out.splitlines()[1:-1]
    return {row.split()[0]: row.split()[1] for row in rows}


def config_map(name: str) -> str:
    return f"{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}}}"


def names(cluster: Cluster, namespace: str) -> set[str]:
    """Of the ConfigMaps there."""
    return {each["metadata"]["name"] for each in cluster.list("configmaps", namespace)}


def pid_of_pod(cluster: Cluster) -> int:
    (container,) = [each for each in cluster.containers("n1").values() if each["State"] == "running"]
    pid: int = container["Pid"]
    return pid


def reconnect(cluster: Cluster) -> None:
    """A client with the addresses of now."""
    cluster.call(cluster.client.close())
    cluster.client = cluster.call(cluster._connect())


def test_replicas_come_and_go_are_lost_recovered_and_restored(own: Cluster, tmp_path: Path) -> None:
    cluster = own
    cluster.apply(POD)
    eventually("the pod runs", lambda: cluster.get("pods", "default", "lasting")["status"].get("phase") == "Running")
    pid = pid_of_pod(cluster)

    # One to three, then a dead one is replaced, under a writer that misses nothing.
    with Writer(cluster, "default") as writer:
        lab(cluster, "add-replica")
        lab(cluster, "add-replica")
        writer.wait_for_another()
        eventually("three are listed", lambda: set(listed(cluster)) == {"r1", "r2", "r3"})
        lab(cluster, "kill", "r2")
        cluster.tim("replica", "remove", "r2")
        lab(cluster, "add-replica")
        writer.wait_for_another()
    reconnect(cluster)
    eventually("the members are listed", lambda: set(listed(cluster)) == {"r1", "r3", "r4"})
    eventually("one leads", lambda: sorted(listed(cluster).values()) == ["follower", "follower", "leader"])
    assert writer.acknowledged.keys() <= names(cluster, "default")

    # A removed replica's id and leadership.
    assert "no replica 'r2'" in cluster.tim("replica", "remove", "r2", check=False).error_line
    assert cluster.tim("replica", "transfer", "--to", "r3").out == "replica r3 leads\n"

    backup = tmp_path / "cluster.backup"
    acknowledged_before = save_while_written_to(cluster, backup)
    assert "is good" in cluster.tim("backup", "verify", str(backup), *secrets_key(cluster)).out
    cluster.apply(config_map("after-the-backup"))
    saved = cluster.call(cluster.client.cluster_status()).revision

    # The quorum is lost; r4 goes on alone, and r1 of the old incarnation ends itself.
    for name in ("r1", "r3", "r4"):
        lab(cluster, "kill", name)
    recovery_time = time.time()
    recover_r4(cluster)
    cluster.apply(config_map("after-the-recovery"))
    assert cluster.exists("configmaps", "default", "after-the-backup")
    recovered = cluster.call(cluster.client.cluster_status()).revision
    assert saved < recovery_time * MICROSECONDS < recovered
    before = cluster.tim("get", "configmaps", "--at", str(saved), check=False)
    assert "where the cluster was restored or recovered (incarnation 1)" in before.error_line
    lab(cluster, "start", "r1")
    log = cluster.lab.host("r1").state_dir / "log" / "raft.log"
    eventually("r1 ends itself", lambda: "recovered without this replica" in log.read_text())
    lab(cluster, "kill", "r1")
    assert pid_of_pod(cluster) == pid

    restore(cluster, backup)
    assert cluster.call(cluster.client.cluster_status()).revision > recovered
    assert not cluster.exists("configmaps", "default", "after-the-recovery")
    assert writer.acknowledged.keys() <= names(cluster, "default")
    assert acknowledged_before <= names(cluster, "busy")
    eventually("the node is Ready again", lambda: condition(cluster.get("nodes", "", "n1"), "Ready") == "True")
    eventually("the pod is known", lambda: cluster.tim("exec", "lasting", "--", "true", check=False).code == 0)
    assert pid_of_pod(cluster) == pid


def save_while_written_to(cluster: Cluster, backup: Path) -> set[str]:
    """Save a backup while somebody writes; returns the ConfigMaps of namespace `busy` that must be in it."""
    cluster.apply("{apiVersion: v1, kind: Namespace, metadata: {name: busy}}")
    with Writer(cluster, "busy") as writer:
        before = set(writer.acknowledged)
        cluster.tim("backup", "save", str(backup))
        writer.wait_for_another()
    return before


def secrets_key(cluster: Cluster) -> tuple[str, str]:
    """The option that names a copy of the key of Secrets, which no backup holds."""
    return "--secrets-key", str(cluster.lab.host("r1").state_dir / "etc" / "pki" / "secrets.key")


def recover_r4(cluster: Cluster) -> None:
    """Let r4 go on alone from what it has."""
    etc = cluster.lab.host("r4").state_dir / "etc"
    told = cluster.tim("replica", "recover", "--dir", str(etc), check=False)
    assert told.code == 1
    assert "lost: whatever was acknowledged later with the votes of r1, r3" in told.out
    cluster.tim("replica", "recover", "--dir", str(etc), "--yes")
    lab(cluster, "start", "r4")
    eventually("r4 leads alone", lambda: listed(cluster) == {"r4": "leader"})
    reconnect(cluster)


def restore(cluster: Cluster, backup: Path) -> None:
    """Everything of the control plane is gone; another machine takes it up from the backup.

    The recovered cluster began there, too: its node takes up with this one at once all the same.
    """
    lab(cluster, "kill", "r4")
    grown = replicas.grown(cluster.lab)
    host = grown.host(f"r{grown.replicas}")
    etc = host.state_dir / "etc"
    words = ("--replica", f"{host.name}={host.address}", "--dir", str(etc), "--data-dir", str(host.state_dir / "data"))
    cluster.tim("backup", "restore", str(backup), *secrets_key(cluster), *words)
    settings = yaml.safe_load((etc / "server.yaml").read_text())
    (etc / "server.yaml").write_text(yaml.safe_dump({**settings, "run_dir": str(host.run_dir), "log_format": "json"}))
    labs.start_host(grown, host)
    cluster.lab = grown
    cluster.lab.admin_conf.write_bytes((etc / "admin.conf").read_bytes())
    eventually("the restored replica leads", lambda: listed(cluster) == {host.name: "leader"})
    send_agent_to(cluster, host)
    reconnect(cluster)


def send_agent_to(cluster: Cluster, host: Host) -> None:
    path = cluster.lab.host("n1").state_dir / "etc" / "agent.yaml"
    agent = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**agent, "endpoints": [f"{host.address}:7443"]}))
    cluster.kill("n1", "agent")
