"""CustomResourceDefinitions: the end of their objects, and names that became free.

It asks the API for what is left instead of a cache: nothing may be overlooked, and it happens rarely.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from api.apiextensions import CustomResourceDefinition
from api.errors import ApiError
from api.object import Object
from api.wellknown import DEFINITION_FINALIZER
from component.client import ApiClient
from component.informer import Cached, Change, Informer, PartialObjectMetadata
from controlplane.controllers.actions import Action, ReleaseFinalizer, Update, Wake, delete
from controlplane.controllers.loop import Key, Source

SOON_SECONDS = 0.05
LATER_SECONDS = 1.0  # something else works on what is left: its finalizers say who
PAGE_OBJECTS = 500


def reconcile(definition: Cached[CustomResourceDefinition], left: Sequence[Object]) -> list[Action]:
    """Return what ends a terminating definition of which `left` are objects, or gives another one its names."""
    item = definition.object
    if definition.metadata.deletion_timestamp is None:
        return [Update(item.tree())] if not accepted(definition.view) else []
    if DEFINITION_FINALIZER not in definition.metadata.finalizers:
        return []
    if not left:
        return [ReleaseFinalizer(item.resource, item.namespace, item.name, item.uid, DEFINITION_FINALIZER)]
    deletes = [delete(each) for each in left if each.view(PartialObjectMetadata).metadata.deletion_timestamp is None]
    return [*deletes, Wake(SOON_SECONDS if deletes else LATER_SECONDS)]


def accepted(view: CustomResourceDefinition) -> bool:
    """Whether a definition has all its names, as far as its status tells."""
    conditions = view.status.conditions if view.status is not None else ()
    return any(each.type == "NamesAccepted" and each.status == "True" for each in conditions)


class DefinitionController:
    """Looks at definitions that are being deleted or wait for a name."""

    name = "customresourcedefinition"

    def __init__(self, client: ApiClient, definitions: Informer[CustomResourceDefinition]) -> None:
        self._client = client
        self._definitions = definitions

    def sources(self) -> Sequence[Source]:
        """Definitions."""
        return [Source(self._definitions, self._keys)]

    def all_keys(self) -> Iterable[Key]:
        """All definitions."""
        return [cached.key for cached in self._definitions.items()]

    async def plan(self, key: Key, failure: ApiError | None) -> Sequence[Action]:
        """Decide for one definition."""
        del failure
        definition = self._definitions.get(*key)
        if definition is None:
            return []
        left: Sequence[Object] = ()
        if definition.metadata.deletion_timestamp is not None and _served(definition.view):
            left = (await self._client.list(definition.object.name, limit=PAGE_OBJECTS)).items
        return reconcile(definition, left)

    def _keys(self, change: Change[CustomResourceDefinition]) -> Iterable[Key]:
        """The definition, and, when it goes or changes, those of its group that may have waited for a name of it."""
        group = change.latest.view.spec.group
        waiting = (
            each for each in self._definitions.items() if each.view.spec.group == group and not accepted(each.view)
        )
        return dict.fromkeys([change.latest.key, *(each.key for each in waiting)])


def _served(view: CustomResourceDefinition) -> bool:
    """Whether there can be objects, and be asked for."""
    conditions = view.status.conditions if view.status is not None else ()
    return any(each.type == "Established" and each.status == "True" for each in conditions)
