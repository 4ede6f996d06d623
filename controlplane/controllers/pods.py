"""What controllers ask about a pod, in the words of the Kubernetes documentation ("Pod Lifecycle")."""

from __future__ import annotations

from api.core import Pod, PodCondition
from component.env import parse_time

FINISHED_PHASES = ("Succeeded", "Failed")


def condition(pod: Pod, type_: str) -> PodCondition | None:
    """The condition of that type, None when nobody has reported it."""
    return next((c for c in pod.status.conditions if c.type == type_), None)


def ready(pod: Pod) -> bool:
    """Whether the pod's Ready condition is True."""
    found = condition(pod, "Ready")
    return found is not None and found.status == "True"


def ready_since(pod: Pod) -> float | None:
    """Since when the pod is ready, in seconds since the epoch; None when it is not or nobody says since when."""
    found = condition(pod, "Ready")
    if found is None or found.status != "True" or not found.last_transition_time:
        return None
    return parse_time(found.last_transition_time)


def available(pod: Pod, min_ready_seconds: int, now: float) -> bool:
    """Whether the pod has been ready for at least `min_ready_seconds`."""
    if not ready(pod):
        return False
    if min_ready_seconds <= 0:
        return True
    since = ready_since(pod)
    return since is not None and since + min_ready_seconds <= now


def finished(pod: Pod) -> bool:
    """Whether all of its containers have ended for good."""
    return pod.status.phase in FINISHED_PHASES


def terminating(pod: Pod) -> bool:
    """Whether the pod is being deleted."""
    return pod.metadata.deletion_timestamp is not None


def active(pod: Pod) -> bool:
    """Whether the pod counts towards a number of replicas."""
    return not finished(pod) and not terminating(pod)
