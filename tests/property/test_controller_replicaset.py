"""Whatever part of its decisions was performed, the next pass of the ReplicaSet controller finishes the job."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.controllers.actions import Create, Delete, Record, Update, UpdateStatus
from controlplane.controllers.replicaset import Surroundings, reconcile
from tests.builders import NOW, cached, pod, replica_set

pytestmark = pytest.mark.slow

pods_strategy = st.lists(
    st.fixed_dictionaries(
        {
            "phase": st.sampled_from(["Pending", "Running", "Failed", "Succeeded"]),
            "ready": st.booleans(),
            "deleting": st.booleans(),
            "owned": st.booleans(),
            "matching": st.booleans(),
            "node": st.sampled_from(["", "n1", "n2"]),
        }
    ),
    max_size=8,
)


def world(rs, descriptions):
    trees = {}
    for number, d in enumerate(descriptions):
        tree = pod(
            f"p{number}",
            phase=d["phase"],
            ready=d["ready"],
            deleting=d["deleting"],
            node=d["node"],
            owner=rs if d["owned"] else None,
            labels={"app": "web" if d["matching"] else "other"},
        )
        trees[tree["metadata"]["name"]] = tree
    return trees


def decide(rs, trees):
    candidates = [cached(t) for t in trees.values()]
    return reconcile(cached(rs), candidates, Surroundings(NOW, taken=trees.keys()))


def perform(actions, rs, trees):
    """What the API does with the actions; pods on nodes stay terminating until their agent is done."""
    trees, rs = dict(trees), dict(rs)
    for action in actions:
        match action:
            case Create(tree):
                name = tree["metadata"]["name"]
                assert name not in trees, "a name was used twice"
                trees[name] = tree | {"status": {"phase": "Pending"}}
            case Update(tree):
                trees[tree["metadata"]["name"]] = tree
            case Delete(_, _, name):
                old = trees[name]
                if old["spec"].get("nodeName"):
                    trees[name] = old | {"metadata": old["metadata"] | {"deletionTimestamp": "2025-06-15T15:06:40Z"}}
                else:
                    del trees[name]
            case UpdateStatus(tree):
                rs["status"] = tree["status"]
    return rs, trees


def counting(rs, trees):
    uid = "uid-of-web-1"
    return [
        t
        for t in trees.values()
        if t["status"]["phase"] in ("Pending", "Running")
        and "deletionTimestamp" not in t["metadata"]
        and any(o["uid"] == uid for o in t["metadata"].get("ownerReferences", []))
        and t["metadata"]["labels"] == {"app": "web"}
    ]


@given(st.integers(0, 6), pods_strategy, st.lists(st.integers(0, 12), max_size=4))
def test_converges_even_when_interrupted(replicas, descriptions, prefixes):
    rs = replica_set(replicas=replicas)
    trees = world(rs, descriptions)
    for length in prefixes:
        rs, trees = perform(decide(rs, trees)[:length], rs, trees)
    for _ in range(4):
        rs, trees = perform(decide(rs, trees), rs, trees)
    assert decide(rs, trees) == []
    assert len(counting(rs, trees)) == replicas
    assert rs["status"]["replicas"] == replicas


@given(st.integers(0, 6), pods_strategy)
def test_never_creates_and_deletes_in_one_pass_and_never_too_many(replicas, descriptions):
    rs = replica_set(replicas=replicas)
    trees = world(rs, descriptions)
    actions = decide(rs, trees)
    creates = sum(isinstance(a, Create) for a in actions)
    deletes = sum(isinstance(a, Delete) for a in actions)
    assert not (creates and deletes)
    assert creates <= replicas
    assert sum(isinstance(a, Record) for a in actions) == creates + deletes
