"""Nodes by the command line: taints, drain of several and dry, what describe tells of their pods."""

from __future__ import annotations

import pytest

from api.object import Tree
from cli.describe_node import node_usage
from cli.mistakes import Misused
from cli.taints import changed, check, split
from tests.cli_rig import CliApi, error_line, pod, tim

NOW = 1_750_000_000.0


@pytest.fixture
def api():
    return CliApi()


def node(name: str, *taints: Tree, **labels: str) -> Tree:
    spec = {"taints": list(taints)} if taints else {}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": spec}


def owned(name: str) -> Tree:
    tree = pod(name)
    tree["metadata"]["ownerReferences"] = [{"kind": "ReplicaSet", "name": "o", "controller": True}]
    return tree


def tainted(api: CliApi, name: str) -> list[str]:
    return [
        f"{each['key']}={each.get('value', '')}:{each['effect']}"
        for each in api.tree("nodes", "", name)["spec"]["taints"]
    ]


GPU = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("words", "after"),
    [
        (["gpu=yes:NoExecute"], ["gpu=yes:NoSchedule", "gpu=yes:NoExecute"]),
        (["repair:PreferNoSchedule"], ["gpu=yes:NoSchedule", "repair=:PreferNoSchedule"]),
        (["gpu-"], []),
        (["gpu:NoSchedule-"], []),
        (["gpu=yes:NoSchedule-"], []),
        (["gpu=yes:NoSchedule"], None),
        (["gpu=no:NoSchedule", "--overwrite"], ["gpu=no:NoSchedule"]),
        (["gpu-", "a=b:NoSchedule"], ["a=b:NoSchedule"]),
    ],
)
def test_taints_are_set_and_removed(api, words, after):
    api.put(node("n1", GPU))
    result = tim(api, "taint", "nodes", "n1", *words)
    assert result.exit_code == 0, result.stderr
    assert tainted(api, "n1") == (["gpu=yes:NoSchedule"] if after is None else after)
    removal = all(word.endswith("-") for word in words)
    word = "already tainted" if after is None else "untainted" if removal else "tainted"
    assert result.stdout == f"node/n1 {word}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gpu=no:NoSchedule"], "node n1 has taint gpu:NoSchedule with another value; --overwrite replaces it"),
        (["cpu-"], "node n1 has no taint cpu"),
        (["gpu:NoExecute-"], "node n1 has no taint gpu:NoExecute"),
        (["gpu:Never"], "the effect of a taint is one of NoSchedule, PreferNoSchedule, NoExecute"),
        (["gpu:Never-"], "the effect of a taint is one of"),
        ([":NoSchedule"], "':NoSchedule' is no taint"),
        (["a:NoSchedule", "a=b:NoSchedule"], "taint a:NoSchedule is named twice"),
        ([], "say which taints to set"),
    ],
)
def test_half_a_taint_and_surprises_are_refused(api, words, message):
    api.put(node("n1", GPU))
    assert message in error_line(tim(api, "taint", "nodes", "n1", *words))
    assert tainted(api, "n1") == ["gpu=yes:NoSchedule"]


def test_only_nodes_are_tainted(api):
    api.put(pod("web"))
    assert "only nodes have taints" in error_line(tim(api, "taint", "pods", "web", "a:NoSchedule"))


def test_nodes_to_taint_are_chosen_by_labels_and_a_dry_run_changes_none(api):
    for name, rack in (("n1", "7"), ("n2", "7"), ("n3", "8")):
        api.put(node(name, rack=rack))
    said = tim(api, "taint", "nodes", "-l", "rack=7", "a:NoSchedule", "--dry-run").stdout
    assert said == "node/n1 tainted (dry run)\nnode/n2 tainted (dry run)\n"
    assert all("taints" not in api.tree("nodes", "", name)["spec"] for name in ("n1", "n2", "n3"))


