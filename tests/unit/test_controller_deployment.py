"""One example per rule of the Deployment controller."""

from __future__ import annotations

import copy

import pytest

from component.env import rfc3339
from controlplane.controllers import deployment_status, rolling
from controlplane.controllers.actions import Create, Delete, Record, Update, UpdateStatus, Wake
from controlplane.controllers.conditions import find
from controlplane.controllers.deployment import Surroundings, reconcile
from controlplane.controllers.rolling import Limits, Size
from tests.builders import NOW, cached, deployment, owned_by, template

REVISION = "deployment.kubernetes.io/revision"


def decide(tree, sets=(), **surroundings):
    surroundings.setdefault("taken", {s["metadata"]["name"] for s in sets})
    return reconcile(cached(tree), [cached(s) for s in sets], Surroundings(NOW, **surroundings))


def created(actions):
    return next((a.tree for a in actions if isinstance(a, Create)), None)


def updated(actions, kind="ReplicaSet"):
    return {a.tree["metadata"]["name"]: a.tree for a in actions if isinstance(a, Update) and a.tree["kind"] == kind}


def sizes(actions):
    return {name: tree["spec"]["replicas"] for name, tree in updated(actions).items()}


def status_of(actions):
    return next(a.tree["status"] for a in actions if isinstance(a, UpdateStatus))


def conditions(status):
    return {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}


def stored_set(owner, image="example/web:1", *, replicas=3, available=None, revision=1, name=None, created_time=NOW):
    """A replica set as the controller makes it, with its status."""
    made = copy.deepcopy(owner)
    made["spec"]["template"] = template("web", image)
    tree = created(decide(made))
    tree["metadata"]["generation"] = 1
    tree["metadata"]["creationTimestamp"] = rfc3339(created_time + revision)
    tree["metadata"]["annotations"][REVISION] = str(revision)
    tree["metadata"]["ownerReferences"] = [owned_by(owner)]
    if name:
        tree["metadata"]["name"] = name
    tree["spec"]["replicas"] = replicas
    available = replicas if available is None else available
    tree["status"] = {
        "replicas": replicas,
        "readyReplicas": available,
        "availableReplicas": available,
        "observedGeneration": 1,
    }
    return tree


def settled(tree, *sets):
    """The deployment with its revision noted and its status reported."""
    tree = copy.deepcopy(tree)
    newest = max(int(s["metadata"]["annotations"][REVISION]) for s in sets)
    tree["metadata"].setdefault("annotations", {})[REVISION] = str(newest)
    for _ in range(2):
        for action in decide(tree, sets):
            if isinstance(action, UpdateStatus):
                tree["status"] = action.tree["status"]
    return tree


def test_a_new_deployment_gets_a_replica_set():
    tree = deployment(replicas=3)
    tree["metadata"]["annotations"] = {
        "kubernetes.io/change-cause": "first",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
    }
    actions = decide(tree)
    made = created(actions)
    hash_ = made["metadata"]["labels"]["pod-template-hash"]
    assert made["metadata"]["name"] == f"web-{hash_}"
    assert made["spec"]["replicas"] == 3
    assert made["spec"]["selector"] == {"matchLabels": {"app": "web", "pod-template-hash": hash_}}
    assert made["spec"]["template"]["metadata"]["labels"] == {"app": "web", "pod-template-hash": hash_}
    assert made["metadata"]["annotations"] == {
        "kubernetes.io/change-cause": "first",
        REVISION: "1",
        "deployment.kubernetes.io/desired-replicas": "3",
        "deployment.kubernetes.io/max-replicas": "4",
    }
    assert conditions(status_of(actions)) == {"Progressing": ("True", "NewReplicaSetCreated")}
    (record,) = [a for a in actions if isinstance(a, Record)]
    assert record.message == f"Scaled up replica set web-{hash_} from 0 to 3"


def test_the_revision_is_noted_on_the_deployment():
    tree = deployment()
    (update,) = updated(decide(tree, [stored_set(tree)]), "Deployment").values()
    assert update["metadata"]["annotations"] == {REVISION: "1"}


def test_a_complete_rollout_is_reported_and_then_nothing_is_left_to_do():
    tree = deployment(replicas=3)
    web = stored_set(tree)
    tree = settled(tree, web)
    status = tree["status"]
    assert {n: v for n, v in status.items() if n != "conditions"} == {
        "observedGeneration": 1,
        "replicas": 3,
        "updatedReplicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
    }
    assert conditions(status) == {
        "Available": ("True", "MinimumReplicasAvailable"),
        "Progressing": ("True", "NewReplicaSetAvailable"),
    }
    assert decide(tree, [web]) == []


