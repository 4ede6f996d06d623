"""How containers and pods end: preStop within the grace, SIGTERM, SIGKILL; then everything is given back. Pure.

Part of the decisions of `agent.pod_sync`. Sidecars are asked to end after all other containers and in reverse order, as
in Kubernetes; their hooks run at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.actions import (
    Action,
    BeginStop,
    Detach,
    Kill,
    RemoveContainer,
    RemoveFiles,
    RemoveSandbox,
    RemoveVolumes,
    ReportGone,
    RunPreStop,
    SignalTerm,
    Wait,
)
from agent.desired import Desired, grace_seconds, pod_grace_seconds
from agent.due import retry, retry_all
from agent.observed import Observed, running
from agent.runtime.protocol import Container
from api.core import Pod
from api.pod_containers import find_container, sidecar_names

AFTER_HOOK_SECONDS = 2.0
"""What a container gets to end in when its preStop hook, or its turn, used up the grace (as Kubernetes)."""

KILL_REPEAT_SECONDS = 2.0
LEAVE_SERVICE_SECONDS = 2.0
"""The longest wait for Services to stop sending before the containers are asked to end."""

SETTLE_SECONDS = 0.25
"""After our node dropped the endpoint: the time other nodes get to drop it too."""


def end_container(
    pod: Pod, container: Container, observed: Observed, now: float, reason: str, message: str
) -> list[Action]:
    """End one container of a pod that goes on, whatever state it is in."""
    if container.state != "running":
        return retry("remove", RemoveContainer(container.id), observed, now)
    stop = observed.stops.get(container.id)
    if stop is None:
        return [BeginStop(container.id, reason, message, pod_grace_seconds(pod))]
    return _stop(pod, container, observed, stop.began_time, stop.grace_seconds, now)


def go_on_ending(pod: Pod, observed: Observed, now: float) -> list[Action]:
    """Go on ending the containers whose end was decided before."""
    actions: list[Action] = []
    for container in running(observed):
        stop = observed.stops.get(container.id)
        if stop is not None:
            actions += _stop(pod, container, observed, stop.began_time, stop.grace_seconds, now)
    return actions


def terminate(desired: Desired, observed: Observed, now: float) -> list[Action]:
    """End the containers, then remove everything the pod has here, then say so."""
    actions = _end_all(desired, observed, now)
    if actions:
        return actions
    if observed.containers:
        return retry_all("remove", (RemoveContainer(c.id) for c in observed.containers), observed, now)
    actions = _release(observed, now)
    if actions or observed.gone_reported:
        return actions
    if observed.files_present:
        return retry("remove", RemoveFiles(), observed, now)
    return [ReportGone()]


def settle(pod: Pod, observed: Observed, now: float) -> list[Action]:
    """Free what a finished pod does not need any more; its containers stay for their logs."""
    actions = _end_all(Desired(pod.metadata.uid, pod), observed, now)
    return actions or _release(observed, now)


def _end_all(desired: Desired, observed: Observed, now: float) -> list[Action]:
    began, grace = observed.termination_time, grace_seconds(desired)
    sidecars = sidecar_names(desired.pod.spec) if desired.pod is not None else ()
    later = _later(sidecars, observed)
    actions: list[Action] = []
    for container in running(observed):
        assert began, "the shell notes when the end began"
        stop = observed.stops.get(container.id)
        if stop is not None and stop.began_time + stop.grace_seconds < began + grace:
            actions += _stop(desired.pod, container, observed, stop.began_time, stop.grace_seconds, now)
            continue
        leave = began + grace if container.name in later else _leave_time(observed)
        last = container.name in sidecars
        actions += _stop(desired.pod, container, observed, began, grace, now, leave_time=leave, last=last)
    return actions


def _later(sidecars: Sequence[str], observed: Observed) -> Sequence[str]:
    """The sidecars that are not to be asked yet, as others that end before them still run."""
    if not sidecars:
        return ()
    names = {container.name for container in running(observed)}
    if names.difference(sidecars):
        return sidecars
    return sidecars[: max((place for place, name in enumerate(sidecars) if name in names), default=0)]


def _stop(
    pod: Pod | None,
    container: Container,
    observed: Observed,
    began_time: float,
    grace: float,
    now: float,
    *,
    leave_time: float = 0.0,
    last: bool = False,
) -> list[Action]:
    """Run preStop within the grace, SIGTERM, SIGKILL when the grace is over.

    No SIGTERM before `leave_time`. One of the `last`, for which others may have left no time, gets a moment in any case.
    """
    deadline = began_time + grace
    killed = observed.killed.get(container.id)
    if killed is not None:
        return [Wait(killed + KILL_REPEAT_SECONDS)] if now < killed + KILL_REPEAT_SECONDS else [Kill(container.id)]
    if grace <= 0:
        return [Kill(container.id)]
    hooked = _has_pre_stop(pod, container.name)
    signalled = observed.signalled.get(container.id)
    if signalled is None:
        hook = observed.hooks.get(container.id)
        if hooked and hook != "done" and now < deadline:
            begin: list[Action] = [RunPreStop(container.id, deadline - now)] if hook is None else []
            return [*begin, Wait(deadline)]
        if now < min(leave_time, deadline):
            return [Wait(min(leave_time, deadline))]
        return [SignalTerm(container.id)]
    kill_time = max(deadline, signalled + AFTER_HOOK_SECONDS) if hooked or last else deadline
    return [Wait(kill_time)] if now < kill_time else [Kill(container.id)]


def _has_pre_stop(pod: Pod | None, name: str) -> bool:
    spec = find_container(pod.spec, name) if pod is not None else None
    return spec is not None and spec.lifecycle is not None and spec.lifecycle.pre_stop is not None


def _leave_time(observed: Observed) -> float:
    """Before this instant Services may still send here: connections made until then must be answered."""
    if observed.serving:
        return observed.termination_time + LEAVE_SERVICE_SECONDS
    if observed.left_service_time:
        return observed.left_service_time + SETTLE_SECONDS
    return 0.0


def _release(observed: Observed, now: float) -> list[Action]:
    """Give back network, volumes and namespaces, in this order."""
    actions: list[Action] = []
    if observed.network_present:
        actions.append(Detach())
    if observed.volumes_present:
        actions.append(RemoveVolumes())
    if observed.sandbox_present:
        actions.append(RemoveSandbox())
    return retry_all("remove", actions, observed, now)
