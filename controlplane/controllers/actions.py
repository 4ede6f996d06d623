"""What a reconciler may ask for: plain values that the one shell in `loop` performs.

Trees are whole objects; an update carries the resourceVersion it was decided on, so that a decision on stale ground
is refused instead of performed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from api.object import Object, Tree
from component.client import Propagation

EventKind = Literal["Normal", "Warning"]


@dataclass(frozen=True, slots=True)
class Create:
    """Create an object. Its name must be derived from what it is for, so that a repeated create finds it there."""

    tree: Tree


@dataclass(frozen=True, slots=True)
class Update:
    """Replace all but the status."""

    tree: Tree


@dataclass(frozen=True, slots=True)
class UpdateStatus:
    """Replace the status."""

    tree: Tree


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete an object if it still is the one with `uid`; one that is gone already counts as deleted."""

    resource: str
    namespace: str
    name: str
    uid: str
    propagation: Propagation = ""
    grace_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class ReleaseFinalizer:
    """Take one finalizer off an object that is being deleted, if it still is the one with `uid`."""

    resource: str
    namespace: str
    name: str
    uid: str
    finalizer: str


@dataclass(frozen=True, slots=True)
class DropOwners:
    """Take owner references off an object if it still is the one with `uid`."""

    resource: str
    namespace: str
    name: str
    uid: str
    owner_uids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Record:
    """Tell people what happened to an object."""

    regarding: Object
    kind: EventKind
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Wake:
    """Look at the same key again after `seconds`, because time alone will change the answer."""

    seconds: float


Write = Create | Update | UpdateStatus | Delete | ReleaseFinalizer | DropOwners
Action = Write | Record | Wake


def delete(item: Object, *, propagation: Propagation = "", grace_seconds: int | None = None) -> Delete:
    """The deletion of exactly this object."""
    return Delete(item.resource, item.namespace, item.name, item.uid, propagation, grace_seconds)
