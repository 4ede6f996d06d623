"""Refused until honoured: which fields this version acts on; all others are refused by name.

A manifest must never be accepted and then half obeyed. A field outside the table is fine while it is absent, empty, false or
0, which mean "off" in Kubernetes too, so that what `get -o yaml` prints can be applied again. To honour a field, add its line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from api import endpoints
from api.affinity import Toleration
from api.apps import DeploymentSpec, ReplicaSetSpec
from api.authorization import ResourceAttributes
from api.config import ServiceAccount
from api.container import Container, ContainerPort, EphemeralContainer, ResourceRequirements, VolumeMount
from api.coordination import LeaseSpec
from api.env import EnvVarSource, ObjectFieldSelector, ResourceFieldSelector
from api.errors import FieldError
from api.faults import forbidden
from api.meta import Resource
from api.network import Endpoint, EndpointPort, EndpointSlice
from api.node import NodeSpec
from api.object import Tree
from api.pod import PodOS, PodSpec
from api.policy import LimitRangeItem
from api.probe import GRPCAction, HTTPGetAction, Lifecycle, LifecycleHandler, Probe
from api.scheme import Kind
from api.security import PodSecurityContext, SeccompProfile, SecurityContext
from api.service import ServicePort, ServiceSpec
from api.shape import Shape, fields
from api.volume import (
    ConfigMapVolumeSource,
    DownwardAPIVolumeFile,
    DownwardAPIVolumeSource,
    EmptyDirVolumeSource,
    KeyToPath,
    ProjectedVolumeSource,
    SecretVolumeSource,
    ServiceAccountTokenProjection,
    Volume,
    VolumeProjection,
)
from api.webhooks import MutatingWebhook, ValidatingWebhook

NOT_YET = "not supported yet"


@dataclass(frozen=True, slots=True)
class Only:
    """A field that is honoured for some values; empty ones are fine too, unless `off` says that they mean something."""

    values: tuple[Any, ...]
    off: bool = True


@dataclass(frozen=True, slots=True)
class Keys:
    """A map that is honoured for some keys."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InHostNetwork:
    """A field that is honoured in pods that use the host's network."""


