"""Answers the control plane's requests to look into containers: dials back and carries logs, a command's streams or a port's."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any, Protocol

import grpc
import grpc.aio
import structlog

from agent.attaching import LoggedStreams, check_streams, join
from agent.carrying import begun, carry, to_its_end
from agent.forwarding import carry_connection, connect
from agent.inbox import Inbox, while_heard
from agent.log_format import since_bound
from agent.logs import LogOptions, read_log
from agent.observed import attempts, dead
from agent.paths import Paths
from agent.runtime.protocol import Container, ContainerRuntime, RuntimeFailure
from agent.status import container_statuses
from agent.worker import PodWorker
from api import errors
from api.object import Tree
from api.pod_containers import find_container
from api.v1 import apiserver_pb2, node_pb2, node_pb2_grpc
from component.env import Env

log = structlog.get_logger()

Frame = apiserver_pb2.StreamFrame
DIAL_SECONDS = 10.0
STREAMS_AT_ONCE = 100
KILLED = 128 + signal.SIGKILL
REFUSALS_AT_ONCE = 20


Serve = Callable[[Any, Inbox, node_pb2.OpenStream], Awaitable[None]]
"""Does what a request asks for, over a call to the control plane."""


class PodIndex(Protocol):
    """Where a pod's containers are found."""

    def worker(self, namespace: str, name: str) -> PodWorker | None:
        """The worker of an assigned pod."""


