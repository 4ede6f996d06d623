"""Equal parts of envelopes kept once: 100,000 pods of a few ReplicaSets have few different label sets and owners.

A pure saving of memory, not part of the state: what is forgotten here is only stored twice.
"""

from __future__ import annotations

from sys import intern
from typing import Final

from controlplane.commands import Envelope, Key

_CAPACITY: Final = 8_192

_Parts = tuple[tuple[str, ...], tuple[str, ...], tuple[tuple[str, str], ...]]


class Sharing:
    """Hands out envelopes whose labels, owners and short names are shared with earlier equal ones."""

    __slots__ = ("_labels", "_tuples")

    def __init__(self) -> None:
        self._labels: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
        self._tuples: dict[tuple[str, ...], tuple[str, ...]] = {}

    def envelope(self, envelope: Envelope) -> Envelope:
        """Return an equal envelope."""
        key = envelope.key
        return Envelope(
            Key(intern(key.resource), intern(key.namespace), key.name),
            envelope.uid,
            self._share_labels(envelope.labels),
            self._share_tuple(envelope.owners),
            self._share_tuple(envelope.finalizers),
            intern(envelope.node),
            envelope.deletion_time,
        )

    def _share_labels(self, labels: dict[str, str]) -> dict[str, str]:
        items = tuple(labels.items())
        shared = self._labels.get(items)
        if shared is None:
            if len(self._labels) >= _CAPACITY:
                self._labels.clear()
            shared = self._labels[items] = labels
        return shared

    def _share_tuple(self, values: tuple[str, ...]) -> tuple[str, ...]:
        if not values:
            return ()
        shared = self._tuples.get(values)
        if shared is None:
            if len(self._tuples) >= _CAPACITY:
                self._tuples.clear()
            shared = self._tuples[values] = values
        return shared
