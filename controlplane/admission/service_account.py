"""Names the service account of every pod."""

from __future__ import annotations

from api.object import Tree
from controlplane.admission.request import Request, Snapshot

DEFAULT_ACCOUNT = "default"


class DefaultServiceAccount:
    """A pod that names no service account runs as its namespace's "default"; an update that names none changes none."""

    def admit(self, request: Request, snapshot: Snapshot) -> Tree:  # noqa: ARG002 - decides on the pod alone
        """Return the pod with spec.serviceAccountName, and the older field spec.serviceAccount equal to it."""
        if request.kind.resource != "pods" or request.verb not in {"create", "update"}:
            return request.tree
        spec = request.tree["spec"]
        before = "" if request.old is None else request.old["spec"].get("serviceAccountName", "")
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or before or DEFAULT_ACCOUNT
        return {**request.tree, "spec": {**spec, "serviceAccountName": name, "serviceAccount": name}}