@dataclass(frozen=True, slots=True)
class InInitContainer:
    """A field of containers that is honoured in init containers, for some values."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Never:
    """A field that has to stay empty where it stands, whatever this version can do."""

    why: str


Rule = Only | Keys | InHostNetwork | InInitContainer | Never | None
"""None honours a field whatever it holds; what is inside is looked at by its own type."""


def _only(*values: Any) -> Only:
    return Only(values)


def _all(names: str) -> dict[str, Rule]:
    return dict.fromkeys(names.split())


_WEBHOOK = (
    "admissionReviewVersions clientConfig failurePolicy matchPolicy name namespaceSelector objectSelector rules "
    "sideEffects timeoutSeconds"
)

HONOURED: dict[type[Resource], dict[str, Rule]] = {
    PodSpec: {
        **_all("containers initContainers ephemeralContainers volumes restartPolicy terminationGracePeriodSeconds"),
        **_all("nodeName nodeSelector tolerations"),
        **_all("hostNetwork hostPID hostIPC hostname subdomain hostAliases enableServiceLinks securityContext"),
        **_all("dnsPolicy dnsConfig readinessGates"),
        **_all("serviceAccountName serviceAccount automountServiceAccountToken"),
        "os": None,
        "schedulerName": _only("default-scheduler"),
        **_all("priorityClassName priority"),
        "preemptionPolicy": _only("PreemptLowerPriority", "Never"),  # orders the queue only: nothing is preempted yet
        "hostUsers": Only((True,), off=False),  # false asks for a user namespace
    },
    PodOS: {"name": _only("linux")},
    Toleration: _all("key operator value effect tolerationSeconds"),
    PodSecurityContext: _all(
        "runAsUser runAsGroup runAsNonRoot supplementalGroups fsGroup fsGroupChangePolicy seccompProfile"
    ),
    SeccompProfile: {"type": Only(("RuntimeDefault",), off=False)},  # what the runtime does by itself
    Container: {
        **_all("name image imagePullPolicy command args workingDir env envFrom stdin stdinOnce tty"),
        **_all("ports resources volumeMounts securityContext lifecycle"),
        **_all("livenessProbe readinessProbe startupProbe"),
        **_all("terminationMessagePath terminationMessagePolicy"),
        "restartPolicy": InInitContainer(("Always",)),
    },
    EphemeralContainer: {
        **_all("name image imagePullPolicy command args workingDir env envFrom stdin stdinOnce tty"),
        **_all("volumeMounts securityContext terminationMessagePath terminationMessagePolicy targetContainerName"),
        **dict.fromkeys(
            (
                *("ports", "resources", "resizePolicy", "restartPolicy", "restartPolicyRules"),
                *("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"),
            ),
            Never("cannot be set for an Ephemeral Container"),
        ),
    },
    ContainerPort: {
        **_all("name containerPort"),
        "protocol": _only("TCP", "UDP"),
        "hostPort": InHostNetwork(),
    },
    ResourceRequirements: {"limits": Keys(("cpu", "memory")), "requests": Keys(("cpu", "memory"))},
    EnvVarSource: _all("configMapKeyRef secretKeyRef fieldRef resourceFieldRef"),
    ObjectFieldSelector: {"apiVersion": _only("v1"), "fieldPath": None},
    ResourceFieldSelector: {
        **_all("divisor containerName"),
        "resource": _only("limits.cpu", "limits.memory", "requests.cpu", "requests.memory"),
    },
    VolumeMount: {
        **_all("name mountPath readOnly subPath subPathExpr"),
        "mountPropagation": _only("None", "HostToContainer"),
        "recursiveReadOnly": _only("Disabled"),
    },
    Probe: {
        **_all("exec httpGet tcpSocket grpc initialDelaySeconds timeoutSeconds periodSeconds"),
        **_all("successThreshold failureThreshold terminationGracePeriodSeconds"),
    },
    GRPCAction: _all("port service"),
    Lifecycle: _all("postStart preStop stopSignal"),
    LifecycleHandler: _all("exec httpGet sleep"),
    HTTPGetAction: _all("path port host scheme httpHeaders"),
    SecurityContext: {
        **_all("privileged runAsUser runAsGroup runAsNonRoot readOnlyRootFilesystem capabilities"),
        **_all("allowPrivilegeEscalation seccompProfile"),
        "procMount": _only("Default"),
    },
    Volume: _all("name emptyDir hostPath configMap secret downwardAPI projected"),
    EmptyDirVolumeSource: {"medium": _only("Memory"), "sizeLimit": None},
    ConfigMapVolumeSource: _all("name items defaultMode optional"),
    SecretVolumeSource: _all("secretName items defaultMode optional"),
    KeyToPath: _all("key path mode"),
    DownwardAPIVolumeSource: _all("items defaultMode"),
    DownwardAPIVolumeFile: _all("path fieldRef resourceFieldRef mode"),
    ProjectedVolumeSource: _all("sources defaultMode"),
    VolumeProjection: _all("configMap secret downwardAPI serviceAccountToken"),
    ServiceAccountTokenProjection: _all("audience expirationSeconds path"),
    ReplicaSetSpec: _all("replicas selector template minReadySeconds"),
    DeploymentSpec: {
        **_all("replicas selector template strategy minReadySeconds paused"),
        **_all("revisionHistoryLimit progressDeadlineSeconds"),
    },
    ServiceSpec: {
        **_all("ports selector clusterIP clusterIPs sessionAffinity sessionAffinityConfig publishNotReadyAddresses"),
        "type": _only("ClusterIP"),
        "internalTrafficPolicy": _only("Cluster"),
        "externalTrafficPolicy": _only("Cluster"),  # these two come with the types that use them
        "allocateLoadBalancerNodePorts": _only(True),
        "ipFamilyPolicy": _only("SingleStack"),
        "ipFamilies": _only(["IPv4"]),
    },
    ServicePort: {**_all("name port targetPort appProtocol"), "protocol": _only("TCP", "UDP")},
    EndpointSlice: {
        **_all("apiVersion kind metadata endpoints ports"),
        "addressType": _only("IPv4"),
    },
    endpoints.EndpointPort: {**_all("name port appProtocol"), "protocol": _only("TCP", "UDP")},
    Endpoint: _all("addresses conditions hostname nodeName targetRef zone"),
    EndpointPort: {**_all("name port appProtocol"), "protocol": _only("TCP", "UDP")},
    NodeSpec: _all("podCIDR podCIDRs providerID taints unschedulable externalID"),
    ServiceAccount: _all("apiVersion kind metadata secrets automountServiceAccountToken"),
    LimitRangeItem: {
        "type": _only("Container", "Pod"),
        **dict.fromkeys(("default", "defaultRequest", "max", "maxLimitRequestRatio", "min"), Keys(("cpu", "memory"))),
    },
    LeaseSpec: _all("holderIdentity leaseDurationSeconds acquireTime renewTime leaseTransitions"),
    ResourceAttributes: _all("group name namespace resource subresource verb version"),
    ValidatingWebhook: _all(_WEBHOOK),
    MutatingWebhook: _all(_WEBHOOK + " reinvocationPolicy"),
}
"""By type, the fields that are acted on. A type that is not here is honoured as a whole."""


UNIONS = frozenset({Volume, VolumeProjection, Probe, LifecycleHandler, EnvVarSource})
"""Types of which one field chooses what the object is: here even an empty field says something."""


@dataclass(frozen=True, slots=True)
class _Place:
    """What rules must know of where a field stands."""

    host_network: bool = False
    init_container: bool = False


def refusals(kind: Kind, tree: Tree) -> list[FieldError]:
    """Return a fault for every field of the desired state that would be ignored, in document order."""
    found: list[FieldError] = []
    desired = {name: value for name, value in tree.items() if name not in {"metadata", "status"}}
    _walk(kind.type, desired, "", found, _Place())
    return found


def _walk(struct: type[Resource], tree: Tree, path: str, found: list[FieldError], place: _Place) -> None:
    shapes = fields(struct)
    table = HONOURED.get(struct)
    if struct is PodSpec:
        place = _Place(host_network=bool(tree.get("hostNetwork")))
    for name, value in tree.items():
        shape = shapes.get(name)
        if shape is None:
            continue
        where = f"{path}.{name}" if path else name
        if table is not None and name not in table:
            found += _refuse_unknown(struct, value, where)
        elif table is not None and (rule := table[name]) is not None:
            found += _refuse_value(rule, value, where, place)
        else:
            inner = replace(place, init_container=True) if name == "initContainers" else place
            _descend(shape, value, where, found, inner)


def _descend(shape: Shape, value: Any, path: str, found: list[FieldError], place: _Place) -> None:
    if shape.form == "object" and shape.struct:
        _walk(shape.struct, value, path, found, place)
    elif shape.form == "list" and shape.item and shape.item.struct:
        for index, item in enumerate(value):
            _walk(shape.item.struct, item, f"{path}[{index}]", found, place)


def _refuse_unknown(struct: type[Resource], value: Any, path: str) -> Iterator[FieldError]:
    number = type(value) is int  # in a union, a number is a setting beside the choice: 0 is off
    if not _off(value) or (struct in UNIONS and not number):
        yield FieldError(path, NOT_YET)


def _refuse_value(rule: Rule, value: Any, path: str, place: _Place) -> Iterator[FieldError]:
    match rule:
        case Only(values, off) if value not in values and not (off and _off(value)):
            yield _not_among(values, value, path)
        case Keys(keys):
            for key in value:
                if key not in keys:
                    yield FieldError(f"{path}[{key}]", f"{NOT_YET}; supported: {', '.join(keys)}")
        case InHostNetwork() if not place.host_network and not _off(value):
            yield FieldError(path, f"{NOT_YET} outside the host's network")
        case Never(why) if not _off(value):
            yield forbidden(path, why)
        case InInitContainer() if not place.init_container and not _off(value):
            yield FieldError(path, f"{NOT_YET} outside init containers")
        case InInitContainer(values) if value not in values and not _off(value):
            yield _not_among(values, value, path)


def _not_among(values: tuple[Any, ...], value: Any, path: str) -> FieldError:
    shown = ", ".join(json.dumps(accepted) for accepted in values)
    return FieldError(path, f"{json.dumps(value)} is {NOT_YET}; supported: {shown}")


def _off(value: Any) -> bool:
    """Whether a value says nothing: empty, false, 0, or an object of such."""
    return not value or (type(value) is dict and all(map(_off, value.values())))
