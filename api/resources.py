"""What pods ask for and nodes offer, as plain integers.

Units everywhere: "cpu" in millicores, everything else whole (bytes, counts), rounded up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from api.meta import Quantity
from api.node import NodeStatus
from api.pod import PodSpec
from api.quantity import millicores, parse, whole

QOS_RESOURCES = ("cpu", "memory")


def amount(resource: str, quantity: Quantity) -> int:
    """Return one amount in the units of this module; raises Invalid for what is not a quantity."""
    return millicores(quantity) if resource == "cpu" else whole(quantity)


def amounts(quantities: Mapping[str, Quantity]) -> dict[str, int]:
    """Return all amounts in the units of this module."""
    return {resource: amount(resource, quantity) for resource, quantity in quantities.items()}


def _total(maps: Iterable[Mapping[str, Quantity]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for quantities in maps:
        for resource, quantity in quantities.items():
            total[resource] = total.get(resource, 0) + amount(resource, quantity)
    return total


def pod_requests(spec: PodSpec) -> dict[str, int]:
    """Return what the scheduler reserves: the sum over containers, and always `"pods": 1`.

    Requests are expected to be defaulted from limits already (`api.defaults`).
    """
    return _total(c.resources.requests for c in spec.containers if c.resources) | {"pods": 1}


def qos_class(spec: PodSpec) -> str:
    """Return Guaranteed, Burstable or BestEffort, which orders pods when a node runs out of memory.

    Guaranteed: every container limits CPU and memory and requests just that. BestEffort: none asks for or limits either.
    """
    guaranteed = bool(spec.containers)
    best_effort = True
    for container in spec.containers:
        limits = container.resources.limits if container.resources else {}
        requests = container.resources.requests if container.resources else {}
        for resource in QOS_RESOURCES:
            limit = parse(limits.get(resource, 0))
            request = parse(requests.get(resource, limits.get(resource, 0)))
            if limit or request:
                best_effort = False
            if not limit or limit != request:
                guaranteed = False
    if best_effort:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def allocatable(status: NodeStatus) -> dict[str, int]:
    """Return what pods may use of a node; a node that names no allocatable amounts offers its capacity."""
    return amounts(status.allocatable or status.capacity)
