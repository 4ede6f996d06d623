"""One example per rule of node lifecycle, with time as a number."""

from __future__ import annotations

import pytest

from component.env import rfc3339
from component.informer import Change
from controlplane.controllers.actions import Delete, Record, Update, UpdateStatus, Wake
from controlplane.controllers.heartbeats import Heartbeats, NodeLifecycleController
from controlplane.controllers.node_lifecycle import NODE_LOST, Surroundings, reconcile
from tests.builders import NOW, cached, node, pod, taint
from tests.fakes import FakeClock, fake_env

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"


def decide(tree, pods=(), **surroundings):
    return reconcile(cached(tree), [cached(p) for p in pods], Surroundings(NOW, **surroundings))


def statuses(actions, kind):
    return {
        a.tree["metadata"]["name"]: {c["type"]: c for c in a.tree["status"]["conditions"]}
        for a in actions
        if isinstance(a, UpdateStatus) and a.tree["kind"] == kind
    }


def taints(actions):
    (update,) = [a for a in actions if isinstance(a, Update)]
    return {(t["key"], t["effect"]) for t in update.tree["spec"].get("taints", [])}


def evicted(actions):
    return [a.name for a in actions if isinstance(a, Delete)]


def unreachable(added=NOW, **kwargs):
    stamp = rfc3339(added)
    both = [taint(UNREACHABLE, "NoSchedule", added=stamp), taint(UNREACHABLE, "NoExecute", added=stamp)]
    return node(ready="Unknown", taints=both, **kwargs)


def test_a_healthy_node_needs_nothing():
    assert decide(node(), [pod("a")]) == []


def test_a_silent_node_becomes_unknown_and_its_pods_not_ready():
    actions = decide(node(), [pod("a"), pod("b", ready=False)], silent=True)
    ready = statuses(actions, "Node")["n1"]["Ready"]
    assert (ready["status"], ready["reason"]) == ("Unknown", "NodeStatusUnknown")
    marked = statuses(actions, "Pod")
    assert set(marked) == {"a"}
    assert (marked["a"]["Ready"]["status"], marked["a"]["Ready"]["reason"]) == ("False", NODE_LOST)
    assert any(isinstance(a, Record) and a.reason == "NodeNotReady" for a in actions)


def test_the_other_conditions_of_a_silent_node_become_unknown_too():
    tree = node()
    tree["status"]["conditions"] += [
        {"type": "MemoryPressure", "status": "False"},
        {"type": "NetworkUnavailable", "status": "False"},
    ]
    found = statuses(decide(tree, silent=True), "Node")["n1"]
    assert found["MemoryPressure"]["status"] == "Unknown"
    assert found["NetworkUnavailable"]["status"] == "False"


def test_a_node_that_never_reported_is_told_apart():
    tree = node()
    tree["status"]["conditions"] = []
    found = statuses(decide(tree, silent=True), "Node")["n1"]
    assert found["Ready"]["reason"] == "NodeStatusNeverUpdated"


def test_a_lost_node_is_tainted_unreachable():
    assert taints(decide(node(ready="Unknown"), silent=True)) == {
        (UNREACHABLE, "NoSchedule"),
        (UNREACHABLE, "NoExecute"),
    }


