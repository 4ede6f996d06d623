"""Nodes that fall silent: their condition, their taints, and what becomes of their pods.

The Ready condition of a node that has not been heard for 4 s becomes Unknown. If others are heard meanwhile it is
lost: its pods become not ready, which takes them out of Services. While none is heard (a single node that is silent,
too) the fault is more likely ours than theirs, and pods that may well run stay in their Services. Taints follow the
condition; pods that do not tolerate a NoExecute taint (any more) are deleted, but while half or more of the nodes are
not heard nothing is evicted. Behaviour follows the Kubernetes documentation ("Nodes", "Taints and Tolerations") with
shorter times, except that Kubernetes calls pods not ready even when no node at all is heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.core import Node, NodeCondition, Pod, Taint
from api.object import Tree
from api.pod_containers import lasting_containers
from api.wellknown import HEALTH_TOLERATION_SECONDS, NOT_READY_TAINT, UNREACHABLE_TAINT, UNSCHEDULABLE_TAINT, tolerates
from component.env import parse_time, rfc3339
from component.informer import Cached
from controlplane.controllers import conditions, pods
from controlplane.controllers.actions import Action, Record, Update, UpdateStatus, Wake, delete

SILENCE_SECONDS = 4.0

HEALTH_TAINTS = frozenset({NOT_READY_TAINT, UNREACHABLE_TAINT})
LIFECYCLE_TAINTS = HEALTH_TAINTS | {UNSCHEDULABLE_TAINT}

NODE_LOST = "NodeLost"
"""Reason of a pod's Ready condition that we set, and therefore may take back."""

NEVER_REPORTED = "NodeStatusNeverUpdated"

_SILENT = "The agent of the node has stopped sending heartbeats."
_NEVER = "The agent of the node has never reported its status."


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a decision needs besides the node and its pods.

    `silent` is whether the node is past its heartbeat, `lost` whether it is given up for that, `evicting` whether
    evictions for reasons of health go on, and `calm_since` since when they may count (seconds since the epoch, perhaps
    in the future): a toleration never began to run before that.
    """

    now: float
    silent: bool = False
    lost: bool = False
    evicting: bool = True
    calm_since: float = 0.0


def reconcile(node: Cached[Node], bound: Sequence[Cached[Pod]], surroundings: Surroundings) -> list[Action]:
    """Return what the state of `node` asks for; [] once all is said and done. `bound` are the pods on it."""
    now = surroundings.now
    status = _silenced(node, now) if surroundings.silent else []
    marks: list[Action] = []
    if surroundings.lost:
        marks = _marked_lost(bound, now)
    elif not surroundings.silent:
        marks = _marked_found(node.view, bound, now)
    taints = [] if status else _tainted(node, now)
    if status:
        message = f"Node {node.object.name} status is now: NodeNotReady"
        marks.append(Record(node.object, "Normal", "NodeNotReady", message))
    return [*status, *marks, *taints, *_evicted(node.view, bound, surroundings)]


def ready_condition(node: Node) -> NodeCondition | None:
    """The node's Ready condition."""
    for condition in node.status.conditions:
        if condition.type == "Ready":
            return condition
    return None


def ready_status(node: Node) -> str:
    """The status of the node's Ready condition: True, False or Unknown; "" when it has none."""
    ready = ready_condition(node)
    return "" if ready is None else ready.status


def reported(ready: NodeCondition | None) -> bool:
    """Whether the agent of a node ever said how it is, by its Ready condition."""
    return ready is not None and ready.reason != NEVER_REPORTED


def evictions_allowed(lost_nodes: int, nodes: int) -> bool:
    """Whether pods of lost nodes are evicted: not while half or more of all nodes that ever reported are lost."""
    return lost_nodes == 0 or 2 * lost_nodes < nodes


def endured_seconds(pod: Pod, taint: Taint) -> float | None:
    """How long the pod endures a NoExecute taint; None for ever.

    Taints of lost nodes are endured for 5 s by pods that say nothing of them.
    """
    covering = [t for t in pod.spec.tolerations if tolerates(t, taint)]
    if not covering:
        return float(HEALTH_TOLERATION_SECONDS) if taint.key in HEALTH_TAINTS else 0.0
    bounds = [t.toleration_seconds for t in covering if t.toleration_seconds is not None]
    return max(0.0, float(min(bounds))) if bounds else None


def _silenced(node: Cached[Node], now: float) -> list[Action]:
    """The conditions of a node of which nothing is known any more."""
    tree = node.object.tree()
    status: Tree = tree.setdefault("status", {})
    before: list[Tree] = status.get("conditions", [])
    after = list(before)
    if conditions.find(before, "Ready") is None:
        after.append({"type": "Ready", "status": "Unknown", "reason": NEVER_REPORTED, "message": _NEVER})
        after[-1]["lastTransitionTime"] = rfc3339(now)
    for condition in before:
        if condition.get("type") != "NetworkUnavailable" and condition.get("status") != "Unknown":
            unknown = {
                **condition,
                "status": "Unknown",
                "reason": "NodeStatusUnknown",
                "message": _SILENT,
                "lastTransitionTime": rfc3339(now),
            }
            after[after.index(condition)] = unknown
    if after == before:
        return []
    status["conditions"] = after
    return [UpdateStatus(tree)]


