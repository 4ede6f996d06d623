"""Which objects belong to a controller: selection, adoption and release.

As in Kubernetes: an object belongs to the controller named in its one controlling owner reference. A matching
object without one is adopted, an owned one that matches no more is released.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from api import scheme
from api.apps import Deployment, ReplicaSet
from api.meta import ObjectMeta, OwnerReference
from api.object import Object, Tree
from api.selectors import label_selector_of
from component.informer import Cached, Change, HasMetadata, Informer, Key
from controlplane.controllers.actions import Update

View = TypeVar("View", bound=HasMetadata)
Selecting = TypeVar("Selecting", ReplicaSet, Deployment)


def controller_of(metadata: ObjectMeta) -> OwnerReference | None:
    """The owner that controls the object."""
    return next((owner for owner in metadata.owner_references if owner.controller), None)


def controller_uid(cached: Cached[View]) -> list[str]:
    """Index: the uid of the controller; "" and the namespace for an object that nobody controls."""
    owner = controller_of(cached.metadata)
    return [owner.uid if owner else orphans_of(cached.object.namespace)]


def orphans_of(namespace: str) -> str:
    """The value under which `controller_uid` files what nobody controls in a namespace."""
    return f"/{namespace}"


def owner_reference(owner: Object) -> Tree:
    """The reference by which `owner` controls a child."""
    kind = scheme.by_resource(owner.resource)
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller_keys(change: Change[Any], kind: str, controllers: Informer[Selecting]) -> list[Key]:
    """The keys of those that a changed object concerns: its controller before and after.

    While nobody controls it, these are all that select it: they may adopt it.
    """
    keys = set()
    for cached in (change.old, change.new):
        if cached is None:
            continue
        namespace, owner = cached.object.namespace, controller_of(cached.metadata)
        if owner is None:
            for each in controllers.in_namespace(namespace).values():
                if label_selector_of(each.view.spec.selector).matches(cached.metadata.labels):
                    keys.add(each.key)
        elif owner.kind == kind:
            keys.add((namespace, owner.name))
    return sorted(keys)


@dataclass(frozen=True, slots=True)
class Claim(Generic[View]):
    """What belongs to a controller now, and what it takes to make the owner references say so."""

    owned: list[Cached[View]]
    updates: list[Update]


def claim(
    owner: Object, deleting: bool, candidates: Iterable[Cached[View]], matches: Callable[[ObjectMeta], bool]
) -> Claim[View]:
    """Divide `candidates` (owned by `owner` or by nobody) into what belongs to it and what does not.

    Adopted objects count as owned at once: perform the updates before what is decided on that count. A controller
    that is being deleted neither adopts nor releases.
    """
    owned: list[Cached[View]] = []
    updates: list[Update] = []
    for cached in candidates:
        controller = controller_of(cached.metadata)
        fits = matches(cached.metadata)
        if controller is not None and controller.uid == owner.uid:
            if fits:
                owned.append(cached)
            elif not deleting:
                updates.append(_released(cached.object, owner.uid))
        elif controller is None and fits and not deleting and cached.metadata.deletion_timestamp is None:
            owned.append(cached)
            updates.append(_adopted(cached.object, owner))
    return Claim(owned, updates)


def _adopted(item: Object, owner: Object) -> Update:
    tree = item.tree()
    tree["metadata"].setdefault("ownerReferences", []).append(owner_reference(owner))
    return Update(tree)


def _released(item: Object, owner_uid: str) -> Update:
    tree = item.tree()
    kept = [reference for reference in tree["metadata"]["ownerReferences"] if reference["uid"] != owner_uid]
    tree["metadata"]["ownerReferences"] = kept
    if not kept:
        del tree["metadata"]["ownerReferences"]
    return Update(tree)
