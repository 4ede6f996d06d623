"""What objects take of a ResourceQuota (Kubernetes: "Resource Quotas").

Pure, and exact: whole numbers in the units of `api.resources`. A quota counts the objects of the kinds that it names
and, of pods that have not ended, what they ask for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

import msgspec

from api.container import Container
from api.meta import Quantity
from api.object import Tree
from api.pod import PodSpec
from api.policy import ResourceQuotaSpec, ScopedResourceSelectorRequirement
from api.quantity import canonical
from api.resources import amount, pod_limits, pod_requests, qos_class

COUNTED_BY_NAME = frozenset(
    ("pods", "services", "configmaps", "secrets", "replicationcontrollers", "resourcequotas", "persistentvolumeclaims")
)
"""Kinds that a quota may name by their plural alone; every kind by `count/` and its plural and group."""

COMPUTE = ("cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory")
"""What pods must say themselves when a quota bounds it: an unknown amount could not be counted."""

ENDED = frozenset({"Succeeded", "Failed"})
_SIZES = frozenset({"memory", "storage", "ephemeral-storage"})


def quota_amount(name: str, quantity: Quantity) -> int:
    """An amount of a quota as a whole number."""
    return amount(_measured(name), quantity)


def quota_quantity(name: str, value: int) -> str:
    """The amount as people write it: `1500m`, `2Gi`, `7`."""
    measured = _measured(name)
    return canonical(Decimal(value) / 1000 if measured == "cpu" else Decimal(value), binary=measured in _SIZES)


def hard_amounts(spec: ResourceQuotaSpec) -> dict[str, int]:
    """The bounds of a quota as whole numbers."""
    return {name: quota_amount(name, quantity) for name, quantity in spec.hard.items()}


def taken(spec: ResourceQuotaSpec, resource: str, tree: Tree | None) -> dict[str, int]:
    """What an object takes of what the quota bounds; nothing where there is none, or it is not in the quota's scope."""
    if tree is None:
        return {}
    counted = {f"count/{resource}", *((resource,) if resource in COUNTED_BY_NAME else ())} & spec.hard.keys()
    if resource == "services":
        return {name: number for name, number in _of_service(tree).items() if number and name in spec.hard}
    if resource != "pods":
        return dict.fromkeys(counted, 1)
    if not counted and not any(name.partition(".")[2] or name in COMPUTE for name in spec.hard):
        return {}
    pod = msgspec.convert(tree["spec"], PodSpec)
    if not in_scope(spec, pod):
        return {}
    used = dict.fromkeys(counted - {"pods"}, 1)
    if tree.get("status", {}).get("phase") not in ENDED:
        used |= {name: value for name, value in _of_pod(pod).items() if value and name in spec.hard}
    return used


def in_scope(spec: ResourceQuotaSpec, pod: PodSpec) -> bool:
    """Whether the quota looks at the pod: every scope and every condition of its selector holds."""
    selector = spec.scope_selector
    conditions = [
        *((scope, "Exists", ()) for scope in spec.scopes),
        *(_condition(each) for each in (selector.match_expressions if selector else ())),
    ]
    return all(_matches(scope, operator, values, pod) for scope, operator, values in conditions)


def unsaid(spec: ResourceQuotaSpec, pod: PodSpec) -> str:
    """What containers leave out that the quota has to count, in Kubernetes' words; "" for nothing."""
    missing: dict[str, set[str]] = {}
    for container in (*pod.containers, *pod.init_containers):
        said = set(_said(container))
        for name in COMPUTE:
            if name in spec.hard and name not in said:
                missing.setdefault(name, set()).add(container.name)
    return "; ".join(f"{name} for: {','.join(sorted(containers))}" for name, containers in missing.items())


def _measured(name: str) -> str:
    """What `requests.cpu` and `limits.cpu` are amounts of."""
    kind, _, resource = name.partition(".")
    return resource if kind in {"requests", "limits"} else name


def _of_pod(pod: PodSpec) -> dict[str, int]:
    requests, limits = pod_requests(pod), pod_limits(pod)
    own = {name: value for name, value in requests.items() if name in {"cpu", "memory", "pods", "ephemeral-storage"}}
    return {
        **own,
        **{f"requests.{name}": value for name, value in requests.items() if name != "pods"},
        **{f"limits.{name}": value for name, value in limits.items()},
    }


def _of_service(service: Tree) -> dict[str, int]:
    spec = service.get("spec", {})
    kind, ports = spec.get("type"), len(spec.get("ports", ()))
    on_nodes = kind == "NodePort" or (kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True))
    return {
        "count/services": 1,
        "services": 1,
        "services.loadbalancers": int(kind == "LoadBalancer"),
        "services.nodeports": ports if on_nodes else 0,
    }


def _said(container: Container) -> Iterator[str]:
    if container.resources is not None:
        for name in container.resources.requests:
            yield from (name, f"requests.{name}")
        yield from (f"limits.{name}" for name in container.resources.limits)


def _condition(expression: ScopedResourceSelectorRequirement) -> tuple[str, str, tuple[str, ...]]:
    return expression.scope_name, expression.operator, expression.values


def _matches(scope: str, operator: str, values: tuple[str, ...], pod: PodSpec) -> bool:
    match scope:
        case "BestEffort":
            return qos_class(pod) == "BestEffort"
        case "NotBestEffort":
            return qos_class(pod) != "BestEffort"
        case "Terminating":
            return pod.active_deadline_seconds is not None
        case "NotTerminating":
            return pod.active_deadline_seconds is None
        case _:
            return _has_class(pod.priority_class_name or "", operator, values)


def _has_class(name: str, operator: str, values: tuple[str, ...]) -> bool:
    match operator:
        case "In":
            return name in values
        case "NotIn":
            return name not in values
        case "DoesNotExist":
            return not name
        case _:
            return bool(name)


def shown(amounts: Mapping[str, int]) -> str:
    """Amounts as refusals list them: `pods=1,requests.cpu=500m`."""
    return ",".join(f"{name}={quota_quantity(name, value)}" for name, value in sorted(amounts.items()))
