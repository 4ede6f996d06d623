"""LimitRanges: what containers are given, and what is refused in which words."""

from __future__ import annotations

import pytest

from api.errors import Forbidden
from api.object import canonical
from controlplane.admission.limit_ranger import ANNOTATION, LimitRanger
from tests.admission_rig import Objects, limit_range, pod_tree, request

PLUGIN = LimitRanger()


def container(**item):
    return limit_range({"type": "Container", **item})


def test_a_container_is_given_what_it_does_not_say():
    objects = Objects(container(default={"cpu": "1", "memory": "512Mi"}, defaultRequest={"cpu": "250m"}))
    tree = pod_tree("web", {}, {"requests": {"cpu": "2"}, "limits": {"cpu": "3"}})
    admitted = PLUGIN.admit(request(tree), objects)
    first, second = (each["resources"] for each in admitted["spec"]["containers"])
    assert first == {"limits": {"cpu": "1", "memory": "512Mi"}, "requests": {"cpu": "250m"}}
    assert second == {"limits": {"cpu": "3", "memory": "512Mi"}, "requests": {"cpu": "2"}}
    assert admitted["metadata"]["annotations"] == {
        ANNOTATION: "LimitRanger plugin set: cpu, memory limit for container c0; cpu request for container c0; "
        "memory limit for container c1"
    }


def test_the_first_of_several_limit_ranges_gives_the_default():
    objects = Objects(
        limit_range({"type": "Container", "default": {"cpu": "2"}}, name="b"),
        limit_range({"type": "Container", "default": {"cpu": "1"}}, name="a"),
    )
    admitted = PLUGIN.admit(request(pod_tree()), objects)
    assert admitted["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "1"}


def test_a_pod_that_needs_nothing_stays_the_same_object():
    tree = pod_tree("web", {"limits": {"cpu": "1"}})
    before = canonical(tree)
    assert PLUGIN.admit(request(tree), Objects()) is tree
    assert PLUGIN.admit(request(tree), Objects(container(default={"cpu": "2"}))) is tree
    assert canonical(tree) == before


@pytest.mark.parametrize(
    ("item", "resources", "message"),
    [
        ({"min": {"cpu": "100m"}}, {}, "minimum cpu usage per Container is 100m.  No request is specified"),
        (
            {"min": {"cpu": "100m"}},
            {"requests": {"cpu": "50m"}},
            "minimum cpu usage per Container is 100m, but request is 50m",
        ),
        ({"max": {"memory": "1Gi"}}, {}, "maximum memory usage per Container is 1Gi.  No limit is specified"),
        (
            {"max": {"memory": "1Gi"}},
            {"limits": {"memory": "2Gi"}, "requests": {"memory": "1Gi"}},
            "maximum memory usage per Container is 1Gi, but limit is 2Gi",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {"limits": {"cpu": "1"}, "requests": {"cpu": "400m"}},
            "cpu max limit to request ratio per Container is 2, but provided ratio is 2.500000",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {"requests": {"cpu": "1"}},
            "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {},
            "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0",
        ),
    ],
)
def test_a_container_outside_the_bounds_is_refused_in_kubernetes_words(item, resources, message):
    with pytest.raises(Forbidden) as refused:
        PLUGIN.check(request(pod_tree("web", resources)), Objects(container(**item)))
    assert str(refused.value) == f'pods "web" is forbidden: {message}'


def test_bounds_of_pods_look_at_the_sum_of_containers():
    objects = Objects(limit_range({"type": "Pod", "max": {"cpu": "2", "memory": "1Gi"}}))
    fitting = {"limits": {"cpu": "1", "memory": "512Mi"}}
    PLUGIN.check(request(pod_tree("web", fitting, fitting)), objects)
    with pytest.raises(Forbidden, match="maximum cpu usage per Pod is 2, but limit is 3"):
        PLUGIN.check(request(pod_tree("web", fitting, fitting, fitting)), objects)


def test_every_reason_is_named_at_once():
    objects = Objects(container(max={"cpu": "1", "memory": "1Gi"}))
    with pytest.raises(Forbidden) as refused:
        PLUGIN.check(request(pod_tree("web", {"limits": {"cpu": "2", "memory": "2Gi"}})), objects)
    told = str(refused.value)
    assert told.startswith('pods "web" is forbidden: [maximum cpu usage')
    assert told.endswith("maximum memory usage per Container is 1Gi, but limit is 2Gi]")


def test_pods_that_are_there_are_left_alone():
    objects = Objects(container(max={"cpu": "1"}, default={"cpu": "1"}))
    tree = pod_tree("web", {"limits": {"cpu": "2"}})
    update = request(tree, "update", old=tree)
    assert PLUGIN.admit(update, objects) is tree
    PLUGIN.check(update, objects)
