"""Secrets at rest: every file of every replica and node is searched for a known value."""

from __future__ import annotations

import base64
import resource
import uuid
from pathlib import Path

from tests.e2e.cluster import Cluster, eventually
from tests.e2e.disk import files_with, shows
from tests.e2e.test_pods import FOREVER, pod

PROGRAMS = ("raft", "api", "agent")


def disks(cluster: Cluster) -> list[Path]:
    """What every host keeps on disk."""
    return [host.state_dir for host in cluster.lab.hosts]


def test_no_file_of_any_host_shows_a_secret(cluster, space):
    value = uuid.uuid4().hex
    mounted = "volumeMounts: [{name: s, mountPath: /s}]"
    kept = (
        "tolerations: [{operator: Exists}]\n  volumes: [{name: s, secret: {secretName: hidden}}]"  # without its agent
    )
    space.tim("create configmap", "plain", f"--from-literal=k=plain-{value}")
    assert files_with(disks(cluster), f"plain-{value}"), "the search finds what is not encrypted"
    space.tim("create secret generic", "hidden", f"--from-literal=k={value}")
    space.tim("annotate", "secret", "hidden", f"note=again-{value[::-1]}")
    space.apply(pod("reader", FOREVER, kept, mounted))
    space.wait_ready("reader")
    assert space.exec("reader", "cat", "/s/k").out == value
    for each in (f"again-{value[::-1]}", value[8:]):
        found = [path for path in files_with(disks(cluster), each) if not shows(Path(path), f"plain-{value}")]
        assert found == []
    follower = next(host.name for host in cluster.lab.hosts if host.name in {"r1", "r2"} - {cluster.leader()})
    node = space.pod("reader")["spec"]["nodeName"]
    cluster.wait_restarted(
        [
            (host, name, cluster.kill(host, name))
            for host, name in ((follower, "raft"), (follower, "api"), (node, "agent"))
        ]
    )
    eventually(
        "the pod still shows it",
        lambda: space.exec("reader", "cat", "/s/k", check=False).out == value,
        explain=lambda: space.exec("reader", "cat", "/s/k", check=False),
    )
    assert files_with(disks(cluster), f"again-{value[::-1]}") == []


def test_another_key_is_given_to_every_replica_and_everything_is_rewritten(cluster, space):
    value = uuid.uuid4().hex
    space.tim("create secret generic", "hidden", f"--from-literal=k={value}")
    before = cluster.tim("secrets", "keys").out.split("\n")[1].split()[0]
    cluster.tim("secrets", "rotate")

    def used() -> list[str] | None:
        rows = [line.split() for line in cluster.tim("secrets", "keys").out.splitlines()[1:]]
        used, unused = ([row for row in rows if (row[1] == "yes") is wanted] for wanted in (True, False))
        return [row[0] for row in used] if all(row[1] == "0" for row in unused) else None

    (now,) = eventually("no Secret is encrypted with another key", used)
    assert now != before
    rings = [(host.state_dir / "etc/pki/secrets.key").read_text() for host in cluster.lab.hosts if host.name[0] == "r"]
    assert len(set(rings)) == 1
    assert space.get("secrets", "hidden")["data"]["k"] == base64.b64encode(value.encode()).decode()
    assert "no key can be forgotten yet" in cluster.tim("secrets", "retire").out
    assert files_with(disks(cluster), value) == []


def test_no_process_has_room_for_a_core_dump(cluster):
    limits = {
        (host.name, name): resource.prlimit(pid, resource.RLIMIT_CORE)
        for host in cluster.lab.hosts
        for name, pid in cluster.processes(host.name).items()
        if name in PROGRAMS
    }
    assert set(limits.values()) == {(0, 0)}
