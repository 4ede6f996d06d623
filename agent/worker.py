"""One pod's shell: observes, asks `pod_actions`, performs, starts over. Wakes by events only, holds no decision."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Protocol

import structlog

from agent import actions as act
from agent.desired import Desired, pod_grace_seconds, terminating
from agent.events import EventRecorder
from agent.observed import Observed, Verdict, finished_phase, running
from agent.performer import STEP_FAILURES, Performer
from agent.pod_record import PodRecord
from agent.pod_steps import PodSteps
from agent.pod_sync import pod_actions
from agent.probes import Answer, ProbeKind, Prober
from agent.progress import ending
from agent.reports import ReportBook
from agent.runtime.protocol import Container
from agent.status import FINAL_PHASES, NodeAddresses, container_statuses, pod_status
from api.core import Pod, Probe
from api.object import Tree
from component.env import Env

log = structlog.get_logger()

CRASH_PAUSE_SECONDS = 5.0


class World(Protocol):
    """What a worker asks about the rest of the node."""

    def network_ready(self, uid: str) -> bool:
        """Whether the network that the pod's assignment needs is in the kernel."""

    def serves(self, ip: str) -> bool:
        """Whether a Service still sends new connections to this address."""


class PodWorker:
    """Brings one pod to what is desired, until nothing of it is left.

    All methods are called on the loop. `observed` is what was found on the node when the worker was made.
    """

    def __init__(
        self,
        desired: Desired,
        observed: Observed,
        *,
        steps: PodSteps,
        world: World,
        reports: ReportBook,
        events: EventRecorder,
        env: Env,
    ) -> None:
        self._record = PodRecord(desired, observed, steps.last_words, env)
        self._performer = Performer(self._record, steps, reports, events, self.wake, env)
        self._prober = Prober(self._ask, self, env)
        self._steps = steps
        self._world = world
        self._reports = reports
        self._env = env
        self._wake = asyncio.Event()

    @property
    def uid(self) -> str:
        """The pod's uid."""
        return self._record.uid

    @property
    def pod(self) -> Pod | None:
        """The pod as it is assigned, None when it is not (any more)."""
        return self._record.pod

    @property
    def observed(self) -> Observed:
        """The newest observation."""
        return self._record.observed

    def reported(self) -> Tree:
        """The status that was reported last."""
        return self._reports.last_status(self.uid)

    def assign(self, pod: Pod | None) -> None:
        """The control plane's newest word; None: nothing of this pod shall be here."""
        if pod is not None and self.pod is not None and _tells_of_itself(pod) != _tells_of_itself(self.pod):
            self._record.set(volumes_stale=self.observed.volumes_made)
        self._record.desired = Desired(self.uid, pod)
        if pod is None:
            self._record.set(
                gone_reported=False
            )  # there is nobody to hear it any more: the last action ends this worker
        elif self.observed.gone_reported:
            self._reports.put_gone(self.uid, pod.metadata.namespace, pod.metadata.name)
        self.wake()

    def recall(self, pod: Pod) -> bool:
        """Learn from the pod's stored status how containers ended that were not found after a boot; False: nothing."""
        return self._record.recall(pod)

    def configuration_changed(self) -> None:
        """An object that the pod's volumes or variables come from changed."""
        self._record.forget_failures("CreateContainerConfigError")
        if self.observed.volumes_made:
            self._record.set(volumes_stale=True)
        self.wake()

    def container_seen(self, container: Container) -> None:
        """The runtime's newest word on one container."""
        self._record.merge(container)
        self.wake()

    def container_missing(self, container_id: str) -> None:
        """The runtime does not know the container any more."""
        self._record.drop(container_id)
        self.wake()

    def give_up(self, verdict: Verdict) -> None:
        """End the pod for good because of the node."""
        if self.observed.verdict is None:
            self._record.set(verdict=verdict)
            self._performer.event("Warning", verdict.reason, verdict.message)
            self.wake()

    def wake(self) -> None:
        """Look again."""
        self._wake.set()

    async def run(self) -> None:
        """Work until nothing of the pod is left."""
        try:
            while not self._performer.done:
                self._wake.clear()
                try:
                    until_time = await self._work()
                except Exception:  # the outermost loop of a pod: a bug in one must not stop the others
                    log.exception("pod_worker_crashed", pod_uid=self.uid)
                    until_time = self._env.now() + CRASH_PAUSE_SECONDS
                if not self._performer.done:
                    await self._sleep(until_time)
        finally:
            await self._prober.close()
            await self._performer.close()

    def health_changed(self) -> None:
        """Report the new health."""
        self.wake()

    def probe_failed(self, container: Container, kind: ProbeKind, message: str) -> None:
        """Record the event."""
        text = f"{kind.capitalize()} probe failed: {message}"
        self._performer.event("Warning", "Unhealthy", text, container.name)

    def probe_warned(self, container: Container, kind: ProbeKind, message: str) -> None:
        """Record the event."""
        text = f"{kind.capitalize()} probe warning: {message}"
        self._performer.event("Warning", "ProbeWarning", text, container.name)

    def container_unhealthy(self, container: Container, kind: ProbeKind, probe: Probe) -> None:
        """Stop the container; its restart policy decides what follows."""
        if self.pod is not None:
            own = probe.termination_grace_period_seconds
            grace = pod_grace_seconds(self.pod) if own is None else own
            message = f"Container {container.name} failed {kind} probe, will be restarted"
            self._performer.begin_stop(container.id, "Unhealthy", message, grace)
            self.wake()

    async def _work(self) -> float | None:
        """Do what can be done now; returns until when there is nothing to do (None: until something happens)."""
        while True:
            self._look()
            found = pod_actions(self._record.desired, self.observed, self._env.now())
            self._publish()
            work = [action for action in found if not isinstance(action, act.Wait)]
            if not work:
                return min((action.until_time for action in found if isinstance(action, act.Wait)), default=None)
            await self._perform(work)
            if self._performer.done:
                return None

    async def _perform(self, work: Sequence[act.Action]) -> None:
        """Perform actions in order, up to the first that fails or until something happened meanwhile."""
        for action in work:
            self._wake.clear()
            try:
                await self._performer.perform(action)
            except STEP_FAILURES as error:
                self._performer.failed(action, error)
                return
            if self._wake.is_set():
                return

    async def _sleep(self, until_time: float | None) -> None:
        timeout = None if until_time is None else max(0.0, until_time - self._env.now())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._wake.wait()

    def _look(self) -> None:
        """Bring what is derived from elsewhere up to date."""
        record = self._record
        ready = self._world.network_ready(self.uid)
        if ready != self.observed.network_ready:
            record.set(network_ready=ready)
        over = ending(record.desired, self.observed)
        if over:
            self._look_at_end()
        if self.pod is not None:
            alive = [] if over else [c for c in running(self.observed) if c.id not in self.observed.starting]
            self._prober.sync(self.pod, {c.id: c for c in alive})
            if self.pod.spec.init_containers:
                record.set(started=self._prober.started(self.pod))

    def _look_at_end(self) -> None:
        """Note when the end began, and when Services stopped sending."""
        now, observed = self._env.now(), self.observed
        serving = self._world.serves(observed.ip)
        left_time = now if observed.serving and not serving else observed.left_service_time
        self._record.set(
            termination_time=observed.termination_time or now, serving=serving, left_service_time=left_time
        )
        self._performer.cancel_pulls()

    def _publish(self) -> None:
        """Report the status if it is another one than before."""
        pod = self.pod
        if pod is None:
            return
        before = self._reports.last_status(self.uid)
        if self._told_the_end(pod, before):
            return
        health = self._prober.health(pod)
        node = NodeAddresses(self._steps.node.ip)
        status = pod_status(pod, self.observed, health, node, before, self._env.now())
        if status != before:
            self._reports.put_status(self.uid, pod.metadata.namespace, pod.metadata.name, status)
            self._announce_back_off(pod, status, before)

    def _told_the_end(self, pod: Pod, before: Tree) -> bool:
        """Whether the reported status is the last word: what is left of the containers may know less by now.

        Containers of a pod whose init container failed never came to be, nor did those behind it.
        """
        if before.get("phase") not in FINAL_PHASES:
            return False
        over = ["terminated" in each["state"] or not each.get("containerID") for each in container_statuses(before)]
        return (finished_phase(pod) or terminating(self._record.desired)) and bool(over) and all(over)

    def _announce_back_off(self, pod: Pod, status: Tree, before: Tree) -> None:
        known = _waiting_reasons(before)
        meta = pod.metadata
        for name, reason in _waiting_reasons(status).items():
            if reason == known.get(name):
                continue
            if reason == "CrashLoopBackOff":
                where = f"{meta.name}_{meta.namespace}({meta.uid})"
                text = f"Back-off restarting failed container {name} in pod {where}"
                self._performer.event("Warning", "BackOff", text, name)
            elif reason == "ImagePullBackOff":
                spec = self._record.spec(name)
                text = f'Back-off pulling image "{spec.image if spec is not None else ""}"'
                self._performer.event("Normal", "BackOff", text, name)

    async def _ask(self, container: Container, probe: Probe) -> Answer:
        spec = self._record.spec(container.name)
        if spec is None:
            return Answer(ok=False, message="the container is not in the pod any more")
        return await self._steps.probe(container, spec, probe, self.observed.ip)


def _waiting_reasons(status: Tree) -> dict[str, str]:
    return {each["name"]: each["state"].get("waiting", {}).get("reason", "") for each in container_statuses(status)}


def _tells_of_itself(pod: Pod) -> tuple[object, ...]:
    """What downwardAPI volumes show of a pod and may change while it runs."""
    return pod.metadata.labels, pod.metadata.annotations
