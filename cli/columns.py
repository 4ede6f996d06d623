"""The columns of every kind in tables, as kubectl prints them. Pure: objects and the time in, rows out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.object import Tree

Cell = Callable[[Tree, float], str]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading and how a tree fills it; `wide` ones only show with -o wide."""

    heading: str
    cell: Cell
    wide: bool = False


def age(timestamp: str, now: float) -> str:
    """How long ago an RFC 3339 time was, in kubectl's words: 45s, 3m20s, 5h2m, 8d."""
    if not timestamp:
        return "<unknown>"
    seconds = max(0, int(now - datetime.fromisoformat(timestamp).timestamp()))
    for limit, unit, letter, smaller, small in _AGES:
        if seconds < limit:
            rest = seconds % unit // smaller if smaller else 0
            return f"{seconds // unit}{letter}" + (f"{rest}{small}" if rest else "")
    return f"{seconds // (365 * 86400)}y{seconds // 86400 % 365}d"


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


def at(tree: Tree, path: str, default: Any = "") -> Any:
    """The value at a dotted path, `default` when a step is missing."""
    value: Any = tree
    for step in path.split("."):
        if not isinstance(value, dict) or step not in value:
            return default
        value = value[step]
    return value


def last_seen(event: Tree) -> str:
    """When an event happened last; RFC 3339 sorts as text."""
    return str(event.get("lastTimestamp") or event.get("eventTime") or at(event, "metadata.creationTimestamp"))


def pod_status(pod: Tree) -> str:
    """What a person wants to know of a pod in one word: the worst of phase, containers and deletion."""
    if at(pod, "metadata.deletionTimestamp"):
        return "Unknown" if at(pod, "status.reason") == "NodeLost" else "Terminating"
    reason = str(at(pod, "status.reason") or at(pod, "status.phase") or "Pending")
    running = False
    for container in reversed(at(pod, "status.containerStatuses", [])):
        state = container.get("state", {})
        if at(state, "waiting.reason"):
            reason = str(at(state, "waiting.reason"))
        elif "terminated" in state:
            ended = state["terminated"]
            reason = ended.get("reason") or (
                f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"
            )
        elif "running" in state and container.get("ready"):
            running = True
    return "Running" if reason == "Completed" and running else reason


def _pod_ready(pod: Tree, _now: float) -> str:
    statuses = at(pod, "status.containerStatuses", [])
    return f"{sum(bool(each.get('ready')) for each in statuses)}/{len(at(pod, 'spec.containers', []))}"


def _pod_restarts(pod: Tree, now: float) -> str:
    statuses = at(pod, "status.containerStatuses", [])
    count = sum(each.get("restartCount", 0) for each in statuses)
    ended = [at(each, "lastState.terminated.finishedAt") for each in statuses]
    last = max((each for each in ended if each), default="")
    return f"{count} ({age(last, now)} ago)" if count and last else str(count)


def _node_status(node: Tree, _now: float) -> str:
    ready = next((each["status"] for each in at(node, "status.conditions", []) if each["type"] == "Ready"), "Unknown")
    words = ["Ready" if ready == "True" else "NotReady"]
    if at(node, "spec.unschedulable", default=False):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _node_roles(node: Tree, _now: float) -> str:
    mark = "node-role.kubernetes.io/"
    return ",".join(sorted(label.removeprefix(mark) for label in _labels(node) if label.startswith(mark))) or "<none>"


def _node_address(node: Tree, _now: float) -> str:
    addresses = at(node, "status.addresses", [])
    return next((each["address"] for each in addresses if each["type"] == "InternalIP"), "<none>")


def _ports(service: Tree, _now: float) -> str:
    ports = at(service, "spec.ports", [])
    return ",".join(f"{each['port']}/{each.get('protocol', 'TCP')}" for each in ports) or "<none>"


def _slice_ports(slice_: Tree, _now: float) -> str:
    return ",".join(str(each.get("port", "")) for each in slice_.get("ports", [])) or "<unset>"


def _slice_endpoints(slice_: Tree, _now: float) -> str:
    addresses = [address for each in slice_.get("endpoints", []) for address in each.get("addresses", [])]
    shown = ",".join(addresses[:3])
    return (f"{shown} + {len(addresses) - 3} more..." if len(addresses) > 3 else shown) or "<unset>"


def _containers(tree: Tree, field: str) -> str:
    return ",".join(str(each.get(field, "")) for each in at(tree, "spec.template.spec.containers", []))


