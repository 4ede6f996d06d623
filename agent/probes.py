"""Startup, liveness and readiness probes: the pure verdict, and one task per probe that asks and waits.

The startup probe gates the other two. How a single question is asked stands in `agent.probe_actions`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import structlog

from agent.container_status import Health
from agent.runtime.protocol import Container
from api.core import Pod, Probe
from api.pod_containers import find_container
from component.env import Env

log = structlog.get_logger()

ProbeKind = Literal["startup", "liveness", "readiness"]
KINDS: tuple[ProbeKind, ...] = ("startup", "liveness", "readiness")

CRASH_PAUSE_SECONDS = 5.0
FIRST_LIVENESS_SECONDS = 1.0
"""No container is asked whether it is stuck in its first moments, in which nothing listens yet."""

QUICK_FIRST_SECONDS = 0.1
"""Until a container is ready for the first time it is asked again soon, at doubling intervals up to the period.

Kubernetes waits a whole period after the first failure, which for most servers is one that came some milliseconds
too early. These early failures count for nothing.
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """How one question went; a good answer may come with a warning."""

    ok: bool
    message: str = ""
    warning: str = ""


@dataclass(frozen=True, slots=True)
class Tally:
    """Consecutive answers of one kind, and what they amount to; None as long as it is open."""

    verdict: bool | None = None
    successes: int = 0
    failures: int = 0


def counted(tally: Tally, probe: Probe, *, ok: bool) -> Tally:
    """The tally after one more answer: a verdict changes once its threshold of consecutive answers is reached."""
    successes = tally.successes + 1 if ok else 0
    failures = 0 if ok else tally.failures + 1
    verdict = tally.verdict
    if ok and successes >= (probe.success_threshold or 1):
        verdict = True
    elif failures >= (probe.failure_threshold or 3):
        verdict = False
    return Tally(verdict, successes, failures)


def probe_of(pod: Pod, name: str, kind: ProbeKind) -> Probe | None:
    """A container's probe of one kind."""
    spec = find_container(pod.spec, name)
    if spec is None:
        return None
    return {"startup": spec.startup_probe, "liveness": spec.liveness_probe, "readiness": spec.readiness_probe}[kind]


def _remembered(pod: Pod, container_id: str) -> dict[ProbeKind, Tally]:
    """What was last reported of a container: one that was ready before the agent was restarted stays so until asked."""
    for status in (*pod.status.init_container_statuses, *pod.status.container_statuses):
        if (status.container_id or "").rpartition("/")[2] == container_id:
            verdicts: dict[ProbeKind, bool | None] = {"startup": status.started, "readiness": status.ready}
            return {kind: Tally(verdict) for kind, verdict in verdicts.items() if verdict}
    return {}


class ProbeListener(Protocol):
    """Who wants to know."""

    def health_changed(self) -> None:
        """Some container's health is another one now."""

    def probe_failed(self, container: Container, kind: ProbeKind, message: str) -> None:
        """One question was answered badly (an event, nothing more)."""

    def probe_warned(self, container: Container, kind: ProbeKind, message: str) -> None:
        """One question was answered well but oddly (an event, nothing more)."""

    def container_unhealthy(self, container: Container, kind: ProbeKind, probe: Probe) -> None:
        """The startup or liveness probe gave the container up: it shall be restarted."""


Ask = Callable[[Container, Probe], Awaitable[Answer]]


