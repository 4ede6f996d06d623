"""Every certificate of a cluster has expired: it is mended as docs/operations.md says, and the pods run on meanwhile.

The replicas cannot mend themselves either: the key that signs their Raft certificates is gone, until somebody brings it back.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from component import pki
from component.files import write_private
from controlplane.bootstrap import api_names, raft_dns_name
from tests.e2e.cluster import TIM, Cluster, Done, condition, eventually, run
from tests.e2e.labs import running_lab
from tests.e2e.test_replicas import POD, config_map, pid_of_pod
from tests.log_files import events_of

PATIENCE_SECONDS = 120.0
REPLICAS = ("r1", "r2", "r3")
PROGRAMS = (("n1", "agent"), *((host, process) for host in REPLICAS for process in ("api", "raft")))
LONG_AGO_SECONDS = 400 * 86_400.0


@pytest.fixture
def own() -> Iterator[Cluster]:
    """A lab of three replicas and one node, removed afterwards whatever happens."""
    with running_lab(f"e2e-x-{os.getpid()}", "--replicas", "3", "--nodes", "1") as cluster:
        yield cluster


class Keys:
    """What lies below /etc/timonier/pki of the lab's hosts."""

    def __init__(self, cluster: Cluster) -> None:
        self._lab = cluster.lab

    def etc(self, host: str) -> Path:
        return self._lab.host(host).state_dir / "etc"

    def authority(self, name: str) -> pki.KeyPair:
        folder = self.etc("r1") / "pki"
        return pki.KeyPair((folder / f"{name}.crt").read_bytes(), (folder / f"{name}.key").read_bytes())

    def expire(self, path: Path, authority: str, dns_names: Sequence[str] = ()) -> None:
        """Replace NAME.crt by one of the same key and identity whose year is over."""
        key_pem = path.with_suffix(".key").read_bytes()
        write_private(path, self.expired(path.read_bytes(), key_pem, authority, dns_names))

    def expired(self, cert_pem: bytes, key_pem: bytes, authority: str, dns_names: Sequence[str] = ()) -> bytes:
        subject = pki.read_subject(cert_pem)
        request = pki.request_for(key_pem, subject.common_name)
        made = time.time() - LONG_AGO_SECONDS
        return pki.sign_request(
            self.authority(authority),
            request,
            subject.common_name,
            made,
            groups=subject.groups,
            dns_names=dns_names,
        )

    def expire_all(self) -> None:
        """Of replicas, of the node and of the administrator; then the key of Raft's authority goes."""
        for host in REPLICAS:
            folder = self.etc(host) / "pki"
            self.expire(folder / "api.crt", "ca", api_names(host, "cluster.local"))
            self.expire(folder / "raft.crt", "raft-ca", [raft_dns_name(host)])
        self.expire(self.etc("n1") / "pki" / "node.crt", "ca")
        tree = yaml.safe_load(self._lab.admin_conf.read_text())
        user = tree["users"][0]["user"]
        pair = [base64.b64decode(user[field]) for field in ("client-certificate-data", "client-key-data")]
        user["client-certificate-data"] = base64.b64encode(self.expired(*pair, "ca")).decode()
        write_private(self._lab.admin_conf, yaml.safe_dump(tree).encode())
        for host in REPLICAS:
            (self.etc(host) / "pki" / "raft-ca.key").rename(self.etc(host) / "kept-elsewhere")

    def bring_back(self, host: str) -> None:
        """The key that was gone."""
        (self.etc(host) / "kept-elsewhere").rename(self.etc(host) / "pki" / "raft-ca.key")


def switch_all(cluster: Cluster, *, on: bool) -> None:
    for host, process in PROGRAMS:
        cluster.switch(host, process, on=on)
    eventually(
        f"everything {'runs' if on else 'has ended'}",
        lambda: all(bool(cluster.processes(host)[process]) is on for host, process in PROGRAMS),
        PATIENCE_SECONDS,
    )


