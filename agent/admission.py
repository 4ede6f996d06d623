"""The node's own check of a new pod: pure. The scheduler should never send one that does not fit, but nodes change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent.observed import Verdict
from api.core import Pod
from api.resources import pod_requests


def refusal(pod: Pod, others: Iterable[Pod], allocatable: Mapping[str, int]) -> Verdict | None:
    """Why the pod cannot run here beside the others (reason OutOfcpu, OutOfmemory, OutOfpods), None when it can.

    `allocatable` is in the units of `api.resources`; a resource that the node does not name is not checked, except
    extended ones (with a slash), of which it has none.
    """
    wanted = pod_requests(pod.spec)
    used: dict[str, int] = {}
    for other in others:
        for resource, amount in pod_requests(other.spec).items():
            used[resource] = used.get(resource, 0) + amount
    for resource, amount in sorted(wanted.items()):
        capacity = allocatable.get(resource, 0 if "/" in resource else None)
        taken = used.get(resource, 0)
        if capacity is not None and amount > 0 and taken + amount > capacity:
            message = (
                f"Pod was rejected: Node didn't have enough resource: {resource}, "
                f"requested: {amount}, used: {taken}, capacity: {capacity}"
            )
            return Verdict(f"OutOf{resource}", message)
    return None
