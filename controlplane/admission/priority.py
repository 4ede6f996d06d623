"""Gives every pod the number behind its priority class (Kubernetes: Priority).

The scheduler places pods of higher priority first. Nothing is preempted yet, whatever the policy says.
"""

from __future__ import annotations

from api.errors import Forbidden
from api.object import Tree
from api.scheduling import PriorityClass
from controlplane.admission.request import Request, Snapshot

CLASSES = "priorityclasses.scheduling.k8s.io"
DEFAULT_POLICY = "PreemptLowerPriority"


class Priority:
    """Resolves spec.priorityClassName when a pod is created; from then on the number stays."""

    def admit(self, request: Request, snapshot: Snapshot) -> Tree:
        """Return the pod with its class, priority and preemption policy. Forbidden for a class that is not there."""
        if request.kind.resource != "pods" or request.verb not in {"create", "update"}:
            return request.tree
        spec = request.tree["spec"]
        if request.old is not None:
            before = request.old["spec"]
            kept = {name: before[name] for name in ("priority", "preemptionPolicy") if name in before}
            return {**request.tree, "spec": {**kept, **spec}} if kept.keys() - spec.keys() else request.tree
        resolved = _resolved(request, snapshot, spec.get("priorityClassName", ""))
        for name, what in (("priority", "integer value of priority"), ("preemptionPolicy", "PreemptionPolicy")):
            if name in spec and spec[name] != resolved[name]:
                raise request.forbidden(
                    f"the {what} ({spec[name]}) must not be provided in pod spec; "
                    f"priority admission controller computed {resolved[name]} from the given PriorityClass name"
                )
        return {**request.tree, "spec": {**spec, **resolved}}

    def check(self, request: Request, snapshot: Snapshot) -> None:
        """Forbidden for a second class that is everybody's default."""
        if request.kind.resource != CLASSES or request.verb not in {"create", "update"}:
            return
        if not request.tree.get("globalDefault"):
            return
        for other in snapshot.list(CLASSES, ""):
            if other.name != request.name and other.view(PriorityClass).global_default:
                raise Forbidden(
                    f'{CLASSES} "{request.name}" is forbidden: '
                    f'PriorityClass "{other.name}" is already marked as default. Only one default can exist'
                )


def _resolved(request: Request, snapshot: Snapshot, name: str) -> Tree:
    if name:
        found = snapshot.get(CLASSES, "", name)
        if found is None:
            raise request.forbidden(f"no PriorityClass with name {name} was found")
        chosen: PriorityClass | None = found.view(PriorityClass)
    else:
        views = (each.view(PriorityClass) for each in snapshot.list(CLASSES, ""))
        chosen = next((each for each in views if each.global_default), None)
    if chosen is None:
        return {"priority": 0, "preemptionPolicy": DEFAULT_POLICY}
    named = {"priorityClassName": chosen.metadata.name}
    return {**named, "priority": chosen.value or 0, "preemptionPolicy": chosen.preemption_policy or DEFAULT_POLICY}
