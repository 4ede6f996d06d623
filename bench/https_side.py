"""The HTTPS side of a comparison: the API as Kubernetes' clients speak it, the verbs of `api_calls` in their words.

Each client has a connection, as HTTP/1.1 has it, open while the rounds go on. Like theirs it takes long answers compressed (gzip),
and leaves them so.
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
from bench.http_connection import Connections
from bench.load import CALL_SECONDS, CHANNELS, Call, ComeAgain, Side, Unavailable
from component.rpc import API_SERVER_NAME, Tls

PORT = 6443
NAMESPACES = "/api/v1/namespaces"


class Https(Side):
    """The leader's HTTPS port; a channel has as many connections as it has clients."""

    def __init__(self, address: str, tls: Tls, processes: Mapping[str, list[int]]) -> None:
        self._address, self._context = address, client_context(tls)
        channels = [Connections(address, PORT, self._context, API_SERVER_NAME, CALL_SECONDS) for _ in range(CHANNELS)]
        super().__init__("https", channels, processes)

    async def ask(self, channel: Connections, method: str, path: str, body: bytes = b"") -> bytes:
        """The body of the answer. ComeAgain, Unavailable as for every call; RuntimeError when it is refused for good."""
        answer = await channel.ask(method, NAMESPACES + path, body)
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise ComeAgain(float(answer.header("Retry-After")))
        if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
            raise Unavailable(f"{method} {path}: {answer.body[:300]!r}")
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise RuntimeError(f"{method} {path}: {answer.status} {answer.body[:300]!r}")
        return answer.body

    def verbs(self) -> Verbs:
        """The verbs, for this side alone."""

        async def update(number: int, channel: Connections) -> None:
            name = number % LISTED
            body = config_map(STANDING, name, number).encode()
            await self.ask(channel, "PUT", f"/{STANDING}/configmaps/c{name}", body)

        async def get(number: int, channel: Connections) -> None:
            await self.ask(channel, "GET", f"/{STANDING}/configmaps/c{number % LISTED}")

        async def listing(_number: int, channel: Connections) -> None:
            await self.ask(channel, "GET", f"/{STANDING}/configmaps")

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
        async def create(number: int, channel: Connections) -> None:
            await self.ask(channel, "POST", f"/{namespace}/configmaps", config_map(namespace, number).encode())

        return create

    def _deleting(self, namespace: str) -> Call:
        async def delete(number: int, channel: Connections) -> None:
            await self.ask(channel, "DELETE", f"/{namespace}/configmaps/c{number}")

        return delete

    async def _watch(self) -> AsyncIterator[int | None]:
        query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        url = f"https://{self._address}:{PORT}{NAMESPACES}/{WATCHED}/configmaps?{query}"
        connector = aiohttp.TCPConnector(ssl=self._context)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session,
            session.get(url, server_hostname=API_SERVER_NAME) as response,
        ):
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
