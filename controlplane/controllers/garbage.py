"""Garbage collection: what happens to dependents when their owners go.

Rules are those of the Kubernetes documentation ("Garbage Collection", "Owners and Dependents"): background (owner
first), foreground (dependents with `blockOwnerDeletion` first) and orphan. An owner counts as absent only when the
API says so; a cache may be behind.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from api import errors
from api.errors import ApiError
from api.meta import ObjectMeta, OwnerReference
from api.object import Object
from api.scheme import BUILT_IN, Scheme
from api.wellknown import FOREGROUND_FINALIZER, ORPHAN_FINALIZER
from component.client import ApiClient
from component.informer import Cached, Change, Informer, PartialObjectMetadata
from controlplane.controllers.actions import Action, DropOwners, ReleaseFinalizer, delete
from controlplane.controllers.loop import Key, Source

REMEMBERED = 10_000  # uids of objects seen to go

OwnerState = Literal["solid", "waiting", "absent"]


@dataclass(frozen=True, slots=True)
class Dependent:
    """An object that names another as its owner; a `blocking` one makes a foreground deletion of the owner wait."""

    object: Object
    blocking: bool


def judge(
    item: Object, metadata: ObjectMeta, owners: Mapping[str, OwnerState], dependents: Sequence[Dependent]
) -> list[Action]:
    """Return what is to be done about one object.

    `owners` is the state of each owner by uid: there to stay, in foreground deletion, or absent; `dependents` are
    the objects that name `item`.
    """
    deleting = metadata.deletion_timestamp is not None
    if deleting and ORPHAN_FINALIZER in metadata.finalizers:
        return _orphan(item, dependents)
    if deleting and FOREGROUND_FINALIZER in metadata.finalizers:
        blocked = any(dependent.blocking for dependent in dependents)  # they go by their own keys
        return [] if blocked else [_release(item, FOREGROUND_FINALIZER)]
    if deleting or not owners:
        return []
    loose = frozenset(uid for uid, state in owners.items() if state != "solid")
    if not loose:
        return []
    if len(loose) < len(owners):
        return [DropOwners(item.resource, item.namespace, item.name, item.uid, loose)]
    waited_for = "waiting" in owners.values() and dependents
    return [delete(item, propagation="Foreground" if waited_for else "")]


def _orphan(item: Object, dependents: Sequence[Dependent]) -> list[Action]:
    owner = frozenset((item.uid,))
    drops = [DropOwners(d.object.resource, d.object.namespace, d.object.name, d.object.uid, owner) for d in dependents]
    return [*drops, _release(item, ORPHAN_FINALIZER)]


def _release(item: Object, finalizer: str) -> ReleaseFinalizer:
    return ReleaseFinalizer(item.resource, item.namespace, item.name, item.uid, finalizer)


class GarbageCollector:
    """Follows the owner references of all kinds; a key is resource, namespace and name."""

    name = "garbage"

    def __init__(self, client: ApiClient, caches: Mapping[str, Informer[Any]], kinds: Scheme = BUILT_IN) -> None:
        self._client = client
        self._kinds = kinds
        self._caches = caches
        self._gone: OrderedDict[str, None] = OrderedDict()

    def sources(self) -> Sequence[Source]:
        """Every kind."""
        return [Source(informer, self._keys) for informer in self._caches.values()]

    def all_keys(self) -> Iterable[Key]:
        """Everything that has an owner or waits for its dependents."""
        for informer in self._caches.values():
            for cached in informer.items():
                if cached.metadata.owner_references or _collected(cached.metadata):
                    yield _key(cached.object)

    async def plan(self, key: Key, failure: ApiError | None) -> Sequence[Action]:
        """Decide for one object."""
        del failure
        resource, namespace, name = key
        cached = self._caches[resource].get(namespace, name)
        if cached is None:
            return []
        metadata = cached.metadata
        deleting = metadata.deletion_timestamp is not None
        owners: dict[str, OwnerState] = {}
        if not deleting:
            for owner in metadata.owner_references:
                owners[owner.uid] = await self._state(owner, namespace)
        orphaning = deleting and ORPHAN_FINALIZER in metadata.finalizers
        dependents = await self._listed_dependents(cached) if orphaning else self._dependents(cached.object.uid)
        return judge(cached.object, metadata, owners, dependents)

    async def _state(self, owner: OwnerReference, namespace: str) -> OwnerState:
        if owner.uid in self._gone:
            return "absent"
        try:
            kind = self._kinds.by_kind(owner.api_version, owner.kind)
        except errors.NotFound:
            return "solid"  # of a kind nobody here knows: not ours to judge
        where = namespace if kind.namespaced else ""
        informer = self._caches.get(kind.resource)
        cached = informer.get(where, owner.name) if informer is not None else None
        if cached is not None and cached.object.uid == owner.uid:
            metadata = cached.metadata
            waiting = metadata.deletion_timestamp is not None and FOREGROUND_FINALIZER in metadata.finalizers
            return "waiting" if waiting else "solid"
        try:
            found = await self._client.get(kind.resource, where, owner.name)
        except errors.NotFound:
            self._remember(owner.uid)
            return "absent"
        if found.uid != owner.uid:
            self._remember(owner.uid)
            return "absent"
        return "solid"

    def _dependents(self, uid: str) -> list[Dependent]:
        return [
            _dependent(cached.object, cached.metadata, uid)
            for informer in self._caches.values()
            for cached in informer.by_index("owners", uid)
        ]

    async def _listed_dependents(self, owner: Cached[Any]) -> list[Dependent]:
        """What the API, not the cache, says: a dependent overlooked now would be deleted later."""
        found = {_key(d.object): d for d in self._dependents(owner.object.uid)}
        if owner.object.namespace:
            for resource in self._caches:
                if not self._kinds.by_resource(resource).namespaced:
                    continue
                for item in (await self._client.list(resource, owner.object.namespace)).items:
                    metadata = item.view(PartialObjectMetadata).metadata
                    if any(reference.uid == owner.object.uid for reference in metadata.owner_references):
                        found[_key(item)] = _dependent(item, metadata, owner.object.uid)
        return list(found.values())

    def _remember(self, uid: str) -> None:
        self._gone[uid] = None
        if len(self._gone) > REMEMBERED:
            self._gone.popitem(last=False)

    def _keys(self, change: Change[Any]) -> Iterable[Key]:
        old, new = change.old, change.new
        if old is not None and (new is None or new.object.uid != old.object.uid):
            self._remember(old.object.uid)
            yield from (_key(dependent.object) for dependent in self._dependents(old.object.uid))
            yield from self._waiting_owners(old)
        if new is None:
            return
        if old is None or _relevant(old.metadata) != _relevant(new.metadata):
            if new.metadata.owner_references or _collected(new.metadata):
                yield _key(new.object)
            if FOREGROUND_FINALIZER in new.metadata.finalizers:
                yield from (_key(dependent.object) for dependent in self._dependents(new.object.uid))
            if old is not None:
                yield from self._waiting_owners(old)  # it may name them no more

    def _waiting_owners(self, cached: Cached[Any]) -> Iterable[Key]:
        for owner in cached.metadata.owner_references:
            try:
                kind = self._kinds.by_kind(owner.api_version, owner.kind)
            except errors.NotFound:
                continue
            yield (kind.resource, cached.object.namespace if kind.namespaced else "", owner.name)


def _dependent(item: Object, metadata: ObjectMeta, owner_uid: str) -> Dependent:
    blocking = any(o.uid == owner_uid and o.block_owner_deletion for o in metadata.owner_references)
    return Dependent(item, blocking)


def _collected(metadata: ObjectMeta) -> bool:
    return metadata.deletion_timestamp is not None and bool(
        {FOREGROUND_FINALIZER, ORPHAN_FINALIZER}.intersection(metadata.finalizers)
    )


def _relevant(metadata: ObjectMeta) -> tuple[object, ...]:
    return (metadata.owner_references, metadata.finalizers, metadata.deletion_timestamp is None)


def _key(item: Object) -> Key:
    return (item.resource, item.namespace, item.name)
