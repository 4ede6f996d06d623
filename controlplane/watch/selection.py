"""Which watcher sees which change, and as what: entering a selection is ADDED, leaving it DELETED.

Pure, over envelopes and opaque bodies. It must not know how selectors are written: they come as predicates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from controlplane.commands import ADDED, DELETED, MODIFIED, Change, Envelope

Match = Callable[[Change], int]
"""Returns the event type to show (ADDED, MODIFIED, DELETED) or 0 for a change the watcher must not see."""


class LabelPredicate(Protocol):
    """A label selector, as `api.selectors.Selector.matches`."""

    def __call__(self, labels: Mapping[str, str], /) -> bool:
        """Whether an object with these labels is selected."""


ObjectPredicate = Callable[[Envelope, bytes], bool]
"""Whether an object is selected, for field selectors: gets the envelope and the body, which it decodes if it must."""


def selection(
    namespace: str = "",
    labels: LabelPredicate | None = None,
    node: str = "",
    predicate: ObjectPredicate | None = None,
) -> Match | None:
    """Return the match of all conditions together; "" and None do not narrow. None: every change, as it is."""
    if labels is None and not node and predicate is None:
        return _in_namespace(namespace) if namespace else None

    def selected(envelope: Envelope, body: bytes) -> bool:
        return (
            (not node or envelope.node == node)
            and (labels is None or labels(envelope.labels))
            and (predicate is None or predicate(envelope, body))
        )

    def match(change: Change) -> int:
        if namespace and change.envelope.key.namespace != namespace:
            return 0
        before, before_body = change.previous_envelope, change.previous_body
        was = before is not None and before_body is not None and selected(before, before_body)
        now = change.type != DELETED and selected(change.envelope, change.body)
        if now:
            return MODIFIED if was else ADDED
        return DELETED if was else 0

    return match


def _in_namespace(namespace: str) -> Match:
    def match(change: Change) -> int:
        return change.type if change.envelope.key.namespace == namespace else 0

    return match
