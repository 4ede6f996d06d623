"""Lets every pod stay a few seconds on a node that is not ready or not reachable, unless it says otherwise.

Kubernetes' DefaultTolerationSeconds, with a shorter time.
"""

from __future__ import annotations

from api.object import Tree
from api.wellknown import HEALTH_TOLERATION_SECONDS, NOT_READY_TAINT, UNREACHABLE_TAINT
from controlplane.admission.request import Request, Snapshot

TAINTS = (NOT_READY_TAINT, UNREACHABLE_TAINT)


class DefaultTolerations:
    """Adds a NoExecute toleration for each of `TAINTS` that a pod does not mention; in updates too, or they would vanish."""

    def admit(self, request: Request, snapshot: Snapshot) -> Tree:  # noqa: ARG002 - decides on the pod alone
        """Return the pod with its tolerations complete."""
        if request.kind.resource != "pods" or request.verb not in {"create", "update"}:
            return request.tree
        spec = request.tree["spec"]
        given = spec.get("tolerations", [])
        added = [
            {"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": HEALTH_TOLERATION_SECONDS}
            for taint in TAINTS
            if not any(_concerns(toleration, taint) for toleration in given)
        ]
        if not added:
            return request.tree
        return {**request.tree, "spec": {**spec, "tolerations": [*given, *added]}}


def _concerns(toleration: Tree, taint: str) -> bool:
    """An empty key or effect stands for all of them."""
    return toleration.get("key", "") in {"", taint} and toleration.get("effect", "") in {"", "NoExecute"}
