"""Nothing new in a namespace that is not there or is going, and the system's namespaces stay."""

from __future__ import annotations

from api.errors import Forbidden, NotFound
from controlplane.admission.request import Request, Snapshot

PROTECTED = frozenset({"default", "kube-system", "kube-public"})


class NamespaceLifecycle:
    """Judges creates by their namespace, and deletions of namespaces."""

    def check(self, request: Request, snapshot: Snapshot) -> None:
        """NotFound for a namespace that does not exist; Forbidden for one being deleted or protected."""
        if request.verb == "delete":
            if request.kind.resource == "namespaces" and request.name in PROTECTED:
                raise Forbidden(f'namespace "{request.name}" may not be deleted: the system needs it')
            return
        if request.verb != "create" or not request.kind.namespaced:
            return
        namespace = snapshot.get("namespaces", "", request.namespace)
        if namespace is None:
            raise NotFound(f'namespace "{request.namespace}" not found')
        if "deletionTimestamp" in namespace.tree()["metadata"]:
            raise Forbidden(
                f'{request.kind.singular} "{request.name}" cannot be created: namespace "{request.namespace}" is being deleted'
            )
