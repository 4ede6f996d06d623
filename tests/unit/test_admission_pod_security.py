"""Pod Security Standards: what each level refuses, in which words, and who is told."""

from __future__ import annotations

import msgspec
import pytest

from api.errors import Forbidden, Invalid
from api.pod import PodSpec
from api.pod_security import violations
from controlplane.admission.pod_security import PODS_LOOKED_AT, PREFIX, PodSecurity
from tests.admission_rig import Objects, pod_tree, request

PLUGIN = PodSecurity()
NEWEST = 99
SAFE = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def found(level, *, minor=NEWEST, container=None, **spec):
    (built,) = pod_tree()["spec"]["containers"]
    tree = {"containers": [{**built, **(container or {})}], **spec}
    return violations(level, msgspec.convert(tree, PodSpec), minor)


def namespace(**labels):
    written = {PREFIX + name.replace("_", "-"): value for name, value in labels.items()}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default", "labels": written}}


def workload(**spec):
    tree = pod_tree(**spec)
    metadata = {"name": "web", "namespace": "default"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"template": tree}}


@pytest.mark.parametrize(
    ("pod", "violation"),
    [
        (
            {"container": {"securityContext": {"capabilities": {"add": ["NET_ADMIN", "CHOWN"]}}}},
            'non-default capabilities (container "c0" must not include "NET_ADMIN" in securityContext.capabilities.add)',
        ),
        ({"hostNetwork": True, "hostPID": True}, "host namespaces (hostNetwork=true, hostPID=true)"),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, 'hostPath volumes (volume "v")'),
        (
            {"container": {"ports": [{"containerPort": 80, "hostPort": 80}]}},
            'hostPort (container "c0" uses hostPort 80)',
        ),
        (
            {"container": {"livenessProbe": {"httpGet": {"port": 80, "host": "10.0.0.1"}}}},
            'probe or lifecycle host (container "c0" must not set host in probes or lifecycle hooks)',
        ),
        (
            {"container": {"securityContext": {"privileged": True}}},
            'privileged (container "c0" must not set securityContext.privileged=true)',
        ),
        (
            {"initContainers": [{"name": "i", "securityContext": {"privileged": True}}]},
            'privileged (container "i" must not set securityContext.privileged=true)',
        ),
    ],
)
def test_what_baseline_does_not_allow(pod, violation):
    assert found("baseline", **pod) == [violation]
    assert violation in found("restricted", **pod)
    assert found("privileged", **pod) == []


def test_a_plain_pod_is_within_baseline_and_restricted_names_all_it_lacks():
    assert found("baseline") == []
    assert found("restricted") == [
        'allowPrivilegeEscalation != false (container "c0" must set securityContext.allowPrivilegeEscalation=false)',
        'unrestricted capabilities (container "c0" must set securityContext.capabilities.drop=["ALL"])',
        'runAsNonRoot != true (pod or container "c0" must set securityContext.runAsNonRoot=true)',
        (
            'seccompProfile (pod or container "c0" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
            '"Localhost")'
        ),
    ]


def test_a_pod_that_says_all_is_within_restricted():
    assert found("restricted", container={"securityContext": SAFE}) == []
    of_pod = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    of_container = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}
    assert found("restricted", container={"securityContext": of_container}, securityContext=of_pod) == []


@pytest.mark.parametrize(
    ("spec", "violation"),
    [
        ({"securityContext": {"runAsUser": 0}}, "runAsUser=0 (pod must not set runAsUser=0)"),
        (
            {"volumes": [{"name": "v", "nfs": {"path": "/", "server": "x"}}]},
            'restricted volume types (volume "v" uses restricted volume type "nfs")',
        ),
        (
            {"securityContext": {"runAsNonRoot": False}},
            "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
        ),
    ],
)
def test_what_restricted_does_not_allow_besides(spec, violation):
    assert found("restricted", container={"securityContext": SAFE}, **spec) == [violation]


def test_an_older_version_of_the_standards_has_fewer_rules():
    reasons = [each.split(" (")[0] for each in found("restricted", minor=18)]
    assert reasons == ["allowPrivilegeEscalation != false", "runAsNonRoot != true"]


