"""The words in the cells of tables, as kubectl shows them: ages, states, ports, selectors. Pure: trees and the time in, text out.

A cell can be made of everything the types let in: one strange object must not hide the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from api.object import Tree, at

Cell = Callable[[Tree, float], str]
"""(object, now in seconds since the epoch) -> what stands in the cell."""

NONE = "<none>"

# Below so many seconds: the unit and its letter, and the smaller unit shown beside it (0: none).
_AGES = (
    (120, 1, "s", 0, ""),
    (600, 60, "m", 1, "s"),
    (3 * 3600, 60, "m", 0, ""),
    (8 * 3600, 3600, "h", 60, "m"),
    (48 * 3600, 3600, "h", 0, ""),
    (8 * 86400, 86400, "d", 3600, "h"),
    (730 * 86400, 86400, "d", 0, ""),
)


def age(timestamp: str, now: float) -> str:
    """How long ago an RFC 3339 time was, in kubectl's words: 45s, 3m20s, 5h2m, 8d. What is no time is `<invalid>`."""
    if not timestamp:
        return "<unknown>"
    try:
        seconds = max(0, int(now - datetime.fromisoformat(timestamp).timestamp()))
    except ValueError:  # kept from before times were checked
        return "<invalid>"
    for limit, unit, letter, smaller, small in _AGES:
        if seconds < limit:
            rest = seconds % unit // smaller if smaller else 0
            return f"{seconds // unit}{letter}" + (f"{rest}{small}" if rest else "")
    return f"{seconds // (365 * 86400)}y{seconds // 86400 % 365}d"


def path(dotted: str, default: str = NONE) -> Cell:
    """A cell with the value at a path."""
    return lambda tree, _now: str(at(tree, dotted, default))


def count(*fields: str) -> Cell:
    """A cell with the number of entries in these fields together."""
    return lambda tree, _now: str(sum(len(tree.get(field, {})) for field in fields))


def last_seen(event: Tree) -> str:
    """When an event happened last; RFC 3339 sorts as text."""
    repeated = at(event, "series.lastObservedTime")
    seen = repeated or event.get("lastTimestamp") or event.get("eventTime")
    return str(seen or at(event, "metadata.creationTimestamp"))


def pod_gates(pod: Tree, _now: float) -> str:
    """Readiness gates that are open, of all."""
    gates = [each.get("conditionType", "") for each in at(pod, "spec.readinessGates", [])]
    true = {each.get("type", "") for each in at(pod, "status.conditions", []) if each.get("status") == "True"}
    return f"{sum(gate in true for gate in gates)}/{len(gates)}" if gates else NONE


def node_status(node: Tree, _now: float) -> str:
    """Whether the node is heard and well, and whether it takes pods."""
    ready = next(
        (each.get("status", "") for each in at(node, "status.conditions", []) if each.get("type") == "Ready"), "Unknown"
    )
    words = ["Ready" if ready == "True" else "NotReady"]
    if at(node, "spec.unschedulable", default=False):
        words.append("SchedulingDisabled")
    return ",".join(words)


def node_roles(node: Tree, _now: float) -> str:
    """What the node's labels say that it is for."""
    mark = "node-role.kubernetes.io/"
    return ",".join(sorted(label.removeprefix(mark) for label in _labels(node) if label.startswith(mark))) or NONE


def node_address(kind: str) -> Cell:
    """A cell with the node's first address of a kind, such as InternalIP."""

    def cell(node: Tree, _now: float) -> str:
        return next(
            (each.get("address", "") for each in at(node, "status.addresses", []) if each.get("type") == kind), NONE
        )

    return cell


def service_ports(service: Tree, _now: float) -> str:
    """Ports with their protocols."""
    return _joined([f"{each.get('port', '')}/{each.get('protocol', 'TCP')}" for each in at(service, "spec.ports", [])])


def slice_ports(slice_: Tree, _now: float) -> str:
    """The numbers of a slice's ports."""
    return ",".join(str(each.get("port", "")) for each in slice_.get("ports", [])) or "<unset>"


