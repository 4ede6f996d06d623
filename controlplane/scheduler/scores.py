"""Which of the possible nodes is best: integer scores, higher is better.

All arithmetic is on integers, written so that it works on whole columns and on the numbers of one row alike: batch
and single placement then agree to the last bit. Scores of a row depend only on that row (and its zone), never on
other rows: a heap stays valid while pods are placed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from api.wellknown import ZONE_LABEL
from controlplane.scheduler.filters import PodClass
from controlplane.scheduler.snapshot import Ids, Ints, Snapshot

FULL = 10_000
TAINT_WEIGHT = 3
SPREAD_WEIGHT = 2


def static(snapshot: Snapshot, pod: PodClass) -> Ints:
    """Fewer PreferNoSchedule taints that the pod does not tolerate are better."""
    disliked = np.zeros(snapshot.capacity, np.int64)
    for taint, column in snapshot.taints.items():
        if taint.effect == "PreferNoSchedule" and not pod.tolerates(taint):
            disliked += column
    return np.full(snapshot.capacity, TAINT_WEIGHT * FULL) // (1 + disliked)


def resources(cpu: Any, memory: Any, cpu_allocatable: Any, memory_allocatable: Any) -> Any:
    """Least allocated and balanced: free nodes are better, and those that use CPU and memory alike.

    `cpu` and `memory` are what the node would use with the pod on it. All integers, or all columns of them.
    """
    cpu_share = cpu * FULL // cpu_allocatable
    memory_share = memory * FULL // memory_allocatable
    least = FULL - (cpu_share + memory_share) // 2
    balanced = FULL - abs(cpu_share - memory_share) // 2
    return least + balanced


def spread(count: Any) -> Any:
    """The fewer pods of the same owner a node or zone has, the better. An integer or a column of them."""
    return SPREAD_WEIGHT * FULL // (1 + count)


def all_rows(snapshot: Snapshot, pod: PodClass, cpu: int, memory: int, counts: Ints) -> Ints:
    """The scores of all rows but for the zone's part; `cpu` and `memory` as scores count them."""
    used = snapshot.scored
    allocatable = snapshot.scored_allocatable
    scores = static(snapshot, pod)
    scores += resources(used[0] + cpu, used[1] + memory, allocatable[0], allocatable[1])
    if pod.owner:
        scores += spread(counts)
    return scores


def owner_counts(snapshot: Snapshot, owner: str) -> Ints:
    """Pods of the owner per row."""
    counts = np.zeros(snapshot.capacity, np.int64)
    for row, number in snapshot.counts_of(owner).items():
        counts[row] = number
    return counts


def zones(snapshot: Snapshot) -> Ids:
    """The interned zone of each row; 0 for nodes without one."""
    column = snapshot.labels.get(ZONE_LABEL)
    return np.zeros(snapshot.capacity, np.int32) if column is None else column


def zone_counts(snapshot: Snapshot, owner: str) -> dict[int, int]:
    """Pods of the owner per zone."""
    column = zones(snapshot)
    counts: dict[int, int] = {}
    for row, number in snapshot.counts_of(owner).items():
        zone = int(column[row])
        counts[zone] = counts.get(zone, 0) + number
    return counts


def zone_part(zone: int, counts: Mapping[int, int]) -> int:
    """The part of a row's score that its zone decides; nodes without a zone do not compete in this."""
    return int(spread(counts.get(zone, 0))) if zone else 0
