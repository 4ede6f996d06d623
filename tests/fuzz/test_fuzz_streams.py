"""Connections that were upgraded for commands and ports get anything as frames: they end, leave nothing open, and log no bug."""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import suppress

import pytest
import structlog

from api.v1 import apiserver_pb2 as pb
from controlplane.apiserver.rest import spdy
from tests.api_server import NoStreams, pod
from tests.rest_server import serving_rest
from tests.waiting import DEADLINE_SECONDS, eventually

pytestmark = pytest.mark.slow

CONNECTIONS = int(os.environ.get("CONNECTIONS", "25"))
SEED = int(os.environ.get("FUZZ_SEED", "20261121"))
PODS = "/api/v1/namespaces/default/pods"
PATHS = (
    *("exec?command=sh&stdin=1&stdout=1&stderr=1", "exec?command=sh&stdin=1&stdout=1&tty=1", "exec?command=", "exec"),
    *("attach?stdin=1&stdout=1", "attach?stdin=1&tty=1&stdout=true", "portforward", "portforward?ports=80&ports=81"),
    *("exec?command=sh&stdin=maybe", "portforward?ports=0", "portforward?ports=x"),
)
SPDY_WORDS = ("v4.channel.k8s.io", "v3.channel.k8s.io", "portforward.k8s.io", "v9", "")
SOCKET_WORDS = (
    "v4.channel.k8s.io",
    "v5.channel.k8s.io",
    "base64.channel.k8s.io",
    "SPDY/3.1+portforward.k8s.io",
    "v9",
    "",
)
STREAM_TYPES = ("error", "stdin", "stdout", "stderr", "resize", "data", "other", "", "é")


class Echo(NoStreams):
    """Says back what it hears, until its input ends."""

    def __init__(self) -> None:
        self.open = 0

    async def exec(self, frames):
        self.open += 1
        try:
            async for frame in frames:
                match frame.WhichOneof("frame"):
                    case "stdin":
                        yield pb.StreamFrame(stdout=frame.stdin)
                    case "stdin_closed":
                        yield pb.StreamFrame(exit_code=7)
                        return
        finally:
            self.open -= 1

    async def attach(self, frames):
        async for frame in self.exec(frames):
            yield frame

    async def forward(self, frames):
        async for frame in self.exec(frames):
            yield frame


def spdy_frame(writer: spdy.Writer, rng: random.Random) -> bytes:
    number = rng.choice((0, 1, 3, 5, 7, 2, 2**31 - 1))
    headers = {
        "streamtype": rng.choice(STREAM_TYPES),
        "port": rng.choice(("80", "0", "x", "99999999")),
        "requestid": "0",
    }
    return rng.choice(
        (
            writer.open(number, headers),
            writer.open(number, {}),
            spdy.data(number, rng.randbytes(rng.choice((0, 1, 4000))), fin=rng.random() < 0.3),
            spdy.data(number, b'{"Width":80,"Height":"x"}'),
            spdy.ping(number),
            spdy.refuse(number),
            b"\x80\x03\x00\x07\x00\x00\x00\x08" + bytes(8),
            rng.randbytes(rng.choice((1, 9, 200))),
        )
    )


def socket_frame(rng: random.Random) -> bytes:
    payload = rng.choice(
        (
            bytes([rng.randrange(7)]) + rng.randbytes(rng.choice((0, 3, 4000))),
            b"",
            b'\x04{"Width":1e99}',
            b"\xff\x00",
            b"\x04[" * 40,
        )
    )
    head = rng.choice((0x82, 0x81, 0x80, 0x02, 0x88, 0x89, 0x8A, 0x83, 0xF2))
    masked = rng.random() < 0.9
    size = len(payload) if rng.random() < 0.9 else rng.choice((0, 2**16, 2**40))
    length = (
        bytes([size])
        if size < 126
        else b"\x7e" + size.to_bytes(2, "big")
        if size < 1 << 16
        else b"\x7f" + size.to_bytes(8, "big")
    )
    first = bytes([head, length[0] | (0x80 if masked else 0)]) + length[1:]
    mask = rng.randbytes(4) if masked else b""
    return first + mask + (bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)) if masked else payload)


async def one(rest, rng: random.Random) -> None:
    """Upgrade, send some frames, go."""
    over_spdy = rng.random() < 0.5
    lines = [
        f"{'POST' if over_spdy else 'GET'} {PODS}/a/{rng.choice(PATHS)} HTTP/1.1",
        "Host: a",
        "Connection: Upgrade",
    ]
    if over_spdy:
        lines += ["Upgrade: SPDY/3.1", "Content-Length: 0"]
        lines += [f"X-Stream-Protocol-Version: {word}" for word in rng.sample(SPDY_WORDS, 2)]
    else:
        lines += ["Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + "a" * 22 + "=="]
        lines += [f"Sec-WebSocket-Protocol: {', '.join(rng.sample(SOCKET_WORDS[:-1], 2))}"]
    reader, writer = await asyncio.open_connection("127.0.0.1", rest.port, ssl=rest.tls(rest.keys.admin))
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode())
        await reader.readuntil(b"\r\n\r\n")
        framer = spdy.Writer()
        for _ in range(rng.randrange(12)):
            writer.write(spdy_frame(framer, rng) if over_spdy else socket_frame(rng))
            await writer.drain()
        if rng.random() < 0.5:
            writer.write_eof() if writer.can_write_eof() else writer.transport.abort()
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await reader.read()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.transport.abort()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_whatever_comes_as_frames_connections_end_and_leave_nothing_open(tmp_path):
    rng, echo, unexpected = random.Random(SEED), Echo(), []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unexpected.append(context))
    with structlog.testing.capture_logs() as logged:
        async with serving_rest(tmp_path, echo) as rest:
            await rest.ask("POST", PODS, pod("a"))
            for _ in range(CONNECTIONS):
                async with asyncio.timeout(DEADLINE_SECONDS):
                    await one(rest, rng)
            await eventually(lambda: not echo.open)
            assert (await rest.ask("GET", f"{PODS}/a")).status == 200
    assert not unexpected, (SEED, unexpected)
    assert not [each for each in logged if each["log_level"] in {"error", "critical"}], (SEED, logged)
