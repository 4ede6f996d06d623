"""Reaching into nodes: logs and commands of containers and ports of pods, through the sessions that nodes hold open.

Nodes listen on nothing. The replica that holds the node's session asks the agent over it to dial back with a
one-time id; another replica relays the client's stream to that one. Every stream is bounded (see `bridges`), so a
reader who pauses, for hours if need be, stops its writer and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import Protocol

from api import errors
from api.core import Pod
from api.object import Object
from api.v1 import apiserver_pb2, node_pb2
from component.env import Env
from controlplane.apiserver.bridges import Bridge
from controlplane.apiserver.directory import SessionDirectory

StreamFrame = apiserver_pb2.StreamFrame

DIAL_SECONDS = 10.0
KNOWN_SECONDS = 1.0
"""Within which every replica has heard which one holds the session of a node that has come, or come back."""
LARGEST_PORT = 65_535
NAMING = frozenset({"logs", "exec", "attach", "forward"})
"""Frames that begin a stream: they say what is wanted of the node."""


class PodReader(Protocol):
    """Where a pod is looked up, with the caller's rights already checked."""

    async def get(self, resource: str, namespace: str, name: str) -> Object:
        """Return the pod; NotFound."""


class Relay(Protocol):
    """The other replicas."""

    def open_node_stream(self, replica: str, frames: AsyncIterator[StreamFrame]) -> AsyncGenerator[StreamFrame]:
        """Continue a client's stream at the replica that holds the node's session."""


class AgentLink(Protocol):
    """The session of one node held here."""

    def send(self, message: node_pb2.ServerMessage) -> None:
        """Queue a message to the agent; raises Unavailable when the session ended."""


