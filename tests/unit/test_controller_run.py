"""All controllers and the scheduler together against the in-memory API, with a played agent."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest

from api import errors
from controlplane.controllers.run import run_all
from tests.builders import config_map, deployment, namespace, node, owned_by, pod, service
from tests.fake_env import FakeClock, fake_env
from tests.fakes import FakeApi
from tests.waiting import eventually

SLICES = "endpointslices.discovery.k8s.io"
DEPLOYMENTS = "deployments.apps"
SETS = "replicasets.apps"


class Ages:
    """Every node was heard just now unless it is `lost`."""

    def __init__(self, api):
        self.api = api
        self.lost = set()
        self.reads = 0

    def ages(self):
        self.reads += 1
        return {name: 0.0 for name in self.api.names("nodes") if name not in self.lost}


async def play_agents(api, ages):
    """Make bound pods ready and finish terminating ones, except on lost nodes."""
    address = 0
    async for batch in api.watch("pods"):
        for event in batch:
            if event.object is None or event.type == "DELETED":
                continue
            with contextlib.suppress(KeyError):
                tree = api.tree("pods", event.object.namespace, event.object.name)
                where = tree["spec"].get("nodeName")
                if not where or where in ages.lost:
                    continue
                if "deletionTimestamp" in tree["metadata"]:
                    api.finish(event.object.namespace, event.object.name)
                elif tree["status"]["phase"] == "Pending":
                    address += 1
                    api.report_ready(
                        event.object.namespace, event.object.name, ip=f"10.0.{address // 250}.{address % 250}"
                    )


@contextlib.asynccontextmanager
async def leading(api, ages=None, *, agents=True):
    ages = ages or Ages(api)
    jobs = [run_all(api, api.env, ages, lambda: ("10.1.0.1:6443",), "CA")]
    if agents:
        jobs.append(play_agents(api, ages))
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        yield ages
        for task in tasks:
            assert not task.done(), task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def cluster(count=3, **kwargs):
    api = FakeApi(fake_env(FakeClock()))
    for number in range(1, count + 1):
        api.put(node(f"n{number}", **kwargs))
    return api


def live(api):
    return [t for t in api.trees("pods") if "deletionTimestamp" not in t["metadata"]]


def status(api, name="web"):
    return api.tree(DEPLOYMENTS, "default", name).get("status", {})


def complete(api, replicas, name="web"):
    found = status(api, name)
    generation = api.tree(DEPLOYMENTS, "default", name)["metadata"]["generation"]
    counts = {found.get(n, 0) for n in ("replicas", "updatedReplicas", "availableReplicas")}
    return counts == {replicas} and found.get("observedGeneration") == generation


def ready_endpoints(api):
    return {
        e["targetRef"]["name"]
        for s in api.trees(SLICES)
        for e in s["endpoints"]
        if e["conditions"]["ready"] and "targetRef" in e
    }


async def test_a_deployment_and_its_service_come_up_and_go():
    api = cluster()
    async with leading(api):
        await api.create(deployment(replicas=6))
        await api.create(service())
        await eventually(lambda: complete(api, 6) and len(ready_endpoints(api)) == 6)
        assert sorted(t["spec"]["nodeName"] for t in live(api)) == ["n1", "n1", "n2", "n2", "n3", "n3"]
        await api.delete(DEPLOYMENTS, "default", "web")
        await api.delete("services", "default", "web")
        await eventually(lambda: not (api.trees("pods") or api.trees(SETS)))
        await eventually(lambda: api.names(SLICES) == ["kubernetes"])
    creates = [c for c in api.calls if c.verb == "create" and c.resource == "pods"]
    assert len(creates) == 6


async def test_nothing_on_the_way_to_ready_endpoints_waits_for_a_timer():
    api = cluster()
    async with leading(api):
        await eventually(lambda: len(api.names("serviceaccounts")) == 2)
        loop = asyncio.get_running_loop()
        stopped = loop.time()
        loop.time = lambda: stopped  # from here on no timer is ever due
        await api.create(service())
        await api.create(deployment(replicas=3))
        for _ in range(10_000):
            if complete(api, 3) and len(ready_endpoints(api)) == 3:
                break
            await asyncio.sleep(0)
        del loop.time
        assert complete(api, 3)
        assert len(ready_endpoints(api)) == 3


async def test_a_rolling_update_and_a_rollback():
    api = cluster()
    async with leading(api):
        await api.create(deployment(replicas=4, image="v1"))
        await eventually(lambda: complete(api, 4))
        for image, revision in (("v2", "2"), ("v1", "3")):
            tree = api.tree(DEPLOYMENTS, "default", "web")
            tree["spec"]["template"]["spec"]["containers"][0]["image"] = image
            await api.update(tree)
            await eventually(lambda: complete(api, 4))
            assert {t["spec"]["containers"][0]["image"] for t in live(api)} == {image}
            noted = api.tree(DEPLOYMENTS, "default", "web")["metadata"]["annotations"]
            assert noted["deployment.kubernetes.io/revision"] == revision
        assert len(api.trees(SETS)) == 2


async def test_foreground_deletion_ends_with_the_owner():
    api = cluster()
    order = []
    async with leading(api):
        await api.create(deployment(replicas=2))
        await eventually(lambda: complete(api, 2))
        await api.delete(DEPLOYMENTS, "default", "web", propagation="Foreground")

        def gone():
            counts = tuple(len(api.trees(r)) for r in (DEPLOYMENTS, SETS, "pods"))
            if not order or order[-1] != counts:
                order.append(counts)
            return counts == (0, 0, 0)

        await eventually(gone)
    assert all(pods == 0 for deployments, sets, pods in order if not sets)
    assert all(sets == 0 for deployments, sets, _ in order if not deployments)


async def test_orphaned_pods_stay_and_are_adopted_again():
    api = cluster()
    async with leading(api):
        await api.create(deployment(replicas=2))
        await eventually(lambda: complete(api, 2))
        (name,) = api.names(SETS)
        before = {t["metadata"]["uid"] for t in live(api)}
        await api.delete(DEPLOYMENTS, "default", "web", propagation="Orphan")
        await eventually(lambda: not api.trees(DEPLOYMENTS))
        await eventually(lambda: "ownerReferences" not in api.tree(SETS, "default", name)["metadata"])
        await api.create(deployment(replicas=2))
        await eventually(lambda: complete(api, 2))
        assert api.names(SETS) == [name]
        assert {t["metadata"]["uid"] for t in live(api)} == before


async def test_dependents_of_owners_that_never_existed_are_collected():
    api = cluster(0)
    async with leading(api):
        api.put(config_map("child", owners=[owned_by(config_map("nobody"))]))
        alive = api.put(config_map("owner"))
        reference = owned_by(config_map("owner")) | {"uid": alive.uid}
        api.put(config_map("kept", owners=[reference]))
        await eventually(lambda: {*api.names("configmaps")} == {"kept", "kube-root-ca.crt", "owner"})


async def test_a_terminating_namespace_is_emptied_and_goes():
    api = cluster()
    async with leading(api):
        await api.create(namespace("team"))
        await eventually(lambda: api.names("serviceaccounts", "team") == ["default"])
        tree = deployment(replicas=2)
        tree["metadata"]["namespace"] = "team"
        await api.create(tree)
        await eventually(lambda: len(api.trees("pods", "team")) == 2)
        await api.delete("namespaces", "", "team")
        await eventually(lambda: "team" not in api.names("namespaces"))
        for resource in ("pods", SETS, DEPLOYMENTS, "serviceaccounts", "events"):
            assert api.trees(resource, "team") == []


async def test_an_unschedulable_pod_is_explained_and_placed_when_room_comes():
    api = cluster(1, cpu="1")
    async with leading(api):
        await api.create(pod("big", node="", phase="Pending", requests={"cpu": "2"}))

        def condition():
            found = api.tree("pods", "default", "big")["status"].get("conditions", [])
            return next((c for c in found if c["type"] == "PodScheduled"), {})

        await eventually(lambda: condition().get("status") == "False")
        assert condition()["reason"] == "Unschedulable"
        assert condition()["message"] == "0/1 nodes are available: 1 Insufficient cpu."
        await eventually(lambda: any(e["reason"] == "FailedScheduling" for e in api.trees("events")))
        api.put(node("n2", cpu="4"))
        await eventually(lambda: bound(api, "big") == "n2")
        assert condition()["status"] == "True"


def bound(api, name):
    """The pod's node; lets some time pass, for back-offs go by the API's clock."""
    api.env.now.advance(0.05)
    return api.tree("pods", "default", name)["spec"].get("nodeName")


async def test_room_that_a_pod_leaves_is_used():
    api = cluster(1, pods="1")
    async with leading(api):
        await api.create(pod("a", node="", phase="Pending"))
        await eventually(lambda: api.tree("pods", "default", "a")["spec"].get("nodeName"))
        await api.create(pod("b", node="", phase="Pending"))
        await api.delete("pods", "default", "a")
        await eventually(lambda: bound(api, "b") == "n1")


@pytest.mark.slow
async def test_a_refused_binding_is_tried_again():
    api = cluster()
    refusals = iter([errors.Unavailable("no leader"), errors.Unknown("time-out"), errors.TooLarge("full")])
    api.fault = lambda call: next(refusals, None) if call.verb == "bind" else None
    async with leading(api):
        await api.create(pod("a", node="", phase="Pending"))
        await eventually(lambda: bound(api, "a"))


async def test_other_schedulers_pods_are_left_alone():
    api = cluster()
    async with leading(api):
        await api.create(pod("other", node="", phase="Pending", schedulerName="mine"))
        await api.create(pod("ours", node="", phase="Pending"))
        await eventually(lambda: api.tree("pods", "default", "ours")["spec"].get("nodeName"))
        assert "nodeName" not in api.tree("pods", "default", "other")["spec"]


async def pass_time(api, ages, seconds):
    """Let time pass in steps in which nodes are listened to: a leap would be taken for a pause of the replica itself."""
    for _ in range(round(seconds / 0.9)):
        reads = ages.reads
        api.env.now.advance(0.9)
        await eventually(lambda reads=reads: ages.reads > reads)


async def lose(api, ages, *names):
    """Let nodes fall silent while the others are heard, for longer than the four seconds they have."""
    ages.lost |= set(names)
    await pass_time(api, ages, 4.5)


def node_is(api, name, ready):
    return api.tree("nodes", "", name)["status"]["conditions"][0]["status"] == ready


@pytest.mark.slow
async def test_pods_of_a_lost_node_leave_services_and_are_replaced_elsewhere():
    api = cluster()
    async with leading(api) as ages:
        await api.create(deployment(replicas=3))
        await api.create(service())
        await eventually(lambda: len(ready_endpoints(api)) == 3)
        lost_pods = {t["metadata"]["name"] for t in live(api) if t["spec"]["nodeName"] == "n1"}
        await lose(api, ages, "n1")
        await eventually(lambda: node_is(api, "n1", "Unknown"))
        await eventually(lambda: len(ready_endpoints(api)) == 2 and not ready_endpoints(api) & lost_pods)
        await eventually(lambda: len(api.tree("nodes", "", "n1")["spec"].get("taints", [])) == 2)
        assert len(live(api)) == 3
        await pass_time(api, ages, 5.4)
        api.put(api.tree("nodes", "", "n1") | {"metadata": {"name": "n1", "labels": {"touched": "yes"}}})
        await eventually(lambda: len(ready_endpoints(api)) == 3)
        assert {t["spec"]["nodeName"] for t in live(api)} == {"n2", "n3"}
        stuck = [t for t in api.trees("pods") if "deletionTimestamp" in t["metadata"]]
        assert {t["metadata"]["name"] for t in stuck} == lost_pods
        await api.delete("nodes", "", "n1")
        await eventually(lambda: len(api.trees("pods")) == 3)


@pytest.mark.slow
async def test_nothing_is_evicted_while_half_of_the_nodes_are_lost():
    api = cluster(4)
    async with leading(api) as ages:
        await api.create(deployment(replicas=4))
        await eventually(lambda: complete(api, 4))
        await lose(api, ages, "n1", "n2")
        await eventually(lambda: node_is(api, "n1", "Unknown") and node_is(api, "n2", "Unknown"))
        await eventually(lambda: all(api.tree("nodes", "", n)["spec"].get("taints") for n in ("n1", "n2")))
        api.env.now.advance(60)
        for name in ("n1", "n2"):
            api.put(api.tree("nodes", "", name) | {"metadata": {"name": name, "labels": {"touched": "yes"}}})
        for _ in range(200):
            await asyncio.sleep(0)
        assert len(live(api)) == 4
        back = api.tree("nodes", "", "n2")
        back["status"]["conditions"][0]["status"] = "True"
        ages.lost.discard("n2")
        api.put(back)
        await eventually(lambda: "taints" not in api.tree("nodes", "", "n2")["spec"])
        assert len(live(api)) == 4


async def test_a_leader_that_takes_over_in_the_middle_makes_nothing_twice():
    api = cluster()
    rng = random.Random(7)
    await api.create(deployment(replicas=20))
    await api.create(service())
    for _ in range(12):
        async with leading(api):
            for _ in range(rng.randrange(60)):
                await asyncio.sleep(0)
    async with leading(api):
        await eventually(lambda: complete(api, 20) and len(ready_endpoints(api)) == 20)
    assert len(api.trees("pods")) == 20
    assert len(api.trees(SETS)) == 1
    assert len([s for s in api.names(SLICES) if s != "kubernetes"]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_it_gets_there_through_faults_of_every_kind(seed):
    api = cluster()
    rng = random.Random(seed)
    kinds = [
        errors.Unavailable("no leader"),
        errors.Unknown("time-out"),
        errors.Conflict("stale"),
        errors.Expired("old"),
    ]
    writes = {"create", "update", "update_status", "delete", "bind"}

    def fault(call):
        if rng.random() > 0.2 or not api.names("serviceaccounts"):
            return None
        error = rng.choice(kinds)
        return error if call.verb in writes or not isinstance(error, errors.Conflict) else None

    def there():
        api.env.now.advance(0.01)
        return complete(api, 5) and len(ready_endpoints(api)) == 5

    async with leading(api):
        api.put(deployment(replicas=5, image="v1"))
        api.put(service())
        api.fault = fault
        await eventually(there, 60)
        tree = api.tree(DEPLOYMENTS, "default", "web")
        tree["spec"]["template"]["spec"]["containers"][0]["image"] = "v2"
        tree["metadata"]["generation"] += 1
        api.put(tree)
        await eventually(there, 60)
        assert {t["spec"]["containers"][0]["image"] for t in live(api)} == {"v2"}
        assert len(live(api)) == 5


async def test_everything_stops_when_cancelled():
    api = cluster()
    before = asyncio.all_tasks()
    async with leading(api):
        await api.create(deployment(replicas=3))
        await eventually(lambda: live(api))
    assert asyncio.all_tasks() == before
    calls = len(api.calls)
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(api.calls) == calls
