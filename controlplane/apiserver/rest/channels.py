"""A command's streams in a WebSocket: one byte of each message says which stream it belongs to.

The subprotocols are Kubernetes' v4.channel.k8s.io and v5.channel.k8s.io, which can also end the input.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final, Literal

import msgspec
from aiohttp import WSMsgType, web

from api.object import Tree
from api.v1.apiserver_pb2 import StreamFrame, TerminalSize
from controlplane.apiserver.rest.encoding import encoded
from controlplane.apiserver.rest.refusals import bad_request

V4: Final = "v4.channel.k8s.io"
V5: Final = "v5.channel.k8s.io"
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
MESSAGE_LIMIT_BYTES: Final = 1 << 20
LARGEST_SIDE: Final = 65_535  # of a terminal, in characters


class _Size(msgspec.Struct, rename="pascal"):
    width: int = 0
    height: int = 0


class Channels:
    """Implements the carrier of a command's streams."""

    def __init__(self, request: web.Request) -> None:
        """Refusal when no WebSocket is asked for."""
        self.response = web.WebSocketResponse(protocols=(V5, V4), max_msg_size=MESSAGE_LIMIT_BYTES)
        self._request = request
        upgrade = request.headers.get("Upgrade", "").lower()
        if upgrade != "websocket" or not self.response.can_prepare(request).ok:
            raise bad_request(
                f"a command needs an upgrade to WebSocket, with the subprotocol {V5} or {V4}, or to SPDY/3.1"
            )

    async def open(self) -> bool:
        """Agree to the change of protocol; whether there is a subprotocol in common."""
        await self.response.prepare(self._request)
        if self.response.ws_protocol is not None:
            return True
        await self.response.close(message=b"no subprotocol in common")
        return False

    async def incoming(self, first: StreamFrame) -> AsyncGenerator[StreamFrame]:
        """Yield the first frame, then what the client says until it goes."""
        yield first
        closes = self.response.ws_protocol == V5
        async for message in self.response:
            if message.type == WSMsgType.BINARY:
                data: bytes = message.data
            elif message.type == WSMsgType.TEXT:
                data = message.data.encode()
            else:
                return
            if (frame := frame_of(data, closes=closes)) is not None:
                yield frame

    async def send(self, name: Literal["stdout", "stderr"], data: bytes) -> None:
        """Send a piece of output. ConnectionError."""
        await self.response.send_bytes(bytes((STDOUT if name == "stdout" else STDERR,)) + data)

    async def finish(self, status: Tree) -> None:
        """Tell how it ended and close."""
        if not self.response.closed:
            await self.response.send_bytes(bytes((ERROR,)) + encoded(status))
        await self.response.close()


def frame_of(message: bytes, *, closes: bool) -> StreamFrame | None:
    """The frame that a client's message means, None for one that means nothing; `closes`: it may end its input."""
    if not message:
        return None
    channel, data = message[0], message[1:]
    if channel == STDIN:
        return StreamFrame(stdin=data) if data else None
    if channel == RESIZE:
        return resize(data)
    if channel == CLOSE and closes and data[:1] == bytes((STDIN,)):
        return StreamFrame(stdin_closed=True)
    return None


def resize(data: bytes) -> StreamFrame | None:
    """The frame for a terminal's size as clients write it, None for what is none."""
    try:
        size = msgspec.json.decode(data, type=_Size)
    except msgspec.DecodeError:
        return None
    if not (0 < size.width <= LARGEST_SIDE and 0 < size.height <= LARGEST_SIDE):
        return None
    return StreamFrame(resize=TerminalSize(width=size.width, height=size.height))
