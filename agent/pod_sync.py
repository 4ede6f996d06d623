"""What to do next for one pod: pure, like the kubelet's computePodActions.

`pod_actions` looks at the pod as it shall be and as it is, and lists what can be done now. The shell
(`agent.worker`) performs the list, looks again and asks again; so every rule here must make sense from any state a
crash may have left behind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from agent.actions import (
    Action,
    AttachNetwork,
    BeginStop,
    CreateContainer,
    Detach,
    Kill,
    MakeSandbox,
    MakeVolumes,
    PullImage,
    RefreshVolumes,
    RemoveContainer,
    RemoveFiles,
    RemoveSandbox,
    RemoveVolumes,
    ReportGone,
    RunPreStop,
    SignalTerm,
    StartContainer,
    Wait,
)
from agent.backoff import restart_time
from agent.observed import Observed, attempts, dead, finished_phase, running
from agent.runtime.protocol import Container
from api.core import Container as ContainerSpec
from api.core import Pod

DEFAULT_GRACE_SECONDS = 30
ORPHAN_GRACE_SECONDS = 1.0
"""A pod that was forced away or is unknown: its containers must not run a moment longer than they need to end."""

AFTER_HOOK_SECONDS = 2.0
"""What a container gets to end in when its preStop hook used up the grace (as Kubernetes)."""

KILL_REPEAT_SECONDS = 2.0
LEAVE_SERVICE_SECONDS = 2.0
"""The longest wait for Services to stop sending before the containers are asked to end."""

SETTLE_SECONDS = 0.25
"""After our node dropped the endpoint: the time other nodes get to drop it too."""


@dataclass(frozen=True, slots=True)
class Desired:
    """A pod as the control plane wants it; `pod` None: nothing of this uid shall be here."""

    uid: str
    pod: Pod | None


def spec_hash(container: ContainerSpec) -> str:
    """Tells whether a running container is still the one described: only its image may change in a pod's life."""
    return hashlib.sha256(f"{container.name}\0{container.image}".encode()).hexdigest()[:16]


def terminating(desired: Desired) -> bool:
    """Whether the pod shall end."""
    return desired.pod is None or desired.pod.metadata.deletion_timestamp is not None


def grace_seconds(desired: Desired) -> float:
    """How long the containers of a terminating pod may take to end."""
    if desired.pod is None:
        return ORPHAN_GRACE_SECONDS
    grace = desired.pod.metadata.deletion_grace_period_seconds
    return float(pod_grace_seconds(desired.pod) if grace is None else grace)


def pod_grace_seconds(pod: Pod) -> int:
    """The pod's own grace period."""
    grace = pod.spec.termination_grace_period_seconds
    return DEFAULT_GRACE_SECONDS if grace is None else grace


def restarts(pod: Pod, container: Container) -> bool:
    """Whether a container that ended is started again under the pod's restart policy."""
    policy = pod.spec.restart_policy or "Always"
    if policy == "OnFailure":
        return container.exit_code != 0 or container.state == "unknown"
    return policy == "Always"


def finished(pod: Pod, observed: Observed) -> bool:
    """Whether the pod is over though nobody deleted it: every container ended for good, or the node gave it up."""
    if observed.verdict is not None or finished_phase(pod):
        return True
    latest = [attempts(observed, container.name)[-1:] for container in pod.spec.containers]
    return all(last and dead(last[0]) and not restarts(pod, last[0]) for last in latest)


def ending(desired: Desired, observed: Observed) -> bool:
    """Whether the pod's containers shall end, for whatever reason; the grace counts from when this became true."""
    return desired.pod is None or terminating(desired) or finished(desired.pod, observed)


def pod_actions(desired: Desired, observed: Observed, now: float) -> list[Action]:
    """Return what can be done now to bring the pod closer to `desired`, in order; at most one Wait, last.

    `now` is in seconds since the epoch. An empty list means that nothing is to be done until something changes.
    """
    if desired.pod is None or terminating(desired):
        actions = _terminate(desired, observed, now)
    elif finished(desired.pod, observed):
        actions = _settle(desired.pod, observed, now)
    else:
        actions = _run(desired.pod, observed, now)
    waits = [action.until_time for action in actions if isinstance(action, Wait)]
    work: list[Action] = [action for action in actions if not isinstance(action, Wait)]
    if waits:
        work.append(Wait(min(waits)))
    return work


