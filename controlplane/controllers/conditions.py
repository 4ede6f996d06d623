"""Conditions in status trees, kept as the Kubernetes API conventions say."""

from __future__ import annotations

from collections.abc import Sequence

from api.object import Tree


def find(conditions: Sequence[Tree], type_: str) -> Tree | None:
    """The condition of that type."""
    return next((c for c in conditions if c.get("type") == type_), None)


def without(conditions: Sequence[Tree], type_: str) -> list[Tree]:
    """All conditions but the one of that type."""
    return [c for c in conditions if c.get("type") != type_]


def with_condition(conditions: Sequence[Tree], wanted: Tree, now: str) -> list[Tree]:
    """Return `conditions` with `wanted` (type, status, reason, message) in place.

    `lastTransitionTime` moves only when the status changes. A condition with equal status, reason and message is
    left as it is, so that nothing is written twice.
    """
    old = find(conditions, wanted["type"])
    if old is not None and all(old.get(name) == wanted.get(name) for name in ("status", "reason", "message")):
        return list(conditions)
    same_status = old is not None and old.get("status") == wanted["status"]
    changed_time = old.get("lastTransitionTime", now) if old is not None and same_status else now
    new = {**wanted, "lastTransitionTime": changed_time}
    if old is None:
        return [*conditions, new]
    return [new if c is old else c for c in conditions]
