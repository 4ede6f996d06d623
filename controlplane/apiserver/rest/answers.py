"""Answers that are one document: JSON or YAML, packed when large, with what the client is to be warned of."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import structlog
import yaml
from aiohttp import web

from api.object import Tree
from controlplane.apiserver.rest.call import ANSWERED
from controlplane.apiserver.rest.negotiation import JSON, PLAIN, YAML, Form
from controlplane.apiserver.rest.refusals import Refusal
from controlplane.apiserver.rest.streaming import Outflow

PACKED_BYTES: Final = 128 << 10
"""From here on packing costs less than sending, as Kubernetes has it."""

YAML_LIMIT_BYTES: Final = 1 << 20
"""Of the JSON of an answer that is wanted as YAML: writing it takes a second."""

AT_ONCE_BYTES: Final = 64 << 10
"""What a connection takes without its reader."""

PACKING_BYTES_AT_ONCE: Final = 16 << 10  # more is packed in a thread
WARNING_CHARACTERS: Final = 500
WARNINGS: Final = 20

log = structlog.get_logger()

_encode = msgspec.json.Encoder().encode


async def tree(
    request: web.Request, document: Tree, status: int = 200, warnings: Sequence[str] = (), form: Form = PLAIN
) -> web.StreamResponse:
    """Answer with a small document."""
    return await body(request, _encode(document), status, warnings, form)


async def body(
    request: web.Request, data: bytes, status: int = 200, warnings: Sequence[str] = (), form: Form = PLAIN
) -> web.StreamResponse:
    """Answer with JSON that is encoded already. Refusal when it is too large for the form."""
    request[ANSWERED] = data
    if form.media == YAML:
        data = await _yaml(data)
    elif len(data) <= PACKED_BYTES and request.query.get("pretty", "false").lower() in {"true", "1", ""}:
        data = msgspec.json.format(data, indent=2)
    response = whole(request, data, form.media, status)
    for warning in warnings[:WARNINGS]:
        response.headers.add("Warning", f'299 - "{_quoted(warning)}"')
    return response


def whole(request: web.Request, data: bytes, media: str, status: int = 200) -> web.Response:
    """Answer with bytes of any media type."""
    response = web.Response(
        body=data, status=status, headers={"Content-Type": media}, zlib_executor_size=PACKING_BYTES_AT_ONCE
    )
    if len(data) >= PACKED_BYTES and _packable(request):
        response.enable_compression(web.ContentCoding.gzip)
    return response


async def sent(request: web.Request, response: web.StreamResponse, slow_reader_seconds: float) -> web.StreamResponse:
    """Send an answer that a connection does not take at once, so that its caller still counts; cut off who takes nothing."""
    if isinstance(response, web.Response) and (response.content_length or 0) > AT_ONCE_BYTES and not response.prepared:
        try:
            async with asyncio.timeout(slow_reader_seconds):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError:
            log.info("slow_reader_cut", path=request.path, seconds=slow_reader_seconds)
            if request.transport is not None:
                request.transport.abort()
    return response


async def pieces(request: web.Request, found: Iterator[bytes], form: Form = PLAIN) -> web.StreamResponse:
    """Answer with JSON that comes in pieces, the first of them now; others may run in between."""
    first = next(found)
    second = next(found, None)
    if second is None:
        return await body(request, first, form=form)
    if form.media == YAML:
        raise _no_yaml()
    async with Outflow(request, JSON, compressed=_packable(request)) as out:
        await out.write(first)
        await out.write(second)
        for piece in found:
            await out.write(piece)
            await asyncio.sleep(0)
    return out.response


async def _yaml(data: bytes) -> bytes:
    if len(data) > YAML_LIMIT_BYTES:
        raise _no_yaml()
    return await asyncio.to_thread(_dumped, msgspec.json.decode(data))


def _dumped(document: Any) -> bytes:
    text: str = yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)
    return text.encode()


def _no_yaml() -> Refusal:
    return Refusal(406, "NotAcceptable", f"this answer is too large for YAML: ask for {JSON}")


def _packable(request: web.Request) -> bool:
    return "gzip" in request.headers.get("Accept-Encoding", "").lower()


def _quoted(text: str) -> str:
    """As a header may hold it: printable ASCII in one line, quotes escaped (RFC 9110)."""
    plain = "".join(letter if " " <= letter <= "~" else "?" for letter in text[:WARNING_CHARACTERS])
    return plain.replace("\\", "\\\\").replace('"', '\\"')
