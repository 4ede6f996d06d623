"""The HTTPS side of a comparison: the API as Kubernetes' clients speak it, the verbs of `api_calls` in their words.

The client is aiohttp with a connection for each client, as HTTP/1.1 has it, open while the rounds go on. Like theirs it takes long
answers compressed (gzip), and leaves them so.
"""

from __future__ import annotations

import gzip
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from pathlib import Path

import aiohttp
import msgspec

from bench.api_calls import CHANGING, LISTED, OF_EVERY_NAMESPACE, STANDING, WATCHED, Verbs, config_map
from bench.load import CALL_SECONDS, CHANNELS, Call, ComeAgain, Side
from component.rpc import API_SERVER_NAME, Tls

PORT = 6443
KEPT_SECONDS = 30.0  # idle connections: longer than another contender has its turn, less than the server keeps them


class Https(Side):
    """The leader's HTTPS port; a channel is a session with as many connections as it has clients."""

    def __init__(self, address: str, tls: Tls, processes: Mapping[str, list[int]]) -> None:
        self.url = f"https://{address}:{PORT}/api/v1/namespaces"
        context = client_context(tls)
        sessions = [
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context, limit=0, keepalive_timeout=KEPT_SECONDS),
                timeout=aiohttp.ClientTimeout(total=CALL_SECONDS),
                auto_decompress=False,
            )
            for _ in range(CHANNELS)
        ]
        super().__init__("https", sessions, processes)

    async def ask(self, session: aiohttp.ClientSession, method: str, path: str, body: bytes | None = None) -> bytes:
        """The body of the answer. ComeAgain when there is too much to do, RuntimeError when it is refused for good."""
        headers = {"Content-Type": "application/json"} if body else {}
        async with session.request(
            method, self.url + path, data=body, headers=headers, server_hostname=API_SERVER_NAME
        ) as response:
            data = await response.read()
            if response.status == HTTPStatus.TOO_MANY_REQUESTS:
                raise ComeAgain(float(response.headers["Retry-After"]))
            if response.status >= HTTPStatus.BAD_REQUEST:
                raise RuntimeError(f"{method} {path}: {response.status} {data[:300]!r}")
            return data

    def verbs(self) -> Verbs:
        """The verbs, for this side alone."""

        async def update(number: int, session: aiohttp.ClientSession) -> None:
            name = number % LISTED
            body = config_map(STANDING, name, number).encode()
            await self.ask(session, "PUT", f"/{STANDING}/configmaps/c{name}", body)

        async def get(number: int, session: aiohttp.ClientSession) -> None:
            await self.ask(session, "GET", f"/{STANDING}/configmaps/c{number % LISTED}")

        async def listing(_number: int, session: aiohttp.ClientSession) -> None:
            await self.ask(session, "GET", f"/{STANDING}/configmaps")

        return Verbs(
            stand=self._creating(STANDING),
            create=self._creating(CHANGING),
            update=update,
            get=get,
            list=listing,
            delete=self._deleting(CHANGING),
            create_watched=self._creating(WATCHED),
            delete_watched=self._deleting(WATCHED),
            watch=lambda _side: self._watch(),
            listed=lambda _side: self._listed(),
        )

    def _creating(self, namespace: str) -> Call:
        async def create(number: int, session: aiohttp.ClientSession) -> None:
            await self.ask(session, "POST", f"/{namespace}/configmaps", config_map(namespace, number).encode())

        return create

    def _deleting(self, namespace: str) -> Call:
        async def delete(number: int, session: aiohttp.ClientSession) -> None:
            await self.ask(session, "DELETE", f"/{namespace}/configmaps/c{number}")

        return delete

    async def _watch(self) -> AsyncIterator[int | None]:
        query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        url = f"{self.url}/{WATCHED}/configmaps?{query}"
        async with self.channels[0].get(url, server_hostname=API_SERVER_NAME) as response:
            async for line in response.content:
                event = msgspec.json.decode(line)
                name = event["object"]["metadata"].get("name")
                if event["type"] == "BOOKMARK":
                    yield None
                elif name != OF_EVERY_NAMESPACE:
                    yield int(name[1:])

    async def _listed(self) -> int:
        answer = await self.ask(self.channels[0], "GET", f"/{STANDING}/configmaps")
        found = msgspec.json.decode(gzip.decompress(answer))
        return sum(item["metadata"]["name"] != OF_EVERY_NAMESPACE for item in found["items"])


def client_context(tls: Tls) -> ssl.SSLContext:
    """For connections that show this certificate. The library reads them from files, which are gone afterwards."""
    context = ssl.create_default_context(cadata=tls.ca_pem.decode())
    with tempfile.TemporaryDirectory(prefix="timonier-bench-") as folder:
        certificate, key = Path(folder, "client.crt"), Path(folder, "client.key")
        certificate.write_bytes(tls.cert_pem)
        key.write_bytes(tls.key_pem)
        context.load_cert_chain(certificate, key)
    return context