def test_a_node_that_says_it_is_not_ready_is_tainted_so():
    assert taints(decide(node(ready="False"))) == {(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")}


def test_taints_go_when_the_node_is_back_and_foreign_ones_stay():
    tree = unreachable()
    tree["spec"]["taints"].append({"key": "gpu", "effect": "NoSchedule"})
    tree["status"]["conditions"][0]["status"] = "True"
    assert taints(decide(tree)) == {("gpu", "NoSchedule")}


def test_a_changed_reason_changes_the_taint():
    tree = unreachable()
    tree["status"]["conditions"][0]["status"] = "False"
    assert taints(decide(tree)) == {(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")}


def test_a_cordoned_node_is_tainted_and_an_uncordoned_one_not_any_more():
    assert taints(decide(node(unschedulable=True))) == {("node.kubernetes.io/unschedulable", "NoSchedule")}
    tree = node(taints=[taint("node.kubernetes.io/unschedulable", "NoSchedule")])
    assert taints(decide(tree)) == set()


def test_a_node_that_is_said_to_be_lost_stays_so_when_all_is_done():
    assert decide(unreachable(NOW - 100), [pod("a", ready=False, deleting=True)], silent=True) == []


def test_pods_are_marked_ready_again_when_the_node_is_back():
    tree = pod("a", ready=False)
    tree["status"]["conditions"][0]["reason"] = NODE_LOST
    tree["status"]["containerStatuses"][0]["ready"] = True
    other = pod("b", ready=False)
    found = statuses(decide(node(), [tree, other]), "Pod")
    assert set(found) == {"a"}
    assert found["a"]["Ready"]["status"] == "True"


def test_pods_of_a_lost_node_are_evicted_after_five_seconds():
    assert evicted(decide(unreachable(NOW - 5), [pod("a", ready=False)])) == ["a"]
    actions = decide(unreachable(NOW - 3), [pod("a", ready=False)])
    assert evicted(actions) == []
    assert [a for a in actions if isinstance(a, Wake)] == [Wake(2.0)]


@pytest.mark.parametrize(
    ("tolerations", "gone"),
    [
        ([{"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}], False),
        ([{"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}], True),
        ([{"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute"}], False),
        ([{"operator": "Exists"}], False),
        ([{"key": NOT_READY, "operator": "Exists"}], True),
    ],
)
def test_tolerations_bound_how_long_a_lost_node_is_endured(tolerations, gone):
    pods = [pod("a", ready=False, tolerations=tolerations)]
    assert bool(evicted(decide(unreachable(NOW - 100), pods))) is gone


def test_other_no_execute_taints_evict_at_once_whoever_does_not_tolerate_them():
    tree = node(taints=[taint("maintenance", "NoExecute", "now")])
    tolerant = pod("b", tolerations=[{"key": "maintenance", "operator": "Equal", "value": "now"}])
    assert evicted(decide(tree, [pod("a"), tolerant])) == ["a"]


def test_the_shortest_toleration_counts():
    tree = node(taints=[taint("m", "NoExecute", added=rfc3339(NOW - 10))])
    bounds = [{"key": "m", "operator": "Exists", "tolerationSeconds": n} for n in (600, 20)]
    assert [a for a in decide(tree, [pod("a", tolerations=bounds)]) if isinstance(a, Wake)] == [Wake(10.0)]


def test_terminating_pods_are_not_evicted_again():
    assert evicted(decide(unreachable(NOW - 100), [pod("a", ready=False, deleting=True)])) == []


def test_while_evictions_are_stopped_only_health_taints_are_ignored():
    tree = unreachable(NOW - 100)
    pods = [pod("a", ready=False)]
    assert evicted(decide(tree, pods, evicting=False)) == []
    tree["spec"]["taints"].append(taint("maintenance", "NoExecute"))
    assert evicted(decide(tree, pods, evicting=False)) == ["a"]


def test_when_evictions_go_on_pods_get_their_time_anew():
    actions = decide(unreachable(NOW - 100), [pod("a", ready=False)], calm_since=NOW - 1)
    assert evicted(actions) == []
    assert [a for a in actions if isinstance(a, Wake)] == [Wake(4.0)]


class Ages:
    def __init__(self, **ages):
        self.known = ages

    def ages(self):
        return self.known


def test_a_node_is_silent_after_four_seconds():
    ages = Ages(n1=0.5)
    heartbeats = Heartbeats(ages, 1_000.0)
    heartbeats.read(["n1"], 1_000.0)
    ages.known = {"n1": 3.9}
    heartbeats.read(["n1"], 1_003.4)
    assert not heartbeats.silent("n1", 1_003.4)
    assert heartbeats.next_silence_seconds(1_003.4) == pytest.approx(0.6)
    assert heartbeats.silent("n1", 1_004.0)


def test_a_new_leader_gives_every_node_full_grace():
    heartbeats = Heartbeats(Ages(), 1_000.0)
    heartbeats.read(["n1"], 1_000.5)
    assert not heartbeats.silent("n1", 1_003.9)
    heartbeats.read(["n1"], 1_004.0)
    assert heartbeats.silent("n1", 1_004.0)


def test_a_node_whose_session_ended_is_remembered_as_last_heard():
    ages = Ages(n1=0.0)
    heartbeats = Heartbeats(ages, 1_000.0)
    heartbeats.read(["n1"], 1_010.0)
    ages.known = {}
    heartbeats.read(["n1"], 1_012.0)
    assert not heartbeats.silent("n1", 1_013.9)
    assert heartbeats.silent("n1", 1_014.0)


def test_a_node_that_joins_later_counts_as_just_heard():
    heartbeats = Heartbeats(Ages(n1=0.0), 1_000.0)
    heartbeats.read(["n1"], 1_000.0)
    heartbeats.read(["n1", "n2"], 1_100.0)
    assert not heartbeats.silent("n2", 1_103.0)


class Cache:
    """An informer's cache with one node in it."""

    def __init__(self, tree):
        self.node = cached(tree)

    def items(self):
        return [self.node]

    def get(self, _namespace, _name):
        return self.node

    def by_index(self, _index, _value):
        return []


async def test_a_lost_node_that_reports_is_alive_before_its_heartbeat_gets_here():
    clock = FakeClock()
    nodes, silence = Cache(node("n1")), Ages(n1=0.0)
    env = fake_env(clock)
    controller = NodeLifecycleController(nodes, Cache(pod("a")), silence, env)
    assert controller._listen(env.monotonic()) == []
    clock.advance(9.0)
    silence.known = {"n1": 9.0}
    assert controller._listen(env.monotonic()) == ["n1"]
    assert statuses(await controller.plan(("", "n1"), None), "Node")["n1"]["Ready"]["status"] == "Unknown"
    before, nodes.node = cached(node("n1", ready="Unknown")), cached(node("n1", ready="True"))
    list(controller.sources()[0].keys(Change(before, nodes.node)))
    assert statuses(await controller.plan(("", "n1"), None), "Node") == {}
