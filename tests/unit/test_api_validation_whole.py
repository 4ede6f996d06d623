"""Rules of Kubernetes' validation, each as one change of a valid object: what is refused, by which path, in which words."""

from __future__ import annotations

import base64

import pytest

from api import scheme, strict
from api.defaults import default
from api.validation import validate
from tests.whole_objects import whole_objects

WHOLE = {tree["kind"]: tree for tree in whole_objects()}
MAIN = ("spec", "containers", 0)
DOCKER = "kubernetes.io/dockerconfigjson"
TERMS = ("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
COST = "controller.kubernetes.io/pod-deletion-cost"
APPARMOR = "container.apparmor.security.beta.kubernetes.io/main"
OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "1"}
ADDRESS = {"type": "InternalIP", "address": "10.0.0.1"}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def changed(kind: str, *changes: tuple) -> list[str]:
    """The faults of a whole object with values set: (step, step, ..., value)."""
    tree = next(each for each in whole_objects() if each["kind"] == kind)
    for *steps, last, value in changes:
        place = tree
        for step in steps:
            place = place[step] if isinstance(step, int) else place.setdefault(step, {})
        place[last] = value
    known = scheme.by_kind(tree["apiVersion"], kind)
    assert strict.check(known, tree) == []
    return [str(fault) for fault in validate(known, default(known, tree), None)]


@pytest.mark.parametrize("kind", sorted(WHOLE))
def test_whole_objects_are_valid(kind):
    assert changed(kind) == []


@pytest.mark.parametrize(
    ("kind", "change", "fault"),
    [
        (
            "Pod",
            (*MAIN, "env", 1, "valueFrom", "fieldRef", "fieldPath", "metadata.labels['a b']"),
            (
                "spec.containers[0].env[1].valueFrom.fieldRef.fieldPath: "
                'Invalid value: "a b": name part must consist of alphanumeric characters'
            ),
        ),
        (
            "Pod",
            ("spec", "volumes", 3, "downwardAPI", "items", 0, "fieldRef", "fieldPath", "metadata.annotations['/x']"),
            (
                "spec.volumes[3].downwardAPI.items[0].fieldRef.fieldPath: "
                'Invalid value: "/x": prefix part must be non-empty'
            ),
        ),
        (
            "Pod",
            (*MAIN, "env", 2, "valueFrom", "resourceFieldRef", "divisor", "3"),
            (
                "spec.containers[0].env[2].valueFrom.resourceFieldRef.divisor: "
                'Invalid value: "3": only divisor\'s values 1m, 1 are supported with the cpu resource'
            ),
        ),
        ("Pod", ("spec", "os", {"name": ""}), "spec.os.name: Required value: cannot be empty"),
        (
            "Pod",
            ("spec", *TERMS, []),
            f"spec.{'.'.join(TERMS)}: Required value: must have at least one node selector term",
        ),
        (
            "Pod",
            ("metadata", "ownerReferences", [OWNER | {"apiVersion": "a/b/c"}]),
            'metadata.ownerReferences[0].apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c',
        ),
        (
            "Pod",
            ("metadata", "ownerReferences", [OWNER | {"apiVersion": "apps/"}]),
            'metadata.ownerReferences[0].apiVersion: Invalid value: "apps/": version must not be empty',
        ),
        (
            "Pod",
            ("metadata", "ownerReferences", [OWNER | {"kind": "Event"}]),
            'metadata.ownerReferences[0]: Invalid value: "v1, Kind=Event": is disallowed from being an owner',
        ),
        (
            "Pod",
            ("metadata", "annotations", COST, "07"),
            f'metadata.annotations[{COST}]: Invalid value: "07": must be a 32bit integer',
        ),
        (
            "Deployment",
            ("spec", "template", "metadata", "annotations", COST, "2147483648"),
            f'spec.template.metadata.annotations[{COST}]: Invalid value: "2147483648": must be a 32bit integer',
        ),
        (
            "ReplicaSet",
            ("spec", "template", "metadata", "annotations", APPARMOR, "localhost/mine"),
            f'spec.template.metadata.annotations[{APPARMOR}]: Unsupported value: "localhost/mine"',
        ),
        (
            "Namespace",
            ("spec", "finalizers", ["mine"]),
            'spec.finalizers[0]: Invalid value: "mine": name is neither a standard finalizer name',
        ),
        (
            "Node",
            ("spec", "podCIDRs", ["10.0.0.0/24", "10.0.1.0/24"]),
            'spec.podCIDRs: Invalid value: ["10.0.0.0/24", "10.0.1.0/24"]: may specify no more than one CIDR',
        ),
        ("Node", ("status", "addresses", [ADDRESS, ADDRESS]), "status.addresses[1]: Duplicate value"),
        (
            "Node",
            ("status", "capacity", {"pods": "1.5"}),
            'status.capacity[pods]: Invalid value: "1.5": must be an integer',
        ),
        (
            "EndpointSlice",
            ("endpoints", 0, "nodeName", "a b"),
            'endpoints[0].nodeName: Invalid value: "a b": a lowercase RFC 1123 subdomain',
        ),
    ],
)
def test_what_kubernetes_refuses_is_refused_in_its_words(kind, change, fault):
    found = changed(kind, change)
    assert found[0].startswith(fault), found


def test_credentials_of_registries_are_json_and_never_shown():
    good = ("data", {".dockerconfigjson": encoded('{"auths": {}}')})
    assert changed("Secret", ("type", DOCKER), good) == []
    for text in ("hush", "[" * 100_000):
        faults = changed("Secret", ("type", DOCKER), ("data", {".dockerconfigjson": encoded(text)}))
        assert faults == ["data[.dockerconfigjson]: Invalid value: <secret contents redacted>: must be JSON"]


@pytest.mark.parametrize("text", ["0", "-1", "-2147483648", "2147483647"])
def test_the_cost_of_a_deletion_is_any_number_of_32_bits(text):
    assert changed("Pod", ("metadata", "annotations", COST, text)) == []


@pytest.mark.parametrize("text", ["", "-", "-0", "+1", "1.0", "x", "٣", "9" * 400, "-2147483649"])
def test_the_cost_of_a_deletion_is_no_other_text(text):
    assert changed("Pod", ("metadata", "annotations", COST, text))


@pytest.mark.parametrize(
    ("resource", "divisor"),
    [("limits.cpu", "1m"), ("limits.cpu", "1000m"), ("limits.memory", "1Mi"), ("requests.memory", "0")],
)
def test_divisors_may_be_written_in_any_way(resource, divisor):
    reference = {"resource": resource, "divisor": divisor}
    assert changed("Pod", (*MAIN, "env", 2, "valueFrom", "resourceFieldRef", reference)) == []
