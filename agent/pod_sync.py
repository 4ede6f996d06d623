"""What to do next for one pod: pure, like the kubelet's computePodActions.

`pod_actions` looks at the pod as it shall be and as it is, and lists what can be done now. The shell
(`agent.worker`) performs the list, looks again and asks again; so every rule here must make sense from any state a
crash may have left behind.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.actions import (
    Action,
    AttachNetwork,
    CreateContainer,
    MakeSandbox,
    MakeVolumes,
    PullImage,
    RefreshVolumes,
    RemoveContainer,
    StartContainer,
    Wait,
)
from agent.backoff import restart_time
from agent.desired import Desired, spec_hash, terminating
from agent.due import retry
from agent.ephemeral import has_run
from agent.observed import Observed, attempts, dead, running
from agent.pod_end import end_container, go_on_ending, settle, terminate
from agent.progress import at_turn, belongs, finished, restarts
from agent.runtime.protocol import Container
from api.core import Container as ContainerSpec
from api.core import Pod
from api.pod_containers import every_container, every_status, lasting_containers


def pod_actions(desired: Desired, observed: Observed, now: float) -> list[Action]:
    """Return what can be done now to bring the pod closer to `desired`, in order; at most one Wait, last.

    `now` is in seconds since the epoch. An empty list means that nothing is to be done until something changes.
    """
    if desired.pod is None or terminating(desired):
        actions = terminate(desired, observed, now)
    elif finished(desired.pod, observed):
        actions = settle(desired.pod, observed, now)
    else:
        actions = _run(desired.pod, observed, now)
    waits = [action.until_time for action in actions if isinstance(action, Wait)]
    work: list[Action] = [action for action in actions if not isinstance(action, Wait)]
    if waits:
        work.append(Wait(min(waits)))
    return work


def _run(pod: Pod, observed: Observed, now: float) -> list[Action]:
    """Move a pod that shall run towards running."""
    if outlived := [container for container in running(observed) if not belongs(observed, container)]:
        return _restart_all(pod, outlived, observed, now)
    actions = _pulls(pod, observed, now)
    step = _surroundings(pod, observed)
    if step is not None:
        key, action = step
        waits_for_network = key == "network" and not observed.network_ready
        next_step = [] if waits_for_network else retry(key, action, observed, now)
        return [*actions, *next_step, *go_on_ending(pod, observed, now)]
    if observed.volumes_stale:
        actions += retry("refresh", RefreshVolumes(), observed, now)
    known = {container.name for container in every_container(pod.spec)}
    for container in observed.containers:
        if container.name not in known:
            message = "the container is not in the pod any more"
            actions += end_container(pod, container, observed, now, "Removed", message)
    for added in pod.spec.ephemeral_containers:
        actions += _container(pod, added, observed, now)
    for spec in at_turn(pod, observed):
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
    """Fetch the images of all containers that will be created next; goes on while the surroundings are made."""
    actions: list[Action] = []
    for spec in (*pod.spec.ephemeral_containers, *at_turn(pod, observed)):
        name = spec.name
        last = attempts(observed, name)[-1:]
        if not last and has_run(pod, name):
            continue
        wanted = not last or (dead(last[0]) and restarts(pod, last[0], observed))
        if not wanted or name in observed.images or name in observed.pulling:
            continue
        due = _due(spec, last[0], observed) if last else now
        actions += [Wait(due)] if now < due else retry(f"image:{name}", PullImage(name), observed, now)
    return actions


def _container(pod: Pod, spec: ContainerSpec, observed: Observed, now: float) -> list[Action]:
    """Move one container towards running."""
    tries = attempts(observed, spec.name)
    actions: list[Action] = [RemoveContainer(old.id) for old in tries[:-2] if old.state != "running"]
    if not tries and has_run(pod, spec.name):
        return []
    if not tries:
        return [*actions, *_create(spec, _first_attempt(pod, spec.name), observed, now)]
    last = tries[-1]
    changed = last.spec_hash != spec_hash(spec)
    if last.state == "running":
        # An init container that is to end by itself does so with the image it began with, as in Kubernetes.
        replaced = changed and spec in lasting_containers(pod.spec)
        if replaced or last.id in observed.stops:
            message = f"Container {spec.name} definition changed, will be restarted"
            actions += end_container(pod, last, observed, now, "SpecChanged", message)
    elif last.state == "created":
        if changed or not belongs(observed, last):
            actions += retry("remove", RemoveContainer(last.id), observed, now)
        elif observed.network_ready:
            actions += retry(f"create:{spec.name}", StartContainer(last.id), observed, now)
    elif restarts(pod, last, observed):
        due = _due(spec, last, observed)
        actions += [Wait(due)] if now < due else _create(spec, last.attempt + 1, observed, now)
    return actions


def _due(spec: ContainerSpec, last: Container, observed: Observed) -> float:
    """When a container that ended may be created again: a change or lost namespaces are no crash, so no back-off."""
    if last.spec_hash != spec_hash(spec) or not belongs(observed, last):
        return last.finished_time
    return restart_time(observed.restarts.get(spec.name), last.finished_time)


def _create(spec: ContainerSpec, attempt: int, observed: Observed, now: float) -> list[Action]:
    if spec.name not in observed.images:
        return []  # _pulls saw to it, and its end wakes us
    return retry(f"create:{spec.name}", CreateContainer(spec.name, attempt), observed, now)


def _first_attempt(pod: Pod, name: str) -> int:
    """The attempt of a container of which nothing is left here; goes on counting where the status stopped."""
    for status in every_status(pod.status):
        if status.name == name and status.container_id:
            return status.restart_count + 1
    return 0


def _restart_all(pod: Pod, outlived: Iterable[Container], observed: Observed, now: float) -> list[Action]:
    """The namespaces are gone under running containers: they cannot be reached any more and have to start anew."""
    message = "Pod sandbox changed, it will be killed and re-created."
    actions: list[Action] = []
    for container in outlived:
        actions += end_container(pod, container, observed, now, "SandboxChanged", message)
    return actions
