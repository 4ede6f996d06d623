"""Deletion of namespaces: empties a terminating namespace, then lets it go.

It asks the API for what is left instead of a cache: nothing may be overlooked, and it happens rarely.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from api.core import Namespace
from api.errors import ApiError
from api.object import Object
from api.scheme import BUILT_IN, Scheme
from api.wellknown import NAMESPACE_FINALIZER
from component.client import ApiClient
from component.informer import Cached, Change, Informer, PartialObjectMetadata
from controlplane.controllers.actions import Action, Delete, Update, Wake, delete
from controlplane.controllers.loop import Key, Source, own_key

SOON_SECONDS = 0.05
LATER_SECONDS = 2.0  # repair only: the end of what is left wakes us


def reconcile(namespace: Cached[Namespace], content: Sequence[Object]) -> list[Action]:
    """Return what empties a terminating namespace of `content`, or releases it when there is none."""
    if namespace.metadata.deletion_timestamp is None or NAMESPACE_FINALIZER not in namespace.view.spec.finalizers:
        return []
    if not content:
        tree = namespace.object.tree()
        tree["spec"]["finalizers"] = [f for f in namespace.view.spec.finalizers if f != NAMESPACE_FINALIZER]
        return [Update(tree)]
    deletes: list[Delete] = []
    waiting = False
    for item in content:
        metadata = item.view(PartialObjectMetadata).metadata
        waiting = waiting or item.resource == "pods" or bool(metadata.finalizers)
        if metadata.deletion_timestamp is None:
            deletes.append(delete(item))
    return [*deletes, Wake(LATER_SECONDS if waiting else SOON_SECONDS)]


class NamespaceController:
    """Looks into namespaces that are being deleted."""

    name = "namespace"

    def __init__(
        self,
        client: ApiClient,
        namespaces: Informer[Namespace],
        content: Sequence[Informer[Any]],
        kinds: Scheme = BUILT_IN,
    ) -> None:
        self._client = client
        self._kinds = kinds
        self._namespaces = namespaces
        self._content = content

    def sources(self) -> Sequence[Source]:
        """Namespaces, and the end of anything in them."""
        return [
            Source(self._namespaces, own_key),
            *(
                Source(informer, self._keys_of_content)
                for informer in self._content
                if informer is not self._namespaces
            ),
        ]

    def all_keys(self) -> Iterable[Key]:
        """All namespaces."""
        return [cached.key for cached in self._namespaces.items()]

    async def plan(self, key: Key, failure: ApiError | None) -> Sequence[Action]:
        """Decide for one namespace."""
        del failure
        namespace = self._namespaces.get("", key[1])
        if namespace is None or namespace.metadata.deletion_timestamp is None:
            return []
        content: list[Object] = []
        for kind in self._kinds.kinds:
            if kind.namespaced:
                content += (await self._client.list(kind.resource, namespace.object.name)).items
        return reconcile(namespace, content)

    def _keys_of_content(self, change: Change[Any]) -> Iterable[Key]:
        if change.new is not None:
            return []
        name = change.latest.object.namespace
        namespace = self._namespaces.get("", name)
        return [("", name)] if namespace is not None and namespace.metadata.deletion_timestamp is not None else []