def _selector(selector: Mapping[str, Any]) -> str:
    labels = selector.get("matchLabels", selector if "matchExpressions" not in selector else {})
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or "<none>"


def _labels(tree: Tree) -> Mapping[str, str]:
    labels: Mapping[str, str] = at(tree, "metadata.labels", {})
    return labels


def _path(path: str, default: str = "<none>") -> Cell:
    return lambda tree, _now: str(at(tree, path, default))


def _count(*fields: str) -> Cell:
    return lambda tree, _now: str(sum(len(tree.get(field, {})) for field in fields))


NAME = Column("NAME", _path("metadata.name"))
AGE = Column("AGE", lambda tree, now: age(at(tree, "metadata.creationTimestamp"), now))
TEMPLATE = (
    Column("CONTAINERS", lambda tree, _now: _containers(tree, "name"), wide=True),
    Column("IMAGES", lambda tree, _now: _containers(tree, "image"), wide=True),
    Column("SELECTOR", lambda tree, _now: _selector(at(tree, "spec.selector", {})), wide=True),
)

COLUMNS: Mapping[str, Sequence[Column]] = {
    "pods": (
        NAME,
        Column("READY", _pod_ready),
        Column("STATUS", lambda tree, _now: pod_status(tree)),
        Column("RESTARTS", _pod_restarts),
        AGE,
        Column("IP", _path("status.podIP"), wide=True),
        Column("NODE", _path("spec.nodeName"), wide=True),
    ),
    "nodes": (
        NAME,
        Column("STATUS", _node_status),
        Column("ROLES", _node_roles),
        AGE,
        Column("VERSION", _path("status.nodeInfo.kubeletVersion")),
        Column("INTERNAL-IP", _node_address, wide=True),
        Column("OS-IMAGE", _path("status.nodeInfo.osImage"), wide=True),
        Column("KERNEL-VERSION", _path("status.nodeInfo.kernelVersion"), wide=True),
        Column("CONTAINER-RUNTIME", _path("status.nodeInfo.containerRuntimeVersion"), wide=True),
    ),
    "deployments.apps": (
        NAME,
        Column("READY", lambda d, _now: f"{at(d, 'status.readyReplicas', 0)}/{at(d, 'spec.replicas', 0)}"),
        Column("UP-TO-DATE", _path("status.updatedReplicas", "0")),
        Column("AVAILABLE", _path("status.availableReplicas", "0")),
        AGE,
        *TEMPLATE,
    ),
    "replicasets.apps": (
        NAME,
        Column("DESIRED", _path("spec.replicas", "0")),
        Column("CURRENT", _path("status.replicas", "0")),
        Column("READY", _path("status.readyReplicas", "0")),
        AGE,
        *TEMPLATE,
    ),
    "services": (
        NAME,
        Column("TYPE", _path("spec.type")),
        Column("CLUSTER-IP", _path("spec.clusterIP")),
        Column("EXTERNAL-IP", lambda tree, _now: ",".join(at(tree, "spec.externalIPs", [])) or "<none>"),
        Column("PORT(S)", _ports),
        AGE,
        Column("SELECTOR", lambda tree, _now: _selector(at(tree, "spec.selector", {})), wide=True),
    ),
    "endpointslices.discovery.k8s.io": (
        NAME,
        Column("ADDRESSTYPE", _path("addressType")),
        Column("PORTS", _slice_ports),
        Column("ENDPOINTS", _slice_endpoints),
        AGE,
    ),
    "configmaps": (NAME, Column("DATA", _count("data", "binaryData")), AGE),
    "secrets": (NAME, Column("TYPE", _path("type")), Column("DATA", _count("data")), AGE),
    "namespaces": (NAME, Column("STATUS", _path("status.phase")), AGE),
    "events": (
        Column("LAST SEEN", lambda e, now: age(last_seen(e), now)),
        Column("TYPE", _path("type")),
        Column("REASON", _path("reason")),
        Column(
            "OBJECT",
            lambda e, _now: f"{at(e, 'involvedObject.kind').lower()}/{at(e, 'involvedObject.name')}",
        ),
        Column("MESSAGE", lambda e, _now: " ".join(str(e.get("message", "")).split())),
    ),
    "leases.coordination.k8s.io": (NAME, Column("HOLDER", _path("spec.holderIdentity")), AGE),
}


def columns_of(resource: str, *, wide: bool) -> Sequence[Column]:
    """The columns of a kind; name and age for one without its own."""
    return [column for column in COLUMNS.get(resource, (NAME, AGE)) if wide or not column.wide]