def test_a_new_template_starts_a_rollout_within_the_surge():
    tree = deployment(replicas=4, image="v2")
    made = created(decide(tree, [stored_set(tree, "v1", replicas=4)]))
    assert made["spec"]["replicas"] == 1
    assert made["metadata"]["annotations"][REVISION] == "2"


def test_old_pods_go_as_new_ones_become_available():
    tree = deployment(replicas=4, image="v2")
    old = stored_set(tree, "v1", replicas=4)
    new = stored_set(tree, "v2", replicas=1, revision=2)
    assert sizes(decide(tree, [old, new])) == {old["metadata"]["name"]: 2}


def test_unhealthy_old_pods_go_first():
    tree = deployment(replicas=3, image="v3", surge=1, unavailable=1)
    broken = stored_set(tree, "v2", replicas=1, available=0, revision=2)
    good = stored_set(tree, "v1", replicas=2, revision=1)
    new = stored_set(tree, "v3", replicas=1, available=0, revision=3)
    assert sizes(decide(tree, [broken, good, new]))[broken["metadata"]["name"]] == 0
    assert good["metadata"]["name"] not in sizes(decide(tree, [broken, good, new]))


def test_a_broken_image_stops_the_rollout():
    tree = deployment(replicas=4, image="broken", surge=1, unavailable=1)
    old = stored_set(tree, "v1", replicas=3)
    new = stored_set(tree, "broken", replicas=2, available=0, revision=2)
    assert sizes(decide(tree, [old, new])) == {}


