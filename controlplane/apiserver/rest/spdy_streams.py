"""A command's streams over SPDY/3.1, as kubectl before 1.31 has them: one SPDY stream for each.

The client opens all of them; each says in `streamtype` what it is for. Before version 4 of the protocol a failure is told
in words, from then on as a Status. What comes before all are open is waited for, but not for long.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final, Literal

import structlog
from aiohttp import web

from api.object import Tree
from api.v1.apiserver_pb2 import StreamFrame
from controlplane.apiserver.rest import spdy
from controlplane.apiserver.rest.channels import resize
from controlplane.apiserver.rest.encoding import encoded
from controlplane.apiserver.rest.refusals import Refusal, bad_request
from controlplane.apiserver.rest.upgrade import Upgraded

log = structlog.get_logger()

PROTOCOL: Final = "SPDY/3.1"
VERSION_HEADER: Final = "X-Stream-Protocol-Version"
VERSIONS: Final = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
OPEN_SECONDS: Final = 30.0
"""As long as Kubernetes waits for all streams."""

GOODBYE_SECONDS: Final = 5.0
"""What was sent last may still be on its way: closing earlier than the client could lose it."""

EARLY_FRAMES: Final = 64
SIZES_LIMIT_BYTES: Final = 4096


def is_asked_for(request: web.Request) -> bool:
    """Whether a request wants SPDY itself, not inside a WebSocket."""
    return request.headers.get("Upgrade", "").lower() == PROTOCOL.lower()


def agreed(request: web.Request, known: tuple[str, ...]) -> str:
    """The first of the client's versions that is known. Refusal."""
    offers = [each.strip() for line in request.headers.getall(VERSION_HEADER, []) for each in line.split(",")]
    for offer in offers:
        if offer in known:
            return offer
    if not offers:
        raise bad_request(f"{VERSION_HEADER}: Required value: one of {', '.join(known)}")
    raise Refusal(403, "Forbidden", f"{VERSION_HEADER}: none of {', '.join(offers)} is spoken here: {', '.join(known)}")


class SpdyStreams:
    """Implements the carrier of a command's streams."""

    def __init__(self, request: web.Request, wanted: frozenset[str], *, stdin: bool, tty: bool) -> None:
        """`wanted` are the outputs that the client will open streams for. Refusal when no version is in common."""
        self._version = agreed(request, VERSIONS)
        self._pipe = Upgraded(request, PROTOCOL, {VERSION_HEADER: self._version})
        self._reader, self._writer = spdy.Reader(), spdy.Writer()
        self._names = {"error"} | wanted
        if stdin:
            self._names.add("stdin")
        if tty:
            self._names.discard("stderr")
            if self._version in VERSIONS[:2]:
                self._names.add("resize")
        self._streams: dict[str, int] = {}
        self._early: list[spdy.Frame] = []
        self._sizes = b""
        self._left = False  # the client says nothing more, or nothing that is understood

    @property
    def response(self) -> web.StreamResponse:
        """The answer to the request."""
        return self._pipe.response

    async def open(self) -> bool:
        """Agree to the change of protocol; whether the client opened all streams in time. ConnectionError."""
        await self._pipe.accept()
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                while self._names - self._streams.keys():
                    for frame in await self._frames():
                        await self._open(frame)
        except (TimeoutError, spdy.Broken) as error:
            log.info("streams_not_opened", error=str(error) or "too slow", opened=sorted(self._streams))
            return False
        return True

    async def incoming(self, first: StreamFrame) -> AsyncGenerator[StreamFrame]:
        """Yield the first frame, then what the client says until it goes."""
        yield first
        frames = self._early
        try:
            while True:
                for frame in frames:
                    if isinstance(frame, spdy.GoAway):
                        self._left = True
                        return
                    for each in await self._take(frame):
                        yield each
                frames = await self._frames()
        except (ConnectionError, spdy.Broken) as error:
            log.info("streams_lost", error=str(error))
            self._left = True

    async def send(self, name: Literal["stdout", "stderr"], data: bytes) -> None:
        """Send a piece of output. ConnectionError."""
        if name in self._streams:  # with a terminal there is none for errors
            await self._pipe.write(spdy.data(self._streams[name], data))

    async def finish(self, status: Tree) -> None:
        """End the outputs, tell how it ended, and let the client close. ConnectionError."""
        told = b""
        if self._version == VERSIONS[0]:
            told = encoded(status)
        elif status["status"] != "Success":
            told = str(status["message"]).encode()
        ends = [spdy.data(stream, b"", fin=True) for name, stream in self._streams.items() if name != "error"]
        await self._pipe.write(b"".join(ends) + spdy.data(self._streams["error"], told, fin=True))
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                while not self._left and await self._pipe.read():
                    pass
        except TimeoutError:
            log.info("streams_left_open", seconds=GOODBYE_SECONDS)

    async def _frames(self) -> list[spdy.Frame]:
        piece = await self._pipe.read()
        if not piece:
            raise ConnectionResetError("the client has gone")
        return list(self._reader.feed(piece))

    async def _open(self, frame: spdy.Frame) -> None:
        """Take what comes while streams are opened."""
        if not isinstance(frame, spdy.Opened):
            self._early.append(frame)
            if len(self._early) > EARLY_FRAMES:
                raise spdy.Broken("too much is said before all streams are open")
            return
        name = frame.headers.get("streamtype", "").lower()
        if name not in self._names or name in self._streams:
            await self._pipe.write(spdy.refuse(frame.stream))
            return
        self._streams[name] = frame.stream
        await self._pipe.write(self._writer.reply(frame.stream))
        if frame.fin:
            self._early.append(spdy.Data(frame.stream, b"", fin=True))

    async def _take(self, frame: spdy.Frame) -> list[StreamFrame]:
        """What a frame means to the command."""
        match frame:
            case spdy.Ping(number):
                await self._pipe.write(spdy.ping(number))
            case spdy.Opened(stream):
                await self._pipe.write(spdy.refuse(stream))
            case spdy.Data(stream, data, fin) if stream == self._streams.get("stdin"):
                said = [StreamFrame(stdin=data)] if data else []
                return [*said, StreamFrame(stdin_closed=True)] if fin else said
            case spdy.Data(stream, data) if stream == self._streams.get("resize"):
                return self._resized(data)
            case spdy.Reset(stream) if stream == self._streams.get("stdin"):
                return [StreamFrame(stdin_closed=True)]
        return []

    def _resized(self, data: bytes) -> list[StreamFrame]:
        """Sizes are objects without objects inside, one behind the other, cut anywhere."""
        *whole, rest = (self._sizes + data).split(b"}")
        self._sizes = rest[:SIZES_LIMIT_BYTES]
        return [frame for each in whole if (frame := resize(each + b"}")) is not None]
