"""One example per rule of the ReplicaSet controller."""

from __future__ import annotations

import pytest

from component.env import rfc3339
from controlplane.controllers.actions import Create, Delete, Record, Update, UpdateStatus, Wake
from controlplane.controllers.replicaset import Surroundings, pod_names, reconcile
from tests.builders import NOW, cached, pod, replica_set


def decide(tree, pods, **surroundings):
    return reconcile(cached(tree), [cached(p) for p in pods], Surroundings(NOW, **surroundings))


def created(actions):
    return [a.tree["metadata"]["name"] for a in actions if isinstance(a, Create)]


def deleted(actions):
    return [a.name for a in actions if isinstance(a, Delete)]


def status_of(actions):
    (update,) = [a for a in actions if isinstance(a, UpdateStatus)]
    return update.tree["status"]


def test_missing_pods_are_created_from_the_template():
    rs = replica_set(replicas=2)
    rs["spec"]["template"]["metadata"]["annotations"] = {"note": "x"}
    actions = decide(rs, [])
    assert len(created(actions)) == 2
    tree = next(a.tree for a in actions if isinstance(a, Create))
    assert tree["metadata"]["labels"] == {"app": "web"}
    assert tree["metadata"]["annotations"] == {"note": "x"}
    (owner,) = tree["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("ReplicaSet", "web-1", True)
    assert tree["spec"] == rs["spec"]["template"]["spec"]


def test_names_are_derived_so_that_a_repeated_create_finds_its_pod():
    assert created(decide(replica_set(), [])) == created(decide(replica_set(), []))


def test_taken_names_are_passed_over():
    first, second = created(decide(replica_set(replicas=2), []))
    assert created(decide(replica_set(replicas=1), [], taken={first})) == [second]


def test_another_replica_set_of_the_same_name_uses_other_names():
    other = replica_set()
    other["metadata"]["uid"] = "another"
    assert set(created(decide(replica_set(), []))).isdisjoint(created(decide(other, [])))


def test_terminating_and_finished_pods_are_replaced_at_once():
    rs = replica_set(replicas=2)
    pods = [pod("a", owner=rs, deleting=True), pod("b", owner=rs, phase="Failed")]
    assert len(created(decide(rs, pods))) == 2


def test_every_created_pod_is_told():
    actions = decide(replica_set(replicas=1), [])
    (record,) = [a for a in actions if isinstance(a, Record)]
    assert (record.reason, record.message) == ("SuccessfulCreate", f"Created pod: {created(actions)[0]}")


def test_one_pass_creates_a_bounded_number():
    assert len(created(decide(replica_set(replicas=2_000), []))) == 500


@pytest.mark.parametrize(
    ("victim", "survivor"),
    [
        ({"node": ""}, {"phase": "Pending"}),
        ({"phase": "Pending"}, {"phase": "Running", "ready": False}),
        ({"ready": False}, {}),
        ({"since": rfc3339(NOW - 10)}, {"since": rfc3339(NOW - 100)}),
        ({"created": rfc3339(NOW - 10)}, {"created": rfc3339(NOW - 100)}),
    ],
    ids=["unassigned", "pending", "not ready", "ready for less time", "younger"],
)
def test_when_there_are_too_many_the_least_useful_goes_first(victim, survivor):
    rs = replica_set(replicas=1)
    pods = [pod("a", owner=rs, **survivor), pod("b", owner=rs, **victim)]
    assert deleted(decide(rs, pods)) == ["b"]
    pods = [pod("b", owner=rs, **survivor), pod("a", owner=rs, **victim)]
    assert deleted(decide(rs, pods)) == ["a"]


def test_pods_with_lower_deletion_cost_go_first():
    rs = replica_set(replicas=1)
    cheap, dear, odd = pod("c", owner=rs), pod("a", owner=rs), pod("b", owner=rs)
    cheap["metadata"]["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": "-5"}
    odd["metadata"]["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": "many"}
    assert deleted(decide(rs, [cheap, dear, odd]))[0] == "c"


def test_pods_from_crowded_nodes_go_first():
    rs = replica_set(replicas=1)
    pods = [pod("a", owner=rs, node="n1"), pod("b", owner=rs, node="n2")]
    assert deleted(decide(rs, pods, colocated={"n1": 1, "n2": 3})) == ["b"]


def test_pods_that_restarted_more_often_go_first():
    rs = replica_set(replicas=1)
    calm, restless = pod("a", owner=rs), pod("b", owner=rs)
    restless["status"]["containerStatuses"][0]["restartCount"] = 7
    assert deleted(decide(rs, [calm, restless])) == ["b"]


def test_deletions_name_the_uid():
    rs = replica_set(replicas=0)
    (action,) = [a for a in decide(rs, [pod("a", owner=rs)]) if isinstance(a, Delete)]
    assert action == Delete("pods", "default", "a", "uid-of-a")


def test_matching_orphans_are_adopted_and_counted():
    actions = decide(replica_set(replicas=1), [pod("stray")])
    assert created(actions) == []
    (adoption,) = [a for a in actions if isinstance(a, Update)]
    assert adoption.tree["metadata"]["ownerReferences"][0]["uid"] == "uid-of-web-1"
    assert adoption.tree["metadata"]["resourceVersion"] == "1"


def test_owned_pods_that_match_no_more_are_released_and_replaced():
    rs = replica_set(replicas=1)
    actions = decide(rs, [pod("debug", owner=rs, labels={"app": "other"})])
    (release,) = [a for a in actions if isinstance(a, Update)]
    assert "ownerReferences" not in release.tree["metadata"]
    assert len(created(actions)) == 1


def test_pods_of_other_controllers_are_left_alone():
    other = replica_set("other")
    actions = decide(replica_set(replicas=0), [pod("a", owner=other)])
    assert deleted(actions) == []
    assert not [a for a in actions if isinstance(a, Update)]


def test_a_replica_set_that_is_being_deleted_only_reports():
    rs = replica_set(replicas=3)
    rs["metadata"]["deletionTimestamp"] = "2025-06-15T15:00:00Z"
    actions = decide(rs, [pod("a", owner=rs), pod("stray")])
    assert [type(a) for a in actions] == [UpdateStatus]


def test_the_status_counts_pods():
    rs = replica_set(replicas=3)
    labelled = pod("a", owner=rs)
    pods = [labelled, pod("b", owner=rs, ready=False), pod("c", owner=rs)]
    rs["spec"]["template"]["metadata"]["labels"]["tier"] = "front"
    labelled["metadata"]["labels"]["tier"] = "front"
    assert status_of(decide(rs, pods)) == {
        "replicas": 3,
        "fullyLabeledReplicas": 1,
        "readyReplicas": 2,
        "availableReplicas": 2,
        "observedGeneration": 1,
    }


def test_a_reported_status_is_not_written_again():
    rs = replica_set(replicas=1)
    rs["status"] = status_of(decide(rs, [pod("a", owner=rs)]))
    assert decide(rs, [pod("a", owner=rs)]) == []


def test_pods_are_available_only_after_min_ready_seconds():
    rs = replica_set(replicas=2, minReadySeconds=30)
    pods = [pod("a", owner=rs, since=rfc3339(NOW - 30)), pod("b", owner=rs, since=rfc3339(NOW - 10))]
    actions = decide(rs, pods)
    assert status_of(actions)["availableReplicas"] == 1
    assert [a for a in actions if isinstance(a, Wake)] == [Wake(20.0)]


def test_a_failed_create_is_reported_and_tried_again():
    actions = decide(replica_set(replicas=1), [], failure="exceeded quota")
    (condition,) = status_of(actions)["conditions"]
    assert (condition["type"], condition["reason"], condition["message"]) == (
        "ReplicaFailure",
        "FailedCreate",
        "exceeded quota",
    )
    assert len(created(actions)) == 1
    assert any(isinstance(a, Record) and a.reason == "FailedCreate" for a in actions)
    kinds = [type(each) for each in actions]
    assert kinds.index(UpdateStatus) < kinds.index(Create), "what follows a refused create is not done"


def test_a_failure_that_is_over_is_not_reported_any_more():
    rs = replica_set(replicas=1)
    rs["status"] = {"replicas": 0, "conditions": [{"type": "ReplicaFailure", "status": "True"}]}
    assert "conditions" not in status_of(decide(rs, [pod("a", owner=rs)]))


def test_names_never_run_out():
    names = pod_names(cached(replica_set()), frozenset())
    assert len({next(names) for _ in range(1_000)}) > 990
