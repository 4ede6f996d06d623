"""The scheduler's shell: pods and nodes come in as events, placements go out as bindings.

It holds the snapshot, in which pods are assumed on their nodes from the moment they are placed, so that the next
pods can be placed while bindings are under way. Over-commitment is impossible even if it is wrong: the API refuses.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

import structlog

from api import errors
from api.core import Node, Pod
from api.errors import ApiError
from component.client import ApiClient, Binding
from component.env import Env, rfc3339
from component.informer import Change, Informer
from component.slices import let_others_run
from component.tasks import run_together
from controlplane.controllers.actions import EventKind, Record
from controlplane.controllers.conditions import with_condition
from controlplane.controllers.events import Recorder
from controlplane.scheduler import facts
from controlplane.scheduler.cycle import Placed, Unschedulable, Waiting, by_class, schedule
from controlplane.scheduler.queue import SchedulingQueue
from controlplane.scheduler.snapshot import Snapshot

log = structlog.get_logger()

CYCLE = 250  # pods placed at a time: one class of that many takes about 3 ms
SLICE_SECONDS = 0.003  # placed classes of pods hold the loop about this long
BINDERS = 4  # bindings under way at once
BINDINGS = 500  # in one request
CONFLICT_SECONDS = 0.05


class Scheduler:
    """Places pods until cancelled; wakes only by events and back-offs."""

    def __init__(
        self, client: ApiClient, env: Env, pods: Informer[Pod], nodes: Informer[Node], recorder: Recorder
    ) -> None:
        self._client = client
        self._env = env
        self._pods = pods
        self._nodes = nodes
        self._recorder = recorder
        self._snapshot = Snapshot()
        self._queue = SchedulingQueue()
        self._wake = asyncio.Event()
        self._placed: deque[Placed] = deque()
        self._bindable = asyncio.Event()
        self._reports: dict[str, Unschedulable] = {}
        self._reportable = asyncio.Event()

    async def run(self) -> None:
        """Wait for the caches, then place what waits and what comes; ends by cancellation."""
        await self._pods.wait_synced()
        await self._nodes.wait_synced()
        unsubscribes = [self._nodes.subscribe(self._node_changed), self._pods.subscribe(self._pod_changed)]
        try:
            async for node in self._nodes.each():
                self._node_changed(Change(None, node))
            async for pod in self._pods.each():
                self._pod_changed(Change(None, pod))
            await run_together(self._place(), *(self._bind() for _ in range(BINDERS)), self._report())
        finally:
            for unsubscribe in unsubscribes:
                unsubscribe()

    def _node_changed(self, change: Change[Node]) -> None:
        if change.new is None:
            self._snapshot.remove_node(change.latest.object.name)
            return
        if self._snapshot.set_node(facts.node_facts(change.new)):
            self._help()

    def _pod_changed(self, change: Change[Pod]) -> None:
        pod = change.latest
        if change.new is not None and facts.occupies_node(pod.view):
            self._queue.remove(pod.object.uid)
            self._snapshot.set_pod(facts.use(pod))
        elif change.new is not None and facts.needs_node(pod.view):
            if self._snapshot.node_of(pod.object.uid) is None:  # else its binding is under way
                self._queue.add(facts.waiting(pod))
                self._wake.set()
        else:
            self._queue.remove(pod.object.uid)
            if self._snapshot.remove_pod(pod.object.uid):
                self._help()

    def _help(self) -> None:
        self._queue.wake(self._env.monotonic())
        self._wake.set()

    async def _place(self) -> None:
        while True:
            now = self._env.monotonic()
            pods = self._queue.take(CYCLE, now)
            if not pods:
                await self._sleep(self._queue.due_seconds(now))
                continue
            begin_time = now
            for equal in by_class(pods):
                self._place_equal(equal)
                if self._env.monotonic() - begin_time >= SLICE_SECONDS:
                    await let_others_run()
                    begin_time = self._env.monotonic()
            await let_others_run()

    def _place_equal(self, pods: Sequence[Waiting]) -> None:
        present = [pod for pod in pods if pod.uid in self._queue]  # the others went while the loop let others run
        try:
            self._take_up(schedule(self._snapshot, present))
        except Exception:
            log.exception("cycle_broken", pods=len(present))
            for pod in present:
                self._give_back(pod)

    def _take_up(self, answers: Sequence[Placed | Unschedulable]) -> None:
        now = self._env.monotonic()
        for answer in answers:
            if isinstance(answer, Placed):
                self._placed.append(answer)
                self._bindable.set()
            else:
                self._queue.failed(answer.pod.uid, now, unschedulable=True)
                self._reports[answer.pod.uid] = answer
                self._reportable.set()

    async def _sleep(self, seconds: float | None) -> None:
        """Wait for an event, at most `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    async def _bind(self) -> None:
        while True:
            if not self._placed:
                self._bindable.clear()
                await self._bindable.wait()
                continue
            batch = [self._placed.popleft() for _ in range(min(len(self._placed), BINDINGS))]
            bindings = [Binding(p.pod.namespace, p.pod.name, p.pod.uid, p.node) for p in batch]
            results: Sequence[ApiError | None]
            try:
                results = await self._client.bind(bindings)
            except ApiError as error:
                results = [error] * len(batch)
            for placed, result in zip(batch, results, strict=True):
                self._bound(placed, result)

    def _bound(self, placed: Placed, error: ApiError | None) -> None:
        pod = placed.pod
        if error is None:
            self._queue.remove(pod.uid)
            log.info("pod_bound", namespace=pod.namespace, pod=pod.name, node=placed.node)
            message = f"Successfully assigned {pod.namespace}/{pod.name} to {placed.node}"
            self._record(pod, "Normal", "Scheduled", message)
            return
        log.warning("binding_failed", namespace=pod.namespace, pod=pod.name, node=placed.node, reason=error.reason)
        cached = self._pods.get(pod.namespace, pod.name)
        if cached is None or cached.object.uid != pod.uid or not facts.occupies_node(cached.view):
            self._snapshot.remove_pod(pod.uid)
        if isinstance(error, errors.NotFound) and cached is None:
            self._queue.remove(pod.uid)
            return
        self._give_back(pod)

    def _give_back(self, pod: Waiting) -> None:
        self._queue.failed(pod.uid, self._env.monotonic(), unschedulable=False)
        self._wake.set()

    async def _report(self) -> None:
        """Tell people which pods are unschedulable, and why."""
        while True:
            if not self._reports:
                self._reportable.clear()
                await self._reportable.wait()
                continue
            answer = self._reports.pop(next(iter(self._reports)))
            try:
                await self._report_one(answer)
            except errors.Conflict:
                self._reports.setdefault(answer.pod.uid, answer)  # once the cache shows what came between
                await asyncio.sleep(CONFLICT_SECONDS)
            except ApiError as error:
                log.info("report_failed", pod=answer.pod.name, reason=error.reason, message=str(error))

    async def _report_one(self, answer: Unschedulable) -> None:
        pod = answer.pod
        cached = self._pods.get(pod.namespace, pod.name)
        if cached is None or cached.object.uid != pod.uid or not facts.needs_node(cached.view):
            return
        self._record(pod, "Warning", "FailedScheduling", answer.message)
        tree = cached.object.tree()
        status = tree.setdefault("status", {})
        told = status.get("conditions", [])
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": answer.message}
        conditions = with_condition(told, condition, rfc3339(self._env.now()))
        if conditions != told:
            status["conditions"] = conditions
            await self._client.update_status(tree)

    def _record(self, pod: Waiting, kind: EventKind, reason: str, message: str) -> None:
        cached = self._pods.get(pod.namespace, pod.name)
        if cached is not None and cached.object.uid == pod.uid:
            self._recorder.record(Record(cached.object, kind, reason, message))
