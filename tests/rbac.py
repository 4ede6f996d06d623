"""Roles and bindings for tests, as manifests."""

from __future__ import annotations

from api.scheme import RBAC


def rule(verbs: str, resources: str = "pods", groups: str = "", names: str = "") -> dict:
    """`rule("get list", "pods pods/log")`; `groups` are given with `-` for the core group beside others."""
    tree = {
        "apiGroups": ["" if group == "-" else group for group in groups.split()] or [""],
        "resources": resources.split(),
        "verbs": verbs.split(),
    }
    return {**tree, "resourceNames": names.split()} if names else tree


def paths(verbs: str, urls: str) -> dict:
    """A rule about paths."""
    return {"nonResourceURLs": urls.split(), "verbs": verbs.split()}


def role(name: str, *rules: dict, namespace: str = "", **metadata) -> dict:
    """A Role in a namespace, a ClusterRole without."""
    return {**_object("Role" if namespace else "ClusterRole", name, namespace, metadata), "rules": list(rules)}


def binding(name: str, role: str, *subjects: str, namespace: str = "") -> dict:
    """A binding of `ClusterRole/NAME` or `Role/NAME` to `User:jane`, `Group:dev`, `ServiceAccount:ns:name`."""
    kind, _, bound = role.rpartition("/")
    tree = _object("RoleBinding" if namespace else "ClusterRoleBinding", name, namespace, {})
    reference = {"apiGroup": RBAC, "kind": kind or "ClusterRole", "name": bound}
    return {**tree, "roleRef": reference, "subjects": [_subject(*each.split(":", 1)) for each in subjects]}


def _subject(kind: str, name: str) -> dict:
    if kind == "ServiceAccount":
        namespace, _, account = name.partition(":")
        return {"kind": kind, "namespace": namespace, "name": account}
    return {"apiGroup": RBAC, "kind": kind, "name": name}


def _object(kind: str, name: str, namespace: str, metadata: dict) -> dict:
    where = {"namespace": namespace} if namespace else {}
    return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": {"name": name, **where, **metadata}}
