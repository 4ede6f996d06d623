"""EndpointSlices converge from any state and any interruption, within their size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.controllers import endpointslice
from controlplane.controllers.actions import Create, Delete, Update
from tests.builders import cached, pod, service

pytestmark = pytest.mark.slow

pod_sets = st.lists(
    st.tuples(st.integers(0, 15), st.booleans(), st.booleans(), st.sampled_from([80, 8080])),
    max_size=12,
    unique_by=lambda each: each[0],
)


def build(description):
    trees = []
    for number, ready, deleting, port in description:
        tree = pod(f"p{number}", ip=f"10.0.0.{number + 1}", ready=ready, deleting=deleting)
        tree["spec"]["containers"][0]["ports"] = [{"name": "web", "containerPort": port}]
        trees.append(tree)
    return trees


def decide(pods, slices):
    svc = service(ports=[{"port": 80, "targetPort": "web"}])
    found = [cached(s) for s in slices.values()]
    return endpointslice.reconcile(cached(svc), [cached(p) for p in pods], found, {}, max_endpoints=3)


def perform(actions, slices):
    slices = dict(slices)
    for action in actions:
        match action:
            case Create(tree):
                assert tree["metadata"]["name"] not in slices
                slices[tree["metadata"]["name"]] = tree
            case Update(tree):
                slices[tree["metadata"]["name"]] = tree
            case Delete(_, _, name):
                del slices[name]
    return slices


@given(st.lists(st.tuples(pod_sets, st.integers(0, 5)), min_size=1, max_size=5))
def test_slices_say_what_is_there_whatever_was_interrupted(history):
    slices = {}
    for description, length in history:
        slices = perform(decide(build(description), slices)[:length], slices)
    pods = build(history[-1][0])
    slices = perform(decide(pods, slices), slices)
    assert decide(pods, slices) == []
    listed = sorted(
        (e["targetRef"]["name"], s["ports"][0]["port"], e["conditions"]["ready"])
        for s in slices.values()
        for e in s["endpoints"]
    )
    assert listed == sorted((f"p{n}", port, ready and not going) for n, ready, going, port in history[-1][0])
    assert all(1 <= len(s["endpoints"]) <= 3 for s in slices.values())
