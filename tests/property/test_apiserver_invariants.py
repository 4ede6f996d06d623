"""Whatever clients do at once, and however often they repeat themselves, what the API promises holds.

Random writers hammer one core; some writes are repeated after an answer that was "lost". Afterwards: cluster IPs and
pod ranges are unique and claimed exactly by their owners, ledgers equal what bound and unfinished pods ask for,
generations count changes of specs, and the watch tells exactly what happened.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import uuid
from collections import Counter
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.core import PodSpec
from api.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound, TooLarge
from api.resources import pod_requests
from component.client import Binding
from controlplane.apiserver.sending import Sending
from tests.api_server import ADMIN, node, pod, running_core
from tests.waiting import DEADLINE_SECONDS

EXPECTED = (AlreadyExists, Conflict, Forbidden, Invalid, NotFound, TooLarge)
NAMES = ["a", "b", "c"]
NODES = ["n1", "n2"]

operation = st.one_of(
    st.tuples(st.just("create_pod"), st.sampled_from(NAMES), st.sampled_from(["100m", "700m", "2"]), st.booleans()),
    st.tuples(st.just("create_static"), st.sampled_from(NAMES), st.sampled_from(NODES)),
    st.tuples(st.just("bind"), st.sampled_from(NAMES), st.sampled_from(NODES)),
    st.tuples(st.just("finish"), st.sampled_from(NAMES), st.sampled_from(["Succeeded", "Failed", "Running"])),
    st.tuples(st.just("label"), st.sampled_from(NAMES), st.integers(0, 3)),
    st.tuples(st.just("finalize"), st.sampled_from(NAMES), st.booleans()),
    st.tuples(
        st.just("delete"),
        st.sampled_from(["pods", "services", "nodes"]),
        st.sampled_from(NAMES + NODES),
        st.sampled_from([None, 0, 5]),
    ),
    st.tuples(
        st.just("create_service"), st.sampled_from(NAMES), st.sampled_from(["", "None", "10.96.0.20", "10.96.0.21"])
    ),
    st.tuples(st.just("apply_service"), st.sampled_from(NAMES), st.integers(80, 82)),
    st.tuples(st.just("create_node"), st.sampled_from(NODES)),
)


def sized_pod(name, cpu, **extra):
    tree = pod(name, **extra)
    tree["spec"]["containers"][0]["resources"] = {"requests": {"cpu": cpu}}
    return tree


def service(name, port=80, address=""):
    spec = {"selector": {"app": name}, "ports": [{"port": port}]}
    if address:
        spec["clusterIP"] = address
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


async def change(api, name, edit):
    tree = (await api.get("pods", "default", name)).tree()
    edit(tree)
    await api.update(tree)


async def create_pod(cluster, name, cpu, repeated):
    """With an id, by which a repetition is told from a new request: one that comes late makes no pod that is gone."""
    uid = cluster.env.new_uid()
    tree = sized_pod(name, cpu, metadata={"uid": uid})
    sending = Sending(uuid.UUID(uid).bytes, cluster.replica.state.revision)
    created = await cluster.core.create(ADMIN, tree, sending=sending)
    if repeated:  # as if the answer had been lost
        again = await cluster.core.create(ADMIN, tree, sending=replace(sending, repeated=True))
        assert again.uid == created.uid, "its own first attempt stands in its way"


async def bind(api, name, to):
    stored = await api.get("pods", "default", name)
    (error,) = await api.bind([Binding("default", name, stored.uid, to)])
    if error is not None:
        raise error


async def finish(api, name, phase):
    tree = (await api.get("pods", "default", name)).tree()
    await api.update_status({**tree, "status": {**tree["status"], "phase": phase}})


async def delete(api, resource, name, grace):
    await api.delete(resource, "" if resource == "nodes" else "default", name, grace_seconds=grace)


PERFORM = {
    "create_pod": create_pod,
    "create_static": lambda cluster, name, to: cluster.local.create(sized_pod(name, "50m", nodeName=to)),
    "bind": lambda cluster, name, to: bind(cluster.local, name, to),
    "finish": lambda cluster, name, phase: finish(cluster.local, name, phase),
    "label": lambda cluster, name, value: change(
        cluster.local, name, lambda tree: tree["metadata"].update(labels={"v": str(value)})
    ),
    "finalize": lambda cluster, name, held: change(
        cluster.local, name, lambda tree: tree["metadata"].update(finalizers=["x.io/hold"] if held else [])
    ),
    "delete": lambda cluster, resource, name, grace: delete(cluster.local, resource, name, grace),
    "create_service": lambda cluster, name, address: cluster.local.create(service(name, address=address)),
    "apply_service": lambda cluster, name, port: cluster.local.apply(service(name, port)),
    "create_node": lambda cluster, name: cluster.local.create(node(name, cpu="1")),
}


def dawdle(cluster):
    """Let time pass between decisions and commits, so that others get in between."""
    commit, rng = cluster.replica.commit, random.Random(1)

    async def slow_commit(ops, **options):
        for _ in range(rng.randrange(12)):
            await asyncio.sleep(0)
        return await commit(ops, **options)

    cluster.replica.commit = slow_commit


async def run(folder, writers):
    async with running_core(folder) as cluster:
        start = cluster.replica.state.revision
        dawdle(cluster)
        await cluster.local.create(node("n1", cpu="1"))

        async def write(steps):
            for step in steps:
                try:
                    await PERFORM[step[0]](cluster, *step[1:])
                except EXPECTED:
                    continue

        await asyncio.gather(*(write(steps) for steps in writers))
        check_addresses(cluster)
        check_ledgers(cluster)
        await check_history(cluster, start)


def trees(cluster, resource):
    return [msgspec.json.decode(stored.body) for stored in cluster.replica.state.scan(resource)]


def check_addresses(cluster):
    state = cluster.replica.state
    held = {
        tree["spec"]["clusterIP"]: tree["metadata"]["uid"]
        for tree in trees(cluster, "services")
        if tree["spec"]["clusterIP"] != "None"
    }
    assert held == dict(state.claims("clusterip"))
    ranges = {tree["spec"]["podCIDR"]: tree["metadata"]["uid"] for tree in trees(cluster, "nodes")}
    assert ranges == dict(state.claims("podrange"))


def check_ledgers(cluster):
    expected = {}
    for tree in trees(cluster, "pods"):
        to = tree["spec"].get("nodeName")
        if to and tree["status"]["phase"] not in {"Succeeded", "Failed"}:
            ledger = expected.setdefault(f"node/{to}", Counter())
            ledger.update(pod_requests(msgspec.convert(tree["spec"], PodSpec)))
    assert {name: dict(amounts) for name, amounts in cluster.replica.state.all_ledgers()} == {
        name: dict(amounts) for name, amounts in expected.items()
    }


async def check_history(cluster, start):
    """Replaying the watch gives the stored pods; generations follow the specs; no uid comes back to life."""
    now: dict[str, dict] = {}
    gone: set[str] = set()
    end = (await cluster.local.create(sized_pod("the-last-one", "1m"))).revision
    stream = cluster.core.reads.watch(cluster.local._identity, "pods", revision=start)
    last = start
    while last < end:
        batch = await asyncio.wait_for(anext(stream), DEADLINE_SECONDS)
        for event in batch.events:
            assert event.revision > last
            last = event.revision
            check_event(event, now, gone)
    await stream.aclose()
    assert now == {tree["metadata"]["name"]: tree for tree in trees(cluster, "pods")}


def check_event(event, now, gone):
    tree = msgspec.json.decode(event.body)
    name, uid = tree["metadata"]["name"], tree["metadata"]["uid"]
    before = now.get(name)
    assert uid not in gone
    if event.type == 3:
        assert before == tree
        del now[name]
        gone.add(uid)
        return
    now[name] = tree
    if before is None:
        assert (event.type, tree["metadata"]["generation"]) == (1, 1)
        return
    assert (event.type, before["metadata"]["uid"]) == (2, uid)
    marked = "deletionTimestamp" in tree["metadata"] and "deletionTimestamp" not in before["metadata"]
    grown = tree["metadata"]["generation"] - before["metadata"]["generation"]
    assert grown == int(before["spec"] != tree["spec"]) + int(marked)


@pytest.mark.slow
@settings(max_examples=100)
@given(writers=st.lists(st.lists(operation, max_size=12), min_size=2, max_size=6))
def test_concurrent_writers_never_break_what_the_api_promises(writers):
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder), writers))