def _marked_lost(bound: Sequence[Cached[Pod]], now: float) -> list[Action]:
    """Pods of a lost node are not ready, so that Services stop using them."""
    return [_with_ready(pod, "False", NODE_LOST, now) for pod in bound if pods.ready(pod.view)]


def _marked_found(node: Node, bound: Sequence[Cached[Pod]], now: float) -> list[Action]:
    """Once the node is back, what we said of its pods is taken back; from then on its agent's word counts."""
    if ready_status(node) != "True":
        return []
    found: list[Action] = []
    for pod in bound:
        condition = pods.condition(pod.view, "Ready")
        if condition is not None and condition.reason == NODE_LOST:
            lasting = {spec.name for spec in lasting_containers(pod.view.spec)}
            reported = (*pod.view.status.init_container_statuses, *pod.view.status.container_statuses)
            statuses = [status for status in reported if status.name in lasting]
            if statuses and all(status.ready for status in statuses):
                found.append(_with_ready(pod, "True", "", now))
    return found


def _with_ready(pod: Cached[Pod], status: str, reason: str, now: float) -> Action:
    tree = pod.object.tree()
    condition: Tree = {"type": "Ready", "status": status}
    if reason:
        condition |= {"reason": reason, "message": _SILENT}
    known = tree["status"].get("conditions", [])
    tree["status"]["conditions"] = conditions.with_condition(known, condition, rfc3339(now))
    return UpdateStatus(tree)


def _tainted(node: Cached[Node], now: float) -> list[Action]:
    """Our taints as the node's condition asks for, and the time of those NoExecute taints that came without one.

    Nobody who taints a node by hand says when, and what a pod endures is counted from there, whoever leads meanwhile.
    """
    wanted: dict[tuple[str, str], Tree] = {}
    health = _health_taint(node.view)
    if health:
        for effect in ("NoSchedule", "NoExecute"):
            wanted[health, effect] = {"key": health, "effect": effect, "timeAdded": rfc3339(now)}
    if node.view.spec.unschedulable:
        wanted[UNSCHEDULABLE_TAINT, "NoSchedule"] = {
            "key": UNSCHEDULABLE_TAINT,
            "effect": "NoSchedule",
            "timeAdded": rfc3339(now),
        }
    tree = node.object.tree()
    spec: Tree = tree.setdefault("spec", {})
    before: list[Tree] = spec.get("taints", [])
    after = [_dated(t, now) for t in before if t["key"] not in LIFECYCLE_TAINTS or (t["key"], t["effect"]) in wanted]
    present = {(t["key"], t["effect"]) for t in after}
    after += [taint for key, taint in wanted.items() if key not in present]
    if after == before:
        return []
    spec["taints"] = after
    if not after:
        del spec["taints"]
    return [Update(tree)]


def _health_taint(node: Node) -> str:
    """The taint that the node's condition asks for, "" for none."""
    return {"False": NOT_READY_TAINT, "Unknown": UNREACHABLE_TAINT}.get(ready_status(node), "")


def _dated(taint: Tree, now: float) -> Tree:
    if taint["effect"] != "NoExecute" or taint.get("timeAdded"):
        return taint
    return {**taint, "timeAdded": rfc3339(now)}


def _evicted(node: Node, bound: Sequence[Cached[Pod]], surroundings: Surroundings) -> list[Action]:
    """Delete the pods whose endurance is over; wake up when the next one's will be.

    A taint for a condition that the node is not in any more does not count: it goes in this very pass.
    """
    ill = _health_taint(node) if surroundings.evicting else ""
    taints = [t for t in node.spec.taints if t.effect == "NoExecute" and (t.key == ill or t.key not in HEALTH_TAINTS)]
    deletes: list[Action] = []
    records: list[Action] = []
    waits: list[float] = []
    for pod in bound if taints else ():
        if not pods.active(pod.view):
            continue
        left = min((seconds_left(pod.view, taint, surroundings) for taint in taints), default=float("inf"))
        if left <= 0:
            deletes.append(delete(pod.object))
            message = f"Marking for deletion Pod {pod.object.namespace}/{pod.object.name}"
            records.append(Record(pod.object, "Normal", "TaintManagerEviction", message))
        elif left != float("inf"):
            waits.append(left)
    return [*deletes, *records, *([Wake(min(waits))] if waits else [])]


def seconds_left(pod: Pod, taint: Taint, surroundings: Surroundings) -> float:
    """How long the pod still endures the taint; infinite when for ever.

    Time runs from when the taint was added, for pods that came to the node later from then, and for taints of lost
    nodes not from before evictions were allowed.
    """
    endured = endured_seconds(pod, taint)
    if endured is None:
        return float("inf")
    since = parse_time(taint.time_added) if taint.time_added else surroundings.now
    scheduled = pods.condition(pod, "PodScheduled")
    if scheduled is not None and scheduled.status == "True" and scheduled.last_transition_time:
        since = max(since, parse_time(scheduled.last_transition_time))
    if taint.key in HEALTH_TAINTS:
        since = max(since, surroundings.calm_since)
    return since + endured - surroundings.now
