"""The one mutable place of a pod on this node: its assignment and what is observed of it. No I/O, no tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from agent import actions as act
from agent.backoff import (
    PULL_FIRST_SECONDS,
    PULL_MAX_SECONDS,
    STEP_FIRST_SECONDS,
    STEP_MAX_SECONDS,
    doubled,
)
from agent.container_status import START_FAILED_EXIT_CODE
from agent.desired import Desired
from agent.environment import ConfigError
from agent.observed import Failure, Observed, Stop, dead
from agent.progress import belongs
from agent.runtime.protocol import Container, RuntimeFailure
from agent.told_ends import recalled
from api.core import Container as ContainerSpec
from api.core import Pod
from api.pod_containers import find_container
from component.env import Env

Note = TypeVar("Note")


class PodRecord:
    """Every change replaces the immutable `observed`, so that a decision always sees one consistent state."""

    def __init__(
        self,
        desired: Desired,
        observed: Observed,
        last_words: Callable[[Container, ContainerSpec | None], str],
        env: Env,
    ) -> None:
        self.desired = desired
        self.observed = observed
        self._last_words = last_words
        self._env = env

    @property
    def uid(self) -> str:
        """The pod's uid."""
        return self.desired.uid

    @property
    def pod(self) -> Pod | None:
        """The pod as it is assigned, None when it is not (any more)."""
        return self.desired.pod

    def assigned(self) -> Pod:
        """The pod; only for what is never done to one that is not assigned."""
        assert self.desired.pod is not None, "only an assigned pod is built up"
        return self.desired.pod

    def spec(self, name: str) -> ContainerSpec | None:
        """A container of the pod by name."""
        return find_container(self.desired.pod.spec, name) if self.desired.pod is not None else None

    def container(self, container_id: str) -> Container | None:
        """An observed container by id."""
        return next((c for c in self.observed.containers if c.id == container_id), None)

    def name(self, container_id: str) -> str:
        """The name of an observed container, "" when it is gone."""
        container = self.container(container_id)
        return container.name if container is not None else ""

    def set(self, **facts: object) -> None:
        """Replace some fields of what is observed."""
        self.observed = replace(self.observed, **facts)  # type: ignore[arg-type] # the fields' own types

    def merge(self, container: Container) -> None:
        """Take in a container; one that ended never runs again, whatever an older look at it says."""
        known = self.container(container.id)
        if known is not None and (container.id in self.observed.start_failed or (dead(known) and not dead(container))):
            return
        if dead(container) and not container.message:
            container = replace(container, message=self._last_words(container, self.spec(container.name)))
        others = tuple(c for c in self.observed.containers if c.id != container.id)
        self.set(containers=(*others, container))

    def recall(self, pod: Pod) -> bool:
        """Take over from a pod's stored status how containers ended of which nobody here knows; False: nothing new."""
        found = tuple(recalled(container, pod) for container in self.observed.containers)
        if found == self.observed.containers:
            return False
        self.set(containers=found)
        return True

    def drop(self, container_id: str) -> None:
        """Forget a container that is not there any more, and everything that was noted about it but its success."""
        observed = self.observed
        gone = self.container(container_id)
        succeeded = gone is not None and gone.state == "exited" and gone.exit_code == 0 and belongs(observed, gone)
        self.set(
            completed=observed.completed | {gone.name} if gone is not None and succeeded else observed.completed,
            containers=tuple(c for c in observed.containers if c.id != container_id),
            stops=_without(observed.stops, container_id),
            hooks=_without(observed.hooks, container_id),
            signalled=_without(observed.signalled, container_id),
            killed=_without(observed.killed, container_id),
            start_failed=observed.start_failed - {container_id},
            starting=observed.starting - {container_id},
            started=observed.started - {container_id},
        )

    def start_failed(self, container_id: str, message: str) -> None:
        """The process of an attempt never came to be: the attempt counts as ended."""
        container = self.container(container_id)
        if container is None:
            return
        now = self._env.now()
        ended = replace(container, state="exited", exit_code=START_FAILED_EXIT_CODE, finished_time=now, message=message)
        self.merge(ended)
        self.set(start_failed=self.observed.start_failed | {container_id})

    def begin_stop(self, container_id: str, reason: str, message: str, grace_seconds: float) -> bool:
        """Decide to end a container; False when that was decided before."""
        if container_id in self.observed.stops:
            return False
        stop = Stop(reason, message, self._env.now(), grace_seconds)
        self.set(stops={**self.observed.stops, container_id: stop})
        return True

    def failed(self, action: act.Action, error: Exception) -> tuple[str, Failure]:
        """Remember that an action did not work; returns the key of the step and what is remembered."""
        key, first, longest = self._step(action)
        before = self.observed.failures.get(key)
        delay = doubled(before.delay_seconds if before is not None else 0.0, first, longest)
        message = " ".join(str(error).split()) or type(error).__name__
        failure = Failure(_reason(action, error), message, delay, self._env.now() + delay)
        self.set(failures={**self.observed.failures, key: failure})
        return key, failure

    def succeeded(self, action: act.Action) -> None:
        """Forget the failures of an action that worked."""
        key = self._step(action)[0]
        if key in self.observed.failures:
            self.set(failures={k: failure for k, failure in self.observed.failures.items() if k != key})

    def forget_failures(self, *reasons: str) -> None:
        """Try at once again what failed for one of these reasons."""
        kept = {key: failure for key, failure in self.observed.failures.items() if failure.reason not in reasons}
        self.set(failures=kept)

    def _step(self, action: act.Action) -> tuple[str, float, float]:
        """The key of an action's failures, and the first and longest pause after one."""
        match action:
            case act.PullImage(name):
                return f"image:{name}", PULL_FIRST_SECONDS, PULL_MAX_SECONDS
            case act.CreateContainer(name, _):
                key = f"create:{name}"
            case act.StartContainer(container_id):
                key = f"create:{self.name(container_id)}"
            case _:
                key = _KEYS.get(type(action), "remove")
        return key, STEP_FIRST_SECONDS, STEP_MAX_SECONDS


def _without(notes: Mapping[str, Note], container_id: str) -> dict[str, Note]:
    return {key: note for key, note in notes.items() if key != container_id}


_KEYS: dict[type[object], str] = {
    act.MakeSandbox: "sandbox",
    act.AttachNetwork: "network",
    act.MakeVolumes: "volumes",
    act.RefreshVolumes: "refresh",
}


def _reason(action: act.Action, error: Exception) -> str:
    if isinstance(error, ConfigError):
        return "CreateContainerConfigError"
    if isinstance(error, RuntimeFailure) and error.reason != "RuntimeFailure":
        return error.reason
    if isinstance(action, act.PullImage):
        return "ErrImagePull"
    return "CreateContainerError" if isinstance(action, act.CreateContainer | act.StartContainer) else "Failed"
