"""The status of a Deployment: counts, and the conditions Progressing, Available and ReplicaFailure.

Conditions, reasons and messages are those of the Kubernetes documentation ("Deployment status").
"""

from __future__ import annotations

from collections.abc import Sequence

from api.apps import Deployment, ReplicaSet
from api.object import Tree
from api.wellknown import PROGRESS_DEADLINE_EXCEEDED
from component.env import parse_time, rfc3339
from component.informer import Cached
from controlplane.controllers import conditions
from controlplane.controllers.rolling import Limits, Size

AVAILABLE = "NewReplicaSetAvailable"
PAUSED = "DeploymentPaused"


def complete(status: Tree, generation: int, replicas: int) -> bool:
    """Whether all wanted pods are of the new template and available, and no other is left."""
    counts = (status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas"))
    return all(count == replicas for count in counts) and status.get("observedGeneration", 0) >= generation


def counted(deployment: Deployment, old: Tree, sizes: Sequence[Size], ready: int, new: Size | None) -> Tree:
    """The counts, with zeros left out; conditions and collision count are taken over from `old`."""
    running = sum(size.running for size in sizes)
    available = sum(size.available for size in sizes)
    counts = {
        "observedGeneration": deployment.metadata.generation or 0,
        "replicas": running,
        "updatedReplicas": new.running if new is not None else 0,
        "readyReplicas": ready,
        "availableReplicas": available,
        "unavailableReplicas": max(0, sum(size.wanted for size in sizes) - available),
    }
    status: Tree = {name: count for name, count in counts.items() if count}
    for name in ("collisionCount", "conditions"):
        if old.get(name):
            status[name] = old[name]
    return status


def judged(
    deployment: Deployment,
    old: Tree,
    status: Tree,
    limits: Limits,
    new: Cached[ReplicaSet] | None,
    replica_sets: Sequence[Cached[ReplicaSet]],
    now: float,
) -> Tree:
    """`status` with its conditions brought up to date; `old` is what was last stored."""
    stamp = rfc3339(now)
    current: list[Tree] = list(status.get("conditions", []))
    if status.get("availableReplicas", 0) >= limits.fewest_available:
        available = _condition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        available = _condition(
            "Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."
        )
    current = with_update_time(current, available, stamp)
    if deployment.spec.progress_deadline_seconds is None:
        current = conditions.without(current, "Progressing")
    else:
        current = _progress(deployment, old, status, current, new, now)
    failed = next((c for rs in replica_sets for c in rs.view.status.conditions if c.type == "ReplicaFailure"), None)
    if failed is None:
        current = conditions.without(current, "ReplicaFailure")
    else:
        wanted = _condition("ReplicaFailure", failed.status or "True", failed.reason or "", failed.message or "")
        current = with_update_time(current, wanted, stamp)
    return status | {"conditions": current}


def _progress(
    deployment: Deployment, old: Tree, status: Tree, current: list[Tree], new: Cached[ReplicaSet] | None, now: float
) -> list[Tree]:
    stamp = rfc3339(now)
    current = _paused(deployment, current, stamp)
    if deployment.spec.paused:
        return current
    found = conditions.find(current, "Progressing")
    if found is None and new is not None:
        current = with_update_time(
            current,
            _condition("Progressing", "True", "FoundNewReplicaSet", f'Found new replica set "{new.object.name}"'),
            stamp,
        )
        found = conditions.find(current, "Progressing")
    settled = status.get("replicas", 0) == status.get("updatedReplicas", 0)
    if settled and found is not None and found.get("reason") == AVAILABLE:
        return current
    subject = f'ReplicaSet "{new.object.name}"' if new is not None else f'Deployment "{deployment.metadata.name}"'
    replicas = 1 if deployment.spec.replicas is None else deployment.spec.replicas
    if complete(status, deployment.metadata.generation or 0, replicas):
        done = _condition("Progressing", "True", AVAILABLE, f"{subject} has successfully progressed.")
        return with_update_time(current, done, stamp)
    if _progressed(old, status):
        moving = _condition("Progressing", "True", "ReplicaSetUpdated", f"{subject} is progressing.")
        return with_update_time(current, moving, stamp, renew=True)
    if seconds_left(deployment, current, now) == 0:
        late = _condition("Progressing", "False", PROGRESS_DEADLINE_EXCEEDED, f"{subject} has timed out progressing.")
        return with_update_time(current, late, stamp)
    return current


def seconds_left(deployment: Deployment, current: Sequence[Tree], now: float) -> float | None:
    """Seconds until the roll-out counts as stuck, 0 when it does; None when no deadline runs."""
    found = conditions.find(current, "Progressing")
    deadline = deployment.spec.progress_deadline_seconds
    if found is None or deadline is None or found.get("reason") == AVAILABLE or deployment.spec.paused:
        return None
    if found.get("reason") == PROGRESS_DEADLINE_EXCEEDED:
        return 0
    since = found.get("lastUpdateTime") or found.get("lastTransitionTime")
    return max(0.0, parse_time(since) + deadline - now) if since else None


def new_set_created(status: Tree, name: str, now: float) -> Tree:
    """`status` after a new replica set was made: the progress deadline starts now."""
    created = _condition("Progressing", "True", "NewReplicaSetCreated", f'Created new replica set "{name}"')
    return status | {"conditions": with_update_time(status.get("conditions", []), created, rfc3339(now), renew=True)}


def new_set_refused(status: Tree, name: str, failure: str, now: float) -> Tree:
    """`status` after a new replica set could not be made."""
    message = f'Failed to create new replica set "{name}": {failure}'
    refused = _condition("Progressing", "False", "ReplicaSetCreateError", message)
    return status | {"conditions": with_update_time(status.get("conditions", []), refused, rfc3339(now))}


def with_update_time(current: Sequence[Tree], wanted: Tree, stamp: str, *, renew: bool = False) -> list[Tree]:
    """As `conditions.with_condition`, with the time of the last update beside that of the last transition.

    One with the same status and reason stays as it is unless `renew`, which moves its update time.
    """
    old = conditions.find(current, wanted["type"])
    same_status = old is not None and old.get("status") == wanted["status"]
    if old is not None and same_status and old.get("reason") == wanted["reason"] and not renew:
        return list(current)
    changed_time = old.get("lastTransitionTime", stamp) if old is not None and same_status else stamp
    new = {**wanted, "lastUpdateTime": stamp, "lastTransitionTime": changed_time}
    if old is None:
        return [*current, new]
    return [new if c is old else c for c in current]


def _paused(deployment: Deployment, current: list[Tree], stamp: str) -> list[Tree]:
    found = conditions.find(current, "Progressing")
    if found is not None and found.get("reason") == PROGRESS_DEADLINE_EXCEEDED:
        return current
    told = found is not None and found.get("reason") == PAUSED
    if deployment.spec.paused and not told:
        paused = _condition("Progressing", "Unknown", PAUSED, "Deployment is paused")
        return with_update_time(current, paused, stamp)
    if not deployment.spec.paused and told:
        resumed = _condition("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed")
        return with_update_time(current, resumed, stamp)
    return current


def _progressed(old: Tree, status: Tree) -> bool:
    def outdated(counts: Tree) -> int:
        return int(counts.get("replicas", 0)) - int(counts.get("updatedReplicas", 0))

    more = (status.get(n, 0) > old.get(n, 0) for n in ("updatedReplicas", "readyReplicas", "availableReplicas"))
    return any(more) or outdated(status) < outdated(old)


def _condition(type_: str, status: str, reason: str, message: str) -> Tree:
    return {"type": type_, "status": status, "reason": reason, "message": message}
