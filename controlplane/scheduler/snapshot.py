"""The nodes as the scheduler sees them: one row per node, numpy columns per property.

Amounts are integers (millicores, bytes, counts), so that vector and scalar arithmetic agree exactly. Labels are
interned: one int32 column per key, 0 meaning absent. The snapshot is private to the scheduler and knows no API.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Ids = npt.NDArray[np.int32]

Name = TypeVar("Name", bound=Hashable)

FIRST_ROWS = 64
FIRST_RESOURCES = 4
SCORED = ("cpu", "memory")
DEFAULT_REQUESTS = {"cpu": 100, "memory": 200 * 1024 * 1024}
"""What a pod that asks for nothing counts as in scores, as in Kubernetes: otherwise all of them go to one node."""


@dataclass(frozen=True, slots=True, order=True)
class NodeTaint:
    """A taint as columns are keyed."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What placement depends on in a Node. Amounts are in millicores and whole units."""

    name: str
    allocatable: Mapping[str, int]
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: frozenset[NodeTaint] = frozenset()
    unschedulable: bool = False
    ready: bool = True


HostPort = tuple[str, int]


class PodUse(msgspec.Struct, frozen=True, gc=False):
    """What a placed pod takes from its node; `owner` is the uid of its controller, or empty.

    `host_ports` are the ports of the node itself that it listens on, as protocol and number.
    """

    uid: str
    node: str
    requests: tuple[tuple[str, int], ...]
    owner: str = ""
    host_ports: tuple[HostPort, ...] = ()


def scored_requests(requests: Mapping[str, int]) -> tuple[int, int]:
    """CPU in millicores and memory in bytes as scores count them."""
    cpu, memory = (requests.get(name) or DEFAULT_REQUESTS[name] for name in SCORED)
    return cpu, memory