def test_rolling_back_finds_the_old_replica_set_and_gives_it_the_next_revision():
    tree = deployment(replicas=2, image="v1")
    first = stored_set(tree, "v1", replicas=0, revision=1)
    second = stored_set(tree, "v2", replicas=2, revision=2)
    update = updated(decide(tree, [first, second]))[first["metadata"]["name"]]
    assert update["metadata"]["annotations"][REVISION] == "3"
    assert update["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"
    assert update["spec"]["replicas"] == 1


def test_a_template_with_empty_values_that_mean_nothing_is_still_the_old_one():
    """kubectl rolls back to what its types made of the old replica set's template: with `resources: {}` and the like."""
    tree = deployment(replicas=3)
    old, new = stored_set(tree, replicas=0), stored_set(tree, "example/web:2", revision=2)
    written = tree["spec"]["template"]
    written["metadata"]["creationTimestamp"] = None
    written["spec"] |= {"hostNetwork": False, "nodeSelector": {}}
    written["spec"]["containers"][0]["resources"] = {}
    assert created(decide(tree, [old, new])) is None
    assert updated(decide(tree, [old, new]))[old["metadata"]["name"]]["metadata"]["annotations"][REVISION] == "3"


def test_change_cause_is_copied_to_the_new_replica_set_only():
    tree = deployment(image="v2")
    tree["metadata"]["annotations"] = {"kubernetes.io/change-cause": "upgrade"}
    old, new = stored_set(deployment(), "v1"), stored_set(deployment(), "v2", revision=2)
    new["metadata"]["ownerReferences"] = old["metadata"]["ownerReferences"] = [owned_by(tree)]
    changed = updated(decide(tree, [old, new]))
    assert changed[new["metadata"]["name"]]["metadata"]["annotations"]["kubernetes.io/change-cause"] == "upgrade"
    old_annotations = changed.get(old["metadata"]["name"], old)["metadata"]["annotations"]
    assert "kubernetes.io/change-cause" not in old_annotations


def test_a_name_taken_by_another_template_is_avoided_by_counting_collisions():
    tree = deployment()
    name = created(decide(tree))["metadata"]["name"]
    actions = decide(tree, taken={name})
    assert created(actions) is None
    assert status_of(actions)["collisionCount"] == 1
    tree["status"] = status_of(actions)
    assert created(decide(tree, taken={name}))["metadata"]["name"] != name


def test_a_replica_set_that_cannot_be_made_is_reported():
    actions = decide(deployment(), failure="forbidden by quota")
    assert conditions(status_of(actions))["Progressing"] == ("False", "ReplicaSetCreateError")
    assert created(actions) is not None


def test_recreate_stops_all_old_pods_first():
    tree = deployment(image="v2", strategy={"type": "Recreate"})
    old = stored_set(tree, "v1")
    assert sizes(decide(tree, [old])) == {old["metadata"]["name"]: 0}


def test_recreate_waits_for_terminating_pods():
    tree = deployment(image="v2", strategy={"type": "Recreate"})
    old = stored_set(tree, "v1", replicas=0)
    assert created(decide(tree, [old], busy=lambda _: True)) is None
    assert created(decide(tree, [old]))["spec"]["replicas"] == 3


def test_recreate_goes_on_even_when_it_is_scaled_in_the_middle():
    tree = deployment(replicas=5, image="v2", strategy={"type": "Recreate"})
    before = deployment(replicas=3, image="v2")
    old, new = stored_set(before, "v1", replicas=2), stored_set(before, "v2", replicas=1, revision=2)
    assert sizes(decide(tree, [old, new]))[old["metadata"]["name"]] == 0


def test_a_paused_deployment_rolls_nothing_out_but_is_scaled():
    tree = deployment(replicas=5, image="v2", paused=True)
    tree["metadata"]["annotations"] = {REVISION: "1"}
    old = stored_set(deployment(replicas=3), "v1", replicas=3)
    actions = decide(tree, [old])
    assert created(actions) is None
    assert sizes(actions) == {old["metadata"]["name"]: 5}


@pytest.mark.parametrize("odd", [{"type": "Progressing"}, {"status": "True"}, {}])
@pytest.mark.parametrize("paused", [True, False])
def test_a_condition_that_somebody_wrote_without_its_fields_stops_no_rollout(odd, paused):
    tree = deployment(image="v2", paused=paused)
    tree["status"] = {"conditions": [odd]}
    assert "Progressing" in {
        each.get("type") for each in status_of(decide(tree, [stored_set(deployment(), "v1")]))["conditions"]
    }


def test_pausing_and_resuming_is_told():
    tree = deployment(image="v2", paused=True)
    old = stored_set(deployment(), "v1", replicas=3)
    status = status_of(decide(tree, [old]))
    assert conditions(status)["Progressing"] == ("Unknown", "DeploymentPaused")
    new = stored_set(deployment(), "v2", replicas=0, revision=2)
    tree["status"] = status
    tree["spec"]["paused"] = False
    tree["metadata"]["annotations"] = {REVISION: "2"}
    old["spec"]["replicas"], new["spec"]["replicas"] = 2, 2
    old["status"]["availableReplicas"] = 2
    assert conditions(status_of(decide(tree, [old, new])))["Progressing"] == ("Unknown", "DeploymentResumed")


def test_scaling_during_a_rollout_is_proportional():
    tree = deployment(replicas=15, image="v2", surge=3, unavailable=2)
    before = deployment(replicas=10, image="v2", surge=3, unavailable=2)
    old, new = stored_set(before, "v1", replicas=8), stored_set(before, "v2", replicas=5, available=0, revision=2)
    for rs in (old, new):
        rs["metadata"]["annotations"] |= {
            "deployment.kubernetes.io/desired-replicas": "10",
            "deployment.kubernetes.io/max-replicas": "13",
        }
    assert sizes(decide(tree, [old, new])) == {old["metadata"]["name"]: 11, new["metadata"]["name"]: 7}


def test_no_progress_within_the_deadline_is_a_failure():
    tree = deployment(image="v2")
    old = stored_set(tree, "v1", replicas=3)
    new = stored_set(tree, "v2", replicas=1, available=0, revision=2)
    tree["metadata"]["annotations"] = {REVISION: "2"}
    tree["status"] = status_of(decide(tree, [old, new]))
    progressing = find(tree["status"]["conditions"], "Progressing")
    progressing["lastUpdateTime"] = rfc3339(NOW - 599)
    assert decide(tree, [old, new]) == [Wake(2.0)]
    progressing["lastUpdateTime"] = rfc3339(NOW - 600)
    status = status_of(decide(tree, [old, new]))
    assert conditions(status)["Progressing"] == ("False", "ProgressDeadlineExceeded")


def test_progress_moves_the_deadline():
    tree = deployment(replicas=2, image="v2")
    old, new = stored_set(tree, "v1", replicas=1), stored_set(tree, "v2", replicas=2, available=1, revision=2)
    tree["metadata"]["annotations"] = {REVISION: "2"}
    late = {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "message": ""}
    late |= {"lastUpdateTime": rfc3339(NOW - 500), "lastTransitionTime": rfc3339(NOW - 900)}
    tree["status"] = {"replicas": 3, "updatedReplicas": 1, "conditions": [late]}
    progressing = find(status_of(decide(tree, [old, new]))["conditions"], "Progressing")
    assert progressing["lastUpdateTime"] == rfc3339(NOW)
    assert progressing["lastTransitionTime"] == rfc3339(NOW - 900)


def test_too_few_available_pods_are_told():
    tree = deployment(replicas=4)
    web = stored_set(tree, replicas=4, available=2)
    tree["metadata"]["annotations"] = {REVISION: "1"}
    assert conditions(status_of(decide(tree, [web])))["Available"] == ("False", "MinimumReplicasUnavailable")


def test_failures_of_replica_sets_are_passed_on():
    tree = deployment()
    web = stored_set(tree, available=0)
    web["status"]["conditions"] = [
        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "no quota"}
    ]
    tree["metadata"]["annotations"] = {REVISION: "1"}
    assert conditions(status_of(decide(tree, [web])))["ReplicaFailure"] == ("True", "FailedCreate")


