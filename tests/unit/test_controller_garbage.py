"""One example per rule of garbage collection, namespace deletion, pod collection and service accounts."""

from __future__ import annotations

import pytest

from controlplane.controllers import namespace as namespaces
from controlplane.controllers import pod_gc, service_account
from controlplane.controllers.actions import Create, Delete, DropOwners, ReleaseFinalizer, Update, Wake
from controlplane.controllers.garbage import Dependent, judge
from tests.builders import cached, config_map, namespace, node, owned_by, pod, taint

DELETED = "2025-06-15T15:00:00Z"


def decide(tree, owners=None, dependents=()):
    item = cached(tree)
    return judge(item.object, item.metadata, owners or {}, dependents)


def dependent(name="child", *, blocking=True):
    return Dependent(cached(config_map(name)).object, blocking)


def ending(*finalizers):
    tree = config_map("owner", finalizers=finalizers)
    tree["metadata"]["deletionTimestamp"] = DELETED
    return tree


def test_an_object_with_all_its_owners_is_left_alone():
    assert decide(config_map("a"), {"u1": "solid"}) == []


def test_an_object_without_owners_is_left_alone():
    assert decide(config_map("a")) == []


def test_an_object_whose_owners_are_all_gone_is_deleted():
    assert decide(config_map("a"), {"u1": "absent", "u2": "absent"}) == [
        Delete("configmaps", "default", "a", "uid-of-a")
    ]


def test_absent_owners_are_dropped_while_another_is_left():
    assert decide(config_map("a"), {"u1": "absent", "u2": "solid", "u3": "waiting"}) == [
        DropOwners("configmaps", "default", "a", "uid-of-a", frozenset({"u1", "u3"}))
    ]


def test_dependents_of_an_owner_in_foreground_deletion_go():
    (action,) = decide(config_map("a"), {"u1": "waiting"})
    assert action.propagation == ""


def test_foreground_deletion_goes_down_level_by_level():
    (action,) = decide(config_map("a"), {"u1": "waiting"}, [dependent()])
    assert action.propagation == "Foreground"


def test_an_object_that_is_being_deleted_already_is_not_deleted_again():
    assert decide(ending("example.com/hold"), {"u1": "absent"}) == []


def test_foreground_deletion_waits_for_blocking_dependents():
    assert decide(ending("foregroundDeletion"), dependents=[dependent()]) == []


def test_foreground_deletion_ends_without_blocking_dependents():
    assert decide(ending("foregroundDeletion"), dependents=[dependent(blocking=False)]) == [
        ReleaseFinalizer("configmaps", "default", "owner", "uid-of-owner", "foregroundDeletion")
    ]


def test_orphaning_drops_the_owner_from_dependents_and_then_lets_it_go():
    assert decide(ending("orphan"), dependents=[dependent("a"), dependent("b")]) == [
        DropOwners("configmaps", "default", "a", "uid-of-a", frozenset({"uid-of-owner"})),
        DropOwners("configmaps", "default", "b", "uid-of-b", frozenset({"uid-of-owner"})),
        ReleaseFinalizer("configmaps", "default", "owner", "uid-of-owner", "orphan"),
    ]


def test_a_namespace_in_use_is_left_alone():
    assert namespaces.reconcile(cached(namespace()), [cached(config_map("a")).object]) == []


def test_everything_in_a_terminating_namespace_is_deleted():
    going = config_map("b", finalizers=["example.com/hold"])
    going["metadata"]["deletionTimestamp"] = DELETED
    content = [cached(tree).object for tree in (config_map("a"), going)]
    actions = namespaces.reconcile(cached(namespace(deleting=True)), content)
    assert actions == [
        Delete("configmaps", "default", "a", "uid-of-a"),
        Wake(namespaces.LATER_SECONDS),
    ]


def test_what_goes_at_once_is_looked_after_soon():
    actions = namespaces.reconcile(cached(namespace(deleting=True)), [cached(config_map("a")).object])
    assert actions[-1] == Wake(namespaces.SOON_SECONDS)


def test_an_empty_terminating_namespace_is_released():
    tree = namespace(deleting=True)
    tree["spec"]["finalizers"].append("example.com/hold")
    (update,) = namespaces.reconcile(cached(tree), [])
    assert isinstance(update, Update)
    assert update.tree["spec"]["finalizers"] == ["example.com/hold"]


@pytest.mark.parametrize(
    ("tree", "state", "removed"),
    [
        (pod(), "present", False),
        (pod(deleting=True), "present", False),
        (pod(), "gone", True),
        (pod(deleting=True), "gone", True),
        (pod(), "out-of-service", False),
        (pod(deleting=True), "out-of-service", True),
        (pod(node="", phase="Pending"), "present", False),
        (pod(node="", phase="Pending", deleting=True), "present", True),
        (pod(node="", phase="Failed"), "present", True),
    ],
)
def test_pods_that_nobody_else_can_remove_are_removed(tree, state, removed):
    expected = [Delete("pods", "default", "pod", "uid-of-pod", grace_seconds=0)] if removed else []
    assert pod_gc.reconcile(cached(tree), state) == expected


@pytest.mark.parametrize(("ready", "state"), [("Unknown", "out-of-service"), ("True", "present")])
def test_out_of_service_counts_only_for_nodes_that_are_not_ready(ready, state):
    tree = node(ready=ready, taints=[taint(pod_gc.OUT_OF_SERVICE, "NoExecute", "nodeshutdown")])
    assert pod_gc.state_of(cached(tree).view) == state


def test_every_namespace_gets_a_default_service_account():
    (create,) = service_account.reconcile(cached(namespace("team")), present=False)
    assert isinstance(create, Create)
    assert create.tree["metadata"] == {"name": "default", "namespace": "team"}
    assert service_account.reconcile(cached(namespace("team")), present=True) == []
    assert service_account.reconcile(cached(namespace("team", deleting=True)), present=False) == []


def test_an_owner_reference_names_the_owner_exactly():
    owner = config_map("boss")
    assert owned_by(owner)["uid"] == cached(owner).object.uid
