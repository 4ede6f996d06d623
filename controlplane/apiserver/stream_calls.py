"""Logs, commands and connections into pods over gRPC: who may have them, then whatever the node sends."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol, TypeVar

from api import scheme
from api.errors import Invalid
from api.object import Tree
from api.v1 import apiserver_pb2 as pb
from component.rpc_server import Context
from controlplane.admission.webhooks.attributes import connecting
from controlplane.apiserver.authn import Authenticator
from controlplane.apiserver.core import ApiCore
from controlplane.apiserver.incoming import DEFAULT_NAMESPACE
from controlplane.rbac.attributes import on

Item = TypeVar("Item")

_PODS: Final = scheme.by_resource("pods")


class NodeStreams(Protocol):
    """Reaches into containers; whether the caller may was decided before."""

    def logs(self, request: pb.LogsRequest) -> AsyncIterator[bytes]:
        """Yield a container's log. NotFound, NotReady, Unavailable."""

    def exec(self, frames: AsyncIterator[pb.StreamFrame]) -> AsyncIterator[pb.StreamFrame]:
        """Run the command that the first frame names."""

    def attach(self, frames: AsyncIterator[pb.StreamFrame]) -> AsyncIterator[pb.StreamFrame]:
        """Join the streams of the container that the first frame names."""

    def forward(self, frames: AsyncIterator[pb.StreamFrame]) -> AsyncIterator[pb.StreamFrame]:
        """Carry a connection to the port of a pod that the first frame names."""


class StreamCalls:
    """One method per RPC that a pod's node answers."""

    def __init__(self, core: ApiCore, streams: NodeStreams, authenticator: Authenticator) -> None:
        self._core = core
        self._streams = streams
        self._identify = authenticator.identify

    def behaviours(self) -> dict[str, Callable[..., Any]]:
        """What answers each RPC, by name."""
        return {"Logs": self.logs, "Exec": self.exec, "Attach": self.attach, "PortForward": self.port_forward}

    async def logs(self, request: pb.LogsRequest, context: Context) -> AsyncIterator[pb.LogsResponse]:
        """Logs."""
        asked = on(_PODS, "get", request.namespace or DEFAULT_NAMESPACE, request.pod, "log")
        await self._core.authorize(self._identify(context), asked)
        async with ending(self._streams.logs(request)) as lines:
            async for data in lines:
                yield pb.LogsResponse(data=data)

    async def exec(
        self, request_iterator: AsyncIterator[pb.StreamFrame], context: Context
    ) -> AsyncIterator[pb.StreamFrame]:
        """Exec."""
        first = await self._first(request_iterator, "exec", "exec", context)
        async with ending(self._streams.exec(_with_first(first, request_iterator))) as frames:
            async for frame in frames:
                yield frame

    async def attach(
        self, request_iterator: AsyncIterator[pb.StreamFrame], context: Context
    ) -> AsyncIterator[pb.StreamFrame]:
        """Attach."""
        first = await self._first(request_iterator, "attach", "attach", context)
        async with ending(self._streams.attach(_with_first(first, request_iterator))) as frames:
            async for frame in frames:
                yield frame

    async def port_forward(
        self, request_iterator: AsyncIterator[pb.StreamFrame], context: Context
    ) -> AsyncIterator[pb.StreamFrame]:
        """PortForward."""
        first = await self._first(request_iterator, "forward", "portforward", context)
        async with ending(self._streams.forward(_with_first(first, request_iterator))) as frames:
            async for frame in frames:
                yield frame

    async def _first(
        self, frames: AsyncIterator[pb.StreamFrame], kind: str, subresource: str, context: Context
    ) -> pb.StreamFrame:
        """The frame that says what is wanted of a pod, once the caller may have it. Invalid, Forbidden."""
        first = await anext(aiter(frames), None)
        if first is None or first.WhichOneof("frame") != kind:
            raise Invalid(f"the first frame must be `{kind}`")
        start = getattr(first, kind)
        asked = on(_PODS, "create", start.namespace or DEFAULT_NAMESPACE, start.pod, subresource)
        identity = self._identify(context)
        await self._core.authorize(identity, asked)
        if self._core.asks_webhooks:
            await self._core.consult(connecting(identity, asked, _options(start)))
        return first


def _options(start: pb.ExecStart | pb.AttachStart | pb.ForwardStart) -> Tree:
    """How a connection is opened, in the words of Kubernetes' options."""
    if isinstance(start, pb.ForwardStart):
        return {"ports": [start.port]}
    shown: Tree = {"stdin": start.stdin, "stdout": True, "stderr": not start.tty, "tty": start.tty}
    shown["container"] = start.container
    return shown | {"command": list(start.command)} if isinstance(start, pb.ExecStart) else shown


async def _with_first(first: Item, rest: AsyncIterator[Item]) -> AsyncIterator[Item]:
    yield first
    async for each in rest:
        yield each


@asynccontextmanager
async def ending(items: AsyncIterator[Item]) -> AsyncIterator[AsyncIterator[Item]]:
    """When the client goes, the generator behind the port ends now and not when it is collected."""
    try:
        yield items
    finally:
        if isinstance(items, AsyncGenerator):
            await items.aclose()
