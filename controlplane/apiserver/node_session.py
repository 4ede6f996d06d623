"""One node's session as the control plane holds it: carries reports to the API, inputs and requests back.

Nothing in it decides. Writes never hold up the reading: a node whose report waits for a leader is not silent.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import msgspec
import structlog

from api import errors
from api.object import Object, Tree
from api.v1 import node_pb2
from api.wellknown import AGENT_POD_CONDITIONS
from component.client import ApiClient
from component.env import Env
from controlplane.apiserver.directory import SessionDirectory
from controlplane.apiserver.node_inputs import NodeInputs
from controlplane.apiserver.objects import object_of, tree_of
from controlplane.commands import Key
from controlplane.replica import Replica

log = structlog.get_logger()

SESSION_ANNOTATION = "timonier.dev/session"
OUTBOX_MESSAGES = 256
SILENT_SECONDS = 10.0  # a session that says nothing for this long is closed; heartbeats come every second
REPORTS_QUEUED = 64
EVENTS_QUEUED = 1_000
CUT_OFF_SECONDS = 1.5  # without knowing a leader, while others may: their sessions are the better ones
LEADERLESS_SECONDS = 10.0  # while nobody is known to know one; a session that ends takes its streams with it
CONFLICT_RETRIES = 5
STATUS_RETRY_SECONDS = 0.2


class Session:
    """One node's session on this replica. Nothing in it decides: it carries reports to the API and inputs back."""

    def __init__(self, node: str, client: ApiClient, replica: Replica, directory: SessionDirectory, env: Env) -> None:
        self._node = node
        self._client = client
        self._replica = replica
        self._directory = directory
        self._env = env
        self._identity = f"{directory.replica}/{env.new_uid()}"
        self._superseded = f"a newer session of node {node!r} took over"
        self._epoch = 0
        self._outbox: asyncio.Queue[node_pb2.ServerMessage | None] = asyncio.Queue(OUTBOX_MESSAGES)
        self._reports: asyncio.Queue[node_pb2.StatusReport] = asyncio.Queue(REPORTS_QUEUED)
        self._status_due = asyncio.Event()
        self._events: asyncio.Queue[Tree] = asyncio.Queue(EVENTS_QUEUED)
        self._status: Tree = {}
        self._leader_seen = env.monotonic()

    async def register(self, register: node_pb2.Register) -> int:
        """Write who holds the node's session and what the node is; returns the session's epoch."""
        labels = msgspec.json.decode(register.node_labels or "{}", type=dict[str, str])
        self._status = _decode_tree(register.node_status)
        registered = await self._write_node(labels)
        self._epoch = registered.revision
        await self._write_status()
        return self._epoch

    def send(self, message: node_pb2.ServerMessage) -> None:
        """Queue a message to the agent. Unavailable when the agent does not keep up: the session ends then."""
        try:
            self._outbox.put_nowait(message)
        except asyncio.QueueFull:
            self._end()
            raise errors.Unavailable(f"node {self._node!r} does not read its messages") from None

    async def serve(self, messages: AsyncIterator[node_pb2.AgentMessage]) -> AsyncIterator[node_pb2.ServerMessage]:
        """Yield what goes to the agent until either side ends the session."""
        tasks = [
            asyncio.ensure_future(self._until_end(self._read(messages))),
            asyncio.ensure_future(self._until_end(self._push_inputs())),
            asyncio.ensure_future(self._until_end(self._store_reports())),
            asyncio.ensure_future(self._until_end(self._store_status())),
            asyncio.ensure_future(self._until_end(self._record_events())),
        ]
        try:
            while (message := await self._outbox.get()) is not None:
                yield message
            for task in tasks:
                if task.done() and not task.cancelled() and task.exception() is not None:
                    raise task.exception() or AssertionError
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _until_end(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            self._end()

    def _end(self) -> None:
        while True:
            try:
                self._outbox.put_nowait(None)
            except asyncio.QueueFull:
                self._outbox.get_nowait()
            else:
                return

    async def _read(self, messages: AsyncIterator[node_pb2.AgentMessage]) -> None:
        while True:
            try:
                async with asyncio.timeout(SILENT_SECONDS):
                    message = await anext(messages, None)
            except TimeoutError:
                raise errors.Unavailable(f"node {self._node!r} said nothing for {SILENT_SECONDS:g} s") from None
            if message is None:
                return
            self._directory.heard(self._node, self._epoch)
            match message.WhichOneof("message"):
                case "heartbeat":
                    self._heartbeat(message.heartbeat)
                case "report":
                    await self._reports.put(message.report)
                case other:
                    raise errors.Invalid(f"unexpected {other} in a session")

    async def _store_reports(self) -> None:
        """Beside the reading, so that a write that waits for a leader does not make the node look silent."""
        while True:
            await self._report(await self._reports.get())

    async def _store_status(self) -> None:
        while True:
            await self._status_due.wait()
            self._status_due.clear()
            try:
                await self._write_status()
            except (errors.Unavailable, errors.Unknown):
                self._status_due.set()
                await asyncio.sleep(STATUS_RETRY_SECONDS)  # some refusals come at once: a full queue, a shutdown

    def _heartbeat(self, heartbeat: node_pb2.Heartbeat) -> None:
        """Answered at once, from memory; raises what ends the session."""
        self._check_leader()
        stored = self._stored_node()
        if stored is None:
            raise errors.Conflict(f"node {self._node!r} was removed from the cluster")
        if not self._holds(stored):
            raise errors.Conflict(self._superseded)
        if heartbeat.node_status:
            self._status = _decode_tree(heartbeat.node_status)
        if heartbeat.node_status or _overruled(self._status, stored.get("status", {})):
            self._status_due.set()
        self.send(node_pb2.ServerMessage(heartbeated=node_pb2.Heartbeated()))

    def _holds(self, node: Tree | None) -> bool:
        """Whether this is the newest session of `node`: what an older one has yet to write is old news."""
        return node is not None and node["metadata"].get("annotations", {}).get(SESSION_ANNOTATION) == self._identity

    def _check_leader(self) -> None:
        """A replica that is cut off from the leader must not keep a node that others could serve."""
        now = self._env.monotonic()
        if self._replica.ready:
            self._leader_seen = now
            return
        status = self._replica.status
        electing = not (status.leader or status.cut_off) and status.connected
        if now - self._leader_seen > (LEADERLESS_SECONDS if electing else CUT_OFF_SECONDS):
            raise errors.Unavailable(f"replica {self._directory.replica} knows no leader: another may serve")

    async def _report(self, report: node_pb2.StatusReport) -> None:
        result = node_pb2.ReportResult(id=report.id)
        outcomes = await asyncio.gather(*(self._report_pod(pod) for pod in report.pods), return_exceptions=True)
        for pod, outcome in zip(report.pods, outcomes, strict=True):
            match outcome:
                case None:
                    pass
                case errors.NotFound() | errors.Conflict():
                    result.unknown_uids.append(pod.uid)
                case errors.Unavailable() | errors.Unknown():
                    result.retry = True
                case errors.ApiError():
                    log.warning("report_refused", node=self._node, pod=pod.name, error=str(outcome))
                case _:
                    raise outcome
        for event in report.events:
            with contextlib.suppress(asyncio.QueueFull):
                self._events.put_nowait(_decode_tree(event.json))
        self.send(node_pb2.ServerMessage(report_result=result))

    async def _report_pod(self, pod: node_pb2.PodReport) -> None:
        """Store what the agent saw of one pod. NotFound: it is not (any more) the pod the agent means."""
        if pod.gone:
            with contextlib.suppress(errors.NotFound, errors.Conflict):
                await self._client.delete("pods", pod.namespace, pod.name, uid=pod.uid, grace_seconds=0)
            return
        for attempt in range(CONFLICT_RETRIES):
            # Were there a report of a newer session, this write would be a conflict, and the next look see that session.
            if not self._holds(self._stored_node()):
                raise errors.Unavailable(self._superseded)
            # What this replica knows is new enough: it told the agent of the pod, or was told by its registration.
            stored = self._replica.state.get(Key("pods", pod.namespace, pod.name))
            if stored is None or stored.envelope.uid != pod.uid:
                raise errors.NotFound(pod.name)
            tree = object_of(stored).tree()
            tree["status"] = _with_others_conditions(_decode_tree(pod.status), tree.get("status", {}))
            try:
                await self._client.update_status(tree)
            except errors.Conflict:
                if attempt + 1 == CONFLICT_RETRIES:
                    raise errors.Unavailable(f"pod {pod.name} changes too fast") from None
            else:
                return

    async def _push_inputs(self) -> None:
        inputs = NodeInputs(self._replica.state, self._replica.hub, self._node)
        try:
            message: node_pb2.Inputs | None = inputs.full()
            while True:
                if message is not None:
                    await self._outbox.put(node_pb2.ServerMessage(inputs=message))
                await inputs.wait()
                message = inputs.changes()
        finally:
            inputs.close()

    async def _record_events(self) -> None:
        """Events are advice: what cannot be stored is dropped."""
        while True:
            event = await self._events.get()
            try:
                await _record(self._client, event)
            except errors.ApiError as error:
                log.info("event_dropped", node=self._node, error=str(error))

    async def _write_node(self, labels: dict[str, str]) -> Object:
        for _ in range(CONFLICT_RETRIES):
            try:
                tree = (await self._client.get("nodes", "", self._node)).tree()
            except errors.NotFound:
                tree = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self._node}, "spec": {}}
            metadata = tree["metadata"]
            metadata["labels"] = {**metadata.get("labels", {}), **labels}
            metadata["annotations"] = {**metadata.get("annotations", {}), SESSION_ANNOTATION: self._identity}
            try:
                if "resourceVersion" in metadata:
                    return await self._client.update(tree)
                return await self._client.create(tree)
            except (errors.Conflict, errors.AlreadyExists):
                continue
        raise errors.Unavailable(f"node {self._node!r} changes too fast")

    async def _write_status(self) -> None:
        for _ in range(CONFLICT_RETRIES):
            tree = (await self._client.get("nodes", "", self._node)).tree()
            if not self._holds(tree):
                raise errors.Conflict(self._superseded)
            tree["status"] = _merged_status(tree.get("status", {}), self._status)
            with contextlib.suppress(errors.Conflict):
                await self._client.update_status(tree)
                return
        raise errors.Unavailable(f"node {self._node!r} changes too fast")

    def _stored_node(self) -> Tree | None:
        stored = self._replica.state.get(Key("nodes", "", self._node))
        return None if stored is None else tree_of(stored.body)


