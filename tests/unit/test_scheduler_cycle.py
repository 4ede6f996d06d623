"""One example per rule of placement."""

from __future__ import annotations

import dataclasses

import pytest

from api.wellknown import ZONE_LABEL
from controlplane.scheduler import facts
from controlplane.scheduler.cycle import Placed, Unschedulable, Waiting, by_class, schedule
from controlplane.scheduler.filters import PodClass, TolerationRule
from controlplane.scheduler.snapshot import NodeFacts, NodeTaint, PodUse, Snapshot
from tests.builders import cached, node, pod, replica_set, taint


def snapshot_of(*trees):
    snapshot = Snapshot()
    for tree in trees:
        snapshot.set_node(facts.node_facts(cached(tree)))
    return snapshot


def waiting(**kwargs):
    return facts.waiting(cached(pod(kwargs.pop("name", "p"), node="", phase="Pending", **kwargs)))


def place(snapshot, **kwargs):
    (answer,) = schedule(snapshot, [waiting(**kwargs)])
    return answer.node if isinstance(answer, Placed) else answer.message


def test_without_nodes_nothing_can_be_placed():
    assert place(snapshot_of()) == "no nodes available to schedule pods"


def test_a_cordoned_node_gets_no_pods():
    closed = node("n1", unschedulable=True, taints=[taint("node.kubernetes.io/unschedulable", "NoSchedule")])
    assert place(snapshot_of(closed)) == "0/1 nodes are available: 1 node(s) were unschedulable."


def test_a_pod_that_tolerates_the_cordon_may_go_there():
    closed = node("n1", unschedulable=True)
    assert place(snapshot_of(closed), tolerations=[{"operator": "Exists"}]) == "n1"


def test_an_unready_node_gets_no_pods():
    assert place(snapshot_of(node(ready="Unknown"))) == "0/1 nodes are available: 1 node(s) were not ready."


def test_the_node_selector_must_match():
    snapshot = snapshot_of(node("n1"), node("n2", labels={"disk": "ssd"}))
    assert place(snapshot, nodeSelector={"disk": "ssd"}) == "n2"
    assert place(snapshot, nodeSelector={"disk": "ssd", "gpu": "yes"}) == (
        "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector."
    )


@pytest.mark.parametrize("effect", ["NoSchedule", "NoExecute"])
def test_hard_taints_need_a_toleration(effect):
    snapshot = snapshot_of(node(taints=[taint("gpu", effect, "yes")]))
    assert place(snapshot) == "0/1 nodes are available: 1 node(s) had untolerated taint {gpu: yes}."
    assert place(snapshot, name="b", tolerations=[{"key": "gpu", "operator": "Equal", "value": "yes"}]) == "n1"


@pytest.mark.parametrize(
    ("rule", "tolerated"),
    [
        (TolerationRule("gpu", "Equal", "yes", ""), True),
        (TolerationRule("gpu", "Equal", "no", ""), False),
        (TolerationRule("gpu", "Exists", "", ""), True),
        (TolerationRule("", "Exists", "", ""), True),
        (TolerationRule("", "Exists", "", "NoExecute"), False),
        (TolerationRule("other", "Exists", "", ""), False),
        (TolerationRule("", "Equal", "", ""), False),
    ],
)
def test_tolerations_match_key_value_and_effect(rule, tolerated):
    assert rule.tolerates(NodeTaint("gpu", "yes", "NoSchedule")) is tolerated


def test_soft_taints_are_avoided_but_not_forbidden():
    snapshot = snapshot_of(node("n1", taints=[taint("spot", "PreferNoSchedule")]), node("n2", cpu="1", memory="1Gi"))
    assert place(snapshot) == "n2"
    assert place(snapshot_of(node("n1", taints=[taint("spot", "PreferNoSchedule")]))) == "n1"


def test_requests_are_counted_against_what_is_left():
    snapshot = snapshot_of(node("n1", cpu="1"))
    assert place(snapshot, name="a", requests={"cpu": "600m"}) == "n1"
    assert place(snapshot, name="b", requests={"cpu": "600m"}) == "0/1 nodes are available: 1 Insufficient cpu."


def test_every_resource_a_node_is_short_of_is_named():
    snapshot = snapshot_of(node("n1", cpu="1", memory="1Gi"))
    message = place(snapshot, requests={"cpu": "2", "memory": "2Gi", "example.com/gpu": "1"})
    assert (
        message == "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient example.com/gpu, 1 Insufficient memory."
    )


def test_a_node_takes_only_so_many_pods():
    snapshot = snapshot_of(node("n1", pods="1"))
    assert place(snapshot, name="a") == "n1"
    assert place(snapshot, name="b") == "0/1 nodes are available: 1 Too many pods."


