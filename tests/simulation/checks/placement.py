"""Whether pods are bound once and nodes hold what they can, at every revision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.simulation.checks.record import DELETED


@dataclass(frozen=True, slots=True)
class PodRow:
    """One change of a pod: where it is bound, what it takes there, whether it ended."""

    revision: int
    type: int
    name: str
    uid: str
    node: str
    requests: Mapping[str, int]
    ended: bool


def check(rows: Sequence[PodRow], capacity: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return which pods changed their node and which nodes were given more than their capacity, and when."""
    found: list[str] = []
    bound: dict[str, str] = {}
    held: dict[str, tuple[str, Mapping[str, int]]] = {}
    used: dict[tuple[str, str], int] = {}
    for row in rows:
        node = bound.setdefault(row.uid, row.node) or row.node
        if row.node != node:
            found.append(f"pod {row.name} ({row.uid}) was bound to {node}, at {row.revision} to {row.node!r}")
        bound[row.uid] = node
        old_node, old = held.pop(row.uid, ("", {}))
        for resource, amount in old.items():
            used[old_node, resource] -= amount
        if row.type == DELETED or row.ended or not row.node:
            continue
        held[row.uid] = (row.node, row.requests)
        for resource, amount in row.requests.items():
            total = used[row.node, resource] = used.get((row.node, resource), 0) + amount
            if total > capacity.get(row.node, {}).get(resource, 0) and row.uid not in _already(
                old_node, row.node, row.uid
            ):
                found.append(f"{row.node} holds {total} of {resource} at {row.revision}, more than it has")
    return found


def _already(old_node: str, node: str, uid: str) -> set[str]:
    """A pod that was there before may stay, whatever the node has now."""
    return {uid} if old_node == node else set()