def _merged_status(stored: Tree, reported: Tree) -> Tree:
    """The agent's word on everything it says; conditions it does not know stay."""
    own = {condition["type"] for condition in reported.get("conditions", ())}
    others = [condition for condition in stored.get("conditions", ()) if condition["type"] not in own]
    return {**stored, **reported, "conditions": [*reported.get("conditions", ()), *others]}


def _overruled(reported: Tree, stored: Tree) -> bool:
    """Whether somebody wrote another word in the place of the agent's, which must then be written again."""
    found = {condition["type"]: condition["status"] for condition in stored.get("conditions", ())}
    return any(found.get(own["type"]) != own["status"] for own in reported.get("conditions", ()))


async def _record(client: ApiClient, event: Tree) -> None:
    try:
        await client.create(event)
    except errors.AlreadyExists:
        stored = (await client.get("events", event["metadata"]["namespace"], event["metadata"]["name"])).tree()
        await client.update({**event, "metadata": stored["metadata"]})


def _decode_tree(text: str) -> Tree:
    try:
        tree: Tree = msgspec.json.decode(text or "{}", type=dict[str, object])
    except msgspec.DecodeError as error:
        raise errors.Invalid(f"not JSON: {error}") from error
    return tree


def _with_others_conditions(reported: Tree, stored: Tree) -> Tree:
    """A pod's reported status with the conditions of other writers as they are now: the agent may know older ones."""
    ours = [each for each in reported.get("conditions", []) if each["type"] in AGENT_POD_CONDITIONS]
    theirs = [each for each in stored.get("conditions", []) if each["type"] not in AGENT_POD_CONDITIONS]
    return {**reported, "conditions": [*ours, *theirs]}
