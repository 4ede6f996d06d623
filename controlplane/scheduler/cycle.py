"""Placing pods: values in, values out.

A pod alone is placed by looking at all rows. Four or more equal pods are placed together: all rows are scored once,
then a heap per zone gives the best row again and again, only the chosen row being scored anew. Both ways choose the
same nodes.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from controlplane.scheduler import scores
from controlplane.scheduler.filters import PodClass, admitted, explain, fits
from controlplane.scheduler.snapshot import Bools, Ints, PodUse, Snapshot, scored_requests

BATCH = 4
_Entry = tuple[int, int, int]  # negative score, rank of the node's name, row


@dataclass(frozen=True, slots=True)
class Waiting:
    """A pod to place."""

    uid: str
    namespace: str
    name: str
    pod_class: PodClass
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Placed:
    """The pod goes to the node; the snapshot counts it there already."""

    pod: Waiting
    node: str


@dataclass(frozen=True, slots=True)
class Unschedulable:
    """No node takes the pod; `message` says why, node by node in numbers."""

    pod: Waiting
    message: str


def schedule(snapshot: Snapshot, pods: Sequence[Waiting], *, batch: int = BATCH) -> list[Placed | Unschedulable]:
    """Place pods one class after the other, in the order in which the classes first appear.

    Placed pods are assumed in `snapshot`; take them out again with `remove_pod` if the binding fails. Never uses
    more of a node than it has. Ties go to the lowest node name. `batch` is the smallest class placed by heap.
    """
    answers: list[Placed | Unschedulable] = []
    for equal in by_class(pods):
        answers += _place_batch(snapshot, equal) if len(equal) >= batch else _place_each(snapshot, equal)
    return answers


def by_class(pods: Iterable[Waiting]) -> list[list[Waiting]]:
    """Pods of equal classes and priorities together, in the order in which these first appear."""
    classes: dict[tuple[int, PodClass], list[Waiting]] = {}
    for pod in pods:
        classes.setdefault((pod.priority, pod.pod_class), []).append(pod)
    return list(classes.values())


def _assume(snapshot: Snapshot, pod: Waiting, row: int) -> Placed:
    node = snapshot.name(row)
    wants = pod.pod_class
    snapshot.set_pod(PodUse(pod.uid, node, wants.requests, wants.owner, wants.host_ports))
    return Placed(pod, node)


def _place_each(snapshot: Snapshot, pods: Sequence[Waiting]) -> list[Placed | Unschedulable]:
    answers: list[Placed | Unschedulable] = []
    for pod in pods:
        row = _best_row(snapshot, pod.pod_class)
        if row is None:
            answers.append(Unschedulable(pod, explain(snapshot, pod.pod_class)))
        else:
            answers.append(_assume(snapshot, pod, row))
    return answers


def _best_row(snapshot: Snapshot, pod: PodClass) -> int | None:
    amounts = snapshot.amounts(pod.requests)
    mask = admitted(snapshot, pod) & fits(snapshot, amounts)
    rows = np.flatnonzero(mask)
    if not len(rows):
        return None
    cpu, memory = scored_requests(dict(pod.requests))
    total = scores.all_rows(snapshot, pod, cpu, memory, scores.owner_counts(snapshot, pod.owner))[rows]
    if pod.owner:
        counts = scores.zone_counts(snapshot, pod.owner)
        zone_ids = scores.zones(snapshot)[rows]
        present = np.unique(zone_ids)
        parts = np.array([scores.zone_part(zone, counts) for zone in present.tolist()], np.int64)
        total += parts[np.searchsorted(present, zone_ids)]
    best = rows[total == total.max()]
    return int(best[snapshot.order[best].argmin()])


class _Batch:
    """Rows of one class in heaps, one per zone that takes part in spreading."""

    def __init__(self, snapshot: Snapshot, pod: PodClass, number: int) -> None:
        self._snapshot = snapshot
        self._pod = pod
        self._amounts = snapshot.amounts(pod.requests)
        self._cpu, self._memory = scored_requests(dict(pod.requests))
        self._counts = scores.owner_counts(snapshot, pod.owner)
        self._zone_counts = scores.zone_counts(snapshot, pod.owner) if pod.owner else {}
        self._static = scores.static(snapshot, pod)
        self._asked = [(int(index), int(self._amounts[index])) for index in np.flatnonzero(self._amounts)]
        mask = admitted(snapshot, pod) & fits(snapshot, self._amounts)
        self._heaps = self._filled(mask, number)

    def _filled(self, mask: Bools, number: int) -> dict[int, list[_Entry]]:
        snapshot = self._snapshot
        all_scores = scores.all_rows(snapshot, self._pod, self._cpu, self._memory, self._counts)
        zone_ids = scores.zones(snapshot) if self._pod.owner else np.zeros(snapshot.capacity, np.int32)
        heaps = {}
        for zone in np.unique(zone_ids[mask]).tolist():
            rows = np.flatnonzero(mask & (zone_ids == zone))
            heaps[zone] = _heap(rows, all_scores, snapshot.order, number)
        return heaps

    def take(self) -> int | None:
        """The best row now, None when no row takes another pod."""
        best: tuple[int, int] | None = None
        best_zone = -1
        for zone, heap in self._heaps.items():
            if not heap:
                continue
            score, rank, _ = heap[0]
            here = (score - scores.zone_part(zone, self._zone_counts), rank)
            if best is None or here < best:
                best, best_zone = here, zone
        return None if best is None else self._heaps[best_zone][0][2]

    def placed(self, row: int) -> None:
        """Score the row anew after a pod was placed on it."""
        zone = int(scores.zones(self._snapshot)[row]) if self._pod.owner else 0
        heap = self._heaps[zone]
        self._counts[row] += 1
        self._zone_counts[zone] = self._zone_counts.get(zone, 0) + 1
        snapshot = self._snapshot
        full = any(snapshot.used[i, row] + amount > snapshot.allocatable[i, row] for i, amount in self._asked)
        if full or self._pod.host_ports:
            heapq.heappop(heap)
            return
        score = int(self._static[row]) + scores.resources(
            int(snapshot.scored[0, row]) + self._cpu,
            int(snapshot.scored[1, row]) + self._memory,
            int(snapshot.scored_allocatable[0, row]),
            int(snapshot.scored_allocatable[1, row]),
        )
        if self._pod.owner:
            score += scores.spread(int(self._counts[row]))
        heapq.heapreplace(heap, (-score, heap[0][1], row))


def _heap(rows: Ints, all_scores: Ints, order: Ints, number: int) -> list[_Entry]:
    """The `number` best of `rows`; more can never be needed, because every placement uses at most one new row."""
    best = rows[np.lexsort((order[rows], -all_scores[rows]))[:number]]
    return list(zip((-all_scores[best]).tolist(), order[best].tolist(), best.tolist(), strict=True))


def _place_batch(snapshot: Snapshot, pods: Sequence[Waiting]) -> list[Placed | Unschedulable]:
    pod_class = pods[0].pod_class
    rows = _Batch(snapshot, pod_class, len(pods))
    answers: list[Placed | Unschedulable] = []
    for number, pod in enumerate(pods):
        row = rows.take()
        if row is None:
            message = explain(snapshot, pod_class)
            return answers + [Unschedulable(rest, message) for rest in pods[number:]]
        answers.append(_assume(snapshot, pod, row))
        rows.placed(row)
    return answers
