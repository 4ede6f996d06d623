"""Ports of pods, in the three ways that Kubernetes has.

SPDY/3.1+portforward.k8s.io is kubectl's: SPDY inside a WebSocket, a pair of streams for every connection; older ones speak
the same SPDY without the WebSocket. v4.channel.k8s.io is that of other clients: one connection to each port that `ports`
names, a data and an error channel for each. It must not know how the pod is reached.
"""

from __future__ import annotations

from typing import Final

import structlog
from aiohttp import WSMsgType, web

from api.errors import ApiError
from api.v1.apiserver_pb2 import ForwardStart
from component.tasks import run_together, run_until_one_ends
from controlplane.apiserver.reads import Reads
from controlplane.apiserver.rest import spdy, spdy_streams
from controlplane.apiserver.rest.call import Call
from controlplane.apiserver.rest.connection import CONNECTIONS_AT_ONCE, Connection
from controlplane.apiserver.rest.refusals import bad_request
from controlplane.apiserver.rest.tunnel import Tunnel
from controlplane.apiserver.rest.upgrade import Upgraded
from controlplane.apiserver.stream_calls import NodeStreams

log = structlog.get_logger()

V4: Final = "v4.channel.k8s.io"
SPDY: Final = "SPDY/3.1+portforward.k8s.io"
SPDY_VERSION: Final = "portforward.k8s.io"
MESSAGE_LIMIT_BYTES: Final = 2 << 20
LARGEST_PORT: Final = 65_535


class Forwards:
    """Serves portforward."""

    def __init__(self, reads: Reads, streams: NodeStreams) -> None:
        self._reads = reads
        self._streams = streams

    async def run(self, call: Call) -> web.StreamResponse:
        """Carry connections until the client goes. What is wrong with the pod is told before the upgrade."""
        if spdy_streams.is_asked_for(call.request):
            return await self._spdy(call)
        socket = _socket(call.request)
        ports = ports_of(call.request.query.getall("ports", []))
        offered = call.request.headers.get("Sec-WebSocket-Protocol", "")
        if not ports and SPDY not in offered:
            raise bad_request("ports: Required value: say which ports of the pod are meant")
        target = call.target
        await self._reads.get(call.identity, "pods", target.namespace, target.name, asked=call.asked)
        await socket.prepare(call.request)
        start = ForwardStart(namespace=target.namespace, pod=target.name)
        try:
            if socket.ws_protocol == SPDY:
                await Tunnel(_Messages(socket), self._streams, start).run()
            elif socket.ws_protocol == V4:
                await self._channels(socket, start, ports)
        except (ConnectionError, spdy.Broken) as error:
            log.info("forward_lost", error=str(error))
        except Exception:  # the outermost frame of what follows an upgrade
            log.exception("forward_broke", path=call.request.path)
        await socket.close()
        return socket

    async def _spdy(self, call: Call) -> web.StreamResponse:
        target = call.target
        version = spdy_streams.agreed(call.request, (SPDY_VERSION,))
        await self._reads.get(call.identity, "pods", target.namespace, target.name, asked=call.asked)
        pipe = Upgraded(call.request, spdy_streams.PROTOCOL, {spdy_streams.VERSION_HEADER: version})
        try:
            await pipe.accept()
            await Tunnel(pipe, self._streams, ForwardStart(namespace=target.namespace, pod=target.name)).run()
        except (ConnectionError, spdy.Broken) as error:
            log.info("forward_lost", error=str(error))
        except Exception:  # the outermost frame of what follows an upgrade
            log.exception("forward_broke", path=call.request.path)
        return pipe.response

    async def _channels(self, socket: web.WebSocketResponse, start: ForwardStart, ports: list[int]) -> None:
        """Each port has its data at channel 2n, its error at 2n + 1; the first message of both says the port."""
        for number, port in enumerate(ports):
            for channel in (2 * number, 2 * number + 1):
                await socket.send_bytes(bytes((channel,)) + port.to_bytes(2, "little"))
        connections = [Connection(self._streams, start, port) for port in ports]
        carrying = run_together(*(_carry(socket, 2 * number, each) for number, each in enumerate(connections)))
        await run_until_one_ends(_read(socket, connections), carrying)


class _Messages:
    """The bytes in a WebSocket's messages, as if there were none."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        """A message; b"" when no more come."""
        while True:
            message = await self._socket.receive()
            if message.type != WSMsgType.BINARY:
                return b""
            if message.data:
                return bytes(message.data)

    async def write(self, piece: bytes) -> None:
        """Send one. ConnectionError."""
        await self._socket.send_bytes(piece)


def ports_of(values: list[str]) -> list[int]:
    """The ports that `ports` asks for, which may come several times and with commas. Refusal."""
    words = [word for value in values for word in value.split(",")]
    if len(words) > CONNECTIONS_AT_ONCE:
        raise bad_request(f"ports: Too many: {len(words)}; at most {CONNECTIONS_AT_ONCE}")
    for word in words:
        if not (word.isascii() and word.isdecimal() and len(word) <= 5 and 0 < int(word) <= LARGEST_PORT):
            raise bad_request(f'ports: Invalid value: "{word[:20]}": a port is a number from 1 to {LARGEST_PORT}')
    return [int(word) for word in words]


async def _carry(socket: web.WebSocketResponse, channel: int, connection: Connection) -> None:
    try:
        async for data in connection.received():
            if data is None:
                return  # a channel cannot be half closed: what the client would still say, nobody answers
            await socket.send_bytes(bytes((channel,)) + data)
    except ApiError as error:
        await socket.send_bytes(bytes((channel + 1,)) + str(error).encode())


async def _read(socket: web.WebSocketResponse, connections: list[Connection]) -> None:
    async for message in socket:
        if message.type != WSMsgType.BINARY:
            return
        channel, data = message.data[:1], message.data[1:]
        if data and channel[0] % 2 == 0 and channel[0] // 2 < len(connections):
            await connections[channel[0] // 2].send(data)


def _socket(request: web.Request) -> web.WebSocketResponse:
    upgrade = request.headers.get("Upgrade", "").lower()
    socket = web.WebSocketResponse(protocols=(SPDY, V4), max_msg_size=MESSAGE_LIMIT_BYTES, compress=False)
    if upgrade != "websocket" or not socket.can_prepare(request).ok:
        message = f"port forwarding needs an upgrade to WebSocket, with the subprotocol {SPDY} or {V4}, or to SPDY/3.1"
        raise bad_request(message)
    return socket