def _run(pod: Pod, observed: Observed, now: float) -> list[Action]:
    """Move a pod that shall run towards running."""
    if observed.sandbox is None and observed.sandbox_lost and running(observed):
        return _restart_all(pod, observed, now)
    actions = _pulls(pod, observed, now)
    step = _surroundings(pod, observed)
    if step is not None:
        key, action = step
        waits_for_network = key == "network" and not observed.network_ready
        next_step = [] if waits_for_network else _retry(key, action, observed, now)
        return [*actions, *next_step, *_stops(pod, observed, now)]
    if observed.volumes_stale:
        actions += _retry("refresh", RefreshVolumes(), observed, now)
    known = {container.name for container in pod.spec.containers}
    for container in observed.containers:
        if container.name not in known:
            actions += _end(pod, container, observed, now, "Removed", "the container is not in the pod any more")
    for spec in pod.spec.containers:
        own = _container(pod, spec, observed, now)
        actions += own
        if _post_start_pending(spec, own, observed):
            break
    return actions


def _post_start_pending(spec: ContainerSpec, own: Iterable[Action], observed: Observed) -> bool:
    """Whether the next container has to wait for this one's postStart hook, as in Kubernetes."""
    if spec.lifecycle is None or spec.lifecycle.post_start is None:
        return False
    begins = any(isinstance(action, CreateContainer | StartContainer) for action in own)
    begins = begins or spec.name in observed.pulling
    return begins or any(container.id in observed.starting for container in attempts(observed, spec.name))


def _surroundings(pod: Pod, observed: Observed) -> tuple[str, Action] | None:
    """The next step that containers have to wait for, with the key of its failures; None when all is there."""
    if observed.sandbox is None:
        return "sandbox", MakeSandbox()
    if not observed.attached and not pod.spec.host_network:
        return "network", AttachNetwork()
    if not observed.volumes_made:
        return "volumes", MakeVolumes()
    return None


def _pulls(pod: Pod, observed: Observed, now: float) -> list[Action]:
    """Fetch the images of all containers that will be created; goes on while the surroundings are made."""
    actions: list[Action] = []
    for spec in pod.spec.containers:
        name = spec.name
        last = attempts(observed, name)[-1:]
        wanted = not last or (dead(last[0]) and restarts(pod, last[0]))
        if not wanted or name in observed.images or name in observed.pulling:
            continue
        due = restart_time(observed.restarts.get(name), last[0].finished_time) if last else now
        actions += [Wait(due)] if now < due else _retry(f"image:{name}", PullImage(name), observed, now)
    return actions


def _container(pod: Pod, spec: ContainerSpec, observed: Observed, now: float) -> list[Action]:
    """Move one container towards running."""
    tries = attempts(observed, spec.name)
    actions: list[Action] = [RemoveContainer(old.id) for old in tries[:-2] if old.state != "running"]
    if not tries:
        return [*actions, *_create(spec, _first_attempt(pod, spec.name), observed, now)]
    last = tries[-1]
    changed = last.spec_hash != spec_hash(spec)
    if last.state == "running":
        if changed or last.id in observed.stops:
            message = f"Container {spec.name} definition changed, will be restarted"
            actions += _end(pod, last, observed, now, "SpecChanged", message)
    elif last.state == "created":
        if changed:
            actions += _retry("remove", RemoveContainer(last.id), observed, now)
        elif observed.network_ready:
            actions += _retry(f"create:{spec.name}", StartContainer(last.id), observed, now)
    elif restarts(pod, last):
        due = restart_time(observed.restarts.get(spec.name), last.finished_time)
        if now < due and not changed:
            actions.append(Wait(due))
        else:
            actions += _create(spec, last.attempt + 1, observed, now)
    return actions


def _create(spec: ContainerSpec, attempt: int, observed: Observed, now: float) -> list[Action]:
    if spec.name not in observed.images:
        return []  # _pulls saw to it, and its end wakes us
    return _retry(f"create:{spec.name}", CreateContainer(spec.name, attempt), observed, now)


def _first_attempt(pod: Pod, name: str) -> int:
    """The attempt of a container of which nothing is left here; goes on counting where the status stopped."""
    for status in pod.status.container_statuses:
        if status.name == name and status.container_id:
            return status.restart_count + 1
    return 0


