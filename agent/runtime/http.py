"""HTTP/1.1 to Podman over its Unix socket: pooled connections, whole responses, and upgraded raw streams.

It knows status codes and Podman's error bodies, but no resource and no path.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from agent.runtime.protocol import RuntimeFailure

API_VERSION = "v4.3.1"  # the oldest we support; newer services answer it too
IDLE_CONNECTIONS = 8
PARALLEL_REQUESTS = 16
REQUEST_TIMEOUT_SECONDS = 60.0
RESPONSE_BYTES = 64 << 20
_HEAD_BYTES = 64 << 10


class PodmanError(RuntimeFailure):
    """Podman answered with an error status, or (status 0) did not answer."""

    def __init__(self, status: int, message: str, *, reason: str = "RuntimeFailure", temporary: bool = True) -> None:
        super().__init__(message, reason=reason, temporary=temporary)
        self.status = status


@dataclass(frozen=True, slots=True)
class Response:
    """A whole response; `headers` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The decoded body, None when it is empty."""
        return json.loads(self.body) if self.body else None


@dataclass(frozen=True, slots=True)
class Upgraded:
    """A connection that left HTTP; whoever holds it closes the writer."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class PodmanHttp:
    """A client of one socket. Safe to use from many tasks of one loop.

    A request that is cancelled or times out closes its connection. A kept connection that turns out to be closed is
    replaced once before any byte of an answer was seen, and only for requests that may be repeated.
    """

    def __init__(self, socket_path: str) -> None:
        self.socket_path = socket_path
        self._idle: list[Upgraded] = []
        self._slots = asyncio.Semaphore(PARALLEL_REQUESTS)
        self._closed = False

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
        pooled: bool = True,
    ) -> Response:
        """Send and return the whole response, whatever its status. Raises PodmanError with status 0.

        Requests that may take minutes are sent with `pooled=False`: they do not count against PARALLEL_REQUESTS.
        """
        message = _encode(method, _target(path, query), body, headers or {})
        try:
            async with asyncio.timeout(timeout_seconds):
                if not pooled:
                    return await self._converse(await self._connect(), method, message)
                async with self._slots:
                    return await self._exchange(method, message)
        except TimeoutError:
            raise PodmanError(
                0, f"podman did not answer {method} {path} within {timeout_seconds:g} s", reason="RuntimeTimeout"
            ) from None
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            raise self._unreachable(error) from error

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
    ) -> Any:
        """Send and return the decoded JSON of a successful response. Raises PodmanError with Podman's message."""
        response = await self.request(method, path, query=query, body=body, timeout_seconds=timeout_seconds)
        if response.status >= 400:
            raise PodmanError(response.status, error_message(response.body))
        if not response.headers.get("content-type", "").startswith("application/json"):
            return None
        try:
            return response.json()
        except ValueError as error:
            raise self._unreachable(error) from error

    async def upgrade(self, path: str, *, query: Mapping[str, str] | None = None, body: object = None) -> Upgraded:
        """POST and take over the connection as a two-way byte stream. Raises PodmanError."""
        message = _encode("POST", _target(path, query), body, {"Connection": "Upgrade", "Upgrade": "tcp"})
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_SECONDS):
                connection = await self._connect()
                try:
                    connection.writer.write(message)
                    refusal = await _refusal(connection.reader)
                except BaseException:
                    connection.writer.close()
                    raise
        except TimeoutError:
            raise PodmanError(0, f"podman did not answer {path}", reason="RuntimeTimeout") from None
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            raise self._unreachable(error) from error
        if refusal:
            connection.writer.close()
            raise refusal
        return connection

    async def close(self) -> None:
        """Close the kept connections; requests under way end, and so do their connections."""
        self._closed = True
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.writer.close()
        await asyncio.gather(*(connection.writer.wait_closed() for connection in idle), return_exceptions=True)

    async def _exchange(self, method: str, message: bytes) -> Response:
        connection = self._kept()
        if connection is not None:
            try:
                return await self._converse(connection, method, message)
            except _UnansweredError:
                if method not in {"GET", "HEAD", "DELETE"}:
                    raise
        return await self._converse(await self._connect(), method, message)

    async def _converse(self, connection: Upgraded, method: str, message: bytes) -> Response:
        reusable = False
        try:
            try:
                connection.writer.write(message)
                await connection.writer.drain()
                status, headers = await _read_head(connection.reader)
            except asyncio.IncompleteReadError as error:
                if error.partial:
                    raise
                raise _UnansweredError(str(error)) from error
            except (ConnectionResetError, BrokenPipeError) as error:
                raise _UnansweredError(str(error)) from error
            body = await _read_body(connection.reader, method, status, headers)
            reusable = headers.get("connection", "").lower() != "close" and _framed(method, status, headers)
            return Response(status, headers, body)
        finally:
            if reusable and not self._closed and len(self._idle) < IDLE_CONNECTIONS:
                self._idle.append(connection)
            else:
                connection.writer.close()

    def _kept(self) -> Upgraded | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.reader.at_eof() and not connection.writer.is_closing():
                return connection
            connection.writer.close()
        return None

    async def _connect(self) -> Upgraded:
        return Upgraded(*await asyncio.open_unix_connection(self.socket_path, limit=_HEAD_BYTES))

    def _unreachable(self, error: Exception) -> PodmanError:
        cause = str(error) or type(error).__name__
        return PodmanError(
            0, f"podman's socket {self.socket_path} does not answer ({cause})", reason="RuntimeUnavailable"
        )


