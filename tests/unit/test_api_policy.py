"""What LimitRanges, ResourceQuotas and PriorityClasses may say, and what is written out for them."""

from __future__ import annotations

import pytest

from api.defaults import default
from api.scheme import by_kind
from api.validation import validate
from tests.admission_rig import limit_range, priority_class, quota


def faults(tree, old=None):
    def complete(each):
        each = default(by_kind(each["apiVersion"], each["kind"]), each)
        metadata = {"namespace": "default", "uid": "u", **each["metadata"]}
        if each["kind"] == "PriorityClass":
            del metadata["namespace"]
        return {**each, "metadata": metadata}

    kind = by_kind(tree["apiVersion"], tree["kind"])
    return [str(fault) for fault in validate(kind, complete(tree), None if old is None else complete(old))]


def test_defaults_of_a_container_follow_from_its_bounds_as_in_kubernetes():
    tree = limit_range({"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "100m", "memory": "1Mi"}})
    (item,) = default(by_kind("v1", "LimitRange"), tree)["spec"]["limits"]
    assert item["default"] == {"cpu": "2"}
    assert item["defaultRequest"] == {"cpu": "2", "memory": "1Mi"}
    assert not faults(tree)


@pytest.mark.parametrize(
    ("item", "fault"),
    [
        ({}, "spec.limits[0].type: Required value"),
        (
            {"type": "PersistentVolumeClaim", "max": {}},
            'spec.limits[0].type: "PersistentVolumeClaim" is not supported yet; supported: "Container", "Pod"',
        ),
        (
            {"type": "Pod", "default": {"cpu": "1"}},
            "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
        ),
        (
            {"type": "Pod", "min": {"cpu": "2"}, "max": {"cpu": "1"}},
            'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1',
        ),
        (
            {"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "2"}},
            (
                'spec.limits[0].defaultRequest[cpu]: Invalid value: "2": '
                "default request value 2 is greater than default limit value 1"
            ),
        ),
        (
            {"type": "Pod", "maxLimitRequestRatio": {"cpu": "500m"}},
            'spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1',
        ),
        (
            {"type": "Pod", "min": {"cpu": "1"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "3"}},
            'spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "3": ratio 3 is greater than max/min = 2.000000',
        ),
        ({"type": "Pod", "max": {"gpu": "1"}}, "spec.limits[0].max[gpu]: not supported yet; supported: cpu, memory"),
    ],
)
def test_limit_ranges_that_make_no_sense_are_refused(item, fault):
    assert faults(limit_range(item)) == [fault]


def test_one_item_of_a_limit_range_for_each_type():
    assert faults(limit_range({"type": "Pod"}, {"type": "Pod"})) == ['spec.limits[1].type: Duplicate value: "Pod"']


@pytest.mark.parametrize(
    ("tree", "fault"),
    [
        (
            quota(cores=1),
            'spec.hard[cores]: Invalid value: "cores": must be a standard resource for quota',
        ),
        (quota(pods="1500m"), 'spec.hard[pods]: Invalid value: "1500m": must be an integer'),
        (
            quota(scopes=["BestEffort"], pods=1, cpu=1),
            'spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource',
        ),
        (
            quota(scopes=["Terminating", "NotTerminating"], pods=1),
            'spec.scopes: Invalid value: ["Terminating", "NotTerminating"]: conflicting scopes',
        ),
        (quota(scopes=["Best"], pods=1), 'spec.scopes: Invalid value: ["Best"]: unsupported scope'),
        (
            quota(selector={"scopeName": "PriorityClass", "operator": "In"}, pods=1),
            (
                "spec.scopeSelector.matchExpressions[0].values: Required value: "
                "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            ),
        ),
        (
            quota(selector={"scopeName": "BestEffort", "operator": "In", "values": ["x"]}, pods=1),
            (
                "spec.scopeSelector.matchExpressions[0].operator: Invalid value: "
                "\"In\": must be 'Exists' for the scope BestEffort"
            ),
        ),
    ],
)
def test_quotas_that_make_no_sense_are_refused(tree, fault):
    assert faults(tree) == [fault]


def test_quotas_as_the_kubernetes_documentation_has_them_are_accepted():
    assert not faults(quota(requests__cpu=1, requests__memory="1Gi", limits__cpu=2, limits__memory="2Gi"))
    assert not faults(quota(configmaps=10, services__loadbalancers=2, replicationcontrollers=20, secrets=10))
    assert not faults(quota(**{"count_deployments__apps": 2, "requests.nvidia.com/gpu": 4}))
    selector = {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}
    assert not faults(quota(cpu=1000, memory="200Gi", pods=10, selector=selector))


def test_what_a_quota_looks_at_cannot_change():
    old = quota(scopes=["BestEffort"], pods=1)
    assert not faults(quota(scopes=["BestEffort"], pods=2), old)
    assert faults(quota(pods=1), old) == ["spec.scopes: Invalid value: []: field is immutable"]


@pytest.mark.parametrize(
    ("tree", "fault"),
    [
        (
            priority_class("mine", 1_000_000_001),
            "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
        ),
        (
            priority_class("system-mine", 1),
            (
                "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. "
                "error: system-mine is not a known system priority class"
            ),
        ),
        (
            priority_class("mine", 1, preemptionPolicy="Always"),
            'preemptionPolicy: Unsupported value: "Always": supported values: "PreemptLowerPriority", "Never"',
        ),
    ],
)
def test_priority_classes_that_may_not_be_are_refused(tree, fault):
    assert faults(tree) == [fault]


def test_the_value_of_a_priority_class_never_changes():
    assert faults(priority_class("mine", 2), priority_class("mine", 1)) == [
        "value: Forbidden: may not be changed in an update."
    ]
    assert not faults(priority_class("mine", 1, globalDefault=True), priority_class("mine", 1))
