"""One example per rule of node lifecycle, with time as a number."""

from __future__ import annotations

import pytest

from component.env import rfc3339
from component.informer import Change
from controlplane.controllers.actions import Delete, Record, Update, UpdateStatus, Wake
from controlplane.controllers.heartbeats import Heartbeats, NodeLifecycleController
from controlplane.controllers.node_lifecycle import NODE_LOST, Surroundings, reconcile
from controlplane.controllers.node_roll import NodeRoll
from tests.builders import NOW, cached, node, pod, taint
from tests.fake_env import FakeClock, fake_env

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"


def decide(tree, pods=(), **surroundings):
    return reconcile(cached(tree), [cached(p) for p in pods], Surroundings(NOW, **surroundings))


def statuses(actions, kind):
    return {
        a.tree["metadata"]["name"]: {c.get("type"): c for c in a.tree["status"]["conditions"]}
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
    actions = decide(node(), [pod("a"), pod("b", ready=False)], silent=True, lost=True)
    ready = statuses(actions, "Node")["n1"]["Ready"]
    assert (ready["status"], ready["reason"]) == ("Unknown", "NodeStatusUnknown")
    marked = statuses(actions, "Pod")
    assert set(marked) == {"a"}
    assert (marked["a"]["Ready"]["status"], marked["a"]["Ready"]["reason"]) == ("False", NODE_LOST)
    assert any(isinstance(a, Record) and a.reason == "NodeNotReady" for a in actions)


def test_pods_of_a_node_that_is_silent_like_all_others_are_left_alone():
    marked = pod("b", ready=False)
    marked["status"]["conditions"][0]["reason"] = NODE_LOST
    marked["status"]["containerStatuses"][0]["ready"] = True
    actions = decide(node(), [pod("a"), marked], silent=True)
    assert statuses(actions, "Node")["n1"]["Ready"]["status"] == "Unknown"
    assert statuses(actions, "Pod") == {}


def test_the_other_conditions_of_a_silent_node_become_unknown_too():
    tree = node()
    tree["status"]["conditions"] += [
        {"type": "MemoryPressure", "status": "False"},
        {"type": "NetworkUnavailable", "status": "False"},
    ]
    found = statuses(decide(tree, silent=True), "Node")["n1"]
    assert found["MemoryPressure"]["status"] == "Unknown"
    assert found["NetworkUnavailable"]["status"] == "False"


def test_a_condition_without_a_type_does_not_keep_a_node_from_being_judged():
    tree = node()
    tree["status"]["conditions"].insert(0, {"status": "True"})
    assert statuses(decide(tree, silent=True), "Node")["n1"]["Ready"]["status"] == "Unknown"


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
    assert decide(unreachable(NOW - 100), [pod("a", ready=False, deleting=True)], silent=True, lost=True) == []


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


def test_a_node_that_is_back_just_when_its_pods_were_to_go_keeps_them():
    tree = unreachable(NOW - 5)
    tree["status"]["conditions"][0]["status"] = "True"
    actions = decide(tree, [pod("a")])
    assert evicted(actions) == []
    assert taints(actions) == set()


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


def test_a_taint_without_a_time_counts_from_now_on_and_says_so():
    bounded = pod("a", tolerations=[{"key": "m", "operator": "Exists", "tolerationSeconds": 4}])
    tree = node(taints=[{"key": "m", "effect": "NoExecute"}, {"key": "n", "effect": "NoSchedule"}])
    first = decide(tree, [bounded])
    assert evicted(first) == []
    (update,) = [a for a in first if isinstance(a, Update)]
    dated = {"key": "m", "effect": "NoExecute", "timeAdded": rfc3339(NOW)}
    assert update.tree["spec"]["taints"] == [dated, {"key": "n", "effect": "NoSchedule"}]
    later = reconcile(cached(update.tree), [cached(bounded)], Surroundings(NOW + 4))
    assert evicted(later) == ["a"]
    assert not [a for a in later if isinstance(a, Update)]


def test_a_pod_that_came_after_the_taint_gets_its_whole_time():
    tree = node(taints=[taint("m", "NoExecute", added=rfc3339(NOW - 1000))])
    late = pod("a", tolerations=[{"key": "m", "operator": "Exists", "tolerationSeconds": 60}])
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": rfc3339(NOW - 20)}
    late["status"].setdefault("conditions", []).append(scheduled)
    actions = decide(tree, [late])
    assert evicted(actions) == []
    assert [a for a in actions if isinstance(a, Wake)] == [Wake(40.0)]


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


class Hearing:
    """A cluster whose agents speak or do not, second by second."""

    def __init__(self, *nodes):
        self.now = 1_000.0
        self.last = dict.fromkeys(nodes, self.now)
        self.heartbeats = Heartbeats(self, self.now)
        self.heartbeats.read(self.last, self.now)

    def ages(self):
        return {name: self.now - time for name, time in self.last.items()}

    def listen(self, seconds, *speaking, step=0.5):
        for _ in range(round(seconds / step)):
            self.now += step
            self.last.update(dict.fromkeys(speaking, self.now))
            self.heartbeats.read(self.last, self.now)

    def silent(self):
        return {name for name in self.last if self.heartbeats.silent(name, self.now)}


def test_a_node_is_silent_and_lost_after_four_seconds():
    hearing = Hearing("n1", "n2")
    hearing.listen(3.5, "n2")
    assert not hearing.silent()
    assert hearing.heartbeats.next_silence_seconds(hearing.now) == pytest.approx(0.5)
    hearing.listen(0.5, "n2")
    assert hearing.silent() == hearing.heartbeats.lost == {"n1"}


def test_nodes_that_fall_silent_together_are_not_lost():
    hearing = Hearing("n1", "n2")
    hearing.listen(1, "n2")
    hearing.listen(20)
    assert hearing.silent() == {"n1", "n2"}
    assert not hearing.heartbeats.lost
    assert hearing.heartbeats.next_silence_seconds(hearing.now) == float("inf")


def test_a_node_on_its_own_is_never_lost():
    hearing = Hearing("n1")
    hearing.listen(20)
    assert hearing.silent() == {"n1"}
    assert not hearing.heartbeats.lost


def test_the_rest_gets_its_grace_anew_when_one_is_heard_again():
    hearing = Hearing("n1", "n2")
    hearing.listen(20)
    hearing.listen(4, "n2")
    assert not hearing.silent()
    hearing.listen(0.5, "n2")
    assert hearing.heartbeats.lost == {"n1"}


def test_a_node_lost_before_all_fell_silent_stays_lost():
    hearing = Hearing("n1", "n2")
    hearing.listen(5, "n2")
    hearing.listen(20)
    assert hearing.heartbeats.lost == {"n1"}
    hearing.listen(1, "n2")
    assert hearing.heartbeats.lost == {"n1"}
    hearing.listen(1, "n1", "n2")
    assert not hearing.heartbeats.lost


def test_a_replica_that_was_paused_itself_gives_every_node_full_grace():
    hearing = Hearing("n1", "n2")
    hearing.listen(10, "n2", step=10.0)
    assert not hearing.silent()
    hearing.listen(4, "n2")
    assert hearing.heartbeats.lost == {"n1"}


def test_a_new_leader_gives_every_node_full_grace():
    heartbeats = Heartbeats(Ages(), 1_000.0)
    heartbeats.read(["n1"], 1_000.5)
    assert not heartbeats.silent("n1", 1_003.9)
    heartbeats.read(["n1"], 1_004.0)
    assert heartbeats.silent("n1", 1_004.0)


def test_a_node_whose_session_ended_is_remembered_as_last_heard():
    ages = Ages(n1=0.0)
    heartbeats = Heartbeats(ages, 1_000.0)
    heartbeats.read(["n1"], 1_000.0)
    ages.known = {}
    heartbeats.read(["n1"], 1_002.0)
    assert not heartbeats.silent("n1", 1_003.9)
    assert heartbeats.silent("n1", 1_004.0)


def test_a_node_that_joins_later_counts_as_just_heard():
    hearing = Hearing("n1")
    hearing.listen(100, "n1")
    hearing.heartbeats.read(["n1", "n2"], hearing.now)
    assert not hearing.heartbeats.silent("n2", hearing.now + 3.0)


class Cache:
    """An informer's cache of a few nodes."""

    def __init__(self, *trees):
        self.nodes = {tree["metadata"]["name"]: cached(tree) for tree in trees}
        self.listeners = []

    def subscribe(self, listener):
        self.listeners.append(listener)

    def change(self, name, tree):
        """Tell what became of a node, None: it is gone."""
        before = self.nodes.pop(name, None)
        if tree is not None:
            self.nodes[name] = cached(tree)
        for listener in self.listeners:
            listener(Change(before, self.nodes.get(name)))

    def items(self):
        return list(self.nodes.values())

    def get(self, _namespace, name):
        return self.nodes.get(name)

    def by_index(self, _index, _value):
        return []


async def test_a_lost_node_that_reports_is_alive_before_its_heartbeat_gets_here():
    clock = FakeClock()
    nodes, silence = Cache(node("n1"), node("n2")), Ages(n1=0.0, n2=0.0)
    env = fake_env(clock)
    controller = NodeLifecycleController(nodes, Cache(pod("a")), silence, env)
    assert controller._listen(env.monotonic()) == []
    for seconds in range(1, 10):
        clock.advance(1.0)
        silence.known = {"n1": float(seconds), "n2": 0.0}
        assert controller._listen(env.monotonic()) == (["n1"] if seconds == 4 else [])
    assert statuses(await controller.plan(("", "n1"), None), "Node")["n1"]["Ready"]["status"] == "Unknown"
    nodes.subscribe(lambda change: list(controller.sources()[0].keys(change)))
    nodes.change("n1", node("n1", ready="Unknown"))
    nodes.change("n1", node("n1", ready="True"))
    assert statuses(await controller.plan(("", "n1"), None), "Node") == {}


def never_reported(name):
    tree = node(name, ready="Unknown")
    tree["status"]["conditions"][0]["reason"] = "NodeStatusNeverUpdated"
    return tree


@pytest.mark.parametrize("called_silent", [True, False])
async def test_machines_whose_agent_never_reported_do_not_stop_evictions(called_silent):
    clock = FakeClock()
    never = never_reported("n3")
    if not called_silent:
        never["status"]["conditions"] = []
    trees = [unreachable(NOW - 100), node("n2"), never, node("n4")]
    trees[0]["metadata"]["name"] = "n1"
    controller = NodeLifecycleController(Cache(*trees), Cache(pod("a")), Ages(n2=0.0, n4=0.0), fake_env(clock))
    await controller.plan(("", "n1"), None)
    assert controller._evicting


def test_the_roll_follows_nodes_that_come_speak_fall_silent_and_go():
    nodes = Cache(node("n1"), node("n2", ready="Unknown"), never_reported("n3"))
    roll = NodeRoll(nodes)

    def counts(*silent):
        return len(roll), roll.reported, roll.unheard(set(silent))

    assert (list(roll.names), counts()) == (["n1", "n2", "n3"], (3, 2, 1))
    assert counts("n1", "n2", "n3") == (3, 2, 2), "who never reported is not missed"
    nodes.change("n3", node("n3"))
    assert counts("n3") == (3, 3, 2)
    nodes.change("n2", node("n2", ready="False"))
    assert counts() == (3, 3, 0)
    nodes.change("n1", None)
    assert (list(roll.names), counts("n1", "n2")) == (["n2", "n3"], (2, 2, 1))
    nodes.change("n1", never_reported("n1"))
    assert counts("n1") == (3, 2, 0)


class CountedAges(Ages):
    looks = 0

    def ages(self):
        self.looks += 1
        return self.known


async def test_passes_for_a_thousand_nodes_do_not_look_at_all_of_them_a_thousand_times():
    trees = [node(f"n{number}") for number in range(1_000)]
    ages = CountedAges()
    clock = FakeClock()
    controller = NodeLifecycleController(Cache(*trees), Cache(), ages, fake_env(clock))
    for tree in trees:
        await controller.plan(("", tree["metadata"]["name"]), None)
    assert ages.looks == 1
    clock.advance(1.0)
    await controller.plan(("", "n1"), None)
    assert ages.looks == 2


async def test_a_node_that_a_pass_for_another_one_found_silent_is_looked_at_too():
    clock = FakeClock()
    env = fake_env(clock)
    nodes = Cache(node("n1"), node("n2"), node("n3"))
    controller = NodeLifecycleController(nodes, Cache(), Ages(n1=0.0, n2=0.0), env)
    for _ in range(3):
        assert controller._listen(env.monotonic()) == []
        clock.advance(1.0)
    clock.advance(1.0)
    await controller.plan(("", "n1"), None)
    assert controller._listen(env.monotonic()) == ["n3"]
