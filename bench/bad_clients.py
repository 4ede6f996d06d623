"""Clients that take more than their share, one kind in a process of its own, until its standard input ends.

    python -m bench.bad_clients KIND FRONT JSON

FRONT is grpc or https; JSON names the address, the server's URL and files of certificates. It prints one line of JSON
when it has begun and one at its end: what it got done and its own CPU time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import grpc.aio
import uvloop

from api.v1 import apiserver_pb2 as pb
from api.v1 import resource_pb2
from bench.report import own_cpu_seconds
from component import rpc
from component.rpc import API_SERVER_NAME, Tls

ADDRESS = "127.0.0.99"  # of its machine: connections are counted by address
CONNECTIONS = 64
WATCHES = 10_000
LARGE_CLIENTS = 8
LARGE_BYTES = 900_000  # of a ConfigMap's values a mebibyte is accepted
SMALL_VALUE = "x" * 20
LISTERS = 16
PAUSE_SECONDS = 0.2  # after a refusal, as a client that does not listen to it
_API = "/api.v1.ApiServer/"


class Bad:
    """Everything that one bad client has open."""

    def __init__(self, front: str, given: dict[str, str]) -> None:
        self.front = front
        self.given = given
        self.done: Counter[str] = Counter()
        files = [Path(given[name]).read_bytes() for name in ("ca", "cert", "key")]
        self._tls = Tls(*files)
        self._sessions: list[aiohttp.ClientSession] = []
        self._channels: list[grpc.aio.Channel] = []

    def channel(self) -> grpc.aio.Channel:
        self._channels.append(rpc.channel(self.given["address"], self._tls))
        return self._channels[-1]

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.given["ca"])
        context.load_cert_chain(self.given["cert"], self.given["key"])
        return context

    def session(self) -> aiohttp.ClientSession:
        self._sessions.append(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self.context(), limit=0, local_addr=(ADDRESS, 0)),
                timeout=aiohttp.ClientTimeout(total=None),
            )
        )
        return self._sessions[-1]

    async def close(self) -> None:
        for session in self._sessions:
            await session.close()
        for channel in self._channels:
            await channel.close(None)

    async def repeat(self, call: Callable[[], Awaitable[None]]) -> None:
        """Again and again, whatever comes of it."""
        while True:
            try:
                await call()
                self.done["calls"] += 1
            except (grpc.aio.AioRpcError, aiohttp.ClientError, OSError):
                self.done["refused"] += 1
                await asyncio.sleep(PAUSE_SECONDS)

    async def ask(self, session: aiohttp.ClientSession, method: str, path: str, body: bytes | None = None) -> None:
        headers = {"Content-Type": "application/json"} if body else {}
        async with session.request(
            method, self.given["url"] + path, data=body, headers=headers, server_hostname=API_SERVER_NAME
        ) as response:
            await response.read()
            response.raise_for_status()


async def tight(bad: Bad) -> None:
    """64 connections that get one object in a loop."""
    request = pb.GetRequest(resource="configmaps", namespace="default", name="standing").SerializeToString()
    session = bad.session()

    async def work() -> None:
        if bad.front == "grpc":
            get = bad.channel().unary_unary(_API + "Get")
            await bad.repeat(lambda: get(request))
        else:
            await bad.repeat(lambda: bad.ask(session, "GET", "/api/v1/namespaces/default/configmaps/standing"))

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))


async def watches(bad: Bad) -> None:
    """10,000 watches of what the others write, as far as they are let open."""
    request = pb.WatchRequest(resource="configmaps", namespace="default").SerializeToString()
    channels = [bad.channel() for _ in range(16)] if bad.front == "grpc" else []
    session = bad.session()

    async def over_grpc(number: int) -> None:
        call = channels[number % len(channels)].unary_stream(_API + "Watch")(request)
        async for _ in call:
            bad.done["messages"] += 1

    async def over_https() -> None:
        url = bad.given["url"] + "/api/v1/namespaces/default/configmaps?watch=1"
        async with session.get(url, server_hostname=API_SERVER_NAME) as response:
            response.raise_for_status()
            async for _ in response.content.iter_any():
                bad.done["messages"] += 1

    async def work(number: int) -> None:
        try:
            bad.done["asked"] += 1
            await (over_grpc(number) if bad.front == "grpc" else over_https())
        except (grpc.aio.AioRpcError, aiohttp.ClientError, OSError):
            bad.done["refused"] += 1

    tasks = []
    for number in range(WATCHES):
        tasks.append(asyncio.ensure_future(work(number)))
        if number % 20 == 0:
            await asyncio.sleep(0.02)
    await asyncio.gather(*tasks)


async def slow(bad: Bad) -> None:
    """64 connections that ask for the large list and for a watch of it, and read next to nothing."""
    listed = pb.ListRequest(resource="configmaps", namespace="large").SerializeToString()
    watched = pb.WatchRequest(resource="configmaps", namespace="large").SerializeToString()

    async def over_grpc(number: int) -> None:
        channel = bad.channel()
        calls = [channel.unary_stream(_API + "Watch")(watched), channel.unary_stream(_API + "List")(listed)]
        with contextlib.suppress(grpc.aio.AioRpcError):
            await calls[number % 2].wait_for_connection()
        bad.done["open"] += 1
        await asyncio.sleep(3_600)

    async def over_https(number: int) -> None:
        host, port = bad.given["url"].removeprefix("https://").rsplit(":", 1)
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_connect(raw, (host, int(port)))
        reader, writer = await asyncio.open_connection(
            sock=raw, ssl=bad.context(), server_hostname=API_SERVER_NAME, limit=1_024
        )
        path = "/api/v1/namespaces/large/configmaps" + ("?watch=1" if number % 2 else "")
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        while await reader.read(100):
            bad.done["read"] += 1
            await asyncio.sleep(1)

    async def work(number: int) -> None:
        while True:
            with contextlib.suppress(OSError):
                await (over_grpc(number) if bad.front == "grpc" else over_https(number))
            await asyncio.sleep(PAUSE_SECONDS)

    await asyncio.gather(*(work(number) for number in range(CONNECTIONS)))


async def large(bad: Bad) -> None:
    """Eight connections that replace objects of 900 kB, each of 25,000 small fields."""
    session = bad.session()
    data = {f"key-{number:06}": SMALL_VALUE for number in range(LARGE_BYTES // (len(SMALL_VALUE) + 16))}

    async def work(number: int) -> None:
        metadata = {"name": f"large-{bad.front}-{number}", "namespace": "default"}
        turn = 0

        def body() -> str:
            nonlocal turn
            turn += 1
            return json.dumps(
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {**data, "turn": str(turn)}}
            )

        channel, made = bad.channel(), False
        create, update = channel.unary_unary(_API + "Create"), channel.unary_unary(_API + "Update")
        collection = "/api/v1/namespaces/default/configmaps"

        async def over_grpc() -> None:
            nonlocal made
            resource = resource_pb2.Resource(json=body())
            if made:
                await update(pb.UpdateRequest(object=resource).SerializeToString())
            else:
                await create(pb.CreateRequest(object=resource).SerializeToString())
                made = True

        async def over_https() -> None:
            nonlocal made
            if made:
                await bad.ask(session, "PUT", f"{collection}/large-{bad.front}-{number}", body().encode())
            else:
                await bad.ask(session, "POST", collection, body().encode())
                made = True

        await bad.repeat(over_grpc if bad.front == "grpc" else over_https)

    await asyncio.gather(*(work(number) for number in range(LARGE_CLIENTS)))


async def lists(bad: Bad) -> None:
    """16 connections that list 2,000 small objects in a loop."""
    session = bad.session()

    async def work() -> None:
        listing = bad.channel().unary_unary(_API + "List")

        async def over_grpc() -> None:
            request = pb.ListRequest(resource="configmaps", namespace="many")
            while True:
                answer = pb.ListResponse.FromString(await listing(request.SerializeToString()))
                if not answer.continue_token:
                    return
                request.continue_token = answer.continue_token

        async def over_https() -> None:
            await bad.ask(session, "GET", "/api/v1/namespaces/many/configmaps")

        await bad.repeat(over_grpc if bad.front == "grpc" else over_https)

    await asyncio.gather(*(work() for _ in range(LISTERS)))


KINDS = {"tight": tight, "watches": watches, "slow": slow, "large": large, "lists": lists}


async def main() -> None:
    kind, front, given = sys.argv[1:]
    bad = Bad(front, json.loads(given))
    load = asyncio.ensure_future(KINDS[kind](bad))
    print(json.dumps({"started": kind}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    load.cancel()
    await asyncio.gather(load, return_exceptions=True)
    print(json.dumps({"cpu_seconds": own_cpu_seconds(), **bad.done}), flush=True)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(5):
            await bad.close()


if __name__ == "__main__":
    uvloop.run(main())
