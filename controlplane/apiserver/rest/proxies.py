"""HTTP to pods and Services through the API: /api/v1/namespaces/NAMESPACE/services/[SCHEME:]NAME[:PORT]/proxy/PATH.

Requests and answers are passed on in pieces as they are, but for what belongs to a single connection, and for whatever the
caller has shown to the API to be let in. A Service is one of its ready pods. It must not know how pods are reached.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Final

import aiohttp
import structlog
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from api.core import Pod
from api.errors import NotFound
from controlplane.apiserver.backends import Backend
from controlplane.apiserver.pod_network import POD, PodNetwork
from controlplane.apiserver.reads import Reads
from controlplane.apiserver.rest.call import Call
from controlplane.apiserver.rest.refusals import Refusal, bad_request
from controlplane.apiserver.rest.streaming import SLOW_READER_SECONDS

log = structlog.get_logger()

PIECE_BYTES: Final = 64 << 10
SCHEMES: Final = ("http", "https")
DEFAULT_PORT: Final = 80

_OF_A_CONNECTION: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_OF_THE_API: Final = frozenset({"host", "authorization"})
_IMPERSONATION: Final = "impersonate-"
_LENGTH: Final = "Content-Length"


class Proxies:
    """Serves proxy, for every method."""

    def __init__(self, reads: Reads, pods: PodNetwork) -> None:
        self._reads = reads
        self._pods = pods
        self._context = ssl.create_default_context()
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE  # as in Kubernetes: whose certificate a pod shows, nobody can know

    async def run(self, call: Call) -> web.StreamResponse:
        """Pass a request on and its answer back. NotFound, Unavailable, Refusal when nothing answers."""
        request, target = call.request, call.target
        if "upgrade" in request.headers.get("Connection", "").lower():
            raise Refusal(501, "NotImplemented", "a proxy that upgrades the connection is not supported yet")
        if not target.tail:
            return web.Response(status=301, headers={"Location": _with_slash(request.rel_url)})
        scheme, name, port = split(target.name)
        backend = await self._backend(call, name, port)
        host = f"{backend.pod}.{backend.namespace}.{POD}"
        url = URL.build(
            scheme=scheme,
            host=host,
            port=backend.port,
            path=target.tail,
            query_string=request.rel_url.raw_query_string,
            encoded=True,
        )
        body = request.content.iter_chunked(PIECE_BYTES) if request.body_exists else None
        try:
            return await self._pass_on(call, url, body)
        except (aiohttp.ClientError, OSError) as error:
            why = self._pods.problem(url) or str(error) or type(error).__name__
            raise Refusal(503, "ServiceUnavailable", f"error trying to reach service: {why}") from None

    async def _backend(self, call: Call, name: str, port: str) -> Backend:
        namespace = call.target.namespace
        if call.target.plural == "services":
            return self._pods.find(namespace, name, port)
        found = await self._reads.get(call.identity, "pods", namespace, name, asked=call.asked)
        return Backend(namespace, name, pod_port(found.view(Pod), port))

    async def _pass_on(self, call: Call, url: URL, body: AsyncIterator[bytes] | None) -> web.StreamResponse:
        request = call.request
        async with self._pods.session.request(
            request.method,
            url,
            headers=_inward(request),
            data=body,
            ssl=self._context,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        ) as answer:
            response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=_outward(call, answer))
            await response.prepare(request)
            try:
                async for piece in answer.content.iter_chunked(PIECE_BYTES):
                    async with asyncio.timeout(SLOW_READER_SECONDS):
                        await response.write(piece)
                await response.write_eof()
            except (
                aiohttp.ClientError,
                OSError,
            ) as error:  # a TimeoutError is one; nothing but the cut can tell of it now
                log.info("proxy_broke_off", reason=str(error) or type(error).__name__)
                if request.transport is not None:
                    request.transport.abort()
            return response


def split(text: str) -> tuple[str, str, str]:
    """Scheme, name and port of `NAME`, `NAME:PORT` or `SCHEME:NAME:PORT`. Refusal."""
    parts = text.split(":")
    if len(parts) < 3:
        return SCHEMES[0], parts[0], parts[1] if len(parts) == 2 else ""
    scheme, name, port = parts[0] or SCHEMES[0], parts[1], ":".join(parts[2:])
    if scheme not in SCHEMES or ":" in port or not name:
        raise bad_request(f'"{text}" is not [http:|https:]NAME[:PORT]')
    return scheme, name, port


def pod_port(pod: Pod, port: str) -> int:
    """The number of a port of a pod, given as number or name; "" is its first, or 80. NotFound, Refusal."""
    ports = [each for container in pod.spec.containers for each in container.ports]
    if not port:
        return (ports[0].container_port or DEFAULT_PORT) if ports else DEFAULT_PORT
    if port.isascii() and port.isdecimal() and len(port) <= 5:
        if not 0 < int(port) < 1 << 16:
            raise bad_request(f"{port} is no port")
        return int(port)
    for each in ports:
        if each.name == port:
            return each.container_port
    raise NotFound(f'pod {pod.metadata.name} has no port "{port}"')


def _inward(request: web.Request) -> CIMultiDict[str]:
    """The headers that the pod gets."""
    named = {each.strip().lower() for each in request.headers.get("Connection", "").split(",")}
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in request.headers.items():
        low = name.lower()
        if low in _OF_A_CONNECTION | _OF_THE_API | named or low.startswith(_IMPERSONATION):
            continue
        headers.add(name, value)
    headers["X-Forwarded-Host"] = request.host
    headers["X-Forwarded-Uri"] = request.rel_url.raw_path
    earlier = request.headers.get("X-Forwarded-For", "")
    headers["X-Forwarded-For"] = ", ".join(filter(None, (earlier, request.remote or "")))
    return headers


def _outward(call: Call, answer: aiohttp.ClientResponse) -> Mapping[str, str]:
    """The headers that the caller gets; a redirection to the pod itself stays behind the proxy."""
    named = {each.strip().lower() for each in answer.headers.get("Connection", "").split(",")}
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in answer.headers.items():
        if name.lower() not in _OF_A_CONNECTION | named:
            headers.add(name, value)
    location = headers.get("Location", "")
    if location.startswith("/") and not location.startswith("//"):
        headers["Location"] = call.request.rel_url.raw_path.removesuffix(call.target.tail) + location
    return headers


def _with_slash(url: URL) -> str:
    """Where a proxy without a path begins: relative links lead astray otherwise."""
    return f"{url.raw_path}/" + (f"?{url.raw_query_string}" if url.raw_query_string else "")
