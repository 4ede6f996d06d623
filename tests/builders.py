"""Objects for tests: trees with sensible fields, and the cached views that pure code takes.

Every builder returns a fresh tree; `cached` turns one into what informers hand out.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from api import scheme
from api.object import Object, Tree, canonical
from component.informer import Cached

NOW = 1_750_000_000.0  # 2025-06-15T15:06:40Z, where FakeClock starts
NOW_STAMP = "2025-06-15T15:06:40Z"
NAMESPACE = "default"


def cached(tree: Tree, revision: int = 1) -> Cached[Any]:
    """A tree as an informer would hold it; the uid is the name unless the tree says otherwise."""
    tree = copy.deepcopy(tree)
    kind = scheme.by_kind(tree["apiVersion"], tree["kind"])
    metadata = tree["metadata"]
    metadata.setdefault("uid", f"uid-of-{metadata['name']}")
    metadata.pop("resourceVersion", None)
    namespace = metadata.get("namespace", "")
    item = Object(kind.resource, namespace, metadata["name"], metadata["uid"], revision, canonical(tree))
    return Cached(item, item.view(kind.type))


def owned_by(owner: Tree, *, controller: bool = True, block: bool = True) -> Tree:
    """An owner reference to a tree built here."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"].get("uid", f"uid-of-{owner['metadata']['name']}"),
        "controller": controller,
        "blockOwnerDeletion": block,
    }


def pod(
    name: str = "pod",
    *,
    phase: str = "Running",
    ready: bool = True,
    node: str = "n1",
    labels: Mapping[str, str] | None = None,
    owner: Tree | None = None,
    requests: Mapping[str, str] | None = None,
    ip: str = "",
    deleting: bool = False,
    since: str = NOW_STAMP,
    created: str = NOW_STAMP,
    **spec: Any,
) -> Tree:
    """A pod; without `node` it waits for the scheduler."""
    container: Tree = {"name": "main", "image": "example/web:1"}
    if requests:
        container["resources"] = {"requests": dict(requests)}
    metadata: Tree = {
        "name": name,
        "namespace": NAMESPACE,
        "labels": dict({"app": "web"} if labels is None else labels),
        "creationTimestamp": created,
    }
    if owner is not None:
        metadata["ownerReferences"] = [owned_by(owner)]
    if deleting:
        metadata["deletionTimestamp"] = NOW_STAMP
    status: Tree = {"phase": phase}
    if phase == "Running":
        status["conditions"] = [
            {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": since},
        ]
        status["containerStatuses"] = [
            {"name": "main", "image": "example/web:1", "imageID": "", "ready": ready, "restartCount": 0},
        ]
    if ip:
        status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
    body: Tree = {"containers": [container], **spec}
    if node:
        body["nodeName"] = node
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": body, "status": status}


def template(app: str = "web", image: str = "example/web:1") -> Tree:
    """A pod template."""
    return {"metadata": {"labels": {"app": app}}, "spec": {"containers": [{"name": "main", "image": image}]}}


def replica_set(name: str = "web-1", replicas: int = 3, *, app: str = "web", **spec: Any) -> Tree:
    """A ReplicaSet that selects label `app`."""
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": name, "namespace": NAMESPACE, "generation": 1, "creationTimestamp": NOW_STAMP},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": app}},
            "template": template(app),
            **spec,
        },
    }


def deployment(
    name: str = "web",
    replicas: int = 3,
    *,
    image: str = "example/web:1",
    surge: int | str | None = None,
    unavailable: int | str | None = None,
    **spec: Any,
) -> Tree:
    """A Deployment that selects label `app`, rolling unless `strategy` says otherwise."""
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE, "generation": 1, "creationTimestamp": NOW_STAMP},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": template(name, image),
            "progressDeadlineSeconds": 600,
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {key: value for key, value in rolling.items() if value is not None},
            },
            **spec,
        },
    }


def node(
    name: str = "n1",
    *,
    ready: str = "True",
    cpu: str = "4",
    memory: str = "8Gi",
    pods: str = "110",
    labels: Mapping[str, str] | None = None,
    taints: Iterable[Tree] = (),
    **spec: Any,
) -> Tree:
    """A node with a Ready condition."""
    body: Tree = dict(spec)
    if taints := list(taints):
        body["taints"] = taints
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "spec": body,
        "status": {
            "allocatable": {"cpu": cpu, "memory": memory, "pods": pods},
            "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": NOW_STAMP}],
        },
    }


def taint(key: str, effect: str = "NoExecute", value: str = "", added: str = NOW_STAMP) -> Tree:
    tree = {"key": key, "effect": effect, "timeAdded": added}
    return tree | {"value": value} if value else tree


def service(name: str = "web", *, ports: Iterable[Tree] = ({"port": 80, "targetPort": 8080},), **spec: Any) -> Tree:
    """A Service that selects label `app`."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"selector": {"app": "web"}, "clusterIP": "10.96.0.10", "ports": list(ports), **spec},
    }


def namespace(name: str = "team", *, deleting: bool = False) -> Tree:
    """A namespace with its finalizer."""
    metadata: Tree = {"name": name}
    if deleting:
        metadata["deletionTimestamp"] = NOW_STAMP
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata, "spec": {"finalizers": ["kubernetes"]}}


def config_map(name: str, *, owners: Iterable[Tree] = (), finalizers: Iterable[str] = ()) -> Tree:
    """The smallest object that can be owned."""
    metadata: Tree = {"name": name, "namespace": NAMESPACE}
    if owners := list(owners):
        metadata["ownerReferences"] = owners
    if finalizers := list(finalizers):
        metadata["finalizers"] = finalizers
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