def test_words_are_told_apart():
    objects, changes = split(["node/n1", "node/n2", "a=b:NoSchedule", "c-"])
    assert objects == ["node/n1", "node/n2"]
    check(changes)
    with pytest.raises(Misused):
        split(["nodes", "a-", "b"])
    assert changed(node("n1"), changes[:1], overwrite=False)["spec"]["taints"] == [
        {"key": "a", "value": "b", "effect": "NoSchedule"}
    ]


def test_a_dry_drain_tells_what_it_would_do(api):
    api.put(node("n1", rack="7"))
    api.put(node("n2", rack="8"))
    api.put(owned("web"))
    result = tim(api, "drain", "-l", "rack=7", "--dry-run")
    assert result.stdout.splitlines() == [
        "node/n1 cordoned (dry run)",
        "evicting pod default/web (dry run)",
        "node/n1 drained (dry run)",
    ]
    assert api.names("pods") == ["web"]
    assert api.tree("nodes", "", "n1")["spec"] == {}


def test_a_dry_drain_tells_what_is_in_the_way(api):
    api.put(node("n1"))
    api.put(pod("alone"))
    said = error_line(tim(api, "drain", "n1", "--dry-run"))
    assert "node n1 would not be drained: default/alone is not made again by any controller" in said


def test_drain_goes_on_with_the_next_node(api):
    api.put(node("n1"))
    api.put(node("n2"))
    api.put(pod("alone"))
    result = tim(api, "drain", "n1", "n2")
    assert "node n1 is cordoned but not drained" in error_line(result)
    assert result.stdout.splitlines() == ["node/n1 cordoned", "node/n2 cordoned", "node/n2 drained"]


def test_drain_wants_names_or_labels(api):
    assert tim(api, "drain").exit_code == 2
    assert tim(api, "drain", "n1", "-l", "a=b").exit_code == 2
    assert "No resources found" in tim(api, "drain", "-l", "a=b").stderr


def requesting(name: str, cpu: str, memory: str, phase: str = "Running", namespace: str = "default") -> Tree:
    tree = pod(name, namespace)
    resources = {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}}
    tree["spec"]["containers"][0]["resources"] = resources
    tree["status"]["phase"] = phase
    tree["metadata"]["creationTimestamp"] = "2025-06-15T15:05:40Z"
    return tree


def test_a_node_is_described_with_its_pods_and_what_they_take():
    described = node("n1") | {
        "status": {"capacity": {"cpu": "4", "memory": "4Gi"}, "allocatable": {"cpu": "2", "memory": "1Gi"}}
    }
    pods = [
        requesting("web", "250m", "256Mi"),
        requesting("done", "1", "1Gi", "Succeeded"),
        requesting("db", "1", "128Mi", namespace="apps"),
    ]
    assert node_usage(described, pods, NOW).splitlines() == [
        "Non-terminated Pods:     (2 in total)",
        "  Namespace   Name   CPU Requests   CPU Limits   Memory Requests   Memory Limits   Age",
        "  apps        db     1 (50%)        0 (0%)       128Mi (12%)       128Mi (12%)     60s",
        "  default     web    250m (12%)     0 (0%)       256Mi (25%)       256Mi (25%)     60s",
        "Allocated resources:",
        "  (Total limits may be over 100 percent, i.e., overcommitted.)",
        "  Resource   Requests      Limits",
        "  cpu        1250m (62%)   0 (0%)",
        "  memory     384Mi (37%)   384Mi (37%)",
    ]


def test_describe_node_lists_its_pods(api):
    api.put(node("n1") | {"status": {"allocatable": {"cpu": "2"}}})
    api.put(pod("web"))
    said = tim(api, "describe", "node", "n1").stdout
    assert "Non-terminated Pods:     (1 in total)" in said
    assert said.index("Allocated resources:") < said.index("Events:")


def test_a_node_that_told_nothing_yet_is_described_too():
    assert "  cpu        0 (0%)     0 (0%)" in node_usage(node("n1"), [], NOW)