class NodeStreams:
    """Opens streams to containers for clients and relaying replicas, and takes the agents' dial-backs."""

    def __init__(self, pods: PodReader, directory: SessionDirectory, relay: Relay, env: Env) -> None:
        self._pods = pods
        self._directory = directory
        self._relay = relay
        self._env = env
        self._links: dict[str, AgentLink] = {}
        self._waiting: dict[str, Bridge] = {}  # for the agent to dial back, by the id it was told
        self._bridges: set[Bridge] = set()

    def session_opened(self, node: str, link: AgentLink) -> None:
        """A session opened here: streams to the node can go through it."""
        self._links[node] = link

    def session_ended(self, node: str, link: AgentLink) -> None:
        """A session ended here, and with it its streams; a newer one of the same node stays."""
        if self._links.get(node) is link:
            del self._links[node]
        for bridge in [each for each in self._bridges if each.holder is link]:
            bridge.node_lost()

    async def logs(self, request: apiserver_pb2.LogsRequest) -> AsyncIterator[bytes]:
        """Stream a container's log. NotFound, NotReady, Unavailable."""
        node, container = await self._locate(request.namespace, request.pod, request.container)
        request.container = container
        async with aclosing(self._frames(node, _one(StreamFrame(logs=request)))) as received:
            async for frame in received:
                match frame.WhichOneof("frame"):
                    case "stdout":
                        yield frame.stdout
                    case "error":
                        raise _error(frame.error)
                    case "ended":
                        return
        raise errors.Unavailable(f"the connection to node {node!r} was lost")

    def exec(self, frames: AsyncIterator[StreamFrame]) -> AsyncIterator[StreamFrame]:
        """Run a command: the first frame names it, the last one received tells how it went."""
        return self._inside("exec", frames, last="exit_code", lost="was lost while the command ran")

    def attach(self, frames: AsyncIterator[StreamFrame]) -> AsyncIterator[StreamFrame]:
        """Join a container's streams until it ends. Invalid, NotFound, NotReady, Unavailable."""
        return self._inside("attach", frames, last="ended", lost="was lost; what the container runs goes on")

    async def forward(self, frames: AsyncIterator[StreamFrame]) -> AsyncIterator[StreamFrame]:
        """Carry one connection to a port of a pod, which the first frame names. Invalid, NotFound, NotReady, Unavailable."""
        first = await anext(frames, None)
        if first is None or first.WhichOneof("frame") != "forward":
            raise errors.Invalid("the first frame of PortForward must be `forward`")
        start = first.forward
        if not 0 < start.port <= LARGEST_PORT:
            raise errors.Invalid(f"port: {start.port} is no port: 1 to {LARGEST_PORT}")
        node = _node(await self._pod(start.namespace, start.pod))
        async with aclosing(self._frames(node, _chain(first, frames))) as received:
            async for frame in received:
                match frame.WhichOneof("frame"):
                    case "error":
                        raise _error(frame.error)
                    case "ended":
                        return
                yield frame
        raise errors.Unavailable(f"the connection to node {node!r} was lost")

    async def relayed(self, frames: AsyncIterator[StreamFrame]) -> AsyncGenerator[StreamFrame]:
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
        async with aclosing(self._bridge(node, _chain(first, frames))) as received:
            async for frame in received:
                yield frame

    async def dialled(self, node: str, frames: AsyncIterator[StreamFrame]) -> AsyncGenerator[StreamFrame]:
        """The agent's side of a stream: its first frame names the id it was asked to dial back with."""
        first = await anext(frames, None)
        stream_id = first.accept if first is not None else ""
        bridge = self._waiting.get(stream_id)
        if bridge is None or bridge.node != node:
            raise errors.NotFound(f"no stream {stream_id!r} waits for node {node!r}")
        del self._waiting[stream_id]
        bridge.accept()
        listening = asyncio.ensure_future(bridge.agent_says(frames))
        try:
            async for frame in bridge.for_agent():
                yield frame
        finally:
            bridge.agent_left()  # first: whatever happens to the wait below, the client is told
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _inside(
        self, kind: str, frames: AsyncIterator[StreamFrame], *, last: str, lost: str
    ) -> AsyncGenerator[StreamFrame]:
        """A container's streams, both ways, up to the frame that is the `last`; `lost` is what has become of the connection without it."""
        first = await anext(frames, None)
        if first is None or first.WhichOneof("frame") != kind:
            raise errors.Invalid(f"the first frame of {kind.capitalize()} must be `{kind}`")
        start = getattr(first, kind)
        node, container = await self._locate(start.namespace, start.pod, start.container)
        start.container = container
        async with aclosing(self._frames(node, _chain(first, frames))) as received:
            async for frame in received:
                if frame.WhichOneof("frame") == "error":
                    raise _error(frame.error)
                yield frame
                if frame.WhichOneof("frame") == last:
                    return
        raise errors.Unavailable(f"the connection to node {node!r} {lost}")

    async def _frames(self, node: str, frames: AsyncIterator[StreamFrame]) -> AsyncGenerator[StreamFrame]:
        async with aclosing(await self._way(node, frames)) as received:
            async for frame in received:
                yield frame

    async def _way(self, node: str, frames: AsyncIterator[StreamFrame]) -> AsyncGenerator[StreamFrame]:
        """Through the session here, or through the replica that has it; where a node has just come, word of it may be on its way."""
        held = await self._directory.found(node, KNOWN_SECONDS)
        if node in self._links or held is None or held.replica == self._directory.replica:
            return self._bridge(node, frames)
        return self._relay.open_node_stream(held.replica, frames)

    async def _bridge(self, node: str, frames: AsyncIterator[StreamFrame]) -> AsyncGenerator[StreamFrame]:
        link = self._links.get(node)
        if link is None:
            raise errors.Unavailable(f"node {node!r} is not connected to the control plane")
        first = await anext(frames)
        stream_id = self._env.new_uid()
        bridge = self._waiting[stream_id] = Bridge(node, link)
        self._bridges.add(bridge)
        message = node_pb2.OpenStream(stream_id=stream_id)
        wanted = first.WhichOneof("frame")
        getattr(message, wanted).CopyFrom(getattr(first, wanted))
        listening = asyncio.ensure_future(bridge.client_says(frames))
        try:
            link.send(node_pb2.ServerMessage(open_stream=message))
            await bridge.dialled(DIAL_SECONDS)
            async for frame in bridge.for_client():
                yield frame
            if listening.done() and not listening.cancelled() and (mistake := listening.exception()) is not None:
                raise mistake
        finally:
            if bridge.client_left():  # first: whatever happens to the wait below, the agent is told
                with suppress(errors.Unavailable):  # the session has ended, and its streams with it
                    link.send(node_pb2.ServerMessage(close_stream=node_pb2.CloseStream(stream_id=stream_id)))
            self._waiting.pop(stream_id, None)
            self._bridges.discard(bridge)
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _pod(self, namespace: str, name: str) -> Pod:
        return (await self._pods.get("pods", namespace, name)).view(Pod)

    async def _locate(self, namespace: str, name: str, container: str) -> tuple[str, str]:
        pod = await self._pod(namespace, name)
        names = [each.name for each in pod.spec.containers]
        inits = [each.name for each in pod.spec.init_containers]
        ephemeral = [each.name for each in pod.spec.ephemeral_containers]
        choice = f"choose one of: {names}" + (f" or one of the init containers: {inits}" if inits else "")
        choice += f" or one of the ephemeral containers: {ephemeral}" if ephemeral else ""
        if not container:
            if len(names) > 1:
                raise errors.Invalid(f"a container name must be specified for pod {name}, {choice}")
            container = names[0]
        if container not in (*inits, *names, *ephemeral):
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


def _error(error: apiserver_pb2.StreamError) -> errors.ApiError:
    return errors.ERRORS.get(error.reason, errors.Unavailable)(error.message)
