"""Reaching into nodes: logs and commands of containers and ports of pods, through the sessions that nodes hold open.

Nodes listen on nothing. The replica that holds the node's session asks the agent over it to dial back with a
one-time id; another replica relays the client's stream to that one. Every stream is bounded by queues of
`QUEUE_FRAMES`, so a slow reader slows its writer and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

from api import errors
from api.core import Pod
from api.object import Object
from api.v1 import apiserver_pb2, node_pb2
from component.env import Env
from controlplane.apiserver.directory import SessionDirectory

StreamFrame = apiserver_pb2.StreamFrame

QUEUE_FRAMES = 64
DIAL_SECONDS = 10.0
LARGEST_PORT = 65_535
NAMING = frozenset({"logs", "exec", "attach", "forward"})
"""Frames that begin a stream: they say what is wanted of the node."""


class PodReader(Protocol):
    """Where a pod is looked up, with the caller's rights already checked."""

    async def get(self, resource: str, namespace: str, name: str) -> Object:
        """Return the pod; NotFound."""


class Relay(Protocol):
    """The other replicas."""

    def open_node_stream(self, replica: str, frames: AsyncIterator[StreamFrame]) -> AsyncIterator[StreamFrame]:
        """Continue a client's stream at the replica that holds the node's session."""


class AgentLink(Protocol):
    """The session of one node held here."""

    def send(self, message: node_pb2.ServerMessage) -> None:
        """Queue a message to the agent; raises Unavailable when the session ended."""


@dataclass
class Bridge:
    """One stream between a client and a node: two bounded queues; None ends a direction."""

    node: str
    to_agent: asyncio.Queue[StreamFrame | None] = field(default_factory=lambda: asyncio.Queue(QUEUE_FRAMES))
    to_client: asyncio.Queue[StreamFrame | None] = field(default_factory=lambda: asyncio.Queue(QUEUE_FRAMES))
    accepted: asyncio.Event = field(default_factory=asyncio.Event)
    from_agent: asyncio.Future[None] | None = None  # moves the agent's frames; cancelled when the client goes


