"""Lets every pod stay a few seconds on a node that is not ready or not reachable, unless it says otherwise.

Kubernetes' DefaultTolerationSeconds gives 300 s; here it is 5 s, because a small cluster notices a dead node within
4 s and waiting longer only lengthens the outage.
"""

from __future__ import annotations

from api.object import Tree
from controlplane.admission.request import Request, Snapshot

TOLERATION_SECONDS = 5
TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class DefaultTolerations:
    """Adds a NoExecute toleration for each of `TAINTS` that a pod does not mention; in updates too, or they would vanish."""

    def admit(self, request: Request, snapshot: Snapshot) -> Tree:  # noqa: ARG002 - decides on the pod alone
        """Return the pod with its tolerations complete."""
        if request.kind.resource != "pods" or request.verb not in {"create", "update"}:
            return request.tree
        spec = request.tree["spec"]
        given = spec.get("tolerations", [])
        added = [
            {"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS}
            for taint in TAINTS
            if not any(_concerns(toleration, taint) for toleration in given)
        ]
        if not added:
            return request.tree
        return {**request.tree, "spec": {**spec, "tolerations": [*given, *added]}}


def _concerns(toleration: Tree, taint: str) -> bool:
    """An empty key or effect stands for all of them."""
    return toleration.get("key", "") in {"", taint} and toleration.get("effect", "") in {"", "NoExecute"}
