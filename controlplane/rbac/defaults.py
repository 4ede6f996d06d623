"""The roles and bindings that every cluster has, as Kubernetes' documentation lists them ("Default roles and role bindings").

Rules also name resources that this cluster does not serve: they hold as soon as it does. Values only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from api.object import Tree
from api.scheme import AUTHENTICATION, AUTHORIZATION, RBAC

AUTOUPDATE: Final = "rbac.authorization.kubernetes.io/autoupdate"
"""Annotation: "false" leaves a default role or binding alone from now on."""

_API_VERSION: Final = f"{RBAC}/v1"
_LABELS: Final = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_ANNOTATIONS: Final = {AUTOUPDATE: "true"}
_AGGREGATE: Final = "rbac.authorization.k8s.io/aggregate-to-"

_READ: Final = ("get", "list", "watch")
_WRITE: Final = ("create", "delete", "deletecollection", "patch", "update")

_WORKLOADS: Final = ("deployments", "deployments/scale", "replicasets", "replicasets/scale")
_SETS: Final = ("daemonsets", "statefulsets", "statefulsets/scale")
_STATES: Final = ("daemonsets/status", "deployments/status", "replicasets/status", "statefulsets/status")
_CORE: Final = (
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "replicationcontrollers/scale",
)
_STREAMS: Final = ("pods/attach", "pods/exec", "pods/portforward", "pods/proxy")
_HEALTH: Final = ("/healthz", "/livez", "/readyz")
_DOCUMENTS: Final = ("/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", "/version", "/version/")


def _rule(groups: Sequence[str] | str, resources: Sequence[str] | str, verbs: Sequence[str] | str) -> Tree:
    return {"apiGroups": _list(groups), "resources": _list(resources), "verbs": _list(verbs)}


def _paths(paths: Sequence[str] | str, verbs: Sequence[str] | str = "get") -> Tree:
    return {"nonResourceURLs": _list(paths), "verbs": _list(verbs)}


def _list(values: Sequence[str] | str) -> list[str]:
    return [values] if isinstance(values, str) else list(values)


_RULES: Final[Mapping[str, Sequence[Tree]]] = {
    "cluster-admin": (_rule("*", "*", "*"), _paths("*", "*")),
    "system:aggregate-to-admin": (
        _rule(AUTHORIZATION, "localsubjectaccessreviews", "create"),
        _rule(RBAC, ("rolebindings", "roles"), (*_READ, *_WRITE)),
    ),
    "system:aggregate-to-edit": (
        _rule("", (*_STREAMS, "secrets", "services/proxy"), _READ),
        _rule("", "serviceaccounts", "impersonate"),
        _rule("", ("pods", *_STREAMS), _WRITE),
        _rule("", ("pods/eviction", "serviceaccounts/token"), "create"),
        _rule("", (*_CORE, "events", "secrets", "serviceaccounts", "services", "services/proxy"), _WRITE),
        _rule("apps", (*_WORKLOADS, *_SETS, "deployments/rollback"), _WRITE),
        _rule("autoscaling", "horizontalpodautoscalers", _WRITE),
        _rule("batch", ("cronjobs", "jobs"), _WRITE),
        _rule("coordination.k8s.io", "leases", (*_READ, *_WRITE)),
        _rule("networking.k8s.io", ("ingresses", "networkpolicies"), _WRITE),
        _rule("policy", "poddisruptionbudgets", _WRITE),
    ),
    "system:aggregate-to-view": (
        _rule("", (*_CORE, "endpoints", "serviceaccounts", "services"), _READ),
        _rule("", ("persistentvolumeclaims/status", "pods/log", "pods/status", "services/status"), _READ),
        _rule("", ("bindings", "events", "limitranges", "namespaces", "namespaces/status"), _READ),
        _rule("", ("replicationcontrollers/status", "resourcequotas", "resourcequotas/status"), _READ),
        _rule("apps", (*_WORKLOADS, *_SETS, *_STATES, "controllerrevisions"), _READ),
        _rule("autoscaling", ("horizontalpodautoscalers", "horizontalpodautoscalers/status"), _READ),
        _rule("batch", ("cronjobs", "cronjobs/status", "jobs", "jobs/status"), _READ),
        _rule("discovery.k8s.io", "endpointslices", _READ),
        _rule("networking.k8s.io", ("ingresses", "ingresses/status", "networkpolicies"), _READ),
        _rule("policy", ("poddisruptionbudgets", "poddisruptionbudgets/status"), _READ),
    ),
    "system:auth-delegator": (
        _rule(AUTHENTICATION, "tokenreviews", "create"),
        _rule(AUTHORIZATION, "subjectaccessreviews", "create"),
    ),
    "system:basic-user": (
        _rule(AUTHORIZATION, ("selfsubjectaccessreviews", "selfsubjectrulesreviews"), "create"),
        _rule(AUTHENTICATION, "selfsubjectreviews", "create"),
    ),
    "system:discovery": (_paths((*_DOCUMENTS, *_HEALTH)),),
    "system:monitoring": (_paths((*_HEALTH, *(f"{path}/*" for path in _HEALTH), "/metrics")),),
    "system:public-info-viewer": (_paths((*_HEALTH, "/version", "/version/")),),
    "system:service-account-issuer-discovery": (_paths(("/.well-known/openid-configuration", "/openid/v1/jwks")),),
}

_GATHERED: Final = frozenset({"admin", "edit", "view"})
_GATHERED_BY: Final[Mapping[str, str]] = {
    "edit": "admin",
    "view": "edit",
    "system:aggregate-to-admin": "admin",
    "system:aggregate-to-edit": "edit",
    "system:aggregate-to-view": "view",
}
"""ClusterRole -> the one whose rules its own become part of."""

_GROUPS: Final[Mapping[str, Sequence[str]]] = {
    "cluster-admin": ("system:masters",),
    "system:basic-user": ("system:authenticated",),
    "system:discovery": ("system:authenticated",),
    "system:monitoring": ("system:monitoring",),
    "system:public-info-viewer": ("system:authenticated", "system:unauthenticated"),
    "system:service-account-issuer-discovery": ("system:serviceaccounts",),
}


def _role(name: str) -> Tree:
    tree = _object("ClusterRole", name)
    if parent := _GATHERED_BY.get(name):
        tree["metadata"]["labels"][_AGGREGATE + parent] = "true"
    if name in _GATHERED:
        selector = {"matchLabels": {_AGGREGATE + name: "true"}}
        return {**tree, "aggregationRule": {"clusterRoleSelectors": [selector]}}
    return {**tree, "rules": list(_RULES[name])}


def _binding(role: str) -> Tree:
    return {
        **_object("ClusterRoleBinding", role),
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": group} for group in _GROUPS[role]],
    }


def _object(kind: str, name: str) -> Tree:
    metadata = {"name": name, "labels": dict(_LABELS), "annotations": dict(_ANNOTATIONS)}
    return {"apiVersion": _API_VERSION, "kind": kind, "metadata": metadata}


CLUSTER_ROLES: Final[Sequence[Tree]] = tuple(map(_role, sorted((*_RULES, *_GATHERED))))
CLUSTER_ROLE_BINDINGS: Final[Sequence[Tree]] = tuple(map(_binding, sorted(_GROUPS)))
