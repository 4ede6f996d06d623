"""Commands and ports over SPDY/3.1, as kubectl before 1.31 speaks it: a raw client over TLS."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from api.errors import NotReady
from api.v1 import apiserver_pb2 as pb
from controlplane.apiserver.rest import spdy
from tests.api_server import NoStreams, pod
from tests.rest_server import serving_rest
from tests.waiting import DEADLINE_SECONDS, eventually

pytestmark = pytest.mark.slow

PODS = "/api/v1/namespaces/default/pods"
V4, V3, PORTS = "v4.channel.k8s.io", "v3.channel.k8s.io", "portforward.k8s.io"


class Shell(NoStreams):
    """Says back what it hears and how large the terminal is, and ends with 7 at the end of its input; `no` is refused."""

    def __init__(self):
        self.open = 0

    async def exec(self, frames):
        start = (await anext(frames)).exec
        if start.command == ["no"]:
            raise NotReady("container main is not running")
        self.open += 1
        try:
            yield pb.StreamFrame(stderr=b"begun")
            async for frame in frames:
                match frame.WhichOneof("frame"):
                    case "stdin":
                        yield pb.StreamFrame(stdout=frame.stdin)
                    case "resize":
                        yield pb.StreamFrame(stdout=f"{frame.resize.width}x{frame.resize.height};".encode())
                    case "stdin_closed":
                        yield pb.StreamFrame(exit_code=7)
                        return
        finally:
            self.open -= 1

    async def forward(self, frames):
        yield pb.StreamFrame(stdout=str((await anext(frames)).forward.port).encode())
        async for frame in frames:
            if frame.stdin_closed:
                yield pb.StreamFrame(stdout_closed=True)
                return


class Client:
    """One connection that was upgraded, with what came in each stream."""

    def __init__(self, reader, writer, head):
        self.reader, self._writer, self.head = reader, writer, head
        self.spdy = spdy.Writer()
        self.data, self.ended, self.others = {}, set(), []

    async def send(self, *pieces):
        self._writer.write(b"".join(pieces))
        await self._writer.drain()

    async def open(self, *kinds, **headers):
        """Streams 1, 3, 5, ... for these."""
        await self.send(*(self.spdy.open(2 * n + 1, {"streamtype": kind, **headers}) for n, kind in enumerate(kinds)))

    async def until(self, condition):
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not condition():
                head = await self.reader.readexactly(8)
                body = await self.reader.readexactly(int.from_bytes(head[5:], "big"))
                stream = int.from_bytes(head[:4], "big")
                if head[0] & 0x80:
                    self.others.append((head[3], int.from_bytes(body[:4], "big")))
                    continue
                self.data[stream] = self.data.get(stream, b"") + body
                if head[4] & spdy.FIN:
                    self.ended.add(stream)


@asynccontextmanager
async def upgraded(rest, path, *versions):
    reader, writer = await asyncio.open_connection("127.0.0.1", rest.port, ssl=rest.tls(rest.keys.admin))
    try:
        lines = [f"POST {PODS}/{path} HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: SPDY/3.1"]
        lines += [f"X-Stream-Protocol-Version: {version}" for version in versions]
        writer.write("\r\n".join([*lines, "Content-Length: 0", "", ""]).encode())
        async with asyncio.timeout(DEADLINE_SECONDS):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        yield Client(reader, writer, head)
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


@pytest.fixture
async def shell():
    return Shell()


@pytest.fixture
async def rest(tmp_path, shell):
    async with serving_rest(tmp_path, shell) as made:
        await made.ask("POST", PODS, pod("a"))
        yield made


async def test_a_command_has_a_stream_for_each_of_its_own_and_one_for_its_end(rest):
    async with upgraded(rest, "a/exec?command=sh&stdin=1&stdout=1&stderr=1", "v9", V4, V3) as client:
        assert client.head.startswith("HTTP/1.1 101")
        assert f"X-Stream-Protocol-Version: {V4}" in client.head
        await client.open("error", "stdin", "stdout", "stderr", "other")
        await client.send(spdy.data(3, b"one "), spdy.ping(9), spdy.data(3, b"two", fin=True))
        await client.until(lambda: client.ended == {1, 3, 5, 7})
        assert (client.data[5], client.data[7]) == (b"one two", b"begun")
        status = json.loads(client.data[1])
        assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]
        assert {*client.others} == {(spdy.PING, 9), (spdy.RST_STREAM, 9)} | {(spdy.SYN_REPLY, n) for n in (1, 3, 5, 7)}


async def test_a_megabyte_of_input_comes_back_whole(rest):
    async with upgraded(rest, "a/exec?command=sh&stdin=1&stdout=1", V4) as client:
        await client.open("error", "stdin", "stdout")
        pieces = [bytes((number,)) * (32 << 10) for number in range(64)]
        sending = asyncio.ensure_future(
            client.send(*(spdy.data(3, piece) for piece in pieces), spdy.data(3, b"", fin=True))
        )
        await client.until(lambda: client.ended == {1, 3, 5})
        await sending
        assert client.data[5] == b"".join(pieces)


async def test_a_terminal_has_sizes_and_no_stream_for_errors(rest):
    async with upgraded(rest, "a/exec?command=sh&stdin=1&stdout=1&stderr=1&tty=1", V4) as client:
        await client.open("error", "stdin", "stdout", "resize")
        await client.send(spdy.data(7, b'{"Width":80,"Height":24}\n{"Wid'), spdy.data(7, b'th":9,"Height":8}'))
        await client.until(lambda: client.data.get(5) == b"80x24;9x8;")


async def test_before_version_4_an_end_is_told_in_words(rest):
    async with upgraded(rest, "a/exec?command=sh&stdin=1&stdout=1", V3) as client:
        await client.open("error", "stdin", "stdout")
        await client.send(spdy.data(3, b"", fin=True))
        await client.until(lambda: 1 in client.ended)
        assert client.data[1] == b"command terminated with non-zero exit code: exit status 7"


async def test_what_a_container_runs_is_joined_in_the_same_way(rest):
    async with upgraded(rest, "a/attach?container=main&stdin=1&stdout=1&stderr=1", V4) as client:
        await client.open("error", "stdin", "stdout", "stderr")
        await client.send(spdy.data(3, b"typed"))
        await client.until(lambda: client.ended == {1, 3, 5, 7})
        assert (client.data[5], client.data[7]) == (b"joined main", b"typed")
        assert json.loads(client.data[1])["status"] == "Success"


async def test_what_is_joined_comes_over_a_websocket_too(rest):
    url = f"{rest.url}{PODS}/a/attach?container=main&stdin=1&stdout=1&stderr=1"
    async with (
        rest.admin.ws_connect(url, protocols=("v5.channel.k8s.io",)) as socket,
        asyncio.timeout(DEADLINE_SECONDS),
    ):
        await socket.send_bytes(b"\x00typed")
        got = [await socket.receive_bytes() for _ in range(3)]
    assert got[:2] == [b"\x01joined main", b"\x02typed"]
    assert json.loads(got[2][1:])["status"] == "Success"


async def test_what_goes_wrong_later_is_told_in_the_error_stream(rest):
    async with upgraded(rest, "a/exec?command=no&stdout=1", V4) as client:
        await client.open("error", "stdout")
        await client.until(lambda: 1 in client.ended)
        assert json.loads(client.data[1])["message"] == "container main is not running"


@pytest.mark.parametrize("last", [b"\xff" * 16, b"\x80\x03\x00\x07\x00\x00\x00\x08" + bytes(8), b""])
async def test_a_client_that_goes_or_speaks_nonsense_takes_its_command_along(rest, shell, last):
    async with upgraded(rest, "a/exec?command=sh&stdin=1&stdout=1", V4) as client:
        await client.open("error", "stdin", "stdout")
        await client.send(spdy.data(3, b"here"))
        await client.until(lambda: client.data.get(5) == b"here")
        assert shell.open == 1
        await client.send(last)
        if last:  # the server ends it
            async with asyncio.timeout(DEADLINE_SECONDS):
                await client.reader.read()
    await eventually(lambda: not shell.open)


async def test_ports_are_forwarded_without_a_websocket(rest):
    async with upgraded(rest, "a/portforward", PORTS) as client:
        assert client.head.startswith("HTTP/1.1 101")
        await client.open("error", "data", port="80", requestid="0")
        await client.until(lambda: client.data.get(3) == b"80")
        await client.send(spdy.data(3, b"", fin=True))
        await client.until(lambda: client.ended == {1, 3})


@pytest.mark.parametrize(
    ("path", "versions", "status", "said"),
    [
        ("a/exec?command=sh", (), 400, "X-Stream-Protocol-Version: Required value"),
        ("a/exec?command=sh", ("v9",), 403, "none of v9 is spoken here"),
        ("a/portforward", (V4,), 403, "none of v4.channel.k8s.io is spoken here"),
        ("no/exec?command=sh", (V4,), 404, "not found"),
        ("no/portforward", (PORTS,), 404, "not found"),
    ],
)
async def test_what_is_wrong_is_told_before_the_upgrade(rest, path, versions, status, said):
    async with upgraded(rest, path, *versions) as client:
        assert client.head.startswith(f"HTTP/1.1 {status} ")
        size = next(line.split()[1] for line in client.head.splitlines() if line.lower().startswith("content-length"))
        async with asyncio.timeout(DEADLINE_SECONDS):
            body = await client.reader.readexactly(int(size))
        assert said in json.loads(body)["message"]
