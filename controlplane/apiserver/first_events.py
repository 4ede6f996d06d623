"""What watches show first: one event for each object there is, made once for all watches that begin with the same version.

Thousands of clients that come back at once begin with the same objects; encoding these is most of what it costs.
"""

from __future__ import annotations

from typing import Final

from controlplane.commands import ADDED, Key, Stored
from controlplane.sealing import SEALED_RESOURCES
from controlplane.watch.events import EVENT_OVERHEAD_BYTES, HubEvent

KEPT_BYTES: Final = 32 << 20


class FirstEvents:
    """Keeps events of at most `kept_bytes`; when there are more it begins anew. Nothing of Secrets stays here."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._bytes = 0
        self._events: dict[Key, HubEvent] = {}

    def of(self, stored: Stored) -> HubEvent:
        """The event that shows an object as it is."""
        key = stored.envelope.key
        known = self._events.get(key)
        if known is not None and known.body is stored.body and known.revision == stored.revision:
            return known
        event = HubEvent(ADDED, stored.revision, stored.envelope, stored.body)
        if key.resource in SEALED_RESOURCES or _size(event) > self._kept_bytes:
            return event
        if known is not None:
            self._bytes -= _size(known)
        self._bytes += _size(event)
        if self._bytes > self._kept_bytes:
            self._events, self._bytes = {}, _size(event)
        self._events[key] = event
        return event


def _size(event: HubEvent) -> int:
    return 2 * len(event.body) + EVENT_OVERHEAD_BYTES  # with what it is encoded to
