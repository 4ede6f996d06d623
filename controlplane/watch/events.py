"""A change as watchers see it, made once and shared by all that see it alike. It must not know who they are.

Tens of thousands are kept: with `gc=False` the garbage collector need not look at them. Nothing they hold leads back.
"""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from controlplane.commands import DELETED, Change, Envelope
from controlplane.watch.frames import event_frame, resource_bytes
from controlplane.watch.selection import Match

EVENT_OVERHEAD_BYTES: Final = 600


class Opening(Protocol):
    """What makes sealed changes of some resources readable."""

    @property
    def resources(self) -> frozenset[str]:
        """The resources whose objects may be sealed."""

    def opened_change(self, change: Change) -> Change:
        """The change with bodies as they were before they were sealed. Unavailable."""


class HubEvent(msgspec.Struct, gc=False, eq=False):
    """A change as one kind of watcher sees it, shared by all of that kind. DELETED shows the object as it was last."""

    type: int
    revision: int
    envelope: Envelope
    body: bytes
    _frame: bytes = b""

    @property
    def frame(self) -> bytes:
        """The serialized `WatchResponse` of this event alone, built once; frames concatenate."""
        if not self._frame:
            self._frame = event_frame(self.type, self.revision, resource_bytes(self.envelope, self.body, self.revision))
        return self._frame


class Record(msgspec.Struct, gc=False, eq=False):
    """One change, with the views of it that somebody has asked for."""

    change: Change
    nodes: tuple[str, ...]
    size_bytes: int
    _views: dict[int, HubEvent]

    @classmethod
    def of(cls, change: Change) -> Record:
        """The record of a change that nobody has looked at."""
        before = change.previous_envelope.node if change.previous_envelope else ""
        now = change.envelope.node
        nodes = tuple(node for node in dict.fromkeys((before, now)) if node)
        # The frame is counted although it may never be built: a bound must hold for what watchers do later.
        size_bytes = EVENT_OVERHEAD_BYTES + 2 * len(change.body) + len(change.previous_body or b"")
        return cls(change, nodes, size_bytes, {})

    def open(self, opening: Opening) -> None:
        """Make the change readable before anybody looks at it; changes nothing the second time. Unavailable."""
        self.change = opening.opened_change(self.change)

    def seen_by(self, match: Match | None) -> HubEvent | None:
        """The change as watchers with this `match` see it; None if they must not."""
        event_type = match(self.change) if match else self.change.type
        if not event_type:
            return None
        return self._views.get(event_type) or self._view(event_type)

    def _view(self, event_type: int) -> HubEvent:
        change = self.change
        envelope, body = change.envelope, change.body
        if event_type == DELETED and change.previous_envelope is not None and change.previous_body is not None:
            envelope, body = change.previous_envelope, change.previous_body
        event = self._views[event_type] = HubEvent(event_type, change.revision, envelope, body)
        return event
