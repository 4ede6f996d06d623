"""What `tim describe node` adds: the pods on the node, and how much of it they were promised. Pure: trees in, text out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from api.cells import age
from api.core import NodeStatus, PodSpec
from api.object import Tree, at
from api.quantity import canonical
from api.resources import allocatable, pod_limits, pod_requests
from cli.output import align

RESOURCES = ("cpu", "memory")
FINISHED = ("Succeeded", "Failed")


def node_usage(node: Tree, pods: Sequence[Tree], now: float) -> str:
    """The tables of pods that have not ended, by namespace and name, and of all they request and may use."""
    offered = allocatable(msgspec.convert(node.get("status", {}), NodeStatus))
    present = sorted(
        (pod for pod in pods if at(pod, "status.phase") not in FINISHED),
        key=lambda pod: (at(pod, "metadata.namespace"), at(pod, "metadata.name")),
    )
    table = [["Namespace", "Name", "CPU Requests", "CPU Limits", "Memory Requests", "Memory Limits", "Age"]]
    totals: tuple[dict[str, int], dict[str, int]] = ({}, {})
    for pod in present:
        spec = msgspec.convert(pod["spec"], PodSpec)
        asked = (pod_requests(spec), pod_limits(spec))
        for total, amounts in zip(totals, asked, strict=True):
            for resource in RESOURCES:
                total[resource] = total.get(resource, 0) + amounts.get(resource, 0)
        cells = [_share(resource, amounts, offered) for resource in RESOURCES for amounts in asked]
        created = at(pod, "metadata.creationTimestamp")
        table.append([at(pod, "metadata.namespace"), at(pod, "metadata.name"), *cells, age(created, now)])
    sums = [["Resource", "Requests", "Limits"]]
    sums += [[resource, *(_share(resource, total, offered) for total in totals)] for resource in RESOURCES]
    return "\n".join(
        [
            f"Non-terminated Pods:     ({len(present)} in total)",
            *_indented(table),
            "Allocated resources:",
            "  (Total limits may be over 100 percent, i.e., overcommitted.)",
            *_indented(sums),
        ]
    )


def _share(resource: str, amounts: Mapping[str, int], offered: Mapping[str, int]) -> str:
    """An amount and its part of what the node offers: `250m (6%)`."""
    amount, whole = amounts.get(resource, 0), offered.get(resource, 0)
    text = canonical(Decimal(amount) / 1000) if resource == "cpu" else canonical(Decimal(amount), binary=True)
    return f"{text} ({amount * 100 // whole if whole else 0}%)"


def _indented(table: Sequence[Sequence[str]]) -> list[str]:
    return [f"  {line}" for line in align([list(row) for row in table]).split("\n")]