def by_socket(cluster: Cluster, *words: str) -> Done:
    """`tim` as root of r1, without any certificate."""
    socket = cluster.lab.host("r1").run_dir / "admin.sock"
    return run([TIM, "--socket", str(socket), *words], environment={**os.environ, "TIMCONFIG": "/nowhere"})


def agent_said(cluster: Cluster, event: str) -> list[dict[str, Any]]:
    said = events_of(cluster.lab.host("n1").state_dir / "log" / "agent.log")
    return [each for each in said if each["event"] == event]


def test_a_cluster_whose_certificates_have_all_expired_is_mended_and_no_pod_notices(own: Cluster, tmp_path: Path):
    cluster, keys = own, Keys(own)
    cluster.apply(POD + "\n---\n" + config_map("written-before"))
    eventually(
        "the pod runs",
        lambda: cluster.get("pods", "default", "lasting")["status"].get("phase") == "Running",
        PATIENCE_SECONDS,
    )
    pid, uid = pid_of_pod(cluster), cluster.get("pods", "default", "lasting")["metadata"]["uid"]
    switch_all(cluster, on=False)
    keys.expire_all()
    switch_all(cluster, on=True)

    refused = cluster.tim("get", "pods", check=False)
    assert "the client certificate has expired on" in refused.error_line
    assert "make another one on a replica (`tim pki user`)" in refused.error_line
    eventually("root still comes in", lambda: by_socket(cluster, "status").code == 0, PATIENCE_SECONDS)
    assert "leader" not in by_socket(cluster, "status").out, "the replicas do not accept each other"
    eventually("the agent says why", lambda: agent_said(cluster, "session_refused"), PATIENCE_SECONDS)
    assert "`tim token create --renew --name n1`" in agent_said(cluster, "session_refused")[-1]["error"]

    for host in REPLICAS:
        folder = str(keys.etc(host) / "pki")
        lacking = run([TIM, "pki", "renew", "--offline", "--pki-dir", folder])
        assert "raft-ca.key is missing: copy it from another replica" in lacking.error_line
        keys.bring_back(host)
        renewed = run([TIM, "pki", "renew", "--offline", "--pki-dir", folder])
        assert renewed.code == 0, renewed.err
        assert "expired" not in run([TIM, "pki", "show", "--pki-dir", folder]).out
    eventually("the replicas serve again", lambda: by_socket(cluster, "get", "nodes").code == 0, PATIENCE_SECONDS)

    new = tmp_path / "new.conf"
    made = ["kubernetes-admin", "--group", "system:masters", "-o", str(new), "--dir", str(keys.etc("r1"))]
    assert run([TIM, "pki", "user", *made]).code == 0
    read = partial(run, [TIM, "--kubeconfig", str(new), "get", "configmap", "written-before"])
    eventually("the administrator is let in", lambda: read().code == 0, PATIENCE_SECONDS, read)
    assert pid_of_pod(cluster) == pid

    printed = by_socket(cluster, "token", "create", "--renew", "--name", "n1").out.split()
    assert printed[:2] == ["tim", "join"]
    joined = cluster.in_host("n1", TIM, *printed[1:], "--dir", str(keys.etc("n1")))
    assert "renewed, good until" in joined.out
    new.replace(cluster.lab.admin_conf)

    def heard() -> bool:
        node = json.loads(cluster.tim("get", "node", "n1", "-o", "json").out)
        return (
            condition(node, "Ready") == "True" and cluster.tim("exec", "lasting", "--", "true", check=False).code == 0
        )

    eventually("the node is heard", heard, PATIENCE_SECONDS)
    assert pid_of_pod(cluster) == pid, "the pod's container is the one of before"
    pod = json.loads(cluster.tim("get", "pod", "lasting", "-o", "json").out)
    assert pod["metadata"]["uid"] == uid
    assert [each["restartCount"] for each in pod["status"]["containerStatuses"]] == [0]
