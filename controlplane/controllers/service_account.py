"""The ServiceAccount `default` that every namespace has."""

from __future__ import annotations

from api.core import Namespace, ServiceAccount
from component.informer import Cached, Informer
from controlplane.controllers.actions import Create
from controlplane.controllers.per_namespace import PerNamespaceController

DEFAULT = "default"


def reconcile(namespace: Cached[Namespace], *, present: bool) -> list[Create]:
    """Return the creation of the account where it is missing."""
    if present or namespace.metadata.deletion_timestamp is not None:
        return []
    metadata = {"name": DEFAULT, "namespace": namespace.object.name}
    return [Create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})]


def controller(
    namespaces: Informer[Namespace], accounts: Informer[ServiceAccount]
) -> PerNamespaceController[ServiceAccount]:
    """Keeps the account in every namespace."""
    return PerNamespaceController(
        "serviceaccount",
        namespaces,
        accounts,
        DEFAULT,
        lambda namespace, found: reconcile(namespace, present=found is not None),
    )
