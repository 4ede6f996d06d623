"""Gives every pod that does not refuse it a token of its service account, where clients of the API look for one.

The second half of Kubernetes' admission plugin ServiceAccount.
"""

from __future__ import annotations

import hashlib
from typing import Any

from api.errors import Forbidden
from api.object import Object, Tree
from api.wellknown import ROOT_CERTIFICATE
from controlplane.admission.request import Request, Snapshot
from controlplane.admission.service_account import DEFAULT_ACCOUNT

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX = "kube-api-access-"
TOKEN_SECONDS = 3607
"""As Kubernetes mounts them; the agent renews them."""

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # no vowels, no digits that look like letters, as in Kubernetes' names


class TokenMount:
    """Adds one projected volume and a mount of it in every container that has nothing at `MOUNT_PATH`.

    A pod that says automountServiceAccountToken decides, otherwise its account does, otherwise there is one. In updates
    the volume stays what it was when the pod was created, or replacing a pod by its own manifest would change it.
    """

    def admit(self, request: Request, snapshot: Snapshot) -> Tree:
        """Return the pod with the volume and its mounts. Forbidden when its account does not exist.

        The namespace's own account may be missing: it is made together with the namespace, and the node waits for it.
        """
        if request.kind.resource != "pods" or request.verb not in {"create", "update"}:
            return request.tree
        spec = request.tree["spec"]
        if request.old is not None:
            before = next((each for each in request.old["spec"].get("volumes", []) if _ours(each)), None)
            if before is None or any(_ours(each) for each in spec.get("volumes", [])):
                return request.tree
            return _mounted(request.tree, before, add=True)
        name = spec["serviceAccountName"]
        account = snapshot.get("serviceaccounts", request.namespace, name)
        if account is None and name != DEFAULT_ACCOUNT:
            raise Forbidden(
                f'pods "{request.name}" is forbidden: error looking up service account {request.namespace}/{name}: '
                f'serviceaccount "{name}" not found'
            )
        if not _wanted(spec, account):
            return request.tree
        given = next((each for each in spec.get("volumes", []) if _ours(each)), None)
        volume = given or _volume(request.namespace, name)
        return _mounted(request.tree, volume, add=given is None)


def _wanted(spec: Tree, account: Object | None) -> bool:
    own = spec.get("automountServiceAccountToken")
    if own is None and account is not None:
        own = account.tree().get("automountServiceAccountToken")
    return own is not False


def _ours(volume: Tree) -> bool:
    return str(volume["name"]).startswith(VOLUME_PREFIX)


def _mounted(tree: Tree, volume: Tree, *, add: bool) -> Tree:
    """The pod with the volume in it and mounted; unchanged when no container lacks it."""
    spec = dict(tree["spec"])
    lacking = False
    for field in ("initContainers", "containers"):
        containers: list[Tree] = []
        for container in spec.get(field, []):
            mounts = container.get("volumeMounts", [])
            if any(mount.get("mountPath") == MOUNT_PATH for mount in mounts):
                containers.append(container)
                continue
            lacking = True
            mount = {"name": volume["name"], "readOnly": True, "mountPath": MOUNT_PATH}
            containers.append({**container, "volumeMounts": [*mounts, mount]})
        if containers:
            spec[field] = containers
    if not lacking:
        return tree
    if add:
        spec["volumes"] = [*spec.get("volumes", []), volume]
    return {**tree, "spec": spec}


def _volume(namespace: str, account: str) -> Tree:
    """Equal for all pods of an account, so that their specs stay equal: they are stored once, and scheduled as one class."""
    digest = hashlib.sha256(f"{namespace}/{account}".encode()).digest()
    suffix = "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:5])
    namespace_file = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    sources: list[dict[str, Any]] = [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": ROOT_CERTIFICATE, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace_file]}},
    ]
    return {"name": f"{VOLUME_PREFIX}{suffix}", "projected": {"sources": sources, "defaultMode": 0o644}}
