"""One object of a fixed name in every namespace: the shell around decisions about such objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from api.core import Namespace
from api.errors import ApiError
from component.informer import Cached, Change, HasMetadata, Informer
from controlplane.controllers.actions import Action
from controlplane.controllers.loop import Key, Source, own_key

Kind = TypeVar("Kind", bound=HasMetadata)

Decide = Callable[[Cached[Namespace], Cached[Kind] | None], Sequence[Action]]
"""What is to be done, given a namespace and the object in it, None where it is missing."""


class PerNamespaceController(Generic[Kind]):
    """Looks at namespaces, and at the objects called `object_name`; their key is the namespace's."""

    def __init__(
        self,
        name: str,
        namespaces: Informer[Namespace],
        objects: Informer[Kind],
        object_name: str,
        decide: Decide[Kind],
    ) -> None:
        self.name = name
        self._namespaces = namespaces
        self._objects = objects
        self._object_name = object_name
        self._decide = decide

    def sources(self) -> Sequence[Source]:
        """Namespaces and the objects."""
        return [Source(self._namespaces, own_key), Source(self._objects, self._keys_of_object)]

    def all_keys(self) -> Iterable[Key]:
        """All namespaces."""
        return [cached.key for cached in self._namespaces.items()]

    async def plan(self, key: Key, failure: ApiError | None) -> Sequence[Action]:
        """Decide for one namespace."""
        del failure
        namespace = self._namespaces.get("", key[1])
        if namespace is None:
            return []
        return self._decide(namespace, self._objects.get(key[1], self._object_name))

    def _keys_of_object(self, change: Change[Kind]) -> Iterable[Key]:
        item = change.latest.object
        return [("", item.namespace)] if item.name == self._object_name else []
