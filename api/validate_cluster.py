"""Rules for Nodes, Namespaces, Leases and Events."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from api.coordination import Lease
from api.errors import FieldError
from api.event import Event
from api.faults import (
    check_choice,
    check_quantity,
    check_range,
    check_text,
    duplicate,
    immutable,
    invalid,
    required,
    unsupported,
)
from api.meta import Quantity
from api.names import label_value_fault, qualified_name_fault
from api.namespace import Namespace
from api.node import Node
from api.quantity import parse
from api.validate_meta import finalizer_fault
from api.validate_pod import TAINT_EFFECTS

EVENT_TYPES = ("Normal", "Warning")


def node_faults(node: Node, old: Node | None) -> Iterator[FieldError]:
    """Yield what is wrong with a node."""
    seen = set()
    for index, taint in enumerate(node.spec.taints):
        path = f"spec.taints[{index}]"
        yield from check_text(f"{path}.key", taint.key, qualified_name_fault)
        yield from check_text(f"{path}.value", taint.value, label_value_fault, optional=True)
        if not taint.effect:
            yield required(f"{path}.effect")
        elif taint.effect not in TAINT_EFFECTS:
            yield unsupported(f"{path}.effect", taint.effect, TAINT_EFFECTS)
        if (taint.key, taint.effect) in seen:
            yield duplicate(path, f"{taint.key}:{taint.effect}")
        seen.add((taint.key, taint.effect))
    yield from _pod_range_faults(node, old)
    for name, amounts in (("capacity", node.status.capacity), ("allocatable", node.status.allocatable)):
        for resource, quantity in amounts.items():
            yield from _amount_faults(resource, quantity, f"status.{name}[{resource}]")
    addresses = [(address.type, address.address) for address in node.status.addresses]
    for index, address in enumerate(addresses):
        if address in addresses[:index]:
            yield duplicate(f"status.addresses[{index}]", dict(zip(("type", "address"), address, strict=True)))


def _amount_faults(resource: str, quantity: Quantity, path: str) -> Iterator[FieldError]:
    faults = list(check_quantity(path, quantity))
    yield from faults
    if not faults and resource == "pods" and parse(quantity) % 1:
        yield invalid(path, quantity, "must be an integer")


def _pod_range_faults(node: Node, old: Node | None) -> Iterator[FieldError]:
    versions = []
    for index, pod_range in enumerate(node.spec.pod_cidrs):
        try:
            versions.append(ipaddress.ip_network(pod_range).version)
        except ValueError:
            why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
            yield invalid(f"spec.podCIDRs[{index}]", pod_range, why)
    if len(set(versions)) < len(versions):
        why = "may specify no more than one CIDR for each IP family"
        yield invalid("spec.podCIDRs", list(node.spec.pod_cidrs), why)
    if node.spec.pod_cidrs and node.spec.pod_cidr != node.spec.pod_cidrs[0]:
        yield invalid("spec.podCIDR", node.spec.pod_cidr or "", "must match the first of `podCIDRs`")
    if old is None:
        return
    if old.spec.pod_cidrs and node.spec.pod_cidrs != old.spec.pod_cidrs:
        yield immutable("spec.podCIDRs", list(node.spec.pod_cidrs))
    if old.spec.provider_id and node.spec.provider_id != old.spec.provider_id:
        yield immutable("spec.providerID", node.spec.provider_id or "")


def namespace_faults(namespace: Namespace) -> Iterator[FieldError]:
    """Yield what is wrong with a namespace."""
    for index, finalizer in enumerate(namespace.spec.finalizers):
        yield from check_text(f"spec.finalizers[{index}]", finalizer, finalizer_fault)
    yield from check_choice("status.phase", namespace.status.phase, ("Active", "Terminating"))


def lease_faults(lease: Lease) -> Iterator[FieldError]:
    """Yield what is wrong with a lease."""
    spec = lease.spec
    if spec.lease_duration_seconds is not None and spec.lease_duration_seconds <= 0:
        yield invalid("spec.leaseDurationSeconds", spec.lease_duration_seconds, "must be greater than 0")
    yield from check_range("spec.leaseTransitions", spec.lease_transitions, 0)


def event_faults(event: Event) -> Iterator[FieldError]:
    """Yield what is wrong with an event."""
    namespace = event.involved_object.namespace or "default"
    if event.metadata.namespace != namespace:
        yield invalid(
            "involvedObject.namespace", event.involved_object.namespace or "", "does not match event.namespace"
        )
    if event.type:
        yield from check_choice("type", event.type, EVENT_TYPES)
    yield from check_range("count", event.count, 0)
