"""Performs the actions of one pod, each at most a few seconds; what takes longer runs beside the rest as a task."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine

import structlog

from agent import actions as act
from agent.backoff import next_backoff
from agent.desired import grace_seconds, pod_grace_seconds
from agent.environment import ConfigError
from agent.ephemeral import process_target
from agent.events import EventRecorder, EventType
from agent.observed import dead
from agent.pod_record import PodRecord
from agent.pod_steps import PodSteps
from agent.reports import ReportBook
from agent.runtime.protocol import Container, RuntimeFailure
from agent.stop_signal import stop_signal
from agent.volumes import VolumeFailure
from api.core import Container as ContainerSpec
from component.env import Env
from netplugin.protocol import NetworkFailure

log = structlog.get_logger()

STEP_FAILURES = (RuntimeFailure, NetworkFailure, VolumeFailure, ConfigError, TimeoutError, OSError)
"""What an action may raise without being a bug."""

POST_START_SECONDS = 3600.0
"""A postStart hook has no time-out of its own; the end of the container ends it."""


class Performer:
    """Changes the world and writes into the record what became of it; `wake` asks for another look."""

    def __init__(
        self,
        record: PodRecord,
        steps: PodSteps,
        reports: ReportBook,
        events: EventRecorder,
        wake: Callable[[], None],
        env: Env,
    ) -> None:
        self._record = record
        self._steps = steps
        self._reports = reports
        self._events = events
        self._wake = wake
        self._env = env
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._gone_logged = False
        self.done = False

    async def perform(self, action: act.Action) -> None:
        """Perform one action. Raises STEP_FAILURES."""
        match action:
            case act.MakeSandbox() | act.AttachNetwork() | act.MakeVolumes() | act.RefreshVolumes():
                await self._prepare(action)
            case act.PullImage(name):
                self._record.set(pulling=self._record.observed.pulling | {name})
                self._spawn(f"pull:{name}", self._pull(action))
                return  # the task tells how it went
            case act.CreateContainer(name, attempt):
                await self._create(name, attempt)
            case act.StartContainer(container_id):
                await self._start(container_id)
            case act.BeginStop(container_id, reason, message, grace):
                self.begin_stop(container_id, reason, message, grace)
            case act.RunPreStop(container_id, seconds):
                self._record.set(hooks={**self._record.observed.hooks, container_id: "running"})
                self._spawn(f"hook:{container_id}", self._pre_stop(container_id, seconds))
            case act.SignalTerm(container_id):
                await self._term(container_id)
            case act.Kill(container_id):
                await self._kill(container_id)
            case _:
                await self._tear_down(action)
        self._record.succeeded(action)

    def begin_stop(self, container_id: str, reason: str, message: str, grace: float) -> None:
        """Decide to end one container and tell why."""
        if self._record.begin_stop(container_id, reason, message, grace):
            self.event("Normal", "Killing", message, self._record.name(container_id))

    def failed(self, action: act.Action, error: Exception) -> None:
        """Note a failure: in the record, in the log, as an event."""
        key, failure = self._record.failed(action, error)
        step, _, name = key.partition(":")
        log.warning(
            "pod_step_failed",
            pod_uid=self._record.uid,
            step=key,
            reason=failure.reason,
            error=failure.message,
            retry_seconds=failure.delay_seconds,
        )
        reason, words = _FAILURE_EVENTS.get(step, ("Failed", "Error: "))
        self.event("Warning", reason, f"{words}{failure.message}", name)

    def event(self, event_type: EventType, reason: str, message: str, container: str = "") -> None:
        """Record an event about the pod."""
        if self._record.pod is not None:
            self._events.record(self._record.pod, event_type, reason, message, container)
            self._reports.events_waiting()

    def cancel_pulls(self) -> None:
        """The pod goes: its images are not needed any more."""
        for name in [name for name in self._tasks if name.startswith("pull:")]:
            self._tasks.pop(name).cancel()

    async def close(self) -> None:
        """End everything that runs beside."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _prepare(self, action: act.Action) -> None:
        record, pod = self._record, self._record.assigned()
        match action:
            case act.MakeSandbox():
                record.set(sandbox_present=True)
                sandbox = await self._steps.make_sandbox(pod)
                if record.observed.sandbox_lost:  # what was done in the lost one has to be done again
                    record.set(completed=frozenset())
                record.set(sandbox=sandbox, sandbox_lost=False)
            case act.AttachNetwork():
                assert record.observed.sandbox is not None
                record.set(network_present=True)
                record.set(ip=await self._steps.attach(pod, record.observed.sandbox), attached=True)
            case act.MakeVolumes():
                record.set(volumes_present=True, files_present=True, volumes_stale=False)
                await self._steps.make_volumes(pod, record.observed.ip)
                record.set(volumes_made=True)
            case _:
                record.set(volumes_stale=False)
                try:
                    await self._steps.refresh_volumes(pod, record.observed.ip)
                except STEP_FAILURES:
                    record.set(volumes_stale=True)
                    raise

    async def _pull(self, action: act.PullImage) -> None:
        name, spec = action.container, self._record.spec(action.container)
        try:
            if spec is None:
                return
            image = spec.image
            ensured = await self._steps.ensure_image(
                spec, lambda: self.event("Normal", "Pulling", f'Pulling image "{image}"', name)
            )
            self._record.set(images={**self._record.observed.images, name: ensured.image})
            self._record.succeeded(action)
            if ensured.took_seconds is None:
                message = f'Container image "{spec.image}" already present on machine'
            else:
                took, size = f"{ensured.took_seconds:.3f}s", ensured.image.size_bytes
                message = f'Successfully pulled image "{spec.image}" in {took}. Image size: {size} bytes.'
            self.event("Normal", "Pulled", message, name)
        except STEP_FAILURES as error:
            self.failed(action, error)
        finally:
            self._record.set(pulling=self._record.observed.pulling - {name})
            self._wake()

    async def _create(self, name: str, attempt: int) -> None:
        record = self._record
        observed, spec = record.observed, record.spec(name)
        assert spec is not None
        assert observed.sandbox is not None
        previous = [c for c in observed.containers if c.name == name and dead(c)]
        record.set(files_present=True)
        container, skipped = await self._steps.create(
            record.assigned(),
            spec,
            attempt,
            observed.sandbox,
            observed.ip,
            observed.images[name],
            process_target(spec, observed),
        )
        restarts = dict(record.observed.restarts)
        if previous:
            finished_time = max(c.finished_time for c in previous)
            restarts[name] = next_backoff(restarts.get(name), finished_time, self._env.now())
        images = {key: image for key, image in record.observed.images.items() if key != name}
        record.set(restarts=restarts, images=images)
        record.merge(container)
        self.event("Normal", "Created", f"Created container: {name}", name)
        if skipped:
            message = f"Keys that cannot be environment variables were skipped: {', '.join(skipped)}"
            self.event("Warning", "InvalidEnvironmentVariableNames", message, name)

    async def _start(self, container_id: str) -> None:
        name = self._record.name(container_id)
        try:
            container = await self._steps.start(container_id)
        except RuntimeFailure as error:
            if error.reason != "RunContainerError":
                raise
            self._record.start_failed(container_id, str(error))
            self.event("Warning", "Failed", f"Error: {error}", name)
            return
        spec = self._record.spec(name)
        hooked = spec is not None and spec.lifecycle is not None and spec.lifecycle.post_start is not None
        if hooked:
            self._record.set(starting=self._record.observed.starting | {container_id})
        self._record.merge(container)
        self.event("Normal", "Started", f"Started container {name}", name)
        if hooked and spec is not None:
            self._spawn(f"start:{container_id}", self._post_start(container, spec))

    async def _term(self, container_id: str) -> None:
        self._announce_end(container_id)
        record = self._record
        number = stop_signal(record.spec(record.name(container_id)), record.container(container_id))
        await self._steps.runtime.signal(container_id, number)
        self._record.set(signalled={**self._record.observed.signalled, container_id: self._env.now()})

    async def _kill(self, container_id: str) -> None:
        repeated = container_id in self._record.observed.killed
        self._announce_end(container_id)
        await self._steps.runtime.signal(container_id, signal.SIGKILL)
        self._record.set(killed={**self._record.observed.killed, container_id: self._env.now()})
        if repeated:  # it should be long gone: maybe we missed how it ended
            found = {c.id: c for c in await self._steps.runtime.list_containers()}
            if container_id in found:
                self._record.merge(found[container_id])
            else:
                self._record.drop(container_id)

    def _announce_end(self, container_id: str) -> None:
        """Tell once that a container is being stopped; what was stopped on its own account was told then."""
        observed = self._record.observed
        told = (observed.stops, observed.signalled, observed.killed)
        if not any(container_id in each for each in told):
            name = self._record.name(container_id)
            self.event("Normal", "Killing", f"Stopping container {name}", name)
            grace = grace_seconds(self._record.desired)
            log.info("container_stopping", pod_uid=self._record.uid, container=name, grace_seconds=grace)

    async def _pre_stop(self, container_id: str, seconds: float) -> None:
        record = self._record
        container, spec = record.container(container_id), record.spec(record.name(container_id))
        hook = spec.lifecycle.pre_stop if spec is not None and spec.lifecycle is not None else None
        try:
            if container is not None and spec is not None and hook is not None:
                answer = await self._steps.hook(container, spec, hook, record.observed.ip, seconds)
                if not answer.ok:
                    self.event("Warning", "FailedPreStopHook", f"PreStopHook failed: {answer.message}", spec.name)
        finally:
            record.set(hooks={**record.observed.hooks, container_id: "done"})
            self._wake()

    async def _post_start(self, container: Container, spec: ContainerSpec) -> None:
        assert spec.lifecycle is not None
        assert spec.lifecycle.post_start is not None
        hook = spec.lifecycle.post_start
        try:
            answer = await self._steps.hook(container, spec, hook, self._record.observed.ip, POST_START_SECONDS)
        finally:
            self._record.set(starting=self._record.observed.starting - {container.id})
            self._wake()
        if not answer.ok and self._record.pod is not None:
            message = f"PostStartHook failed: {answer.message}"
            self.event("Warning", "FailedPostStartHook", message, spec.name)
            grace = pod_grace_seconds(self._record.pod)
            self.begin_stop(container.id, "FailedPostStartHook", "FailedPostStartHook", grace)

    async def _tear_down(self, action: act.Action) -> None:
        record, uid = self._record, self._record.uid
        match action:
            case act.RemoveContainer(container_id):
                await self._steps.runtime.remove(container_id)
                record.drop(container_id)
            case act.Detach():
                await self._steps.detach(uid)
                record.set(network_present=False, attached=False)
            case act.RemoveVolumes():
                await self._steps.remove_volumes(uid)
                record.set(volumes_present=False, volumes_made=False)
            case act.RemoveSandbox():
                await self._steps.runtime.remove_sandbox(uid)
                record.set(sandbox_present=False, sandbox=None)
            case act.RemoveFiles():
                await self._steps.remove_files(uid)
                record.set(files_present=False)
            case act.ReportGone():
                self._report_gone()
            case _:
                raise AssertionError(f"{action} is not an action that is performed")

    def _report_gone(self) -> None:
        self._record.set(gone_reported=True)
        pod = self._record.pod
        if pod is None:
            self.done = True
        else:
            self._reports.put_gone(self._record.uid, pod.metadata.namespace, pod.metadata.name)
        if not self._gone_logged:  # it comes here once more when the control plane has forgotten the pod
            self._gone_logged = True
            log.info("pod_gone", pod_uid=self._record.uid)

    def _spawn(self, name: str, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(self._guarded(name, work))
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._tasks.pop(name, None) if self._tasks.get(name) is task else None)

    async def _guarded(self, name: str, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except Exception:  # the outermost frame of a task: nobody else would see it
            log.exception("pod_task_crashed", pod_uid=self._record.uid, task=name)


_FAILURE_EVENTS = {
    "sandbox": ("FailedCreatePodSandBox", "Failed to create pod sandbox: "),
    "network": ("FailedCreatePodSandBox", "Failed to set up the pod's network: "),
    "volumes": ("FailedMount", ""),
    "refresh": ("FailedMount", ""),
    "remove": ("FailedKillPod", "error killing pod: "),
}
