"""A client's HTTP/1.1 connections, as light as they can be: what a load generator takes is in every latency it measures.

Only what the API answers a single request with: a status, headers, and a body with its length told before or in chunks. Watches are
no business of theirs.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import cast

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length:"


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered; `head` is the status line and the headers as they came."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str:
        """KeyError."""
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.lower() == name.lower().encode():
                return value.strip().decode()
        raise KeyError(name)


class Connection(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self) -> None:
        self.lost = False
        self._transport: asyncio.Transport
        self._received = bytearray()
        self._head = b""
        self._left: int | None = None  # bytes of the body that are still to come; None: chunks tell
        self._body = bytearray()
        self._answer: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    async def ask(self, request: bytes) -> Answer:
        """Send a whole request. ConnectionError."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._head and not self._headed():
            return
        if self._left is None:
            while (size := self._chunk()) > 0:
                pass
            if size == 0:
                self._answered()
        elif len(self._received) >= self._left:
            self._body, self._received = self._received, bytearray()
            self._answered()

    def _headed(self) -> bool:
        """Read the head, if all of it is there."""
        end = self._received.find(_HEAD_END)
        if end < 0:
            return False
        self._head = bytes(self._received[: end + 2])
        del self._received[: end + len(_HEAD_END)]
        at = self._head.lower().find(_LENGTH)
        self._left = int(self._head[at + len(_LENGTH) : self._head.index(b"\r\n", at + 2)]) if at >= 0 else None
        return True

    def _chunk(self) -> int:
        """Move a chunk to the body; its size, 0 for the last, -1 while it is not all there."""
        line = self._received.find(b"\r\n")
        size = int(self._received[:line], 16) if line > 0 else 0
        end = line + 2 + size
        if line < 0 or len(self._received) < end + 2:
            return -1
        self._body += self._received[line + 2 : end]
        del self._received[: end + 2]
        return size

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the connection was closed: {exc or 'by the server'}")

    def close(self) -> None:
        """Nothing more is asked."""
        self._transport.close()

    def _answered(self) -> None:
        answer = Answer(int(self._head[9:12]), self._head, bytes(self._body))
        self._head, self._body = b"", bytearray()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def _fail(self, reason: str) -> None:
        self.lost = True
        self._transport.abort()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError(reason))


class Connections:
    """As many connections to one address as requests are under way at once; they stay open."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, server_name: str, seconds: float) -> None:
        """`server_name` is what the certificate must show. A connection whose answer takes longer than `seconds` is closed."""
        self._address = host, port
        self._context, self._server_name = context, server_name
        self._seconds = seconds
        self._idle: list[Connection] = []

    async def ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        """The answer to one request, whatever its status. ConnectionError."""
        connection = await self._taken()
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._server_name}\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\n"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        too_late = asyncio.get_running_loop().call_later(self._seconds, connection.close)
        try:
            answer = await connection.ask(head.encode() + b"\r\n" + body)
        finally:
            too_late.cancel()
        self._idle.append(connection)
        return answer

    async def close(self) -> None:
        """Close all that are idle."""
        for connection in self._idle:
            connection.close()

    async def _taken(self) -> Connection:
        while self._idle:
            if not (connection := self._idle.pop()).lost:
                return connection
        host, port = self._address
        _, made = await asyncio.get_running_loop().create_connection(
            Connection, host, port, ssl=self._context, server_hostname=self._server_name
        )
        return made