def slice_endpoints(slice_: Tree, _now: float) -> str:
    """The first addresses of a slice, and how many there are beside."""
    addresses = [address for each in slice_.get("endpoints", []) for address in each.get("addresses", [])]
    shown = ",".join(addresses[:3])
    return (f"{shown} + {len(addresses) - 3} more..." if len(addresses) > 3 else shown) or "<unset>"


def endpoints(tree: Tree, _now: float) -> str:
    """The first ready addresses of Endpoints with their ports, and how many there are beside."""
    subsets = tree.get("subsets") or []
    found = [
        f"{address}:{port.get('port', '')}" if port else address
        for subset in subsets
        for port in subset.get("ports") or [None]
        for address in (_in_brackets(each.get("ip", "")) for each in subset.get("addresses") or [])
    ]
    if not subsets:
        return "<none>"
    shown = ",".join(found[:3])
    return f"{shown} + {len(found) - 3} more..." if len(found) > 3 else shown


def _in_brackets(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def template(field: str) -> Cell:
    """A cell with one field of every container in the pod template."""
    return lambda tree, _now: ",".join(
        str(each.get(field, "")) for each in at(tree, "spec.template.spec.containers", [])
    )


def selector(tree: Tree, _now: float) -> str:
    """The selector of a workload or Service, as -l takes it."""
    return _selector(at(tree, "spec.selector", {}))


def _selector(chosen: Mapping[str, Any]) -> str:
    expressions = chosen.get("matchExpressions", [])
    labels = chosen.get("matchLabels", {} if expressions else chosen)
    parts = [(key, f"{key}={value}") for key, value in labels.items()]
    parts += [(each.get("key", ""), _expression(each)) for each in expressions]
    return _joined([text for _key, text in sorted(parts)])


def _expression(requirement: Tree) -> str:
    key, values = requirement.get("key", ""), ",".join(sorted(requirement.get("values", [])))
    match requirement.get("operator", ""):
        case "Exists":
            return str(key)
        case "DoesNotExist":
            return f"!{key}"
        case operator:
            return f"{key} {operator.lower()} ({values})"


def event_object(event: Tree, _now: float) -> str:
    """`pod/web`, what the event is about."""
    return f"{at(event, 'involvedObject.kind').lower()}/{at(event, 'involvedObject.name')}"


def event_source(event: Tree, _now: float) -> str:
    """Who reported the event, and from where."""
    component = at(event, "source.component") or at(event, "reportingComponent")
    host = at(event, "source.host") or at(event, "reportingInstance")
    return ", ".join(each for each in (component, host) if each)


def event_count(event: Tree, _now: float) -> str:
    """How often the event happened."""
    return str(at(event, "series.count") or event.get("count") or 1)


def role(binding: Tree, _now: float) -> str:
    """`ClusterRole/view`, what a binding gives."""
    return f"{at(binding, 'roleRef.kind')}/{at(binding, 'roleRef.name')}"


def subjects(kind: str) -> Cell:
    """A cell with those of a kind to whom a binding gives something; service accounts with their namespaces."""

    def cell(binding: Tree, _now: float) -> str:
        chosen = [each for each in binding.get("subjects", []) if each.get("kind") == kind]
        prefixes = [f"{each.get('namespace', '')}/" if kind == "ServiceAccount" else "" for each in chosen]
        return ", ".join(prefix + each.get("name", "") for prefix, each in zip(prefixes, chosen, strict=True))

    return cell


def joined(dotted: str) -> Cell:
    """A cell with the values of a list of text."""
    return lambda tree, _now: _joined(at(tree, dotted, []))


def _joined(words: Sequence[str]) -> str:
    return ",".join(words) or NONE


def _labels(tree: Tree) -> Mapping[str, str]:
    labels: Mapping[str, str] = at(tree, "metadata.labels", {})
    return labels


def quota_use(*, limits: bool) -> Cell:
    """What is used of a quota's bounds: those of limits, or all others."""

    def cell(quota: Tree, _now: float) -> str:
        used = at(quota, "status.used", {})
        hard = sorted(
            (name, most) for name, most in at(quota, "status.hard", {}).items() if ("limits" in name) == limits
        )
        return ", ".join(f"{name}: {used.get(name, 0)}/{most}" for name, most in hard)

    return cell
