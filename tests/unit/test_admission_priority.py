"""Priority classes: what a pod gets of them, and what is refused."""

from __future__ import annotations

import pytest

from api.errors import Forbidden
from controlplane.admission.priority import CLASSES, Priority
from tests.admission_rig import Objects, pod_tree, priority_class, request

PLUGIN = Priority()
HIGH = priority_class("high", 1000)
GENTLE = priority_class("gentle", 50, preemptionPolicy="Never", globalDefault=True)


def admitted(objects, **spec):
    return PLUGIN.admit(request(pod_tree(**spec)), objects)["spec"]


def test_a_pod_without_a_class_has_priority_zero():
    spec = admitted(Objects(HIGH))
    assert (spec["priority"], spec["preemptionPolicy"]) == (0, "PreemptLowerPriority")
    assert "priorityClassName" not in spec


def test_a_named_class_gives_its_value_and_policy():
    spec = admitted(Objects(HIGH, GENTLE), priorityClassName="high")
    assert (spec["priority"], spec["preemptionPolicy"]) == (1000, "PreemptLowerPriority")


def test_the_global_default_counts_for_pods_that_name_none():
    spec = admitted(Objects(HIGH, GENTLE))
    assert (spec["priorityClassName"], spec["priority"], spec["preemptionPolicy"]) == ("gentle", 50, "Never")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"priorityClassName": "none"}, "no PriorityClass with name none was found"),
        ({"priority": 7}, r"the integer value of priority \(7\) must not be provided in pod spec; .* computed 0 from"),
        (
            {"priorityClassName": "high", "preemptionPolicy": "Never"},
            r"the PreemptionPolicy \(Never\) must not be provided in pod spec; .* computed PreemptLowerPriority from",
        ),
    ],
)
def test_what_contradicts_the_class_is_refused(spec, message):
    with pytest.raises(Forbidden, match=f'pods "web" is forbidden: {message}'):
        admitted(Objects(HIGH), **spec)


def test_a_stored_pod_keeps_its_priority_when_classes_change():
    stored = PLUGIN.admit(request(pod_tree(priorityClassName="high")), Objects(HIGH))
    update = request(pod_tree(priorityClassName="high"), "update", old=stored)
    kept = PLUGIN.admit(update, Objects())["spec"]
    assert (kept["priority"], kept["preemptionPolicy"]) == (1000, "PreemptLowerPriority")
    resent = request(stored, "update", old=stored)
    assert PLUGIN.admit(resent, Objects()) is stored


def test_only_one_class_is_the_default():
    second = priority_class("other", 1, globalDefault=True)
    with pytest.raises(Forbidden, match='"gentle" is already marked as default'):
        PLUGIN.check(request(second, resource=CLASSES), Objects(GENTLE))
    PLUGIN.check(request(GENTLE, "update", old=GENTLE, resource=CLASSES), Objects(GENTLE))
    PLUGIN.check(request(HIGH, resource=CLASSES), Objects(GENTLE))