def test_pods_on_the_hosts_network_do_not_share_a_port():
    snapshot = snapshot_of(node("n1"), node("n2"))

    def on_host(name):
        tree = pod(name, node="", phase="Pending", hostNetwork=True)
        tree["spec"]["containers"][0]["ports"] = [{"containerPort": 80}]
        return facts.waiting(cached(tree))

    answers = schedule(snapshot, [on_host(name) for name in "abc"])
    assert [a.node for a in answers[:2]] == ["n1", "n2"]
    assert answers[2].message == (
        "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports."
    )


def test_each_node_is_explained_in_kubernetes_words():
    snapshot = snapshot_of(node("n1", taints=[taint("k", "NoSchedule", "v")]), node("n2", cpu="1"), node("n3", cpu="1"))
    assert place(snapshot, requests={"cpu": "2"}) == (
        "0/3 nodes are available: 1 node(s) had untolerated taint {k: v}, 2 Insufficient cpu."
    )


def test_the_emptiest_node_is_preferred():
    snapshot = snapshot_of(node("n1"), node("n2"))
    snapshot.set_pod(PodUse("other", "n1", (("cpu", 2_000), ("memory", 2**32), ("pods", 1))))
    assert place(snapshot) == "n2"


def test_balanced_use_is_preferred():
    snapshot = snapshot_of(node("n1"), node("n2"))
    snapshot.set_pod(PodUse("a", "n1", (("cpu", 2_000), ("memory", 200 * 2**20))))
    snapshot.set_pod(PodUse("b", "n2", (("cpu", 1_000), ("memory", 2**31 + 100 * 2**20))))
    assert place(snapshot, requests={"cpu": "100m", "memory": "200Mi"}) == "n2"


def test_pods_without_requests_do_not_all_go_to_one_node():
    snapshot = snapshot_of(node("n1"), node("n2"))
    assert [place(snapshot, name=name) for name in "abcd"] == ["n1", "n2", "n1", "n2"]


def test_pods_of_one_owner_spread_over_nodes_even_onto_fuller_ones():
    snapshot = snapshot_of(node("n1"), node("n2"), node("n3"))
    snapshot.set_pod(PodUse("big", "n3", (("cpu", 1_000), ("memory", 2**31), ("pods", 1))))
    owner = replica_set()
    nodes = [place(snapshot, name=name, owner=owner) for name in "abc"]
    assert sorted(nodes) == ["n1", "n2", "n3"]


def test_pods_of_one_owner_spread_over_zones_first():
    snapshot = snapshot_of(
        node("n1", labels={ZONE_LABEL: "a"}), node("n2", labels={ZONE_LABEL: "a"}), node("n3", labels={ZONE_LABEL: "b"})
    )
    owner = replica_set()
    assert [place(snapshot, name=name, owner=owner) for name in "ab"] == ["n1", "n3"]


def test_pods_beyond_the_room_of_a_batch_are_explained():
    snapshot = snapshot_of(node("n1", pods="3"))
    pods = [waiting(name=f"p{n}") for n in range(5)]
    answers = schedule(snapshot, pods)
    assert [type(a) for a in answers] == [Placed, Placed, Placed, Unschedulable, Unschedulable]
    assert answers[-1].message == "0/1 nodes are available: 1 Too many pods."


def test_terminating_pods_keep_their_room_and_finished_ones_do_not():
    assert facts.occupies_node(cached(pod(deleting=True)).view)
    assert not facts.occupies_node(cached(pod(phase="Succeeded")).view)


@pytest.mark.parametrize(
    "tree",
    [
        pod(node="n1"),
        pod(node="", deleting=True),
        pod(node="", phase="Failed"),
        pod(node="", phase="Pending", schedulerName="custom"),
        pod(node="", phase="Pending", schedulingGates=[{"name": "wait"}]),
    ],
    ids=["bound", "deleting", "failed", "other scheduler", "gated"],
)
def test_only_pods_meant_for_this_scheduler_are_placed(tree):
    assert not facts.needs_node(cached(tree).view)
    assert facts.needs_node(cached(pod(node="", phase="Pending")).view)


def test_a_pod_of_an_unknown_node_is_counted_once_the_node_is_known():
    snapshot = Snapshot()
    snapshot.set_pod(PodUse("a", "n1", (("cpu", 700), ("pods", 1))))
    snapshot.set_node(NodeFacts("n1", {"cpu": 1_000, "pods": 10}))
    wants = PodClass(requests=(("cpu", 500), ("pods", 1)))
    (answer,) = schedule(snapshot, [Waiting("b", "default", "b", wants)])
    assert isinstance(answer, Unschedulable)


def test_equal_pods_of_different_priority_are_not_placed_together():
    low, high, between = (
        dataclasses.replace(waiting(name=name), priority=priority)
        for name, priority in (("low", 1), ("high", 9), ("b", 5))
    )
    assert [[each.name for each in equal] for equal in by_class([high, between, low])] == [["high"], ["b"], ["low"]]
