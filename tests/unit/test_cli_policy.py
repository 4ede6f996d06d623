"""Quotas, limit ranges and priority classes on the command line: tables, descriptions, generators."""

from __future__ import annotations

import pytest

from api.columns import columns_of
from cli import generators
from cli.describe import description
from cli.mistakes import Misused
from cli.policy_tables import namespace_policies
from tests.admission_rig import limit_range, priority_class, quota
from tests.cli_rig import CliApi, tim


def cells(resource, tree):
    return {column.heading: column.cell(tree, 0.0) for column in columns_of(resource, wide=True)}


def test_a_quota_is_shown_as_used_of_hard():
    tree = quota(pods=5, limits__cpu=2)
    tree["status"] = {"hard": tree["spec"]["hard"], "used": {"pods": "1", "limits.cpu": "500m"}}
    shown = cells("resourcequotas", tree)
    assert (shown["REQUEST"], shown["LIMIT"]) == ("pods: 1/5", "limits.cpu: 500m/2")
    assert [line.split() for line in description("resourcequotas", tree).splitlines()[-4:]] == [
        ["Resource", "Used", "Hard"],
        ["--------", "----", "----"],
        ["limits.cpu", "500m", "2"],
        ["pods", "1", "5"],
    ]


def test_the_scopes_of_a_quota_are_described():
    tree = quota(scopes=["BestEffort"], selector={"scopeName": "PriorityClass", "operator": "In", "values": ["a"]})
    assert "Scopes:  BestEffort" in description("resourcequotas", tree)
    assert "Scope Selector:  PriorityClass In [a]" in description("resourcequotas", tree)


def test_a_limit_range_is_described_as_a_table():
    tree = limit_range({"type": "Container", "default": {"memory": "512Mi"}, "defaultRequest": {"memory": "256Mi"}})
    assert description("limitranges", tree).splitlines()[-1].split() == [
        *("Container", "memory", "-", "-", "256Mi", "512Mi", "-")
    ]


def test_a_priority_class_shows_its_value_and_policy():
    shown = cells("priorityclasses.scheduling.k8s.io", priority_class("high", 7, preemptionPolicy="Never"))
    assert (shown["VALUE"], shown["GLOBAL-DEFAULT"], shown["PREEMPTIONPOLICY"]) == ("7", "false", "Never")


def test_generators_make_quotas_and_priority_classes():
    made = generators.resource_quota("q", "pods=5,requests.cpu=2", "BestEffort,NotTerminating")
    assert made["spec"] == {
        "hard": {"pods": "5", "requests.cpu": "2"},
        "scopes": ["BestEffort", "NotTerminating"],
    }
    with pytest.raises(Misused, match="--hard 'pods': write it as RESOURCE=QUANTITY"):
        generators.resource_quota("q", "pods", "")
    made = generators.priority_class("high", 7, "why", "Never", is_default=True)
    assert (made["value"], made["globalDefault"], made["preemptionPolicy"]) == (7, True, "Never")


def test_a_namespace_is_described_with_its_quotas_and_limits():
    api = CliApi(namespaces=["default", "shop"])
    for tree in (quota(pods=5), limit_range({"type": "Pod", "max": {"cpu": "2"}})):
        tree["metadata"]["namespace"] = "shop"
        api.put(tree)
    lines = tim(api, "describe", "ns", "shop").stdout.splitlines()
    quotas = lines.index("Resource Quotas")
    assert [line.split() for line in lines[quotas + 1 : quotas + 5]] == [
        ["Name:", "small"],
        ["Resource", "Used", "Hard"],
        ["--------", "----", "----"],
        ["pods", "<unknown>", "5"],
    ]
    assert lines[lines.index("Resource Limits") + 3].split() == ["Pod", "cpu", "-", "2", "-", "-", "-"]
    assert "No resource quota." in tim(api, "describe", "ns", "default").stdout


def test_what_a_namespace_does_not_have_is_said():
    assert namespace_policies([], []).split("\n") == ["", "No resource quota.", "", "No LimitRange resource."]
