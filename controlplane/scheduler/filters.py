"""Where a pod may run: every filter says which nodes it rejects, and why, in Kubernetes' words.

Static filters depend on the node alone and are asked once per class of equal pods; `fit` depends on what is placed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from api import wellknown
from controlplane.scheduler.snapshot import Bools, HostPort, Ints, NodeTaint, Snapshot

CORDON = NodeTaint(wellknown.UNSCHEDULABLE_TAINT, "", "NoSchedule")
HARD_EFFECTS = ("NoSchedule", "NoExecute")

Rejection = tuple[str, Bools]


@dataclass(frozen=True, slots=True)
class TolerationRule:
    """A toleration as classes are keyed; an empty key or effect matches every one."""

    key: str
    operator: str
    value: str
    effect: str

    def tolerates(self, taint: NodeTaint) -> bool:
        """Whether the rule covers the taint."""
        return wellknown.tolerates(self, taint)


@dataclass(frozen=True, slots=True)
class PodClass:
    """Everything placement depends on: pods of equal classes are interchangeable.

    `requests` are resource names and amounts by name, `selector` required node labels, `owner` the uid of the
    controller whose pods should spread, or empty, `host_ports` the ports of the node that it listens on.
    """

    requests: tuple[tuple[str, int], ...] = (("pods", 1),)
    selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[TolerationRule, ...] = ()
    owner: str = ""
    host_ports: tuple[HostPort, ...] = ()

    def tolerates(self, taint: NodeTaint) -> bool:
        """Whether any toleration covers the taint."""
        return any(rule.tolerates(taint) for rule in self.tolerations)


def cordoned(snapshot: Snapshot, pod: PodClass) -> Iterator[Rejection]:
    """Nodes that `cordon` closed."""
    if not pod.tolerates(CORDON):
        yield "node(s) were unschedulable", snapshot.unschedulable


def tainted(snapshot: Snapshot, pod: PodClass) -> Iterator[Rejection]:
    """Nodes with a NoSchedule or NoExecute taint that the pod does not tolerate."""
    for taint, column in sorted(snapshot.taints.items(), key=lambda item: item[0]):
        if taint.effect in HARD_EFFECTS and not pod.tolerates(taint):
            yield f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}", column


def unready(snapshot: Snapshot, pod: PodClass) -> Iterator[Rejection]:
    """Nodes that do not report themselves ready."""
    del pod
    yield "node(s) were not ready", ~snapshot.ready


def unselected(snapshot: Snapshot, pod: PodClass) -> Iterator[Rejection]:
    """Nodes without the labels that the pod's nodeSelector asks for."""
    for key, value in pod.selector:
        column = snapshot.labels.get(key)
        wanted = snapshot.label_id(key, value)
        missing = np.ones(snapshot.capacity, bool) if column is None or wanted < 0 else column != wanted
        yield "node(s) didn't match Pod's node affinity/selector", missing


def port_taken(snapshot: Snapshot, pod: PodClass) -> Iterator[Rejection]:
    """Nodes on which another pod listens on one of the ports; static because a node takes one such pod at most."""
    for port in pod.host_ports:
        taken = np.zeros(snapshot.capacity, bool)
        taken[list(snapshot.rows_using(port))] = True
        yield "node(s) didn't have free ports for the requested pod ports", taken


STATIC_FILTERS: Sequence[Callable[[Snapshot, PodClass], Iterator[Rejection]]] = (
    cordoned,
    tainted,
    unready,
    unselected,
    port_taken,
)


def admitted(snapshot: Snapshot, pod: PodClass) -> Bools:
    """The nodes that no static filter rejects."""
    mask = snapshot.live.copy()
    for filter_ in STATIC_FILTERS:
        for _, rejected in filter_(snapshot, pod):
            mask &= ~rejected
    return mask


def fits(snapshot: Snapshot, amounts: Ints) -> Bools:
    """The nodes with enough left of everything that is asked for."""
    asked = np.flatnonzero(amounts)
    free = snapshot.allocatable[asked] - snapshot.used[asked]
    enough: Bools = np.all(free >= amounts[asked, None], axis=0)
    return enough


def short_of(snapshot: Snapshot, pod: PodClass) -> Iterator[Rejection]:
    """Nodes that have too little left, resource by resource."""
    amounts = snapshot.amounts(pod.requests)
    for name, index in sorted(snapshot.resources.items()):
        if amounts[index]:
            reason = "Too many pods" if name == "pods" else f"Insufficient {name}"
            yield reason, snapshot.used[index] + amounts[index] > snapshot.allocatable[index]


def explain(snapshot: Snapshot, pod: PodClass) -> str:
    """Why no node takes the pod: how many nodes were rejected for which reason, worded as Kubernetes does.

    A node is counted for the first static filter that rejects it, otherwise for every resource it is short of.
    """
    total = len(snapshot)
    if not total:
        return "no nodes available to schedule pods"
    counts: Counter[str] = Counter()
    left = snapshot.live.copy()
    for filter_ in STATIC_FILTERS:
        for reason, rejected in filter_(snapshot, pod):
            here = left & rejected
            counts[reason] += int(here.sum())
            left &= ~rejected
    for reason, short in short_of(snapshot, pod):
        counts[reason] += int((left & short).sum())
    reasons = sorted(f"{count} {reason}" for reason, count in counts.items() if count)
    return f"0/{total} nodes are available: {', '.join(reasons)}."