class Streams:
    """The open streams; each is a task of its own that ends with its stream."""

    def __init__(self, pods: Callable[[], PodIndex | None], runtime: ContainerRuntime, paths: Paths, env: Env) -> None:
        self._pods = pods
        self._runtime = runtime
        self._paths = paths
        self._env = env
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by the stream's id

    def open(self, channel: grpc.aio.Channel, request: node_pb2.OpenStream) -> None:
        """Begin to serve a request; how it went is told in the stream."""
        full = len(self._tasks) >= STREAMS_AT_ONCE
        if full:
            log.warning("stream_refused", streams=len(self._tasks))
            if len(self._tasks) >= STREAMS_AT_ONCE + REFUSALS_AT_ONCE:
                return
        task = asyncio.ensure_future(self._run(channel, request, self._refuse if full else self._serve))
        self._tasks[request.stream_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(request.stream_id, None))

    def end(self, stream_id: str) -> None:
        """End a stream whose client has gone, also one that waits to be let go of what it has to say or to take."""
        if task := self._tasks.get(stream_id):
            task.cancel()

    async def close(self) -> None:
        """End all streams."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, channel: grpc.aio.Channel, request: node_pb2.OpenStream, serve: Serve) -> None:
        stub: Any = node_pb2_grpc.NodeServiceStub(channel)  # type: ignore[no-untyped-call] # generated
        call = stub.Dial()
        inbox = Inbox(call)
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                await call.write(Frame(accept=request.stream_id))
            try:
                await serve(call, inbox, request)
            except (errors.ApiError, RuntimeFailure) as error:
                await call.write(Frame(error=_stream_error(error)))
            await call.done_writing()
            # Cancelling too early would drop what is still on its way to a client who reads slowly, or pauses.
            await call.code()
        except (grpc.aio.AioRpcError, grpc.aio.InternalError, TimeoutError, asyncio.InvalidStateError) as error:
            log.info("stream_lost", error=type(error).__name__)
        except Exception:  # the outermost frame of a task: nobody else would see it
            log.exception("stream_crashed")
        finally:
            call.cancel()
            await inbox.close()

    async def _serve(self, call: Any, inbox: Inbox, request: node_pb2.OpenStream) -> None:
        if request.WhichOneof("request") == "exec":
            await self._exec(call, inbox, request.exec)
            return
        if request.WhichOneof("request") == "attach":
            await self._attach(call, inbox, request.attach)
            return
        if request.WhichOneof("request") == "forward":
            await self._forward(call, inbox, request.forward)
            return
        await while_heard(inbox, self._send_log(call, inbox, request.logs))

    async def _refuse(self, _call: Any, _inbox: Inbox, _request: node_pb2.OpenStream) -> None:
        raise errors.TooManyRequests(f"this node carries {STREAMS_AT_ONCE} streams, which is its limit: end some")

    async def _send_log(self, call: Any, inbox: Inbox, request: apiserver_pb2.LogsRequest) -> None:
        async with aclosing(self._logs(request, inbox)) as pieces:
            async for piece in pieces:
                await call.write(Frame(stdout=piece))
        await call.write(Frame(ended=True))

    async def _logs(self, request: apiserver_pb2.LogsRequest, inbox: Inbox) -> AsyncGenerator[bytes]:
        worker = self._worker(request.namespace, request.pod)
        container = _logged(worker, request.container, previous=request.previous)
        since = since_bound(
            request.since_seconds if request.HasField("since_seconds") else None,
            request.since_time if request.HasField("since_time") else None,
            self._env.now(),
        )
        options = LogOptions(
            follow=request.follow,
            timestamps=request.timestamps,
            tail_lines=request.tail_lines if request.HasField("tail_lines") else None,
            since_time=since,
            limit_bytes=request.limit_bytes if request.HasField("limit_bytes") else None,
        )
        path = self._paths.log(worker.uid, container.name, container.attempt)

        async for piece in read_log(path, options, lambda: inbox.ended or _ended(worker, container.id)):
            yield piece

    async def _exec(self, call: Any, inbox: Inbox, request: apiserver_pb2.ExecStart) -> None:
        if not request.command:
            raise errors.Invalid("a command is needed")
        worker = self._worker(request.namespace, request.pod)
        running = _running(worker, request.container)
        begin = self._runtime.exec_stream(running.id, request.command, stdin=request.stdin, tty=request.tty)
        stream = await begun(begin)

        ended = partial(_ended, worker, running.id)

        async def last() -> Frame:
            try:
                return Frame(exit_code=await stream.exit_code())
            except RuntimeFailure:
                if not ended():
                    raise
                return Frame(exit_code=KILLED)  # as every command of a container that ends

        try:
            await carry(call, inbox, stream, last, ended)
        finally:
            await to_its_end(stream.close())

    async def _attach(self, call: Any, inbox: Inbox, request: apiserver_pb2.AttachStart) -> None:
        worker = self._worker(request.namespace, request.pod)
        running = _running(worker, request.container)
        wanted = find_container(worker.pod.spec, request.container) if worker.pod is not None else None
        if wanted is None:
            raise errors.NotFound(f"container {request.container} is not valid for pod {request.pod}")
        check_streams(wanted, stdin=request.stdin, tty=request.tty)
        path = self._paths.log(worker.uid, running.name, running.attempt)
        ended = partial(_ended, worker, running.id)
        streams = await join(self._runtime, wanted, running, stdin=request.stdin, path=path, ended=ended)

        async def last() -> Frame:
            return Frame(ended=True)

        try:
            # Reading a log holds nothing up: its reader may pause beyond the container's end.
            await carry(call, inbox, streams, last, ended if not isinstance(streams, LoggedStreams) else _never)
        finally:
            await streams.close()

    async def _forward(self, call: Any, inbox: Inbox, request: apiserver_pb2.ForwardStart) -> None:
        worker = self._worker(request.namespace, request.pod)
        sandbox = worker.observed.sandbox
        if sandbox is None or worker.observed.sandbox_lost:
            raise errors.NotReady(f"pod {request.pod} is not running")
        connection = await connect(sandbox.netns_path, request.port, request.pod)
        try:
            await carry_connection(call, inbox, connection)
        finally:
            connection.close()

    def _worker(self, namespace: str, name: str) -> PodWorker:
        pods = self._pods()
        worker = pods.worker(namespace, name) if pods is not None else None
        if worker is None:
            raise errors.NotFound(f"pod {name} is not on this node")
        return worker


def _running(worker: PodWorker, name: str) -> Container:
    tries = attempts(worker.observed, name)
    if not tries or tries[-1].state != "running":
        where = f" of pod {worker.pod.metadata.name}" if worker.pod is not None else ""
        raise errors.NotReady(f"container {name}{where} is not running")
    return tries[-1]


def _never() -> bool:
    return False


def _ended(worker: PodWorker, container_id: str) -> bool:
    now = next((each for each in worker.observed.containers if each.id == container_id), None)
    return now is None or dead(now)


def _logged(worker: PodWorker, name: str, *, previous: bool) -> Container:
    """The attempt whose log is meant: the newest that started, or the one that ended before it."""
    pod = worker.pod
    if pod is not None and find_container(pod.spec, name) is None:
        raise errors.NotFound(f"container {name} is not valid for pod {pod.metadata.name}")
    tries = [each for each in attempts(worker.observed, name) if each.state != "created"]
    if previous:
        ended = [each for each in tries if dead(each)]
        if ended and ended[-1] is tries[-1] and _waiting(worker, name) is None:
            ended = ended[:-1]  # it is the current one, no other follows it yet
        if not ended:
            raise errors.NotFound(f"previous terminated container {name} not found")
        return ended[-1]
    if not tries:
        reason = (_waiting(worker, name) or {}).get("reason", "")
        where = f" of pod {pod.metadata.name}" if pod is not None else ""
        raise errors.NotReady(f"container {name}{where} is waiting to start" + (f": {reason}" if reason else ""))
    return tries[-1]


def _waiting(worker: PodWorker, name: str) -> Tree | None:
    """The reported state of a container that waits for an attempt to come, None when it does not wait."""
    states = {each["name"]: each["state"] for each in container_statuses(worker.reported())}
    waiting: Tree | None = states.get(name, {}).get("waiting")
    return waiting


def _stream_error(error: errors.ApiError | RuntimeFailure) -> apiserver_pb2.StreamError:
    if isinstance(error, errors.ApiError):
        return apiserver_pb2.StreamError(reason=error.reason, message=str(error))
    return apiserver_pb2.StreamError(reason="Invalid" if not error.temporary else "Unavailable", message=str(error))