def test_what_is_enforced_refuses_pods_but_not_what_makes_them():
    objects = Objects(namespace(enforce="baseline"))
    with pytest.raises(Forbidden) as refused:
        PLUGIN.check(request(pod_tree(hostNetwork=True)), objects)
    assert str(refused.value) == (
        'pods "web" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'
    )
    PLUGIN.check(request(pod_tree()), objects)
    PLUGIN.check(request(workload(hostNetwork=True), resource="deployments.apps"), objects)
    assert (objects.warnings, objects.audits) == ([], [])


def test_warnings_and_audits_concern_pods_and_what_makes_them():
    objects = Objects(namespace(warn="baseline", audit="baseline", audit_version="v1.30"))
    PLUGIN.check(request(workload(hostNetwork=True), resource="deployments.apps"), objects)
    assert objects.warnings == ['would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true)']
    assert objects.audits == [
        'deployments.apps "web" would violate PodSecurity "baseline:v1.30": host namespaces (hostNetwork=true)'
    ]


def test_pods_that_are_there_and_namespaces_without_labels_are_left_alone():
    tree = pod_tree(hostNetwork=True)
    PLUGIN.check(request(tree, "update", old=tree), Objects(namespace(enforce="restricted")))
    PLUGIN.check(request(tree), Objects(namespace()))
    PLUGIN.check(request(tree), Objects())


@pytest.mark.parametrize(
    ("labels", "fault"),
    [
        ({"enforce": "strict"}, '[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of'),
        (
            {"warn_version": "1.30"},
            '[pod-security.kubernetes.io/warn-version]: Invalid value: "1.30": must be "latest"',
        ),
    ],
)
def test_labels_that_name_no_level_or_version_are_refused(labels, fault):
    with pytest.raises(Invalid) as refused:
        PLUGIN.check(request(namespace(**labels), resource="namespaces"), Objects())
    assert fault in str(refused.value)


def test_levels_and_versions_are_accepted():
    tree = namespace(enforce="baseline", enforce_version="v1.33", audit="restricted", warn_version="latest")
    PLUGIN.check(request(tree, resource="namespaces"), Objects())


def owned(name, owner, **spec):
    tree = pod_tree(name, **spec)
    tree["metadata"]["ownerReferences"] = [{"uid": owner}]
    return tree


def test_who_raises_the_level_is_told_which_pods_violate_it():
    pods = [owned(f"web-{index}", "rs", hostNetwork=True) for index in range(3)]
    objects = Objects(*pods, pod_tree("fine"), pod_tree("alone", hostPID=True, hostNetwork=True))
    PLUGIN.check(request(namespace(enforce="baseline"), "update", namespace(), "namespaces"), objects)
    assert objects.warnings == [
        'existing pods in namespace "default" violate the new PodSecurity enforce level "baseline:latest"',
        "alone (and 3 other pods): host namespaces",
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"enforce": "baseline"}, {"enforce": "baseline", "warn": "restricted"}),
        ({"enforce": "restricted"}, {"enforce": "baseline"}),
        ({"enforce": "restricted"}, {}),
        ({}, {"enforce": "privileged"}),
    ],
)
def test_nobody_is_told_of_pods_when_the_level_does_not_rise(before, after):
    objects = Objects(pod_tree(hostNetwork=True))
    PLUGIN.check(request(namespace(**after), "update", namespace(**before), "namespaces"), objects)
    assert objects.warnings == []


def test_another_version_of_the_level_is_looked_at_anew():
    objects = Objects(pod_tree(hostNetwork=True))
    before, after = namespace(enforce="baseline", enforce_version="v1.30"), namespace(enforce="baseline")
    PLUGIN.check(request(after, "update", before, "namespaces"), objects)
    assert objects.warnings[1:] == ["web: host namespaces"]


def test_many_pods_are_not_all_looked_at_and_that_is_told():
    objects = Objects(*(pod_tree(f"p{index:03}") for index in range(PODS_LOOKED_AT + 1)))
    PLUGIN.check(request(namespace(enforce="baseline"), "update", namespace(), "namespaces"), objects)
    assert objects.warnings == [f'not all of the {PODS_LOOKED_AT + 1} pods in namespace "default" were looked at']
