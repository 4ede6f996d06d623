"""A node meets control planes that are not its own, at the address of its own: it obeys none and loses nothing.

Two real clusters after the other on the host of one replica, from most foreign to least: another CA, another uid under
the same CA, and the same configuration with all data lost.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from api.object import Tree
from component import kubeconfig, pki
from component.env import system_env
from component.files import write_private
from component.rpc import Tls
from component.rpc_client import RpcClient
from controlplane.bootstrap import plan_cluster
from controlplane.config import ServerConfig
from lab.layout import Host
from tests.e2e.cluster import Cluster, condition, eventually
from tests.e2e.labs import small_lab
from tests.e2e.test_replicas import POD, pid_of_pod
from tests.log_files import events_of


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    """A lab of one replica and one node, removed afterwards whatever happens."""
    with small_lab("f") as cluster:
        yield cluster


PATIENCE_SECONDS = 120.0  # the agent asks every five seconds, and test machines are slow


def heard(cluster: Cluster) -> bool:
    """Whether the node is Ready and lets a command into its pod."""
    ready = condition(cluster.get("nodes", "", "n1"), "Ready") == "True"
    return ready and cluster.tim("exec", "lasting", "--", "true", check=False).code == 0


def told_by_agent(cluster: Cluster, text: str) -> bool:
    """Whether the node's log gives `text` as the reason why there is no session."""
    events = events_of(cluster.lab.host("n1").state_dir / "log" / "agent.log")
    return any(each["event"] in {"session_refused", "session_lost"} and text in each["error"] for each in events)


def switch(cluster: Cluster, *, on: bool) -> None:
    """Stop or start both programs of r1; its host stays as it is."""
    for process in ("api", "raft"):
        cluster.switch("r1", process, on=on)
        eventually(
            f"{process} {'runs' if on else 'has ended'}",
            lambda process=process: bool(cluster.processes("r1")[process]) is on,
            PATIENCE_SECONDS,
        )


@contextmanager
def replaced_by(cluster: Cluster, uid: str, ca: pki.KeyPair | None) -> Iterator[RpcClient]:
    """Another control plane on the host of r1 instead of the node's own, which is back afterwards."""
    switch(cluster, on=False)
    host = cluster.lab.host("r1")
    aside = host.state_dir / "aside"
    aside.mkdir()
    for name in ("etc", "data"):
        (host.state_dir / name).rename(aside / name)
    admin_conf = install(host, aside / "etc", uid, ca)
    switch(cluster, on=True)

    async def connect() -> RpcClient:
        found = kubeconfig.resolve(kubeconfig.read(admin_conf), admin_conf)
        return RpcClient(found.endpoints, Tls(found.ca_pem, found.cert_pem, found.key_pem), system_env())

    client = cluster.call(connect())
    try:
        eventually(
            "the other control plane serves",
            lambda: cluster.call(client.get("namespaces", "", "kube-system")),
            PATIENCE_SECONDS,
        )
        yield client
    finally:
        cluster.call(client.close())
        switch(cluster, on=False)
        for name in ("etc", "data"):
            shutil.rmtree(host.state_dir / name)
            (aside / name).rename(host.state_dir / name)
        aside.rmdir()
        switch(cluster, on=True)


def install(host: Host, before: Path, uid: str, ca: pki.KeyPair | None) -> Path:
    """The files of a control plane of one replica on `host`; returns the administrator's configuration."""
    etc, data = host.state_dir / "etc", host.state_dir / "data"
    settings = yaml.safe_load((before / "server.yaml").read_text())
    config = ServerConfig(
        replica="r1", cluster_uid=uid, replicas={"r1": host.address}, pki_dir=str(etc / "pki"), data_dir=str(data)
    )
    files = plan_cluster(config, system_env(), ca=ca)
    data.mkdir()
    for relative, content in files.replicas["r1"].items():
        write_private(etc / relative, content)
    write_private(etc / "server.yaml", yaml.safe_dump({**settings, "cluster_uid": uid}).encode())
    write_private(etc / "admin.conf", files.admin_conf)
    return etc / "admin.conf"


@pytest.fixture(scope="module")
def pod(own: Cluster) -> Tree:
    """The node's pod, which runs all the time."""
    own.apply(POD)
    eventually(
        "the pod runs",
        lambda: own.get("pods", "default", "lasting")["status"].get("phase") == "Running",
        PATIENCE_SECONDS,
    )
    return own.get("pods", "default", "lasting")


@pytest.mark.parametrize(
    ("same_ca", "same_uid", "reason"),
    [
        (False, False, "pki/ca.crt (certificate-authority): it is another cluster's, or reset this node and join"),
        (True, False, "belongs to cluster {uid}, this is another: its pods keep running"),
        (True, True, "knows another state of cluster {uid}, which lost its data and began anew"),
    ],
    ids=["another CA", "another uid", "no data"],
)
def test_a_node_obeys_no_control_plane_but_its_own_and_loses_no_container(
    own: Cluster, pod: Tree, same_ca: bool, same_uid: bool, reason: str
) -> None:
    cluster, pid = own, pid_of_pod(own)
    uid = cluster.call(cluster.client.cluster_status()).cluster_uid
    keys = cluster.lab.host("r1").state_dir / "etc" / "pki"
    ca = pki.KeyPair((keys / "ca.crt").read_bytes(), (keys / "ca.key").read_bytes())
    with replaced_by(cluster, uid if same_uid else "another", ca if same_ca else None) as client:
        cluster.call(client.create({**yaml.safe_load(POD), "metadata": {"name": "intruder", "namespace": "default"}}))
        eventually("the node says why", lambda: told_by_agent(cluster, reason.format(uid=uid)), PATIENCE_SECONDS)
        assert cluster.call(client.list("nodes")).items == (), "it is not even known there"
        assert pid_of_pod(cluster) == pid
    eventually("it is heard in its own", lambda: heard(cluster), PATIENCE_SECONDS)
    assert cluster.get("pods", "default", "lasting")["metadata"]["uid"] == pod["metadata"]["uid"]
    assert pid_of_pod(cluster) == pid
