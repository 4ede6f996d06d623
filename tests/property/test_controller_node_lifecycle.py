"""Nodes that fall silent and come back in any order: nothing is evicted in a partition, everything is undone after it."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from component.env import Env
from component.informer import Change
from controlplane.controllers.actions import Delete, Update, UpdateStatus
from controlplane.controllers.heartbeats import DEAF_SECONDS, NodeLifecycleController
from controlplane.controllers.node_lifecycle import SILENCE_SECONDS, evictions_allowed
from tests.builders import NOW, NOW_STAMP, cached, node, pod

pytestmark = pytest.mark.slow


class Cache:
    """What the controller asks of an informer."""

    def __init__(self, trees):
        self.trees = trees
        self.listeners = []

    def subscribe(self, listener):
        self.listeners.append(listener)

    def tell(self, name):
        for listener in self.listeners:
            listener(Change(None, self.get("", name)))

    def items(self):
        return [cached(tree) for tree in self.trees.values()]

    def get(self, _, name):
        return cached(self.trees[name]) if name in self.trees else None

    def by_index(self, _, value):
        return [cached(t) for t in self.trees.values() if t["spec"]["nodeName"] == value]


class World:
    def __init__(self, count):
        self.now = NOW
        self.nodes = {f"n{i}": node(f"n{i}") for i in range(count)}
        self.pods = {f"p{i}": pod(f"p{i}", node=f"n{i % count}") for i in range(2 * count)}
        for tree in self.pods.values():
            tree["status"]["containerStatuses"][0]["ready"] = True
        self.heard = dict.fromkeys(self.nodes, self.now)
        self.speaking = set(self.nodes)
        self.node_cache = Cache(self.nodes)
        env = Env(lambda: self.now, lambda: self.now, random.Random(0), lambda: "")
        self.controller = NodeLifecycleController(self.node_cache, Cache(self.pods), self, env)
        self.evicted = []
        self.marked = set()
        self.deaf_time = 0.0  # when nobody had been heard for long, the last time

    def ages(self):
        return {name: self.now - time for name, time in self.heard.items()}

    def advance(self, seconds):
        """Time passes; speaking nodes are heard, and their agents correct what was said of them."""
        for _ in range(int(seconds * 2)):
            self.now += 0.5
            for name in self.speaking:
                self.heard[name] = self.now
                for condition in self.nodes[name]["status"]["conditions"]:
                    condition["status"] = "True"
                self.node_cache.tell(name)
            if self.now - max(self.heard.values()) >= DEAF_SECONDS:
                self.deaf_time = self.now
            self.passes()

    def lost(self):
        return {
            name
            for name, tree in self.nodes.items()
            if self.now - self.heard[name] >= SILENCE_SECONDS or tree["status"]["conditions"][0]["status"] == "Unknown"
        }

    def passes(self):
        self.controller._listen(self.now)
        for name in self.nodes:
            actions = asyncio.run(self.controller.plan(("", name), None))
            for action in actions:
                match action:
                    case UpdateStatus(tree) | Update(tree):
                        if tree["kind"] == "Pod" and tree["status"]["conditions"][0]["status"] == "False":
                            self.marked.add(tree["metadata"]["name"])
                            self.check_lost(tree["spec"]["nodeName"])
                        self.stored(tree)[tree["metadata"]["name"]] = self.without_version(tree)
                        if tree["kind"] == "Node":
                            self.node_cache.tell(tree["metadata"]["name"])
                    case Delete(_, _, pod_name):
                        assert evictions_allowed(len(self.lost()), len(self.nodes))
                        assert self.pods[pod_name]["spec"]["nodeName"] in self.lost()
                        self.pods[pod_name]["metadata"]["deletionTimestamp"] = NOW_STAMP
                        self.evicted.append(pod_name)

    def check_lost(self, name):
        """Its silence is its own: somebody else is heard, and was heard all the time that it was not."""
        assert self.now - max(self.heard.values()) < DEAF_SECONDS
        assert self.now - max(self.heard[name], self.deaf_time) >= SILENCE_SECONDS

    def stored(self, tree):
        return self.nodes if tree["kind"] == "Node" else self.pods

    @staticmethod
    def without_version(tree):
        tree["metadata"].pop("resourceVersion", None)
        return tree


steps = st.lists(
    st.tuples(st.sampled_from(["silence", "silence", "speak", "wait"]), st.integers(0, 4), st.integers(1, 7)),
    max_size=8,
)


@settings(max_examples=40)
@given(st.integers(1, 5), steps)
def test_no_eviction_in_a_partition_and_everything_is_undone_afterwards(count, history):
    world = World(count)
    for step, index, seconds in history:
        name = f"n{index % count}"
        if step == "silence":
            world.speaking.discard(name)
        elif step == "speak":
            world.speaking.add(name)
        world.advance(seconds)
    world.speaking = set(world.nodes)
    world.advance(3)
    assert not any(tree["spec"].get("taints") for tree in world.nodes.values())
    for name, tree in world.pods.items():
        (ready,) = tree["status"]["conditions"]
        assert ready["status"] == "True" or name in world.evicted


@settings(max_examples=20)
@given(
    st.integers(1, 5),
    st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=5, max_size=5),
    st.lists(st.integers(0, 3), min_size=5, max_size=5),
    st.integers(1, 9),
)
def test_agents_that_are_all_away_for_a_while_cost_no_pod_its_services(count, leaves, returns, seconds):
    """They go within a second; each comes back up to 3 s after the first, which is within the grace it gets anew."""
    world = World(count)
    world.advance(2)
    events = sorted(
        [(leaves[i], f"n{i}", False) for i in range(count)]
        + [(1.0 + seconds + returns[i], f"n{i}", True) for i in range(count)]
    )
    now = 0.0
    for time, name, speaks in events:
        world.advance(time - now)
        now = time
        (world.speaking.add if speaks else world.speaking.discard)(name)
    lost_together = seconds >= DEAF_SECONDS
    world.advance(3)
    assert not world.evicted
    assert not (world.marked if lost_together else ())
    assert not any(tree["spec"].get("taints") for tree in world.nodes.values())


@settings(max_examples=20)
@given(st.integers(2, 5))
def test_a_node_that_stays_away_when_the_others_are_back_is_given_up_in_its_turn(count):
    world = World(count)
    world.advance(1)
    world.speaking.clear()
    world.advance(20)
    assert not world.marked
    world.speaking.update(f"n{i}" for i in range(1, count))
    world.advance(4)
    assert not world.marked
    world.advance(1)
    assert world.marked == {n for n, t in world.pods.items() if t["spec"]["nodeName"] == "n0"}
    assert not world.evicted
    world.advance(5)
    assert set(world.evicted) == (world.marked if count > 2 else set())


@settings(max_examples=20)
@given(st.integers(3, 5), st.integers(0, 4))
def test_one_dead_node_of_many_is_emptied_within_ten_seconds(count, index):
    world = World(count)
    world.speaking.discard(f"n{index % count}")
    world.advance(10)
    assert sorted(world.evicted) == sorted(
        n for n, t in world.pods.items() if t["spec"]["nodeName"] == f"n{index % count}"
    )


@pytest.mark.parametrize(
    ("lost", "total", "allowed"),
    [
        (0, 0, True),
        (0, 3, True),
        (1, 1, False),
        (1, 2, False),
        (1, 3, True),
        (2, 3, False),
        (2, 4, False),
        (2, 5, True),
    ],
)
def test_half_of_the_nodes_is_the_limit(lost, total, allowed):
    assert evictions_allowed(lost, total) is allowed
