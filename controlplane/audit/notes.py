"""What parts of a request tell the audit log besides: annotations, which belong to the request that is being served.

Transports begin a request's notes before they serve it; whoever has something to say then needs nothing handed through.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import Final

NOTES_AT_MOST: Final = 64  # of one request

_notes: ContextVar[dict[str, str] | None] = ContextVar("audit_notes", default=None)


def begin() -> Mapping[str, str]:
    """Start a request of this task; what is added from now on, here or in tasks that it starts, is in the returned map."""
    notes: dict[str, str] = {}
    _notes.set(notes)
    return notes


def add(notes: Iterable[tuple[str, str]]) -> None:
    """Tell the log, if it listens to this request; as in Kubernetes the first text for a key stays."""
    kept = _notes.get()
    for key, text in notes:
        if kept is not None and len(kept) < NOTES_AT_MOST:
            kept.setdefault(key, text)
