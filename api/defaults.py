"""Defaulting: what Kubernetes assumes when a field is absent is written out, so that readers never guess.

Pure: a tree in, a new tree out; defaulting twice changes nothing. Values that depend on other objects or on time (cluster
addresses, service accounts, priorities, default tolerations) belong to admission.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from api import zeros
from api.defaults_pod import default_pod, default_pod_spec, fill
from api.object import Tree
from api.schema_trees import completed
from api.scheme import ADMISSION, DEFINITIONS, RBAC, Kind
from api.wellknown import NAMESPACE_NAME_LABEL

_AFFINITY_TIMEOUT_SECONDS = 3 * 60 * 60


def default(kind: Kind, tree: Tree) -> Tree:
    """Return a copy with every default written out. Expects a tree that `api.strict.check` accepts."""
    copied: Tree = _copy(tree)
    copied.setdefault("apiVersion", kind.api_version)
    copied.setdefault("kind", kind.kind)
    copied.setdefault("metadata", {})
    if kind.custom is not None:
        return completed(kind.custom.schema, copied)
    if rule := _RULES.get(kind.resource):
        rule(copied)
    if "status" in copied:
        zeros.fill_status(kind, copied["status"])
    return copied


def default_status(kind: Kind, status: Tree) -> Tree:
    """Return a copy of a status, completed as `default` does one inside an object."""
    copied: Tree = _copy(status)
    if kind.custom is None:
        zeros.fill_status(kind, copied)
    return copied


def _copy(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {name: _copy(item) for name, item in value.items()}
    if kind is list:
        return [_copy(item) for item in value]
    return value


def _pod(tree: Tree) -> None:
    default_pod(tree.setdefault("spec", {}))


def _replica_set(tree: Tree) -> None:
    spec = tree.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    default_pod_spec(spec.setdefault("template", {}).setdefault("spec", {}))


def _deployment(tree: Tree) -> None:
    _replica_set(tree)
    spec = tree["spec"]
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec.setdefault("strategy", {})
    fill(strategy, "type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")


def _service(tree: Tree) -> None:
    spec = tree.setdefault("spec", {})
    fill(spec, "type", "ClusterIP")
    fill(spec, "sessionAffinity", "None")
    if spec["sessionAffinity"] == "ClientIP":
        client = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        client.setdefault("timeoutSeconds", _AFFINITY_TIMEOUT_SECONDS)
    else:
        spec.pop("sessionAffinityConfig", None)
    for port in spec.get("ports", []):
        fill(port, "protocol", "TCP")
        if not port.get("targetPort") and "port" in port:
            port["targetPort"] = port["port"]
    if spec["type"] == "ExternalName":
        return
    spec.setdefault("internalTrafficPolicy", "Cluster")
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    spec.setdefault("ipFamilies", ["IPv4"])
    if spec["type"] in {"NodePort", "LoadBalancer"}:
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    if spec.get("clusterIP"):
        spec.setdefault("clusterIPs", [spec["clusterIP"]])
    elif spec.get("clusterIPs"):
        spec["clusterIP"] = spec["clusterIPs"][0]


def _endpoint_slice(tree: Tree) -> None:
    for port in tree.get("ports", []):
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")


def _endpoints(tree: Tree) -> None:
    for subset in tree.get("subsets", []):
        for port in subset.get("ports", []):
            fill(port, "protocol", "TCP")


def with_encoded_data(tree: Tree) -> Tree:
    """Return a Secret whose `stringData` stands in its `data`, which is all that is stored."""
    plain = tree.get("stringData")
    rest = {name: value for name, value in tree.items() if name != "stringData"}
    if plain:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
        rest["data"] = tree.get("data", {}) | encoded
    return rest


def _secret(tree: Tree) -> None:
    fill(tree, "type", "Opaque")
    if "stringData" in tree:
        tree["data"] = with_encoded_data(tree).get("data", {})
        del tree["stringData"]


def _limit_range(tree: Tree) -> None:
    for item in tree.setdefault("spec", {}).setdefault("limits", []):
        if item.get("type") == "Container":
            limits = item["default"] = {**item.get("max", {}), **item.get("default", {})}
            item["defaultRequest"] = {**item.get("min", {}), **limits, **item.get("defaultRequest", {})}


def _priority_class(tree: Tree) -> None:
    tree.setdefault("value", 0)
    fill(tree, "preemptionPolicy", "PreemptLowerPriority")


def _namespace(tree: Tree) -> None:
    if name := tree["metadata"].get("name"):
        tree["metadata"].setdefault("labels", {}).setdefault(NAMESPACE_NAME_LABEL, name)
    tree.setdefault("status", {}).setdefault("phase", "Active")


def _event(tree: Tree) -> None:
    tree.setdefault("involvedObject", {})


def _node(tree: Tree) -> None:
    spec = tree.setdefault("spec", {})
    if spec.get("podCIDR"):
        spec.setdefault("podCIDRs", [spec["podCIDR"]])
    elif spec.get("podCIDRs"):
        spec["podCIDR"] = spec["podCIDRs"][0]
    status = tree.get("status", {})
    if capacity := status.get("capacity"):
        status.setdefault("allocatable", dict(capacity))


def _definition(tree: Tree) -> None:
    spec = tree.setdefault("spec", {})
    spec.setdefault("conversion", {"strategy": "None"})
    names = spec.setdefault("names", {})
    if kind := names.get("kind"):
        fill(names, "singular", kind.lower())
        fill(names, "listKind", f"{kind}List")
    for version in spec.get("versions", ()):
        version.setdefault("served", False)
        version.setdefault("storage", False)
    if spec.get("preserveUnknownFields") is False:
        del spec["preserveUnknownFields"]


def _role_binding(tree: Tree) -> None:
    fill(tree.setdefault("roleRef", {}), "apiGroup", RBAC)
    for subject in tree.get("subjects", []):
        if subject.get("kind") in {"User", "Group"}:
            fill(subject, "apiGroup", RBAC)


def _webhooks(tree: Tree) -> None:
    mutating = tree["kind"] == "MutatingWebhookConfiguration"
    for webhook in tree.get("webhooks", []):
        fill(webhook, "failurePolicy", "Fail")
        fill(webhook, "matchPolicy", "Equivalent")
        webhook.setdefault("namespaceSelector", {})
        webhook.setdefault("objectSelector", {})
        webhook.setdefault("timeoutSeconds", 10)
        if mutating:
            fill(webhook, "reinvocationPolicy", "Never")
        if service := webhook.get("clientConfig", {}).get("service"):
            service.setdefault("port", 443)
        for rule in webhook.get("rules", []):
            fill(rule, "scope", "*")


_RULES: dict[str, Callable[[Tree], None]] = {
    "pods": _pod,
    "replicasets.apps": _replica_set,
    "deployments.apps": _deployment,
    "services": _service,
    "endpoints": _endpoints,
    "endpointslices.discovery.k8s.io": _endpoint_slice,
    "secrets": _secret,
    "limitranges": _limit_range,
    "priorityclasses.scheduling.k8s.io": _priority_class,
    "namespaces": _namespace,
    "events": _event,
    "nodes": _node,
    DEFINITIONS: _definition,
    f"rolebindings.{RBAC}": _role_binding,
    f"clusterrolebindings.{RBAC}": _role_binding,
    f"mutatingwebhookconfigurations.{ADMISSION}": _webhooks,
    f"validatingwebhookconfigurations.{ADMISSION}": _webhooks,
}
