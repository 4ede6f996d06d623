"""A way for HTTP clients into the pod network, which replicas are not in: every connection goes through a node's session.

Names say what is meant: `NAME.NAMESPACE.svc` is a Service, `NAME.NAMESPACE.pod` a pod. It must not know what is carried.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import aclosing, closing, suppress
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from yarl import URL

from api.errors import ApiError, NotFound
from api.v1.apiserver_pb2 import ForwardStart
from component.tasks import run_until_one_ends
from controlplane.apiserver.backends import Backend
from controlplane.apiserver.rest.connection import Connection
from controlplane.apiserver.stream_calls import NodeStreams

if TYPE_CHECKING:  # what aiohttp hands to connectors
    from aiohttp.client_proto import ResponseHandler

READ_BYTES: Final = 32 << 10
CONNECTIONS: Final = 256
KEPT_SECONDS: Final = 30.0  # a connection nobody uses
CLOSING_SECONDS: Final = 1.0

SERVICE, POD = "svc", "pod"

Find = Callable[[str, str, str], Backend]
"""Namespace, Service and port -> a pod behind it. NotFound, Unavailable."""


class NotReached(OSError):
    """Why there is no connection."""


class PodNetwork:
    """Sends requests to pods; `find` chooses one behind a Service. NotReached tells what is wrong with the pod or its node where that is known in time."""

    def __init__(self, streams: NodeStreams, find: Find) -> None:
        self._streams = streams
        self.find = find
        self._connector: _Connector | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """What requests are made with; must first be asked for inside the running loop."""
        if self._session is None:
            self._connector = _Connector(self._streams, self.find)
            self._session = plain_session(self._connector)
        return self._session

    def problem(self, url: URL) -> str:
        """Why the last connection to where a URL points came to nothing; "" when it did not, or nobody knows."""
        known = {} if self._connector is None else self._connector.problems
        return known.get((url.host or "", url.port or 0), "")

    async def close(self) -> None:
        """End everything that is open."""
        if self._session is not None and self._connector is not None:
            await self._session.close()
            await self._connector.end()


def plain_session(connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
    """A client that keeps nothing but connections, and bounds no time: whoever asks does."""
    timeout, jar = aiohttp.ClientTimeout(total=None), aiohttp.DummyCookieJar()
    return aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=jar, auto_decompress=False)


class _Connector(aiohttp.BaseConnector):
    def __init__(self, streams: NodeStreams, find: Find) -> None:
        super().__init__(keepalive_timeout=KEPT_SECONDS, limit=CONNECTIONS)
        self._streams = streams
        self._find = find
        self._carrying: set[asyncio.Task[None]] = set()
        self.problems: dict[tuple[str, int], str] = {}

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],  # noqa: ARG002 - the signature of aiohttp's connectors
        timeout: aiohttp.ClientTimeout,  # noqa: ARG002, ASYNC109 - as above; whoever asks bounds the whole request
    ) -> ResponseHandler:
        """One connection; of an https URL with TLS, whose context checks the certificate for the name in the URL."""
        key = req.connection_key
        place = key.host, key.port or 0
        try:
            backend = self._backend(*place)
        except ApiError as error:
            raise NotReached(str(error)) from None
        near = self._carry(place, Connection(self._streams, _start(backend), backend.port))
        try:
            context = key.ssl if key.is_ssl and isinstance(key.ssl, ssl.SSLContext) else None
            name = key.host if context is not None else None
            made: tuple[Any, ResponseHandler] = await self._loop.create_connection(
                self._factory, sock=near, ssl=context, server_hostname=name
            )
        except OSError as error:
            near.close()
            raise NotReached(self.problems.get(place) or str(error)) from error
        except BaseException:
            near.close()
            raise
        return made[1]

    async def end(self) -> None:
        """Wait for what carries connections, which ends with them; it is given a second."""
        if self._carrying:
            await asyncio.wait(self._carrying, timeout=CLOSING_SECONDS)
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    def _backend(self, host: str, port: int) -> Backend:
        name, _, kind = host.rpartition(".")
        name, _, namespace = name.rpartition(".")
        if kind == SERVICE:
            return self._find(namespace, name, str(port))
        if kind != POD:
            raise NotFound(f"{host} is neither a Service nor a pod")
        return Backend(namespace, name, port)

    def _carry(self, place: tuple[str, int], connection: Connection) -> socket.socket:
        """One end of a pair of sockets; what goes into it comes out of the pod."""
        near, far = socket.socketpair()
        near.setblocking(False)
        far.setblocking(False)
        self.problems.pop(place, None)
        task = asyncio.ensure_future(self._both_ways(place, connection, far))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)
        return near

    async def _both_ways(self, place: tuple[str, int], connection: Connection, far: socket.socket) -> None:
        """Until the client closes its end, or a moment after the pod did: HTTP never waits with one half closed."""
        with closing(far), suppress(OSError):  # the client reset its end
            await run_until_one_ends(_inward(connection, far), self._outward(place, connection, far))

    async def _outward(self, place: tuple[str, int], connection: Connection, far: socket.socket) -> None:
        """What the pod says, then a moment in which the client may still speak."""
        with suppress(OSError):  # the client was faster
            await self._pass_on(place, connection, far)
            far.shutdown(socket.SHUT_WR)
        await asyncio.sleep(CLOSING_SECONDS)

    async def _pass_on(self, place: tuple[str, int], connection: Connection, far: socket.socket) -> None:
        """What the pod says; why it says nothing is kept before the client sees its end."""
        loop = asyncio.get_running_loop()
        try:
            async with aclosing(connection.received()) as pieces:
                async for data in pieces:
                    if data is None:
                        break
                    await loop.sock_sendall(far, data)
        except ApiError as error:
            if len(self.problems) >= CONNECTIONS:
                self.problems.clear()
            self.problems[place] = str(error)


async def _inward(connection: Connection, far: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(far, READ_BYTES):
        await connection.send(data)


def _start(backend: Backend) -> ForwardStart:
    return ForwardStart(namespace=backend.namespace, pod=backend.pod)
