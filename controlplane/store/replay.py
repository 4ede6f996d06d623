"""The changes of a resource in the order they were made, a bounded page at a time, from the parts of history.

Parts are kept by name, for reading the past; a watch that goes on from an earlier revision needs them by revision.
Reading blocks and belongs in a thread. It must not know who watches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from controlplane.commands import Change
from controlplane.store.history import Part

CHANGE_OVERHEAD_BYTES: Final = 600


@dataclass(frozen=True, slots=True)
class Page:
    """All changes of a resource after `start` up to and including `end`, oldest first."""

    start: int
    end: int
    changes: Sequence[Change]


def page_after(parts: Sequence[Part], resource: str, revision: int, limit_bytes: int) -> Page:
    """The next changes after a revision that is not before the parts' beginning: the rest of one part at most.

    Takes up to twice `limit_bytes`, but at least one change if there is any. CorruptSegment, OSError.
    """
    end = revision
    for part in parts:
        if part.end.revision <= revision:
            continue
        later = (change for change in part.changes(resource) if change.revision > revision)
        changes, whole = _earliest(later, limit_bytes)
        end = part.end.revision if whole else changes[-1].revision
        if changes:
            return Page(revision, end, changes)
    return Page(revision, end, ())


def _earliest(changes: Iterable[Change], limit_bytes: int) -> tuple[list[Change], bool]:
    """The first of all by revision, never holding more than twice the limit; and whether these are all."""
    kept: list[Change] = []
    size_bytes = 0
    last: int | None = None  # those after it were dropped
    for change in changes:
        if last is not None and change.revision > last:
            continue
        kept.append(change)
        size_bytes += _size_bytes(change)
        if size_bytes > 2 * limit_bytes:
            kept.sort(key=_revision)
            size_bytes = _cut(kept, limit_bytes)
            last = kept[-1].revision
    kept.sort(key=_revision)
    return kept, last is None


def _cut(changes: list[Change], limit_bytes: int) -> int:
    """Drop what is over the limit from the end, but not the first; returns the size of the rest."""
    size_bytes = 0
    for at, change in enumerate(changes):
        size_bytes += _size_bytes(change)
        if at and size_bytes > limit_bytes:
            del changes[at:]
            return size_bytes - _size_bytes(change)
    return size_bytes


def _size_bytes(change: Change) -> int:
    return CHANGE_OVERHEAD_BYTES + len(change.body) + len(change.previous_body or b"")


def _revision(change: Change) -> int:
    return change.revision