class Snapshot:
    """All nodes and what the pods on them use, including pods that are only about to be bound."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.resources: dict[str, int] = {}
        self._names: list[str] = []
        self._free: list[int] = []
        self._facts: dict[str, NodeFacts] = {}
        self._pods: dict[str, PodUse] = {}
        self._pods_by_node: dict[str, dict[str, PodUse]] = defaultdict(dict)
        self._rows_by_owner: dict[str, Counter[int]] = {}
        self._rows_by_port: dict[HostPort, Counter[int]] = {}
        self._values: dict[str, dict[str, int]] = {}
        self._order: Ints | None = None
        self.live = np.zeros(FIRST_ROWS, bool)
        self.ready = np.zeros(FIRST_ROWS, bool)
        self.unschedulable = np.zeros(FIRST_ROWS, bool)
        self.allocatable = np.zeros((FIRST_RESOURCES, FIRST_ROWS), np.int64)
        self.used = np.zeros((FIRST_RESOURCES, FIRST_ROWS), np.int64)
        self.scored = np.zeros((2, FIRST_ROWS), np.int64)
        self.scored_allocatable = np.ones((2, FIRST_ROWS), np.int64)
        self.labels: dict[str, Ids] = {}
        self.taints: dict[NodeTaint, Bools] = {}

    def __len__(self) -> int:
        """The number of nodes."""
        return len(self.rows)

    @property
    def capacity(self) -> int:
        """The length of every column; rows that are not `live` mean nothing."""
        return len(self.live)

    @property
    def order(self) -> Ints:
        """The rank of each row's node name: equal scores go to the lowest name."""
        if self._order is None:
            order = np.zeros(self.capacity, np.int64)
            for rank, name in enumerate(sorted(self.rows)):
                order[self.rows[name]] = rank
            self._order = order
        return self._order

    def name(self, row: int) -> str:
        """The node of a live row."""
        return self._names[row]

    def facts(self, node: str) -> NodeFacts | None:
        """What was last set for a node."""
        return self._facts.get(node)

    def node_of(self, uid: str) -> str | None:
        """Where a pod is placed or about to be."""
        use = self._pods.get(uid)
        return use.node if use is not None else None

    def label_id(self, key: str, value: str) -> int:
        """The interned value of a label; -1 when no node ever had it."""
        return self._values.get(key, {}).get(value, -1)

    def resource(self, name: str) -> int:
        """The row of a resource in the amount columns; a new one has no allocatable anywhere."""
        index = self.resources.get(name)
        if index is None:
            index = self.resources[name] = len(self.resources)
            if index >= len(self.used):
                self.allocatable = np.concatenate([self.allocatable, np.zeros_like(self.allocatable)])
                self.used = np.concatenate([self.used, np.zeros_like(self.used)])
        return index

    def amounts(self, requests: tuple[tuple[str, int], ...]) -> Ints:
        """Requests as a column of amounts, one per known resource."""
        amounts = np.zeros(len(self.used), np.int64)
        for name, amount in requests:
            index = self.resource(name)
            if index >= len(amounts):
                amounts = np.concatenate([amounts, np.zeros(len(self.used) - len(amounts), np.int64)])
            amounts[index] = amount
        return amounts

    def counts_of(self, owner: str) -> Mapping[int, int]:
        """How many pods of one owner each row has; rows without any are left out."""
        return self._rows_by_owner.get(owner, {})

    def rows_using(self, port: HostPort) -> Iterable[int]:
        """The rows on which some pod listens on a port of the node."""
        return self._rows_by_port.get(port, {}).keys()

    def set_node(self, facts: NodeFacts) -> bool:
        """Add or change a node; returns whether anything about it changed."""
        old = self._facts.get(facts.name)
        if old == facts:
            return False
        self._facts[facts.name] = facts
        row = self.rows.get(facts.name)
        if row is None:
            row = self._new_row(facts.name)
        self.ready[row] = facts.ready
        self.unschedulable[row] = facts.unschedulable
        for name in facts.allocatable:
            self.resource(name)
        self.allocatable[:, row] = 0
        for name, amount in facts.allocatable.items():
            self.allocatable[self.resources[name], row] = amount
        self.scored_allocatable[:, row] = [max(1, facts.allocatable.get(name, 0)) for name in SCORED]
        self._set_labels(row, facts.labels)
        for taint in facts.taints:
            if taint not in self.taints:
                self.taints[taint] = np.zeros(self.capacity, bool)
        for taint, column in self.taints.items():
            column[row] = taint in facts.taints
        return True

    def remove_node(self, node: str) -> None:
        """Forget a node; its pods are remembered, in case it comes back before they go."""
        row = self.rows.pop(node, None)
        if row is None:
            return
        del self._facts[node]
        for use in self._pods_by_node.get(node, {}).values():
            self._account(use, row, -1)
        self.live[row] = False
        self._free.append(row)
        self._order = None

    def set_pod(self, use: PodUse) -> None:
        """Place a pod, or replace what is known of it; placing the same pod again changes nothing."""
        old = self._pods.get(use.uid)
        if old == use:
            return
        if old is not None:
            self.remove_pod(use.uid)
        self._pods[use.uid] = use
        self._pods_by_node[use.node][use.uid] = use
        row = self.rows.get(use.node)
        if row is not None:
            self._account(use, row, 1)

    def remove_pod(self, uid: str) -> bool:
        """Give back what a pod used; returns whether it was placed."""
        use = self._pods.pop(uid, None)
        if use is None:
            return False
        on_node = self._pods_by_node[use.node]
        del on_node[uid]
        if not on_node:
            del self._pods_by_node[use.node]
        row = self.rows.get(use.node)
        if row is not None:
            self._account(use, row, -1)
        return True

    def _new_row(self, node: str) -> int:
        if self._free:
            row = self._free.pop()
        else:
            row = len(self._names)
            self._names.append(node)
            if row >= self.capacity:
                self._grow()
        self._names[row] = node
        self.rows[node] = row
        self._order = None
        self.live[row] = True
        self.used[:, row] = 0
        self.scored[:, row] = 0
        for use in self._pods_by_node.get(node, {}).values():
            self._account(use, row, 1)
        return row

    def _grow(self) -> None:
        rows = self.capacity

        def longer(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
            width = [(0, 0)] * (column.ndim - 1) + [(0, rows)]
            return np.pad(column, width)

        self.live, self.ready = longer(self.live), longer(self.ready)
        self.unschedulable = longer(self.unschedulable)
        self.allocatable, self.used = longer(self.allocatable), longer(self.used)
        self.scored = longer(self.scored)
        self.scored_allocatable = np.maximum(longer(self.scored_allocatable), 1)  # scores divide by it
        self.labels = {key: longer(column) for key, column in self.labels.items()}
        self.taints = {taint: longer(column) for taint, column in self.taints.items()}

    def _set_labels(self, row: int, labels: Mapping[str, str]) -> None:
        for column in self.labels.values():
            column[row] = 0
        for key, value in labels.items():
            if key not in self.labels:
                self.labels[key] = np.zeros(self.capacity, np.int32)
            values = self._values.setdefault(key, {})
            self.labels[key][row] = values.setdefault(value, len(values) + 1)

    def _account(self, use: PodUse, row: int, sign: int) -> None:
        for name, amount in use.requests:
            self.used[self.resource(name), row] += sign * amount
        for index, amount in enumerate(scored_requests(dict(use.requests))):
            self.scored[index, row] += sign * amount
        if use.owner:
            _count(self._rows_by_owner, use.owner, row, sign)
        for port in use.host_ports:
            _count(self._rows_by_port, port, row, sign)


def _count(rows: dict[Name, Counter[int]], name: Name, row: int, sign: int) -> None:
    """Count a row up or down under a name; nothing is kept for zero."""
    counts = rows.setdefault(name, Counter())
    counts[row] += sign
    if counts[row] <= 0:
        del counts[row]
        if not counts:
            del rows[name]
