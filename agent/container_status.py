"""One container's status as Kubernetes words it: pure, from its attempts and what went wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from agent.backoff import PULL_FIRST_SECONDS, restart_time
from agent.observed import Failure, Observed, attempts, dead, finished_phase
from agent.progress import completed, restarts
from agent.runtime.protocol import Container
from api.core import Container as ContainerSpec
from api.core import Pod
from api.object import Tree
from api.pod_containers import every_status
from component.env import rfc3339

LOST_EXIT_CODE = 137
UNKNOWN_REASON = "ContainerStatusUnknown"
INITIALIZING = "PodInitializing"
START_FAILED_EXIT_CODE = 128
"""What Kubernetes shows for a container whose process never came to be."""


@dataclass(frozen=True, slots=True)
class Health:
    """What the probes say of one container; without probes a running container is started and ready."""

    started: bool = True
    ready: bool = True


@dataclass(frozen=True, slots=True)
class ContainerView:
    """A container's status tree with what the pod's phase is made from."""

    tree: dict[str, Any]
    state: str  # "waiting", "running" or "terminated"
    ended: bool  # its last attempt is over, whether or not another follows
    succeeded: bool
    ready: bool


def container_view(
    pod: Pod,
    spec: ContainerSpec,
    observed: Observed,
    health: Health,
    now: float,
    *,
    at_turn: bool = True,
) -> ContainerView:
    """The status of one container that lasts; `at_turn` is off while init containers hold it up."""
    tries = attempts(observed, spec.name)
    last = tries[-1] if tries else None
    if last is not None and last.state == "running" and last.id not in observed.starting:
        state, over = {"running": {"startedAt": rfc3339(last.started_time)}}, False
    elif last is not None and dead(last) and not _will_restart(pod, last, observed):
        state, over = {"terminated": terminated(last, observed)}, True
    else:
        reason, message = _waiting(pod, spec, last, observed, now) if at_turn else (INITIALIZING, "")
        state = {"waiting": {"reason": reason} | ({"message": message} if message else {})}
        over = last is not None and dead(last)
    kind = next(iter(state))
    tree = _tree(pod, spec, last, state)
    previous = _previous(tries, kind)
    if previous is not None:
        tree["lastState"] = {"terminated": terminated(previous, observed)}
        over = over or kind == "waiting"
    tree["started"] = kind == "running" and health.started
    tree["ready"] = ready = kind == "running" and health.started and health.ready
    succeeded = over and last is not None and last.state == "exited" and last.exit_code == 0
    return ContainerView(tree, kind, over, succeeded, ready)


def init_container_view(
    pod: Pod, spec: ContainerSpec, observed: Observed, now: float, told: Tree | None, *, at_turn: bool
) -> ContainerView:
    """The status of an init container that is no sidecar: it is ready once it succeeded.

    `told` is what was reported of it before; it holds for one of which nothing is left.
    """
    done = completed(spec, observed)
    if done and told is not None and not attempts(observed, spec.name):
        return ContainerView(told, "terminated", ended=True, succeeded=True, ready=True)
    view = container_view(pod, spec, observed, Health(), now, at_turn=at_turn)
    return replace(view, tree={**view.tree, "ready": done}, ready=done)


def terminated(container: Container, observed: Observed) -> dict[str, Any]:
    """How an attempt ended."""
    lost = container.state == "unknown"
    tree: dict[str, Any] = {
        "containerID": container_id(container),
        "exitCode": LOST_EXIT_CODE if lost else container.exit_code,
        "reason": _end_reason(container, observed),
        "startedAt": rfc3339(container.started_time) if container.started_time else None,
        "finishedAt": rfc3339(container.finished_time) if container.finished_time else None,
        "message": container.message
        or ("The container could not be located when the node came back" if lost else None),
    }
    return {key: value for key, value in tree.items() if value is not None}


def container_id(container: Container) -> str:
    """The id as Kubernetes writes it, with the runtime's name."""
    return f"podman://{container.id}"


def back_off_message(pod: Pod, name: str, delay_seconds: float) -> str:
    """Kubernetes' words for a container that waits to be restarted."""
    meta = pod.metadata
    delay = _go_duration(int(delay_seconds))
    return f"back-off {delay} restarting failed container={name} pod={meta.name}_{meta.namespace}({meta.uid})"


def _go_duration(seconds: int) -> str:
    return f"{seconds}s" if seconds < 60 else f"{seconds // 60}m{seconds % 60}s"


def _end_reason(container: Container, observed: Observed) -> str:
    if container.state == "unknown":
        return UNKNOWN_REASON
    if container.id in observed.start_failed:
        return "StartError"
    if container.oom_killed:
        return "OOMKilled"
    return "Completed" if container.exit_code == 0 else "Error"


def _will_restart(pod: Pod, last: Container, observed: Observed) -> bool:
    ending = observed.termination_time > 0 or observed.verdict is not None or finished_phase(pod)
    return not ending and restarts(pod, last, observed)


def _previous(tries: list[Container], kind: str) -> Container | None:
    """The attempt that `lastState` tells of: the last one that ended, unless `state` does."""
    ended = [each for each in tries if dead(each)]
    if kind == "terminated":
        ended = ended[:-1]
    return ended[-1] if ended else None


def _waiting(pod: Pod, spec: ContainerSpec, last: Container | None, observed: Observed, now: float) -> tuple[str, str]:
    """Why a container does not run yet, or not again yet."""
    image = observed.failures.get(f"image:{spec.name}")
    if image is not None and spec.name not in observed.images:
        return _image_waiting(spec, image)
    create = observed.failures.get(f"create:{spec.name}")
    if create is not None:
        return create.reason, create.message
    if last is not None and dead(last):
        backoff = observed.restarts.get(spec.name)
        if backoff is not None and now < restart_time(backoff, last.finished_time):
            return "CrashLoopBackOff", back_off_message(pod, spec.name, backoff.delay_seconds)
        if last.id in observed.start_failed:
            return "RunContainerError", last.message
    return INITIALIZING if pod.spec.init_containers else "ContainerCreating", ""


def _image_waiting(spec: ContainerSpec, failure: Failure) -> tuple[str, str]:
    """The error itself the first time, the back-off from the second time on."""
    if failure.reason == "ErrImagePull" and failure.delay_seconds > PULL_FIRST_SECONDS:
        return "ImagePullBackOff", f'Back-off pulling image "{spec.image}": {failure.message}'
    return failure.reason, failure.message


def _tree(pod: Pod, spec: ContainerSpec, last: Container | None, state: dict[str, Any]) -> dict[str, Any]:
    """The parts that do not depend on health."""
    known = next((each for each in every_status(pod.status) if each.name == spec.name), None)
    tree: dict[str, Any] = {
        "name": spec.name,
        "image": spec.image or "",
        "imageID": last.image_id if last is not None else "",
        "restartCount": last.attempt if last is not None else (known.restart_count if known is not None else 0),
        "state": state,
        "lastState": {},
    }
    if last is not None:
        tree["containerID"] = container_id(last)
    return tree
