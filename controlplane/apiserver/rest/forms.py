"""Kinds that are served in another form than they are stored in: between both stands this module. Pure.

Of the program's own there is one, Event of events.k8s.io/v1; custom kinds may be served in several versions. What is stored as
it is served passes through unchanged.
"""

from __future__ import annotations

import msgspec

from api import events_v1
from api.object import Object, Tree, canonical
from api.scheme import EVENTS_V1, Kind, by_kind
from controlplane.apiserver.known_kinds import presented
from controlplane.apiserver.objects import tree_of


def stored_kind(kind: Kind) -> Kind:
    """The kind as which objects of `kind` are stored."""
    return by_kind(events_v1.CORE_VERSION, kind.kind) if kind is EVENTS_V1 else kind


def shown(kind: Kind, stored: Object) -> Object:
    """The stored object as `kind` writes it."""
    if kind is not EVENTS_V1:
        return presented(kind, stored)
    return msgspec.structs.replace(stored, json=canonical(events_v1.from_core(tree_of(stored.json))))


def to_store(kind: Kind, tree: Tree, *, new: bool = False) -> Tree:
    """An object that came as `kind` writes it, as it is stored. Invalid, more often if it is a `new` one."""
    if kind is not EVENTS_V1:
        return tree
    if new:
        events_v1.check_new(tree)
    return events_v1.to_core(tree)


def patch_to_store(kind: Kind, patch_type: str, patch: bytes) -> bytes:
    """A patch of what `kind` writes, as one of what is stored. Invalid."""
    return events_v1.core_patch(patch_type, patch) if kind is EVENTS_V1 else patch


def field_selector(kind: Kind, text: str) -> str:
    """A field selector in the words of `kind`, in those of what is stored. Invalid."""
    return events_v1.core_field_selector(text) if kind is EVENTS_V1 and text else text
