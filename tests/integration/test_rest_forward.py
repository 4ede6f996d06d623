"""Ports of pods over HTTPS: kubectl's SPDY inside a WebSocket, and the channels of other clients."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from api.errors import Unavailable
from api.v1 import apiserver_pb2 as pb
from controlplane.apiserver.rest import spdy
from tests.api_server import NoStreams, pod
from tests.rest_server import serving_rest
from tests.waiting import DEADLINE_SECONDS, eventually

pytestmark = pytest.mark.slow

PODS = "/api/v1/namespaces/default/pods"
SPDY, V4 = "SPDY/3.1+portforward.k8s.io", "v4.channel.k8s.io"


class Ports(NoStreams):
    """Port 81 refuses; every other one says its number, then what it hears, and closes at the client's end."""

    def __init__(self):
        self.open = 0

    async def forward(self, frames):
        start = (await anext(frames)).forward
        if start.port == 81:
            raise Unavailable("connection refused")
        self.open += 1
        try:
            yield pb.StreamFrame(stdout=str(start.port).encode())
            async for frame in frames:
                if frame.stdin_closed or frame.stdin == b"end":
                    yield pb.StreamFrame(stdout_closed=True)
                    return
                yield pb.StreamFrame(stdout=frame.stdin)
        finally:
            self.open -= 1


@pytest.fixture
async def rest(tmp_path):
    async with serving_rest(tmp_path, Ports()) as made:
        await made.ask("POST", PODS, pod("a"))
        yield made


def socket_to(rest, protocol, query=""):
    return rest.admin.ws_connect(f"{rest.url}{PODS}/a/portforward{query}", protocols=(protocol,))


class Kubectl:
    """The other end of a tunnel."""

    def __init__(self, socket):
        self.socket, self.writer = socket, spdy.Writer()
        self.data, self.ended = {}, set()
        self.others = []

    async def connect(self, request, port, errors, data):
        for stream, kind in ((errors, "error"), (data, "data")):
            headers = {"streamtype": kind, "port": str(port), "requestid": str(request)}
            await self.socket.send_bytes(self.writer.open(stream, headers))
        await self.socket.send_bytes(spdy.data(errors, b"", fin=True))

    async def until(self, condition):
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not condition():
                self._take(await self.socket.receive_bytes())

    def _take(self, message):
        if message[0] & 0x80:
            self.others.append((message[3], int.from_bytes(message[8:12], "big")))
            return
        stream = int.from_bytes(message[:4], "big")
        self.data[stream] = self.data.get(stream, b"") + message[8:]
        if message[4] & spdy.FIN:
            self.ended.add(stream)


async def test_kubectl_has_several_connections_in_one_tunnel(rest):
    async with socket_to(rest, SPDY) as socket:
        assert socket.protocol == SPDY
        kubectl = Kubectl(socket)
        await kubectl.connect(0, 80, 1, 3)
        await kubectl.connect(1, 8080, 5, 7)
        await socket.send_bytes(spdy.data(3, b" one"))
        await socket.send_bytes(spdy.data(7, b" two"))
        await kubectl.until(lambda: kubectl.data == {3: b"80 one", 7: b"8080 two"})
        assert {(spdy.SYN_REPLY, stream) for stream in (1, 3, 5, 7)} == set(kubectl.others)
        await socket.send_bytes(spdy.data(3, b"", fin=True))
        await kubectl.until(lambda: kubectl.ended == {1, 3})
        await socket.send_bytes(spdy.ping(7) + b"\x80\x03\0\x03\0\0\0\x08\0\0\0\x07\0\0\0\x05")
        await kubectl.until(lambda: 5 in kubectl.ended)  # it waits for that after a reset
        assert (spdy.PING, 7) in kubectl.others
        assert kubectl.data[5] == kubectl.data[1] == b""


async def test_kubectl_is_told_what_went_wrong_in_the_error_stream(rest):
    async with socket_to(rest, SPDY) as socket:
        kubectl = Kubectl(socket)
        await kubectl.connect(0, 81, 1, 3)
        await kubectl.until(lambda: kubectl.ended == {1, 3})
        assert kubectl.data == {1: b"connection refused", 3: b""}


async def test_streams_that_mean_no_connection_are_refused_and_what_is_no_spdy_ends_it(rest):
    async with socket_to(rest, SPDY) as socket:
        kubectl = Kubectl(socket)
        await socket.send_bytes(kubectl.writer.open(1, {"streamtype": "data", "port": "80", "requestid": "9"}))
        await socket.send_bytes(kubectl.writer.open(3, {"streamtype": "error", "port": "0", "requestid": "9"}))
        await kubectl.until(lambda: kubectl.others == [(spdy.RST_STREAM, 1), (spdy.RST_STREAM, 3)])
        await socket.send_bytes(b"GET / HTTP/1.1\r\n\r\n" + b"\xff" * 8)
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert (await socket.receive()).type == aiohttp.WSMsgType.CLOSE


async def test_connections_end_with_the_client(tmp_path):
    ports = Ports()
    async with serving_rest(tmp_path, ports) as rest:
        await rest.ask("POST", PODS, pod("a"))
        async with socket_to(rest, SPDY) as socket:
            kubectl = Kubectl(socket)
            await kubectl.connect(0, 80, 1, 3)
            await kubectl.until(lambda: kubectl.data.get(3) == b"80")
            assert ports.open == 1
        await eventually(lambda: not ports.open)


async def test_channels_say_their_port_first_and_the_socket_ends_with_the_last_connection(rest):
    async with socket_to(rest, V4, "?ports=80&ports=81,8080") as socket:
        assert socket.protocol == V4
        await socket.send_bytes(b"\x00 hi")
        await socket.send_bytes(b"\x00end")
        await socket.send_bytes(b"\x04end")
        async with asyncio.timeout(DEADLINE_SECONDS):
            got = [message.data async for message in socket]
    first = [
        bytes((channel,)) + port.to_bytes(2, "little") for channel, port in enumerate((80, 80, 81, 81, 8080, 8080))
    ]
    assert got[:6] == first
    assert sorted(got[6:]) == [b"\x00 hi", b"\x0080", b"\x03connection refused", b"\x048080"]


@pytest.mark.parametrize(
    ("path", "headers", "status", "said"),
    [
        ("a/portforward?ports=80", {}, 400, "needs an upgrade to WebSocket"),
        (
            "a/portforward?ports=80",
            {"Connection": "Upgrade", "Upgrade": "SPDY/2"},
            400,
            "needs an upgrade to WebSocket",
        ),
        ("a/portforward", {"protocol": V4}, 400, "ports: Required value"),
        ("a/portforward?ports=0", {"protocol": V4}, 400, "ports: Invalid value"),
        ("a/portforward?ports=80,x", {"protocol": V4}, 400, "ports: Invalid value"),
        ("a/portforward?" + "ports=80&" * 65, {"protocol": V4}, 400, "ports: Too many"),
        ("no/portforward?ports=80", {"protocol": V4}, 404, 'pods "no" not found'),
    ],
)
async def test_what_is_wrong_is_told_before_the_upgrade(rest, path, headers, status, said):
    if protocol := headers.get("protocol"):
        key = {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
        headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Protocol": protocol, **key}
    answer = await rest.ask("GET", f"{PODS}/{path}", headers=headers)
    assert answer.status == status
    assert said in answer.tree["message"]
