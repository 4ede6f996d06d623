"""All pods of the node: one worker each, fed with assignments, ended containers and repairs.

A container of a pod that nobody assigned is only touched after a full set of inputs from our cluster said so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace

import structlog

from agent.admission import refusal
from agent.desired import Desired
from agent.environment import named_objects as environment_objects
from agent.events import EventRecorder
from agent.inputs import Changes, Inputs, Key
from agent.network_sync import NetworkSync
from agent.observed import Observed, Verdict, finished_phase
from agent.paths import Paths
from agent.pod_steps import PodSteps
from agent.reports import ReportBook
from agent.runtime.protocol import Container, ContainerRuntime, RuntimeFailure
from agent.told_ends import completed_names, recalled
from agent.volume_content import named_objects as volume_objects
from agent.volumes import present, remove_memory_volumes
from agent.worker import PodWorker
from api.core import Pod
from api.errors import Invalid
from component.env import Env
from component.tasks import run_together
from netplugin.protocol import NetworkFailure, PodNetwork

log = structlog.get_logger()

REPAIR_SECONDS = 60.0
EXITS_RETRY_SECONDS = 1.0
_KINDS = {"configmaps": "ConfigMap", "secrets": "Secret"}


@dataclass(frozen=True, slots=True)
class Findings:
    """What is on the node, by pod uid."""

    containers: dict[str, tuple[Container, ...]]
    sandboxes: frozenset[str]
    addresses: dict[str, str]
    files: dict[str, bool]  # whether there are volumes among them

    def uids(self) -> set[str]:
        """Every pod that left something here."""
        return {*self.containers, *self.sandboxes, *self.addresses, *self.files}


class Pods:
    """The workers. `ready` says that what was on the node has been taken over."""

    def __init__(
        self,
        *,
        inputs: Inputs,
        runtime: ContainerRuntime,
        network: PodNetwork,
        steps: PodSteps,
        reports: ReportBook,
        events: EventRecorder,
        paths: Paths,
        env: Env,
    ) -> None:
        self.sync = NetworkSync(network, self._network_synced, env)
        self.ready = False
        self._inputs = inputs
        self._runtime = runtime
        self._network = network
        self._steps = steps
        self._reports = reports
        self._events = events
        self._paths = paths
        self._env = env
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._reap = asyncio.Event()

    def worker(self, namespace: str, name: str) -> PodWorker | None:
        """The worker of an assigned pod by the pod's name."""
        for worker in self._workers.values():
            pod = worker.pod
            if pod is not None and (pod.metadata.namespace, pod.metadata.name) == (namespace, name):
                return worker
        return None

    def workers(self) -> list[PodWorker]:
        """All workers."""
        return list(self._workers.values())

    def network_ready(self, uid: str) -> bool:
        """Whether the network of the pod's assignment is in the kernel."""
        assigned = self._inputs.pods.get(uid)
        return assigned is not None and self.sync.synced_revision >= assigned.network_revision

    def serves(self, ip: str) -> bool:
        """Whether a Service still sends new connections to this address."""
        return self._inputs.serves(ip)

    async def adopt(self, *, rebooted: bool) -> None:
        """Take over what an earlier run of the agent left. Raises RuntimeFailure, NetworkFailure.

        After a boot no process, no namespace and no memory volume is left, whatever the runtime remembers.
        """
        findings = await self._find()
        if rebooted:
            await asyncio.to_thread(remove_memory_volumes, self._paths)
            findings = _after_boot(findings)
        for uid, assigned in self._inputs.pods.items():
            self._start(uid, assigned.pod, _adopted(assigned.pod, findings))
        self.ready = True
        log.info("pods_adopted", assigned=len(self._workers), found=len(findings.uids()), rebooted=rebooted)

    def apply(self, changes: Changes) -> None:
        """Pass on what new inputs changed."""
        if changes.network:
            self.sync.submit(self._inputs.network())
        else:
            self.sync.unchanged(self._inputs.revision)
        if not self.ready:
            return
        for uid in changes.pods:
            self._assign(uid)
        if changes.configuration:
            self._configuration_changed(changes.configuration)
        if changes.network:
            for worker in self._workers.values():
                if worker.observed.serving:
                    worker.wake()
        if changes.full:
            for uid in self._inputs.pods:
                self._reports.compare(uid, self._inputs.stored_status(uid))
            self.reap()

    def reap(self) -> None:
        """Remove what belongs to no assigned pod; only after a full set of inputs from our cluster."""
        self._reap.set()

    def unknown(self, uids: Iterable[str]) -> None:
        """The control plane does not know these pods: nothing of them shall stay."""
        for uid in uids:
            worker = self._workers.get(uid)
            if worker is not None and worker.pod is not None and worker.observed.gone_reported:
                worker.assign(None)

    async def run(self) -> None:
        """Watch containers end, repair what was missed, remove what is not assigned; until cancelled."""
        try:
            await run_together(self._watch_exits(), self._repair(), self._remove_unassigned(), self.sync.run())
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _assign(self, uid: str) -> None:
        assigned = self._inputs.pods.get(uid)
        worker = self._workers.get(uid)
        if worker is not None:
            if assigned is not None and worker.recall(assigned.pod):
                self._reports.restore(uid, self._inputs.stored_status(uid))
            worker.assign(assigned.pod if assigned is not None else None)
        elif assigned is not None:
            observed = Observed()
            verdict = None
            if not finished_phase(assigned.pod):
                verdict = self._refusal(assigned.pod)
            worker = self._start(uid, assigned.pod, observed)
            if verdict is not None:
                worker.give_up(verdict)

    def _refusal(self, pod: Pod) -> Verdict | None:
        try:
            return refusal(pod, self._active(pod.metadata.uid), self._steps.node.allocatable)
        except Invalid as error:
            return Verdict("UnexpectedAdmissionError", f"Pod was rejected: {error}")

    def _active(self, uid: str) -> list[Pod]:
        """The assigned pods beside one that still use what they request."""
        return [
            each.pod
            for each in self._inputs.pods.values()
            if each.pod.metadata.uid != uid
            and not finished_phase(each.pod)
            and ((worker := self._workers.get(each.pod.metadata.uid)) is None or worker.observed.verdict is None)
        ]

    def _start(self, uid: str, pod: Pod | None, observed: Observed) -> PodWorker:
        if pod is not None:
            stored = self._inputs.stored_status(uid)
            self._reports.seed(uid, pod.metadata.namespace, pod.metadata.name, stored)
        worker = PodWorker(
            Desired(uid, pod),
            observed,
            steps=self._steps,
            world=self,
            reports=self._reports,
            events=self._events,
            env=self._env,
        )
        self._workers[uid] = worker
        self._tasks[uid] = asyncio.ensure_future(self._run_worker(worker))
        return worker

    async def _run_worker(self, worker: PodWorker) -> None:
        try:
            await worker.run()
        finally:
            self._workers.pop(worker.uid, None)
            self._tasks.pop(worker.uid, None)
            self._reports.forget(worker.uid)

    def _configuration_changed(self, keys: frozenset[Key]) -> None:
        changed = {(_KINDS[kind], namespace, name) for kind, namespace, name in keys}
        for worker in self._workers.values():
            pod = worker.pod
            if pod is None:
                continue
            named = volume_objects(pod) | environment_objects(pod)
            if any((kind, pod.metadata.namespace, name) in changed for kind, name in named):
                worker.configuration_changed()

    def _network_synced(self) -> None:
        for worker in self._workers.values():
            if not worker.observed.network_ready or worker.observed.serving:
                worker.wake()

    async def _watch_exits(self) -> None:
        while True:
            try:
                async for container in self._runtime.exits():
                    worker = self._workers.get(container.pod_uid)
                    if worker is not None:
                        worker.container_seen(container)
            except RuntimeFailure as error:
                log.warning("exits_lost", error=str(error))
            await asyncio.sleep(EXITS_RETRY_SECONDS)
            await self._compare()

    async def _repair(self) -> None:
        while True:
            await asyncio.sleep(REPAIR_SECONDS)
            await self._compare()

    async def _compare(self) -> None:
        """Correct the workers' view of containers where it is not what the runtime says."""
        before = {worker.uid: {c.id for c in worker.observed.containers} for worker in self._workers.values()}
        try:
            listed = {container.id: container for container in await self._runtime.list_containers()}
        except RuntimeFailure as error:
            log.warning("containers_unreadable", error=str(error))
            return
        for uid, known in before.items():
            worker = self._workers.get(uid)
            if worker is None:
                continue
            for container in worker.observed.containers:
                if container.id not in listed and container.id in known:
                    worker.container_missing(container.id)
                elif container.id in listed and listed[container.id].state != container.state:
                    worker.container_seen(listed[container.id])

    async def _remove_unassigned(self) -> None:
        """After each full set: end whatever is on the node that belongs to no assigned pod."""
        while True:
            await self._reap.wait()
            self._reap.clear()
            try:
                findings = await self._find()
            except (RuntimeFailure, NetworkFailure, OSError) as error:
                log.warning("node_unreadable", error=str(error))
                await asyncio.sleep(EXITS_RETRY_SECONDS)
                self._reap.set()
                continue
            for uid in sorted(findings.uids() - self._inputs.assigned_uids()):
                if uid not in self._workers:
                    log.warning("unassigned_pod_found", pod_uid=uid)
                    self._start(uid, None, _observed(uid, findings))

    async def _find(self) -> Findings:
        containers: dict[str, tuple[Container, ...]] = {}
        for container in await self._runtime.list_containers():
            containers[container.pod_uid] = (*containers.get(container.pod_uid, ()), container)
        addresses = {uid: attachment.ip for uid, attachment in (await self._network.attached()).items()}
        files = await asyncio.to_thread(present, self._paths)
        return Findings(containers, frozenset(await self._runtime.sandboxes()), addresses, dict(files))


def _after_boot(findings: Findings) -> Findings:
    lost = {
        uid: tuple(replace(c, state="unknown") if c.state in {"created", "running"} else c for c in containers)
        for uid, containers in findings.containers.items()
    }
    return replace(findings, containers=lost)


def _observed(uid: str, findings: Findings) -> Observed:
    """What is known of a pod from what was found; whether it is in order is checked by doing every step again."""
    return Observed(
        containers=findings.containers.get(uid, ()),
        sandbox_present=uid in findings.sandboxes,
        network_present=uid in findings.addresses,
        ip=findings.addresses.get(uid, ""),
        volumes_present=findings.files.get(uid, False),
        files_present=uid in findings.files,
    )


def _adopted(pod: Pod, findings: Findings) -> Observed:
    """As `_observed`, of an assigned pod: its stored status tells what the node does not know any more."""
    found = _observed(pod.metadata.uid, findings)
    kept = frozenset(completed_names(pod)) - {container.name for container in found.containers}
    return replace(
        found,
        containers=tuple(recalled(container, pod) for container in found.containers),
        sandbox_lost=bool(found.containers) and not found.sandbox_present,
        completed=kept if found.sandbox_present else frozenset(),
    )