class NodeStreams:
    """Opens streams to containers for clients and relaying replicas, and takes the agents' dial-backs."""

    def __init__(self, pods: PodReader, directory: SessionDirectory, relay: Relay, env: Env) -> None:
        self._pods = pods
        self._directory = directory
        self._relay = relay
        self._env = env
        self._links: dict[str, AgentLink] = {}
        self._waiting: dict[str, Bridge] = {}

    def session_opened(self, node: str, link: AgentLink) -> None:
        """A session opened here: streams to the node can go through it."""
        self._links[node] = link

    def session_ended(self, node: str, link: AgentLink) -> None:
        """A session ended here; a newer one of the same node stays."""
        if self._links.get(node) is link:
            del self._links[node]

    async def logs(self, request: apiserver_pb2.LogsRequest) -> AsyncIterator[bytes]:
        """Stream a container's log. NotFound, NotReady, Unavailable."""
        node, container = await self._locate(request.namespace, request.pod, request.container)
        request.container = container
        async for frame in self._frames(node, _one(StreamFrame(logs=request))):
            match frame.WhichOneof("frame"):
                case "stdout":
                    yield frame.stdout
                case "error":
                    raise _error(frame.error)
                case "ended":
                    return
        raise errors.Unavailable(f"the connection to node {node!r} was lost")

    async def exec(self, frames: AsyncIterator[StreamFrame]) -> AsyncIterator[StreamFrame]:
        """Run a command: the first frame names it, the last one received tells how it went."""
        first = await anext(frames, None)
        if first is None or first.WhichOneof("frame") != "exec":
            raise errors.Invalid("the first frame of Exec must be `exec`")
        start = first.exec
        node, container = await self._locate(start.namespace, start.pod, start.container)
        start.container = container
        async for frame in self._frames(node, _chain(first, frames)):
            if frame.WhichOneof("frame") == "error":
                raise _error(frame.error)
            yield frame
            if frame.WhichOneof("frame") == "exit_code":
                return
        raise errors.Unavailable(f"the connection to node {node!r} was lost while the command ran")

    async def attach(self, frames: AsyncIterator[StreamFrame]) -> AsyncIterator[StreamFrame]:
        """Join a container's streams until it ends. Invalid, NotFound, NotReady, Unavailable."""
        first = await anext(frames, None)
        if first is None or first.WhichOneof("frame") != "attach":
            raise errors.Invalid("the first frame of Attach must be `attach`")
        start = first.attach
        node, container = await self._locate(start.namespace, start.pod, start.container)
        start.container = container
        async for frame in self._frames(node, _chain(first, frames)):
            if frame.WhichOneof("frame") == "error":
                raise _error(frame.error)
            yield frame
            if frame.WhichOneof("frame") == "ended":
                return
        raise errors.Unavailable(f"the connection to node {node!r} was lost; what the container runs goes on")

    async def forward(self, frames: AsyncIterator[StreamFrame]) -> AsyncIterator[StreamFrame]:
        """Carry one connection to a port of a pod, which the first frame names. Invalid, NotFound, NotReady, Unavailable."""
        first = await anext(frames, None)
        if first is None or first.WhichOneof("frame") != "forward":
            raise errors.Invalid("the first frame of PortForward must be `forward`")
        start = first.forward
        if not 0 < start.port <= LARGEST_PORT:
            raise errors.Invalid(f"port: {start.port} is no port: 1 to {LARGEST_PORT}")
        node = _node(await self._pod(start.namespace, start.pod))
        async for frame in self._frames(node, _chain(first, frames)):
            match frame.WhichOneof("frame"):
                case "error":
                    raise _error(frame.error)
                case "ended":
                    return
            yield frame
        raise errors.Unavailable(f"the connection to node {node!r} was lost")

    async def relayed(self, frames: AsyncIterator[StreamFrame]) -> AsyncIterator[StreamFrame]:
        """Serve a stream that another replica passes on because the node's session is here."""
        first = await anext(frames, None)
        if first is None:
            return
        kind = first.WhichOneof("frame")
        if kind not in NAMING:
            raise errors.Invalid("the first frame must say what is wanted")
        if kind == "forward":
            node = _node(await self._pod(first.forward.namespace, first.forward.pod))
        else:
            start = getattr(first, kind)
            node, _ = await self._locate(start.namespace, start.pod, start.container)
        async for frame in self._bridge(node, _chain(first, frames)):
            yield frame

    async def dialled(self, node: str, frames: AsyncIterator[StreamFrame]) -> AsyncIterator[StreamFrame]:
        """The agent's side of a stream: its first frame names the id it was asked to dial back with."""
        first = await anext(frames, None)
        stream_id = first.accept if first is not None else ""
        bridge = self._waiting.get(stream_id)
        if bridge is None or bridge.node != node:
            raise errors.NotFound(f"no stream {stream_id!r} waits for node {node!r}")
        del self._waiting[stream_id]
        bridge.accepted.set()
        bridge.from_agent = pump = asyncio.ensure_future(_pump(frames, bridge.to_client))
        try:
            while (frame := await bridge.to_agent.get()) is not None:
                yield frame
            await asyncio.gather(pump, return_exceptions=True)
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
            _end(bridge.to_client)

    def _frames(self, node: str, frames: AsyncIterator[StreamFrame]) -> AsyncIterator[StreamFrame]:
        held = self._directory.find(node)
        if node in self._links or held is None or held.replica == self._directory.replica:
            return self._bridge(node, frames)
        return self._relay.open_node_stream(held.replica, frames)

    async def _bridge(self, node: str, frames: AsyncIterator[StreamFrame]) -> AsyncIterator[StreamFrame]:
        link = self._links.get(node)
        if link is None:
            raise errors.Unavailable(f"node {node!r} is not connected to the control plane")
        first = await anext(frames)
        stream_id = self._env.new_uid()
        bridge = self._waiting[stream_id] = Bridge(node)
        message = node_pb2.OpenStream(stream_id=stream_id)
        wanted = first.WhichOneof("frame")
        getattr(message, wanted).CopyFrom(getattr(first, wanted))
        pump = asyncio.ensure_future(_pump(frames, bridge.to_agent, end=wanted != "logs"))
        try:
            link.send(node_pb2.ServerMessage(open_stream=message))
            try:
                async with asyncio.timeout(DIAL_SECONDS):
                    await bridge.accepted.wait()
            except TimeoutError:
                raise errors.Unavailable(f"node {node!r} did not dial back within {DIAL_SECONDS:.0f} s") from None
            while (frame := await bridge.to_client.get()) is not None:
                yield frame
        finally:
            self._waiting.pop(stream_id, None)
            pump.cancel()
            if bridge.from_agent is not None:
                bridge.from_agent.cancel()
            await asyncio.gather(pump, return_exceptions=True)
            _end(bridge.to_agent)

    async def _pod(self, namespace: str, name: str) -> Pod:
        return (await self._pods.get("pods", namespace, name)).view(Pod)

    async def _locate(self, namespace: str, name: str, container: str) -> tuple[str, str]:
        pod = await self._pod(namespace, name)
        names = [each.name for each in pod.spec.containers]
        inits = [each.name for each in pod.spec.init_containers]
        choice = f"choose one of: {names}" + (f" or one of the init containers: {inits}" if inits else "")
        if not container:
            if len(names) > 1:
                raise errors.Invalid(f"a container name must be specified for pod {name}, {choice}")
            container = names[0]
        if container not in (*inits, *names):
            raise errors.NotFound(f"container {container} is not valid for pod {name}, {choice}")
        return _node(pod), container


def _node(pod: Pod) -> str:
    if not pod.spec.node_name:
        raise errors.NotReady(f"pod {pod.metadata.name} is not assigned to a node yet")
    return pod.spec.node_name


async def _one(frame: StreamFrame) -> AsyncIterator[StreamFrame]:
    yield frame


async def _chain(first: StreamFrame, rest: AsyncIterator[StreamFrame]) -> AsyncIterator[StreamFrame]:
    yield first
    async for frame in rest:
        yield frame


async def _pump(
    frames: AsyncIterator[StreamFrame], queue: asyncio.Queue[StreamFrame | None], *, end: bool = True
) -> None:
    """Move frames into the queue; the end of the frames ends the direction."""
    async for frame in frames:
        await queue.put(frame)
    if end:
        await queue.put(None)


def _end(queue: asyncio.Queue[StreamFrame | None]) -> None:
    """End a direction whose reader may have gone: make room if it is full."""
    while True:
        try:
            queue.put_nowait(None)
        except asyncio.QueueFull:
            queue.get_nowait()
        else:
            return


def _error(error: apiserver_pb2.StreamError) -> errors.ApiError:
    return errors.ERRORS.get(error.reason, errors.Unavailable)(error.message)