def _end(pod: Pod, container: Container, observed: Observed, now: float, reason: str, message: str) -> list[Action]:
    """End one container of a pod that goes on, whatever state it is in."""
    if container.state != "running":
        return _retry("remove", RemoveContainer(container.id), observed, now)
    stop = observed.stops.get(container.id)
    if stop is None:
        return [BeginStop(container.id, reason, message, pod_grace_seconds(pod))]
    return _stop(pod, container, observed, stop.began_time, stop.grace_seconds, now)


def _stops(pod: Pod, observed: Observed, now: float) -> list[Action]:
    """Go on ending the containers whose end was decided before."""
    actions: list[Action] = []
    for container in running(observed):
        stop = observed.stops.get(container.id)
        if stop is not None:
            actions += _stop(pod, container, observed, stop.began_time, stop.grace_seconds, now)
    return actions


def _restart_all(pod: Pod, observed: Observed, now: float) -> list[Action]:
    """The namespaces are gone under running containers: they cannot be reached any more and have to start anew."""
    message = "Pod sandbox changed, it will be killed and re-created."
    actions: list[Action] = []
    for container in running(observed):
        actions += _end(pod, container, observed, now, "SandboxChanged", message)
    return actions


def _stop(
    pod: Pod | None,
    container: Container,
    observed: Observed,
    began_time: float,
    grace: float,
    now: float,
    *,
    leave_time: float = 0.0,
) -> list[Action]:
    """Run preStop within the grace, SIGTERM, SIGKILL when the grace is over."""
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
    kill_time = max(deadline, signalled + AFTER_HOOK_SECONDS) if hooked else deadline
    return [Wait(kill_time)] if now < kill_time else [Kill(container.id)]


def _has_pre_stop(pod: Pod | None, name: str) -> bool:
    for spec in pod.spec.containers if pod is not None else ():
        if spec.name == name:
            return spec.lifecycle is not None and spec.lifecycle.pre_stop is not None
    return False


def _leave_time(observed: Observed) -> float:
    """Before this instant Services may still send here: connections made until then must be answered."""
    if observed.serving:
        return observed.termination_time + LEAVE_SERVICE_SECONDS
    if observed.left_service_time:
        return observed.left_service_time + SETTLE_SECONDS
    return 0.0


def _terminate(desired: Desired, observed: Observed, now: float) -> list[Action]:
    """End the containers, then remove everything the pod has here, then say so."""
    actions = _end_all(desired, observed, now)
    if actions:
        return actions
    if observed.containers:
        return _retry_all("remove", (RemoveContainer(c.id) for c in observed.containers), observed, now)
    actions = _release(observed, now)
    if actions or observed.gone_reported:
        return actions
    if observed.files_present:
        return _retry("remove", RemoveFiles(), observed, now)
    return [ReportGone()]


def _settle(pod: Pod, observed: Observed, now: float) -> list[Action]:
    """Free what a finished pod does not need any more; its containers stay for their logs."""
    actions = _end_all(Desired(pod.metadata.uid, pod), observed, now)
    return actions or _release(observed, now)


def _end_all(desired: Desired, observed: Observed, now: float) -> list[Action]:
    began, grace = observed.termination_time, grace_seconds(desired)
    actions: list[Action] = []
    for container in running(observed):
        assert began, "the shell notes when the end began"
        stop = observed.stops.get(container.id)
        if stop is not None and stop.began_time + stop.grace_seconds < began + grace:
            actions += _stop(desired.pod, container, observed, stop.began_time, stop.grace_seconds, now)
            continue
        leave = _leave_time(observed)
        actions += _stop(desired.pod, container, observed, began, grace, now, leave_time=leave)
    return actions


def _release(observed: Observed, now: float) -> list[Action]:
    """Give back network, volumes and namespaces, in this order."""
    actions: list[Action] = []
    if observed.network_present:
        actions.append(Detach())
    if observed.volumes_present:
        actions.append(RemoveVolumes())
    if observed.sandbox_present:
        actions.append(RemoveSandbox())
    return _retry_all("remove", actions, observed, now)


def _retry(key: str, action: Action, observed: Observed, now: float) -> list[Action]:
    """The action, or the wait until it may be tried again."""
    failure = observed.failures.get(key)
    if failure is not None and now < failure.retry_time:
        return [Wait(failure.retry_time)]
    return [action]


def _retry_all(key: str, actions: Iterable[Action], observed: Observed, now: float) -> list[Action]:
    found = list(actions)
    failure = observed.failures.get(key)
    if found and failure is not None and now < failure.retry_time:
        return [Wait(failure.retry_time)]
    return found
