"""Commands in containers over a WebSocket: one byte of each message says which stream it belongs to.

The subprotocols are Kubernetes' v4.channel.k8s.io and v5.channel.k8s.io, which can also end the input. It must not know
how the command is reached.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

import msgspec
import structlog
from aiohttp import WSMsgType, web

from api.errors import ApiError
from api.object import Tree
from api.v1.apiserver_pb2 import ExecStart, StreamFrame, TerminalSize
from controlplane.apiserver.core import ApiCore
from controlplane.apiserver.rest import queries
from controlplane.apiserver.rest.call import Call
from controlplane.apiserver.rest.encoding import encoded
from controlplane.apiserver.rest.refusals import Refusal, bad_request, internal_error, status_of
from controlplane.apiserver.stream_calls import NodeStreams, ending

log = structlog.get_logger()

V4: Final = "v4.channel.k8s.io"
V5: Final = "v5.channel.k8s.io"
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
MESSAGE_LIMIT_BYTES: Final = 1 << 20
LARGEST_SIDE: Final = 65_535  # of a terminal, in characters


class _Size(msgspec.Struct, rename="pascal"):
    width: int = 0
    height: int = 0


class Commands:
    """Serves exec."""

    def __init__(self, core: ApiCore, streams: NodeStreams) -> None:
        self._core = core
        self._streams = streams

    async def run(self, call: Call) -> web.StreamResponse:
        """Run a command until it ends or the client goes. What is wrong with the pod is told before the upgrade."""
        start = _start(call)
        socket = _socket(call.request)
        await self._core.get(call.identity, "pods", start.namespace, start.pod)
        await socket.prepare(call.request)
        if socket.ws_protocol is None:
            await socket.close(message=b"no subprotocol in common")
            return socket
        wanted = _wanted(call)
        frames = self._streams.exec(_incoming(socket, start))
        try:
            status = await _outgoing(socket, frames, wanted)
        except ApiError as error:
            status = status_of(error, call.target)
        except ConnectionError:
            return socket
        except Exception:  # the outermost frame of what follows an upgrade
            log.exception("command_broke", path=call.request.path)
            status = internal_error()
        if not socket.closed:
            await socket.send_bytes(bytes((ERROR,)) + encoded(status))
        await socket.close()
        return socket


def exit_status(code: int) -> Tree:
    """What a command's exit code is told as."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def frame_of(message: bytes, *, closes: bool) -> StreamFrame | None:
    """The frame that a client's message means, None for one that means nothing; `closes`: it may end its input."""
    if not message:
        return None
    channel, data = message[0], message[1:]
    if channel == STDIN:
        return StreamFrame(stdin=data) if data else None
    if channel == RESIZE:
        return _resize(data)
    if channel == CLOSE and closes and data[:1] == bytes((STDIN,)):
        return StreamFrame(stdin_closed=True)
    return None


def _resize(data: bytes) -> StreamFrame | None:
    try:
        size = msgspec.json.decode(data, type=_Size)
    except msgspec.DecodeError:
        return None
    if not (0 < size.width <= LARGEST_SIDE and 0 < size.height <= LARGEST_SIDE):
        return None
    return StreamFrame(resize=TerminalSize(width=size.width, height=size.height))


def _start(call: Call) -> ExecStart:
    query = call.request.query
    command = query.getall("command", [])
    if not command:
        raise bad_request("command: Required value: say what is to be run")
    return ExecStart(
        namespace=call.target.namespace,
        pod=call.target.name,
        container=query.get("container", ""),
        command=command,
        stdin=bool(queries.boolean(query, "stdin", default=False)),
        tty=bool(queries.boolean(query, "tty", default=False)),
    )


def _socket(request: web.Request) -> web.WebSocketResponse:
    upgrade = request.headers.get("Upgrade", "").lower()
    if upgrade.startswith("spdy/"):
        message = "SPDY is not spoken here: commands run over WebSocket, which kubectl does from version 1.31 on"
        raise Refusal(501, "NotImplemented", message)
    socket = web.WebSocketResponse(protocols=(V5, V4), max_msg_size=MESSAGE_LIMIT_BYTES)
    if upgrade != "websocket" or not socket.can_prepare(request).ok:
        raise bad_request(f"a command needs an upgrade to WebSocket, with the subprotocol {V5} or {V4}")
    return socket


def _wanted(call: Call) -> frozenset[str]:
    """The outputs that the client wants to see."""
    names = ("stdout", "stderr")
    return frozenset(name for name in names if queries.boolean(call.query, name, default=False))


async def _incoming(socket: web.WebSocketResponse, start: ExecStart) -> AsyncGenerator[StreamFrame]:
    yield StreamFrame(exec=start)
    closes = socket.ws_protocol == V5
    async for message in socket:
        if message.type == WSMsgType.BINARY:
            data: bytes = message.data
        elif message.type == WSMsgType.TEXT:
            data = message.data.encode()
        else:
            return
        if (frame := frame_of(data, closes=closes)) is not None:
            yield frame


async def _outgoing(socket: web.WebSocketResponse, frames: AsyncIterator[StreamFrame], wanted: frozenset[str]) -> Tree:
    """Send what the command writes; returns the status of its end."""
    async with ending(frames):
        async for frame in frames:
            match name := frame.WhichOneof("frame"):
                case "stdout" | "stderr" if name in wanted:
                    channel = STDOUT if name == "stdout" else STDERR
                    await socket.send_bytes(bytes((channel,)) + getattr(frame, name))
                case "exit_code":
                    return exit_status(frame.exit_code)
    return internal_error()
