"""Controllers and scheduler on the real API core: what they write is accepted, and it goes as it does on the fake."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from api import errors
from controlplane.apiserver.objects import tree_of
from controlplane.controllers.run import run_all
from tests import api_server, builders
from tests.waiting import DEADLINE_SECONDS, eventually

pytestmark = pytest.mark.slow

DEPLOYMENTS = "deployments.apps"
SETS = "replicasets.apps"
SLICES = "endpointslices.discovery.k8s.io"


class Heard:
    """Every node was heard just now."""

    def __init__(self, names):
        self.names = names

    def ages(self):
        return dict.fromkeys(self.names, 0.0)


async def play_agents(client):
    """Pods on nodes become ready, terminating ones go."""
    async for batch in client.watch("pods"):
        for event in batch:
            if event.object is None or event.type == "DELETED":
                continue
            with contextlib.suppress(errors.NotFound, errors.Conflict):
                item = await client.get("pods", event.object.namespace, event.object.name)
                tree = item.tree()
                if not tree["spec"].get("nodeName"):
                    continue
                if "deletionTimestamp" in tree["metadata"]:
                    await client.delete("pods", item.namespace, item.name, uid=item.uid, grace_seconds=0)
                elif tree["status"]["phase"] == "Pending":
                    ready = {"type": "Ready", "status": "True", "lastTransitionTime": builders.NOW_STAMP}
                    conditions = [*tree["status"].get("conditions", []), ready]
                    address = f"10.244.0.{item.revision % 250 + 1}"
                    tree["status"] |= {"phase": "Running", "podIP": address, "conditions": conditions}
                    await client.update_status(tree)


@contextlib.asynccontextmanager
async def leading(folder):
    async with api_server.running_core(folder) as cluster:
        client = cluster.local
        names = ["n1", "n2", "n3"]
        for name in names:
            tree = api_server.node(name)
            tree["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
            await client.create(tree)
        jobs = [
            run_all(client, cluster.env, Heard(names), lambda: ("10.1.0.1:6443", "10.1.0.2:6443"), "CA"),
            play_agents(client),
        ]
        tasks = [asyncio.ensure_future(job) for job in jobs]
        try:
            yield Looking(client, cluster)
            assert not any(task.done() for task in tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class Looking:
    """Reads of the replica's own state, for conditions that are asked often."""

    def __init__(self, client, cluster):
        self.client = client
        self._state = cluster.replica.state

    def trees(self, resource, namespace=""):
        found = self._state.scan(resource, namespace) if namespace else self._state.scan(resource)
        return [tree_of(stored.body) for stored in found]

    @property
    def revision(self):
        return self._state.revision

    def complete(self, replicas, name="web"):
        for tree in self.trees(DEPLOYMENTS):
            if tree["metadata"]["name"] == name:
                status = tree.get("status", {})
                counts = {status.get(n, 0) for n in ("replicas", "updatedReplicas", "availableReplicas")}
                return counts == {replicas} and status["observedGeneration"] == tree["metadata"]["generation"]
        return False

    def endpoints(self, service):
        return sum(
            len(tree["endpoints"])
            for tree in self.trees(SLICES)
            if tree["metadata"]["labels"]["kubernetes.io/service-name"] == service
        )


async def test_a_deployment_comes_up_rolls_and_goes(tmp_path):
    async with leading(tmp_path) as look:
        client = look.client
        await eventually(lambda: look.endpoints("kubernetes") == 2)
        await client.create(builders.deployment(replicas=4, image="v1"))
        await client.create(builders.service(clusterIP="10.96.0.55"))
        await eventually(lambda: look.complete(4) and look.endpoints("web") == 4)
        tree = (await client.get(DEPLOYMENTS, "default", "web")).tree()
        tree["spec"]["template"]["spec"]["containers"][0]["image"] = "v2"
        await client.update(tree)
        await eventually(lambda: look.complete(4) and len(look.trees(SETS)) == 2)
        events = {(e["involvedObject"]["kind"], e["reason"]) for e in look.trees("events")}
        await eventually(lambda: any(e["reason"] == "Scheduled" for e in look.trees("events")))
        assert all(kind in {"Deployment", "ReplicaSet", "Pod"} for kind, _ in events)
        await client.delete(DEPLOYMENTS, "default", "web", propagation="Foreground")
        await client.delete("services", "default", "web")
        await eventually(lambda: not (look.trees("pods") or look.trees(SETS) or look.trees(DEPLOYMENTS)))
        await eventually(lambda: look.endpoints("web") == 0)


async def turns():
    """Let everybody do what there is to be done at once."""
    for _ in range(200):
        await asyncio.sleep(0)


async def quiet(look):
    """Return once nothing was written for a quarter of a second: controllers come to rest each in its own time."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        before = -1
        while before != look.revision:
            before = look.revision
            await asyncio.sleep(0.25)
            await turns()


async def test_a_settled_cluster_writes_nothing(tmp_path):
    async with leading(tmp_path) as look:
        await look.client.create(builders.deployment(replicas=3))
        await eventually(lambda: look.complete(3))
        await eventually(lambda: len(look.trees("events")) == 7)  # one scaling, three creations, three placements
        await quiet(look)
        namespace = (await look.client.get("namespaces", "", "default")).tree()
        namespace["metadata"]["labels"] = {"touched": "yes"}
        touched = await look.client.update(namespace)
        await turns()
        assert look.revision == touched.revision


async def test_a_namespace_goes_with_all_that_is_in_it(tmp_path):
    async with leading(tmp_path) as look:
        client = look.client
        await client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
        await eventually(lambda: look.trees("serviceaccounts", "team"))
        tree = builders.deployment(replicas=2)
        tree["metadata"]["namespace"] = "team"
        await client.create(tree)
        await eventually(lambda: len(look.trees("pods", "team")) == 2)
        await client.delete("namespaces", "", "team")
        await eventually(lambda: "team" not in {t["metadata"]["name"] for t in look.trees("namespaces")})


async def test_pods_beyond_the_room_wait_with_an_explanation(tmp_path):
    async with leading(tmp_path) as look:
        tree = builders.deployment(replicas=4)
        tree["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "3"}}
        await look.client.create(tree)

        def messages():
            return [
                c["message"]
                for t in look.trees("pods")
                for c in t["status"].get("conditions", [])
                if c["type"] == "PodScheduled" and c["status"] == "False"
            ]

        await eventually(lambda: messages() == ["0/3 nodes are available: 3 Insufficient cpu."])

        def used():
            return sorted(t["spec"]["nodeName"] for t in look.trees("pods") if "nodeName" in t["spec"])

        await eventually(lambda: used() == ["n1", "n2", "n3"])