class Prober:
    """The probes of one pod's running containers."""

    def __init__(self, ask: Ask, listener: ProbeListener, env: Env) -> None:
        self._ask = ask
        self._listener = listener
        self._env = env
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._tallies: dict[str, dict[ProbeKind, Tally]] = {}
        self._names: dict[str, str] = {}

    def sync(self, pod: Pod, running: Mapping[str, Container]) -> None:
        """Probe exactly these containers (by id) from now on."""
        for container_id in self._tasks.keys() - running.keys():
            self._tasks.pop(container_id).cancel()
            self._tallies.pop(container_id)
            self._names.pop(container_id)
        for container_id in running.keys() - self._tasks.keys():
            container = running[container_id]
            self._tallies[container_id] = _remembered(pod, container_id)
            self._names[container_id] = container.name
            self._tasks[container_id] = asyncio.ensure_future(self._watch(pod, container))

    def health(self, pod: Pod) -> dict[str, Health]:
        """The health of every container that is being probed, by name."""
        found = {}
        for container_id, tallies in self._tallies.items():
            name = self._names[container_id]
            startup, readiness = probe_of(pod, name, "startup"), probe_of(pod, name, "readiness")
            started = startup is None or tallies.get("startup", Tally()).verdict is True
            ready = readiness is None or tallies.get("readiness", Tally()).verdict is True
            found[name] = Health(started=started, ready=ready)
        return found

    def started(self, pod: Pod) -> frozenset[str]:
        """The ids of the containers whose startup probe succeeded, if they have one."""
        return frozenset(
            container_id
            for container_id, tallies in self._tallies.items()
            if probe_of(pod, self._names[container_id], "startup") is None
            or tallies.get("startup", Tally()).verdict is True
        )

    async def close(self) -> None:
        """Stop asking."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        self._tallies.clear()
        self._names.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, pod: Pod, container: Container) -> None:
        while True:
            try:
                await self._ask_in_turn(pod, container)
            except Exception:  # the outermost loop of a probe: a bug here must not end the agent
                log.exception("probe_crashed", container=container.name, pod_uid=container.pod_uid)
                await asyncio.sleep(CRASH_PAUSE_SECONDS)
            else:
                return  # there is nothing (more) to ask

    async def _ask_in_turn(self, pod: Pod, container: Container) -> None:
        """Ask the startup probe until it is content, then the others for as long as the container runs."""
        startup = probe_of(pod, container.name, "startup")
        if startup is not None and self._tallies.get(container.id, {}).get("startup", Tally()).verdict is not True:
            await self._repeat(container, "startup", startup)
        kinds: tuple[ProbeKind, ...] = ("liveness", "readiness")
        probes = {kind: probe for kind in kinds if (probe := probe_of(pod, container.name, kind)) is not None}
        async with asyncio.TaskGroup() as group:
            for kind, probe in probes.items():
                group.create_task(self._repeat(container, kind, probe))

    async def _repeat(self, container: Container, kind: ProbeKind, probe: Probe) -> None:
        """Ask until told to stop; the startup probe ends with its first verdict."""
        age = self._env.now() - container.started_time
        first = float(probe.initial_delay_seconds or 0)
        if kind == "liveness":
            first = max(first, FIRST_LIVENESS_SECONDS)
        await asyncio.sleep(max(0.0, first - age))
        period = float(probe.period_seconds or 10)
        quick = QUICK_FIRST_SECONDS if kind != "liveness" else period
        while True:
            answer = await self._ask(container, probe)
            if container.id not in self._tallies:
                return  # let go meanwhile: cancelling the group of tasks reaches this one only after its answer
            before = self._tallies[container.id].get(kind, Tally())
            early = not answer.ok and before.verdict is None and quick < period
            after = before if early else self._count(container, kind, probe, before, answer)
            if kind == "startup" and after.verdict is not None:
                if after.verdict:
                    return
                await asyncio.Event().wait()  # given up: the container is being stopped, and this task with it
            await asyncio.sleep(quick if early else period)
            quick = min(2 * quick, period)

    def _count(self, container: Container, kind: ProbeKind, probe: Probe, before: Tally, answer: Answer) -> Tally:
        after = counted(before, probe, ok=answer.ok)
        self._tallies[container.id][kind] = after
        if not answer.ok:
            self._listener.probe_failed(container, kind, answer.message)
        elif answer.warning:
            self._listener.probe_warned(container, kind, answer.warning)
        if after.verdict != before.verdict:
            self._listener.health_changed()
        if kind != "readiness" and after.verdict is False and not answer.ok:
            self._listener.container_unhealthy(container, kind, probe)
        return after
