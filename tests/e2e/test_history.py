"""All or nothing, and the past, on a cluster whose replicas are killed meanwhile."""

from __future__ import annotations

import threading
from contextlib import aclosing, suppress
from typing import Self

import pytest

from api.errors import ApiError, Unknown
from component.client import Write
from component.env import system_env
from component.rpc import Tls
from component.rpc_client import RpcClient
from tests.e2e.cluster import Cluster, Space, eventually, tell

BATCH = 20
MANIFEST = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {k: '%s'}\n"


def config_map(name: str, namespace: str, value: str, **labels: str) -> dict:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"k": value}}


@pytest.fixture
def replicas(cluster: Cluster):
    """A client for each replica that talks to nobody else."""
    from component import kubeconfig  # noqa: PLC0415 - only here

    path = cluster.lab.admin_conf
    found = kubeconfig.resolve(kubeconfig.read(path), path, "")
    tls = Tls(found.ca_pem, found.cert_pem, found.key_pem)

    async def connect():
        return [RpcClient([endpoint], tls, system_env()) for endpoint in found.endpoints]

    clients = cluster.call(connect())
    yield clients
    for client in clients:
        cluster.call(client.close())


class Reader:
    """Lists a namespace again and again, and keeps what it saw of any batch that was not whole."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.partial: list[dict[str, int]] = []
        self.lists = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            with suppress(ApiError):
                counts: dict[str, int] = {}
                for each in self.cluster.list("configmaps", self.namespace, labels="batch"):
                    batch = each["metadata"]["labels"]["batch"]
                    counts[batch] = counts.get(batch, 0) + 1
                self.lists += 1
                if any(count != BATCH for count in counts.values()):
                    self.partial.append(counts)


def test_a_batch_is_there_whole_or_not_at_all_while_leaders_are_killed(cluster, space: Space):
    cluster.wait_healthy()
    committed, unknown = [], []
    with Reader(cluster, space.name) as reader:
        for batch in range(24):
            killed = []
            if batch % 8 == 3:
                leader = eventually("a replica leads", cluster.leader)
                killed = [(leader, process, cluster.kill(leader, process)) for process in ("api", "raft")]
            trees = [config_map(f"b{batch}-{n}", space.name, "v", batch=str(batch)) for n in range(BATCH)]
            try:
                done = cluster.call(cluster.client.transaction([Write("create", tree) for tree in trees]))
                assert done.committed, [str(each.error) for each in done.results]
                committed.append(batch)
            except Unknown:
                unknown.append(batch)
            if killed:
                cluster.wait_restarted(killed)
    assert not reader.partial
    assert reader.lists > 10
    listed = cluster.list("configmaps", space.name, labels="batch")
    counts = {batch: sum(each["metadata"]["labels"]["batch"] == str(batch) for each in listed) for batch in range(24)}
    assert all(counts[batch] == BATCH for batch in committed)
    assert all(counts[batch] in {0, BATCH} for batch in unknown)
    tell(
        f"24 transactions of {BATCH} objects, leader killed 3 times: {len(unknown)} unknown, {reader.lists} whole lists"
    )


def test_the_past_is_the_same_on_every_replica_and_after_all_restarted(cluster, space: Space, replicas):
    cluster.wait_healthy()
    known = {}
    for number in range(12):
        space.apply(MANIFEST % (f"c{number % 4}", number))
        if number % 5 == 4:
            space.tim("delete", "configmap", f"c{number % 4}")
        listed = cluster.call(cluster.client.list("configmaps", space.name))
        known[listed.revision] = listed

    def check() -> None:
        for client in replicas:
            for revision, expected in known.items():
                found = cluster.call(client.list("configmaps", space.name, at_revision=revision))
                assert found.items == expected.items
                assert found.revision == revision

    check()
    killed = [(f"r{n}", process, cluster.kill(f"r{n}", process)) for n in (1, 2, 3) for process in ("api", "raft")]
    cluster.wait_restarted(killed)
    check()


class Watching:
    """A client's watch of a namespace's ConfigMaps after a revision, from the first event to a last one."""

    def __init__(self, cluster: Cluster, client: RpcClient, namespace: str, revision: int) -> None:
        self.events: list[tuple[str, int]] = []
        self._work = cluster.begin(self._follow(client, namespace, revision))

    async def _follow(self, client: RpcClient, namespace: str, revision: int) -> None:
        async with aclosing(client.watch("configmaps", namespace, revision=revision)) as batches:
            async for batch in batches:
                self.events += [(each.type, each.revision) for each in batch if each.type != "BOOKMARK"]
                if self.events and self.events[-1][0] == "DELETED":
                    return

    def up_to_the_deletion(self) -> list[tuple[str, int]]:
        self._work.result(timeout=120.0)
        return self.events


def test_watches_go_on_without_a_list_when_every_replica_restarts(cluster, space: Space, replicas):
    """24 MB are written meanwhile: what came before the snapshots of that is in the segments only."""
    cluster.wait_healthy()
    space.apply(MANIFEST % ("first", 0))
    revision = cluster.call(cluster.client.list("configmaps", space.name)).revision
    watching = [Watching(cluster, client, space.name, revision) for client in (cluster.client, cluster.client)]
    expected = []
    for number in range(36):
        tree = config_map(f"c{number % 3}", space.name, f"{number:03}" * 225_000)
        verb = "update" if number > 2 else "create"
        (done,) = cluster.call(cluster.client.transaction([Write(verb, tree)])).results
        expected.append(("MODIFIED" if number > 2 else "ADDED", done.object.revision))
        if number % 12 == 11:
            name = f"r{number // 12 + 1}"
            cluster.wait_restarted([(name, process, cluster.kill(name, process)) for process in ("api", "raft")])
    space.tim("delete", "configmap", "first")
    for found in [each.up_to_the_deletion() for each in watching]:
        assert found[:-1] == expected
    for client in replicas:
        again = Watching(cluster, client, space.name, revision).up_to_the_deletion()
        assert again == watching[0].events


def test_commands_look_back(cluster, space: Space, tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(MANIFEST % (name, 1))
    said = space.tim("apply", "--atomic", "-f", str(tmp_path)).out.splitlines()
    assert said[:2] == ["configmap/a created", "configmap/b created"]
    revision = said[2].rpartition(" ")[2]
    assert said[2] == f"2 objects at revision {revision}"
    space.tim("apply", "-f", "-", stdin=MANIFEST % ("a", 2))
    space.tim("delete", "configmap", "b")
    assert "k: '1'" in space.tim("get", "configmap/a", "--at", revision, "-o", "yaml").out
    listed = space.tim("get", "configmaps", "--at", revision, "-o", "name").out.split()
    assert [each for each in listed if each != "configmap/kube-root-ca.crt"] == ["configmap/a", "configmap/b"]
    changed = space.tim("diff", "configmaps", "--at", revision, check=False)
    assert changed.code == 1
    assert "-  k: '1'\n+  k: '2'\n" in changed.out
    assert f"--- {space.name}/configmap/b  revision {revision}" in changed.out
    assert [line.split()[2:] for line in space.tim("history", "cm/a").out.splitlines()] == [
        ["CHANGE", "BY", "FIELDS"],
        ["created", "kubernetes-admin"],
        ["changed", "kubernetes-admin", "data.k"],
    ]
    assert [line.split()[2] for line in space.tim("history", "cm/b").out.splitlines()[1:]] == ["created", "deleted"]
    assert "has not come yet" in space.tim("get", "pods", "--at", "99999999", check=False).error_line


def test_a_refused_folder_changes_nothing_and_tells_every_reason(cluster, space: Space, tmp_path):
    (tmp_path / "fine.yaml").write_text(MANIFEST % ("fine", 1))
    (tmp_path / "one.yaml").write_text((MANIFEST % ("one", 1)) + "colour: red\n")
    (tmp_path / "two.yaml").write_text("apiVersion: v1\nkind: Thing\nmetadata: {name: t}\n")
    done = space.tim("apply", "--atomic", "-f", str(tmp_path), check=False)
    assert done.code == 1
    assert done.out == ""
    lines = done.err.splitlines()
    assert lines[0] == "nothing was changed: 2 reasons against it"
    assert 'there is no kind "Thing"' in lines[1]
    assert "colour" in lines[2]
    assert len(lines) == 3
    assert not cluster.list("configmaps", space.name, fields="metadata.name=fine")
