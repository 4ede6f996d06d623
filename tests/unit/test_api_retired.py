"""Retired API versions: taken as what they meant, and told so."""

from __future__ import annotations

import copy

import pytest

from api import scheme, strict
from api.defaults import default
from api.retired import NO_LIMIT, RETIRED, current_version, modern

LABELS = {"app": "web"}


def deployment(api_version, **spec):
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "a", "image": "i"}]}}
    spec = {"template": template, **spec}
    return {"apiVersion": api_version, "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def complete(tree):
    """The object as it would be stored, and what its sender is told."""
    before = copy.deepcopy(tree)
    current, warning = modern(tree)
    assert tree == before, "the argument was changed"
    return default(scheme.by_kind(current["apiVersion"], current["kind"]), current), warning


def test_the_first_deployments_had_their_templates_labels_and_no_limits():
    tree, warning = complete(deployment("extensions/v1beta1"))
    spec = tree["spec"]
    assert tree["apiVersion"] == "apps/v1"
    assert (spec["selector"], tree["metadata"]["labels"]) == ({"matchLabels": LABELS}, LABELS)
    assert (spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (NO_LIMIT, NO_LIMIT)
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 1, "maxSurge": 1}
    assert warning == "extensions/v1beta1 Deployment is retired: it was taken as apps/v1 Deployment, write that instead"


def test_what_they_say_themselves_counts():
    strategy = {"rollingUpdate": {"maxSurge": 3}}
    selector = {"matchLabels": {"app": "web"}}
    given = deployment("extensions/v1beta1", strategy=strategy, selector=selector, revisionHistoryLimit=4)
    spec = complete(given)[0]["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 1, "maxSurge": 3}
    assert spec["revisionHistoryLimit"] == 4
    recreated = complete(deployment("extensions/v1beta1", strategy={"type": "Recreate"}))[0]
    assert recreated["spec"]["strategy"] == {"type": "Recreate"}


def test_the_versions_between_differ_in_less():
    first = complete(deployment("apps/v1beta1"))[0]["spec"]
    assert (first["revisionHistoryLimit"], first["strategy"]["rollingUpdate"]["maxSurge"]) == (2, "25%")
    assert first["selector"] == {"matchLabels": LABELS}
    second, warning = complete(deployment("apps/v1beta2", selector={"matchLabels": LABELS}))
    today, nothing = complete(deployment("apps/v1", selector={"matchLabels": LABELS}))
    assert second == today
    assert (bool(warning), nothing) == (True, "")


def test_a_field_that_has_gone_is_named():
    tree, _ = complete(deployment("extensions/v1beta1", rollbackTo={"revision": 1}))
    faults = strict.check(scheme.lookup("deployment"), tree)
    assert [fault.path for fault in faults] == ["spec.rollbackTo"]


@pytest.mark.parametrize("named", RETIRED)
def test_each_leads_to_a_kind_that_exists(named):
    assert scheme.by_kind(current_version(*named), named[1]).kind == named[1]


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"apiVersion": 3, "kind": []},
        {"apiVersion": "extensions/v1beta1", "kind": "Deployment"},
        {"apiVersion": "extensions/v1beta1", "kind": "Deployment", "spec": 3, "metadata": []},
        {"apiVersion": "extensions/v1beta1", "kind": "Deployment", "spec": {"strategy": "x", "template": None}},
    ],
)
def test_what_is_no_object_of_its_kind_is_left_for_others_to_refuse(tree):
    current, _ = modern(tree)
    assert isinstance(current, dict)


def test_what_was_never_retired_is_looked_up_as_it_is():
    assert current_version("v1", "Pod") == "v1"
    assert current_version("extensions/v1beta1", "Ingress") == "extensions/v1beta1"
