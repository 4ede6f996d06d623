"""Requests and snapshots for admission plugins, without an API around them."""

from __future__ import annotations

from api.object import Object, canonical
from api.scheme import by_kind, by_resource
from controlplane.admission.request import Identity, Request

ADMIN = Identity("admin", ("system:masters",))


class Objects:
    """A snapshot of a few objects, given as trees, and of ledgers."""

    def __init__(self, *trees, ledgers=None):
        self.ledgers = ledgers or {}
        self.warnings, self.audits = [], []
        self.objects = {}
        for tree in trees:
            kind = by_kind(tree["apiVersion"], tree["kind"])
            metadata = tree["metadata"]
            namespace = metadata.get("namespace", "default") if kind.namespaced else ""
            key = kind.resource, namespace, metadata["name"]
            self.objects[key] = Object(*key, f"uid-of-{metadata['name']}", 1, canonical(tree))

    def get(self, resource, namespace, name):
        return self.objects.get((resource, namespace, name))

    def list(self, resource, namespace):
        return [self.objects[key] for key in sorted(self.objects) if key[:2] == (resource, namespace)]

    def warn(self, text):
        self.warnings.append(text)

    def audit(self, text):
        self.audits.append(text)

    def ledger(self, name):
        return self.ledgers.get(name, {})


def pod_tree(name="web", *containers, **spec):
    """A pod of containers given as resources: {"requests": ..., "limits": ...}."""
    built = [{"name": f"c{index}", "image": "app:1", "resources": each} for index, each in enumerate(containers)]
    built = built or [{"name": "c0", "image": "app:1"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": built, **spec},
    }


def request(tree, verb="create", old=None, resource="pods", identity=ADMIN):
    """A write of a tree."""
    metadata = tree["metadata"]
    return Request(identity, verb, by_resource(resource), metadata.get("namespace", ""), metadata["name"], tree, old)


def limit_range(*items, name="bounds"):
    return {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": name}, "spec": {"limits": list(items)}}


def quota(name="small", *, scopes=(), selector=None, **hard):
    """A ResourceQuota; in the names of its resources `__` stands for a dot and `count_` for "count/"."""
    written = {each.replace("count_", "count/").replace("__", "."): str(value) for each, value in hard.items()}
    spec = {"hard": written, **({"scopes": list(scopes)} if scopes else {})}
    if selector:
        spec["scopeSelector"] = {"matchExpressions": [selector]}
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


def priority_class(name, value, **fields):
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": value,
        **fields,
    }
