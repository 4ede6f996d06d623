"""Calls webhooks over HTTPS: by URL, or behind a Service, through the sessions of the nodes where its pods are.

It must not know what is asked, nor what becomes of an answer. Connections are kept for the next call.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import ssl
from collections.abc import Callable
from typing import Final

import aiohttp
from yarl import URL

from controlplane.admission.webhooks.hooks import Hook
from controlplane.apiserver.consulting import Unreachable
from controlplane.apiserver.pod_network import SERVICE, PodNetwork, plain_session

ANSWER_BYTES: Final = 4 << 20
"""More than a patch that replaces the largest object, in base64."""

CONTEXTS: Final = 256  # of trusted authorities, kept
CONNECTIONS: Final = 64
SHOWN_CHARACTERS: Final = 200  # of what came with an error


class WebhookCalls:
    """The way to webhooks; `pods` tells the one to those behind a Service."""

    def __init__(self, pods: Callable[[], PodNetwork]) -> None:
        self._pods = pods
        self._outside: aiohttp.ClientSession | None = None
        self._contexts: dict[str, ssl.SSLContext] = {}

    async def call(self, hook: Hook, body: bytes) -> bytes:
        """Send a review and return what comes back. Unreachable, in the words of Kubernetes' client."""
        url, session = self._target(hook)
        try:
            context = self._context(hook.client.ca_bundle or "")
            async with asyncio.timeout(hook.timeout_seconds):
                return await self._post(session, url, body, context)
        except TimeoutError:
            raise Unreachable(f'Post "{url}": no answer within {hook.timeout_seconds} s') from None
        except aiohttp.ServerDisconnectedError as error:
            why = self._pods().problem(url) if hook.client.service is not None else ""
            raise Unreachable(f'Post "{url}": {why or error}') from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unreachable(f'Post "{url}": {_cause(error)}') from None

    async def close(self) -> None:
        """End all connections."""
        if self._outside is not None:
            await self._outside.close()

    def _target(self, hook: Hook) -> tuple[URL, aiohttp.ClientSession]:
        service = hook.client.service
        query = {"timeout": f"{hook.timeout_seconds}s"}
        if service is None:
            if self._outside is None:
                self._outside = plain_session(aiohttp.TCPConnector(limit=CONNECTIONS))
            return URL(hook.client.url or "").with_query(query), self._outside
        host = f"{service.name}.{service.namespace}.{SERVICE}"
        url = URL.build(scheme="https", host=host, port=service.port or 443, path=service.path or "/", query=query)
        return url, self._pods().session

    @staticmethod
    async def _post(session: aiohttp.ClientSession, url: URL, body: bytes, context: ssl.SSLContext) -> bytes:
        """One call; a connection that was closed while nobody used it costs another try, not the answer."""
        try:
            return await _answer(session, url, body, context)
        except aiohttp.ServerDisconnectedError:
            return await _answer(session, url, body, context)

    def _context(self, bundle: str) -> ssl.SSLContext:
        """How certificates are checked; the same one for the same authorities, so that connections are found again."""
        known = self._contexts.get(bundle)
        if known is None:
            if len(self._contexts) >= CONTEXTS:
                self._contexts.clear()
            known = self._contexts[bundle] = _trusting(bundle)
        return known


async def _answer(session: aiohttp.ClientSession, url: URL, body: bytes, context: ssl.SSLContext) -> bytes:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    async with session.post(url, data=body, headers=headers, ssl=context, allow_redirects=False) as response:
        data = await _bounded(response)
        if response.status == 200:
            return data
        said = data[:SHOWN_CHARACTERS].decode(errors="replace").strip()
        raise ValueError(f"the server answered {response.status} {response.reason}" + (f": {said}" if said else ""))


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > ANSWER_BYTES:
            raise ValueError(f"the answer has more than {ANSWER_BYTES} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def _trusting(bundle: str) -> ssl.SSLContext:
    """ValueError for a bundle that holds no certificates."""
    if not bundle:
        return ssl.create_default_context()
    try:
        pem = base64.b64decode(bundle, validate=True).decode()
        return ssl.create_default_context(cadata=pem)
    except (binascii.Error, UnicodeDecodeError, ssl.SSLError, ValueError) as error:
        raise ValueError(f"unable to load root certificates: unable to parse bytes as PEM block: {error}") from None


def _cause(error: Exception) -> str:
    """What went wrong, without the words of the libraries around it."""
    inner: BaseException | None = error
    while inner is not None:
        if why := getattr(inner, "verify_message", ""):  # of the ssl module's own error, which others are made of
            return f"tls: failed to verify certificate: {why}"
        inner = inner.__cause__
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno or 0  # negative of a name that is not found
        why = os.strerror(number).lower() if number > 0 else str(error.os_error)
        return f"dial tcp {error.host}:{error.port}: {why}"
    return str(error) or type(error).__name__