class _UnansweredError(ConnectionError):
    """The peer closed a kept connection before it answered."""


def error_message(body: bytes) -> str:
    """The message of an error body: {"cause", "message", "response"}, or plain text."""
    try:
        decoded = json.loads(body)
    except ValueError:
        return body.decode(errors="replace").strip() or "no message"
    if isinstance(decoded, dict):
        return str(decoded.get("message") or decoded.get("cause") or decoded)
    return str(decoded)


def _target(path: str, query: Mapping[str, str] | None) -> str:
    return f"/{API_VERSION}/libpod{path}" + (f"?{urlencode(query)}" if query else "")


def _encode(method: str, target: str, body: object, headers: Mapping[str, str]) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {target} HTTP/1.1", "Host: podman"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if content:
        lines.append("Content-Type: application/json")
    if content or method in {"POST", "PUT"}:
        lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join([*lines, "", ""]).encode() + content


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    protocol, _, rest = head[0].partition(" ")
    if not protocol.startswith("HTTP/1."):
        raise ValueError("the answer is not HTTP")
    status = int(rest[:3])
    headers = {}
    for line in head[1:]:
        name, separator, value = line.partition(":")
        if separator:
            headers[name.strip().lower()] = value.strip()
    return status, headers


async def _refusal(reader: asyncio.StreamReader) -> PodmanError | None:
    """The error in answer to an upgrade, None when the bytes that follow are the stream's."""
    status, headers = await _read_head(reader)
    if status < 400:
        return None
    return PodmanError(status, error_message(await _read_body(reader, "POST", status, headers)))


def _framed(method: str, status: int, headers: Mapping[str, str]) -> bool:
    """Whether the end of the body is known without the connection being closed."""
    if method == "HEAD" or status in {204, 304}:
        return True
    return "content-length" in headers or headers.get("transfer-encoding", "").lower() == "chunked"


async def _read_body(reader: asyncio.StreamReader, method: str, status: int, headers: Mapping[str, str]) -> bytes:
    if method == "HEAD" or status in {204, 304}:
        return b""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _read_chunks(reader)
    if "content-length" in headers:
        length = int(headers["content-length"])
        if length > RESPONSE_BYTES:
            raise ValueError(f"answer of {length} bytes")
        return await reader.readexactly(length)
    pieces = bytearray()
    while piece := await reader.read(_HEAD_BYTES):
        pieces += piece
        if len(pieces) > RESPONSE_BYTES:
            raise ValueError(f"answer over {RESPONSE_BYTES} bytes")
    return bytes(pieces)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    """Decode chunked transfer coding (RFC 9112 section 7.1); trailers are dropped."""
    pieces = bytearray()
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        if len(pieces) + size > RESPONSE_BYTES:
            raise ValueError(f"answer over {RESPONSE_BYTES} bytes")
        pieces += await reader.readexactly(size)
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
    return bytes(pieces)