def test_old_revisions_beyond_the_limit_are_deleted_oldest_first():
    tree = deployment(replicas=1, image="v9", revisionHistoryLimit=2)
    sets = [stored_set(tree, f"v{n}", replicas=0, revision=n) for n in range(1, 6)]
    new = stored_set(tree, "v9", replicas=1, revision=9)
    tree = settled(tree, *sets, new)
    gone = [a.name for a in decide(tree, [*sets, new]) if isinstance(a, Delete)]
    assert gone == [s["metadata"]["name"] for s in sets[:3]]


def test_revisions_with_pods_are_kept():
    tree = deployment(replicas=1, image="v9", revisionHistoryLimit=0)
    old = stored_set(tree, "v1", replicas=0, revision=1)
    new = stored_set(tree, "v9", replicas=1, revision=9)
    tree = settled(tree, old, new)
    old["status"]["replicas"] = 1
    assert not [a for a in decide(tree, [old, new]) if isinstance(a, Delete)]


def test_matching_orphans_are_adopted_before_anything_else():
    tree = deployment()
    stray = stored_set(tree)
    del stray["metadata"]["ownerReferences"]
    (action,) = decide(tree, [stray])
    assert action.tree["metadata"]["ownerReferences"][0]["name"] == "web"


def test_a_deployment_that_is_being_deleted_only_reports():
    tree = deployment(replicas=5)
    web = stored_set(deployment())
    tree["metadata"]["deletionTimestamp"] = rfc3339(NOW)
    assert [type(a) for a in decide(tree, [web])] == [UpdateStatus]


def test_a_selector_that_selects_everything_is_not_acted_on():
    tree = deployment()
    tree["spec"]["selector"] = {}
    assert decide(tree) == []


def test_without_a_deadline_there_is_no_progressing_condition():
    tree = deployment()
    del tree["spec"]["progressDeadlineSeconds"]
    web = stored_set(tree)
    tree["metadata"]["annotations"] = {REVISION: "1"}
    assert set(conditions(status_of(decide(tree, [web])))) == {"Available"}


def test_min_ready_seconds_reach_the_replica_set():
    tree = deployment(minReadySeconds=7)
    web = stored_set(deployment())
    tree["metadata"]["annotations"] = {REVISION: "1"}
    assert updated(decide(tree, [web]))[web["metadata"]["name"]]["spec"]["minReadySeconds"] == 7


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (10, "25%", "25%", (3, 2)),
        (10, None, None, (3, 2)),
        (1, "25%", "25%", (1, 0)),
        (3, "25%", "25%", (1, 0)),
        (4, 0, 0, (0, 1)),
        (4, "0%", "10%", (0, 1)),
        (2, 1, 5, (1, 2)),
        (0, 1, 1, (1, 0)),
    ],
)
def test_surge_rounds_up_and_unavailable_down(replicas, surge, unavailable, expected):
    found = rolling.limits(cached(deployment(replicas=replicas, surge=surge, unavailable=unavailable)).view.spec)
    assert (found.max_surge, found.max_unavailable) == expected


def test_rounding_leftovers_go_to_the_largest():
    limits = Limits(replicas=10, max_surge=0, max_unavailable=1)
    active = [Size("new", wanted=3, most=6), Size("old", wanted=3, most=6)]
    assert rolling.proportional_sizes(limits, active, 6) == {"new": 5, "old": 5}
    limits = Limits(replicas=11, max_surge=0, max_unavailable=1)
    assert sum(rolling.proportional_sizes(limits, active, 6).values()) == 11


def test_scaling_to_zero_during_a_rollout_empties_everything():
    limits = Limits(replicas=0, max_surge=1, max_unavailable=0)
    active = [Size("new", wanted=3, most=6), Size("old", wanted=2, most=6)]
    assert rolling.proportional_sizes(limits, active, 5) == {"new": 0, "old": 0}


def test_a_deadline_that_has_passed_stays_passed_until_there_is_progress():
    view = cached(deployment()).view
    told = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
    assert deployment_status.seconds_left(view, told, NOW) == 0
