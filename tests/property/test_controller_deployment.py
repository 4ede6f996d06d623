"""Roll-outs under any interleaving of deployment passes, replica set passes and pods becoming ready.

The model performs the real decisions of both controllers, any prefix of them, in any order, with images changing in
between. Pods become ready but never break by themselves, so every loss of availability would be the controllers' own.
"""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.controllers import deployment as deployments
from controlplane.controllers import replicaset as replica_sets
from controlplane.controllers import rolling
from controlplane.controllers.actions import Create, Delete, Update, UpdateStatus
from tests.builders import NOW, NOW_STAMP, cached, deployment

pytestmark = pytest.mark.slow


class World:
    """Stored objects, and the API's part in performing actions on them."""

    def __init__(self, replicas, surge, unavailable):
        self.deployment = deployment("web", replicas, image="v0", surge=surge, unavailable=unavailable)
        self.sets = {}
        self.pods = {}
        self.uids = 0

    @property
    def limits(self):
        return rolling.limits(cached(self.deployment).view.spec)

    def alive(self):
        return [p for p in self.pods.values() if "deletionTimestamp" not in p["metadata"]]

    def available(self):
        return sum(p["status"]["phase"] == "Running" for p in self.alive())

    def deployment_pass(self, prefix=100):
        busy = {o["uid"] for p in self.pods.values() for o in p["metadata"]["ownerReferences"]}
        surroundings = deployments.Surroundings(NOW, taken=self.sets, busy=busy.__contains__)
        candidates = [cached(tree) for tree in self.sets.values()]
        actions = deployments.reconcile(cached(self.deployment), candidates, surroundings)
        self.perform(actions[:prefix])
        return actions

    def set_pass(self, name, prefix=100):
        tree = self.sets[name]
        uid = tree["metadata"]["uid"]
        own = [p for p in self.pods.values() if p["metadata"]["ownerReferences"][0]["uid"] == uid]
        surroundings = replica_sets.Surroundings(NOW, taken=self.pods)
        actions = replica_sets.reconcile(cached(tree), [cached(p) for p in own], surroundings)
        self.perform(actions[:prefix])
        return actions

    def perform(self, actions):
        for action in actions:
            match action:
                case Create(tree):
                    tree = copy.deepcopy(tree)
                    self.uids += 1
                    tree["metadata"] |= {"uid": f"u{self.uids}", "generation": 1, "creationTimestamp": NOW_STAMP}
                    if tree["kind"] == "Pod":
                        tree["status"] = {"phase": "Pending"}
                    self.where(tree)[tree["metadata"]["name"]] = tree
                case Update(tree):
                    self.update(tree)
                case UpdateStatus(tree):
                    self.stored(tree)["status"] = tree["status"]
                case Delete("pods", _, name):
                    self.pods[name]["metadata"]["deletionTimestamp"] = NOW_STAMP
                case Delete(_, _, name):
                    del self.sets[name]

    def update(self, tree):
        old = self.stored(tree)
        if tree["spec"] != old["spec"]:
            tree["metadata"]["generation"] += 1
        old["metadata"], old["spec"] = tree["metadata"], tree["spec"]

    def stored(self, tree):
        return self.deployment if tree["kind"] == "Deployment" else self.where(tree)[tree["metadata"]["name"]]

    def where(self, tree):
        return self.pods if tree["kind"] == "Pod" else self.sets

    def make_ready(self, index):
        pending = [p for p in self.alive() if p["status"]["phase"] == "Pending"]
        if pending:
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": NOW_STAMP}
            pending[index % len(pending)]["status"] = {"phase": "Running", "conditions": [ready]}

    def end_terminating(self):
        self.pods = {n: p for n, p in self.pods.items() if "deletionTimestamp" not in p["metadata"]}

    def set_image(self, image):
        self.deployment["spec"]["template"]["spec"]["containers"][0]["image"] = image
        self.deployment["metadata"]["generation"] += 1

    def settle(self, check=lambda: None):
        """Run everything until nothing is left to do."""
        for _ in range(200):
            actions = self.deployment_pass()
            check()
            for name in sorted(self.sets):
                actions += self.set_pass(name)
                check()
            before = copy.deepcopy(self.pods)
            for _ in list(self.alive()):
                self.make_ready(0)
            self.end_terminating()
            if self.pods == before and not any(isinstance(a, Create | Update | UpdateStatus | Delete) for a in actions):
                return
        raise AssertionError("the roll-out does not end")


counts = st.integers(0, 4) | st.sampled_from(["0%", "10%", "25%", "50%", "100%"])
steps = st.lists(
    st.tuples(
        st.sampled_from(["deployment", "set", "set", "set", "ready", "ready", "end", "image"]),
        st.integers(0, 7),
        st.integers(1, 6),
    ),
    max_size=40,
)


def take_step(world, step, index, prefix):
    if step == "deployment":
        world.deployment_pass(prefix)
    elif step == "set" and world.sets:
        names = sorted(world.sets)
        world.set_pass(names[index % len(names)], prefix)
    elif step == "ready":
        world.make_ready(index)
    elif step == "end":
        world.end_terminating()
    elif step == "image":
        world.set_image(f"v{index % 4}")


@settings(max_examples=150)
@given(st.integers(0, 7), counts, counts, steps)
def test_a_roll_out_never_leaves_its_limits(replicas, surge, unavailable, steps):
    world = World(replicas, surge, unavailable)
    world.settle()
    limits = world.limits

    def check():
        assert len(world.alive()) <= limits.replicas + limits.max_surge
        assert world.available() >= limits.fewest_available

    check()
    world.set_image("v1")
    for step, index, prefix in steps:
        take_step(world, step, index, prefix)
        check()
    world.settle(check)
    image = world.deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    assert [p["spec"]["containers"][0]["image"] for p in world.alive()] == [image] * replicas
    status = world.deployment["status"]
    assert status.get("updatedReplicas", 0) == status.get("availableReplicas", 0) == replicas


@settings(max_examples=100)
@given(st.integers(0, 7), counts, counts, steps, st.integers(0, 9), st.integers(1, 3))
def test_a_roll_out_that_is_scaled_and_interrupted_ends_as_wanted(replicas, surge, unavailable, steps, later, versions):
    world = World(replicas, surge, unavailable)
    for number, (step, index, prefix) in enumerate(steps):
        take_step(world, step, index % versions, prefix)
        if number == len(steps) // 2:
            world.deployment["spec"]["replicas"] = later
            world.deployment["metadata"]["generation"] += 1
    world.deployment["spec"]["replicas"] = later
    world.settle()
    image = world.deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    assert [p["spec"]["containers"][0]["image"] for p in world.alive()] == [image] * later
    revision = world.deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
    revisions = [int(s["metadata"]["annotations"]["deployment.kubernetes.io/revision"]) for s in world.sets.values()]
    assert int(revision) == max(revisions)
    assert len(set(revisions)) == len(revisions)


@settings(max_examples=60)
@given(st.integers(0, 5), steps)
def test_recreate_never_runs_two_versions(replicas, steps):
    world = World(replicas, 0, 0)
    world.deployment["spec"]["strategy"] = {"type": "Recreate"}
    world.settle()

    def check():
        images = {p["spec"]["containers"][0]["image"] for p in world.pods.values()}
        assert len(images) <= 1

    for step, index, prefix in steps:
        take_step(world, step, index, prefix)
        check()
    world.settle(check)
    assert len(world.alive()) == replicas
