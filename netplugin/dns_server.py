"""The node's DNS server: sockets around the zone, and asking others about everything else.

UDP and TCP on one address. What is not ours goes to the upstream nameservers as it came, from a fresh port and under
a fresh random identifier, so that nobody can guess an answer for us. Bounded: queries under way, TCP connections,
time.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from netplugin import dns
from netplugin.zone import Zone

log = structlog.get_logger()

DNS_PORT = 53
QUERIES_UNDER_WAY = 1000  # forwarded at once; more are answered with a server failure
SAME_QUESTION_UNDER_WAY = 50  # more is a loop: somebody we ask asks us
TCP_CONNECTIONS = 100
_TRY_SECONDS = 1.5  # per nameserver and round
_ROUNDS = 2
_TCP_IDLE_SECONDS = 10.0
_REFRESH_SECONDS = 5.0  # how long a list of nameservers is believed
_DATAGRAM_BYTES = 4096

Sockets = Callable[[socket.SocketKind], socket.socket]


class DnsServer:
    """Answers on `address` from the zone given last. Needs a running loop; `open_socket` as Kernel.open_socket."""

    def __init__(
        self, address: str, zone: Zone, open_socket: Sockets, upstreams: Callable[[], list[str]], rng: random.Random
    ) -> None:
        """`upstreams` returns the nameservers as they are now; it is asked every few seconds while needed."""
        self._address = address
        self._open_socket = open_socket
        self._upstreams = upstreams
        self._known_upstreams: list[str] = []
        self._refresh_time = float("-inf")
        self._rng = rng
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = 0
        self._asked: Counter[bytes] = Counter()
        self._transport: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None
        self.zone = zone

    async def start(self) -> None:
        """Listen; OSError when the address is missing or taken."""
        loop = asyncio.get_running_loop()
        datagrams = self._bound(socket.SOCK_DGRAM)
        self._transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self._datagram), sock=datagrams)
        self._server = await asyncio.start_server(self._connection, sock=self._bound(socket.SOCK_STREAM))

    async def close(self) -> None:
        """Stop listening and drop what is under way."""
        if self._server is not None:
            self._server.close()
        if self._transport is not None:
            self._transport.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()
        self._server = self._transport = None

    def _bound(self, kind: socket.SocketKind) -> socket.socket:
        made = self._open_socket(kind)
        try:
            if kind == socket.SOCK_STREAM:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((self._address, DNS_PORT))
        except OSError:
            made.close()
            raise
        return made

    def _datagram(self, packet: bytes, client: tuple[str, int]) -> None:
        transport = self._transport
        if transport is None:
            return
        response, query = self._answer(packet, udp=True)
        if response is not None:
            transport.sendto(response, client)
        elif query is not None:
            if len(self._tasks) >= QUERIES_UNDER_WAY:
                transport.sendto(dns.respond(query, dns.SERVER_FAILURE), client)
            else:
                self._spawn(self._forward_datagram(transport, packet, query, client))

    def _answer(self, packet: bytes, *, udp: bool) -> tuple[bytes | None, dns.Query | None]:
        """Return the response, or the query somebody else must answer, or neither for what deserves no response."""
        try:
            query = dns.parse(packet)
        except dns.Malformed:
            return dns.refuse_malformed(packet), None
        if query is None:
            return None, None
        return self.zone.answer(query, udp=udp), query

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward_datagram(
        self, transport: asyncio.DatagramTransport, packet: bytes, query: dns.Query, client: tuple[str, int]
    ) -> None:
        response = await self._ask_others(packet, query, self._exchange_datagram)
        if not transport.is_closing():
            transport.sendto(response, client)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the queries of one TCP connection in order, until it idles or ends."""
        if self._connections >= TCP_CONNECTIONS:
            writer.close()
            return
        self._connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                async with asyncio.timeout(_TCP_IDLE_SECONDS):
                    packet = await _read_message(reader)
                response, query = self._answer(packet, udp=False)
                if response is None:
                    if query is None:
                        return
                    response = await self._ask_others(packet, query, self._exchange_stream)
                writer.write(struct.pack("!H", len(response)) + response)
                await writer.drain()
        except (OSError, EOFError, TimeoutError):
            return
        finally:
            self._tasks.discard(task)
            self._connections -= 1
            writer.close()

    async def _ask_others(
        self,
        packet: bytes,
        query: dns.Query,
        exchange: Callable[[asyncio.AbstractEventLoop, str, bytes], Coroutine[Any, Any, bytes]],
    ) -> bytes:
        """Return the first answer of an upstream nameserver, under the client's identifier; else a server failure."""
        if self._asked[query.question] >= SAME_QUESTION_UNDER_WAY:
            return dns.respond(query, dns.SERVER_FAILURE)
        self._asked[query.question] += 1
        try:
            return await self._ask_in_turn(packet, query, exchange)
        finally:
            self._asked[query.question] -= 1
            if not self._asked[query.question]:
                del self._asked[query.question]

    async def _ask_in_turn(
        self,
        packet: bytes,
        query: dns.Query,
        exchange: Callable[[asyncio.AbstractEventLoop, str, bytes], Coroutine[Any, Any, bytes]],
    ) -> bytes:
        loop = asyncio.get_running_loop()
        if loop.time() - self._refresh_time > _REFRESH_SECONDS:
            self._known_upstreams = self._upstreams()
            self._refresh_time = loop.time()
        for server in self._known_upstreams * _ROUNDS:
            identifier = struct.pack("!H", self._rng.randrange(1 << 16))
            try:
                async with asyncio.timeout(_TRY_SECONDS):
                    response = await exchange(loop, server, identifier + packet[2:])
            except (OSError, EOFError, TimeoutError):
                continue
            return packet[:2] + response[2:]
        return dns.respond(query, dns.SERVER_FAILURE)

    async def _exchange_datagram(self, loop: asyncio.AbstractEventLoop, server: str, packet: bytes) -> bytes:
        with self._open_socket(socket.SOCK_DGRAM) as upstream:
            await loop.sock_connect(upstream, (server, DNS_PORT))
            await loop.sock_sendall(upstream, packet)
            while True:
                response = await loop.sock_recv(upstream, _DATAGRAM_BYTES)
                if _answers(response, packet):
                    return response

    async def _exchange_stream(self, loop: asyncio.AbstractEventLoop, server: str, packet: bytes) -> bytes:
        upstream = self._open_socket(socket.SOCK_STREAM)
        try:
            await loop.sock_connect(upstream, (server, DNS_PORT))
            reader, writer = await asyncio.open_connection(sock=upstream)
        except BaseException:
            upstream.close()
            raise
        try:
            writer.write(struct.pack("!H", len(packet)) + packet)
            response = await _read_message(reader)
        finally:
            writer.close()
        if not _answers(response, packet):
            raise EOFError("not an answer to our question")
        return response


class _Datagrams(asyncio.DatagramProtocol):
    """Hands datagrams on."""

    def __init__(self, received: Callable[[bytes, tuple[str, int]], None]) -> None:
        self._received = received

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """See asyncio.DatagramProtocol."""
        self._received(data, addr)


def _answers(response: bytes, packet: bytes) -> bool:
    """Whether `response` answers `packet`: same identifier and question, and a response."""
    if len(response) < 12 or response[:2] != packet[:2] or not response[2] & 0x80:
        return False
    try:
        query = dns.parse(packet)
    except dns.Malformed:
        return False
    assert query is not None
    asked = response[12 : 12 + len(query.question)]
    # Servers may refuse without repeating the question.
    return asked.lower() == query.question.lower() or response[4:6] == b"\0\0"


async def _read_message(reader: asyncio.StreamReader) -> bytes:
    (length,) = struct.unpack("!H", await reader.readexactly(2))
    return await reader.readexactly(length)
