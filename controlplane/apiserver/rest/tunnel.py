"""kubectl's port-forward: SPDY, inside a WebSocket or not, with two streams for every connection to a port.

The client opens an error stream and a data stream with the same `requestid` and the `port`. What goes wrong is told in the
error stream, which always ends; the data stream carries the connection.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from api.errors import ApiError
from api.v1.apiserver_pb2 import ForwardStart
from controlplane.apiserver.rest import spdy
from controlplane.apiserver.rest.connection import CONNECTIONS_AT_ONCE, Connection
from controlplane.apiserver.stream_calls import NodeStreams

STREAM_TYPE, PORT, REQUEST = "streamtype", "port", "requestid"
LARGEST_PORT: Final = 65_535


class Pipe(Protocol):
    """What SPDY is spoken over."""

    async def read(self) -> bytes:
        """The next bytes, b"" when the client has gone."""

    async def write(self, piece: bytes) -> None:
        """Send bytes, in one piece. ConnectionError."""


class Tunnel:
    """All connections of one client."""

    def __init__(self, pipe: Pipe, streams: NodeStreams, start: ForwardStart) -> None:
        self._pipe = pipe
        self._streams = streams
        self._start = start
        self._writer = spdy.Writer()
        self._errors: dict[str, int] = {}  # request -> its error stream, until the data stream comes
        self._connections: dict[int, Connection] = {}  # by data stream
        self._tasks: dict[int, tuple[asyncio.Task[None], int]] = {}  # by data stream, with its error stream

    async def run(self) -> None:
        """Serve until the client goes. spdy.Broken, ConnectionError."""
        reader = spdy.Reader()
        try:
            while piece := await self._pipe.read():
                for frame in reader.feed(piece):
                    if isinstance(frame, spdy.GoAway):
                        return
                    await self._take(frame)
        finally:
            tasks = [task for task, _ in self._tasks.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(self, frame: spdy.Frame) -> None:
        match frame:
            case spdy.Opened():
                await self._open(frame)
            case spdy.Data(stream, data, fin) if stream in self._connections:
                if data:
                    await self._connections[stream].send(data)
                if fin and stream in self._connections:
                    await self._connections[stream].end()
            case spdy.Reset(stream) if stream in self._tasks:
                task, errors = self._tasks[stream]
                self._connections.pop(stream, None)
                task.cancel()
                await self._pipe.write(spdy.data(errors, b"", fin=True))  # the client waits for it
            case spdy.Ping(number):
                await self._pipe.write(spdy.ping(number))

    async def _open(self, frame: spdy.Opened) -> None:
        kind, request = frame.headers.get(STREAM_TYPE, ""), frame.headers.get(REQUEST, "")
        port = _port(frame.headers.get(PORT, ""))
        full = len(self._errors) + len(self._tasks) >= CONNECTIONS_AT_ONCE
        if kind == "error" and port and not full and request not in self._errors:
            self._errors[request] = frame.stream
            await self._pipe.write(self._writer.reply(frame.stream))
        elif kind == "data" and port and request in self._errors and frame.stream not in self._tasks:
            errors = self._errors.pop(request)
            await self._pipe.write(self._writer.reply(frame.stream))
            connection = self._connections[frame.stream] = Connection(self._streams, self._start, port)
            task = asyncio.ensure_future(self._carry(connection, frame.stream, errors))
            self._tasks[frame.stream] = task, errors
            task.add_done_callback(lambda _: self._tasks.pop(frame.stream, None))
            if frame.fin:
                await connection.end()
        else:
            await self._pipe.write(spdy.refuse(frame.stream))

    async def _carry(self, connection: Connection, stream: int, errors: int) -> None:
        """Everything the pod says, then the end of both streams."""
        problem, ended = b"", False
        try:
            async for data in connection.received():
                ended = data is None
                await self._pipe.write(spdy.data(stream, data or b"", fin=ended))
        except ApiError as error:
            problem = str(error).encode()
        finally:
            self._connections.pop(stream, None)
        await self._pipe.write(spdy.data(errors, problem, fin=True))
        if not ended:
            await self._pipe.write(spdy.data(stream, b"", fin=True))


def _port(text: str) -> int:
    """The port that a header names, 0 for what is none."""
    number = int(text) if text.isascii() and text.isdecimal() and len(text) <= 5 else 0
    return number if number <= LARGEST_PORT else 0
