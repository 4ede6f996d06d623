"""What pods ask for and nodes offer, as plain integers.

Units everywhere: "cpu" in millicores, everything else whole (bytes, counts), rounded up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from api.container import Container
from api.meta import Quantity
from api.node import NodeStatus
from api.pod import PodSpec
from api.pod_containers import is_sidecar, own_containers
from api.quantity import millicores, parse, whole

QOS_RESOURCES = ("cpu", "memory")


def amount(resource: str, quantity: Quantity) -> int:
    """Return one amount in the units of this module; raises Invalid for what is not a quantity."""
    return millicores(quantity) if resource == "cpu" else whole(quantity)


def amounts(quantities: Mapping[str, Quantity]) -> dict[str, int]:
    """Return all amounts in the units of this module."""
    return {resource: amount(resource, quantity) for resource, quantity in quantities.items()}


def _requested(container: Container) -> Mapping[str, Quantity]:
    return container.resources.requests if container.resources else {}


def _limited(container: Container) -> Mapping[str, Quantity]:
    return container.resources.limits if container.resources else {}


def _add(total: dict[str, int], quantities: Mapping[str, Quantity]) -> None:
    for resource, quantity in quantities.items():
        total[resource] = total.get(resource, 0) + amount(resource, quantity)


def _most(spec: PodSpec, asked: Callable[[Container], Mapping[str, Quantity]]) -> dict[str, int]:
    """The most that the pod's containers ask for at any time of its life, by resource (Kubernetes: KEP-753).

    What runs in the end is every container and every sidecar. While an init container runs, the sidecars before it do.
    """
    total: dict[str, int] = {}
    for container in spec.containers:
        _add(total, asked(container))
    if not spec.init_containers:
        return total
    sidecars: dict[str, int] = {}
    highest: dict[str, int] = {}
    for container in spec.init_containers:
        own = asked(container)
        beside = dict(sidecars)
        _add(beside, own)
        if is_sidecar(container):
            _add(total, own)
            sidecars = beside
        highest |= {resource: max(needed, highest.get(resource, 0)) for resource, needed in beside.items()}
    return {name: max(total.get(name, 0), highest.get(name, 0)) for name in total.keys() | highest.keys()}


def pod_requests(spec: PodSpec) -> dict[str, int]:
    """Return what the scheduler reserves: the most that is requested at any time, and always `"pods": 1`.

    Requests are expected to be defaulted from limits already (`api.defaults`).
    """
    return _most(spec, _requested) | {"pods": 1}


def pod_limits(spec: PodSpec) -> dict[str, int]:
    """Return the most that the pod's containers may use at any time; one without a limit does not count."""
    return _most(spec, _limited)


def qos_class(spec: PodSpec) -> str:
    """Return Guaranteed, Burstable or BestEffort, which orders pods when a node runs out of memory.

    Guaranteed: every container, init containers included, limits CPU and memory and requests just that. BestEffort:
    none asks for or limits either.
    """
    guaranteed = bool(spec.containers)
    best_effort = True
    for container in own_containers(spec):
        limits, requests = _limited(container), _requested(container)
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
