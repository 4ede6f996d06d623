"""OpenAPI documents at /openapi: one of version 2 for everything, and one of version 3 for each group version.

Made when somebody first asks, or asks after custom kinds changed, in a thread, out of discovery; a replica that is never asked
never makes them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from api.errors import NotFound
from api.openapi import documents, protobuf
from api.openapi.documents import Served
from api.scheme import Kind
from controlplane.apiserver.rest import answers, negotiation
from controlplane.apiserver.rest.discovery import KUBERNETES_VERSION
from controlplane.apiserver.rest.paths import MISSING

INDEX: Final = ""
"""The name of the index among the documents of version 3."""

_V2, _V3 = "/openapi/v2", "/openapi/v3"
_HASHED_SECONDS: Final = 365 * 24 * 3600  # a path that names the hash of its document never shows another one

Document = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class _Encoded:
    """A document as it is sent, and its hash."""

    data: bytes
    digest: str


class Schemas:
    """All documents about what is served."""

    def __init__(self, served: Callable[[], tuple[Served, Sequence[Kind]]]) -> None:
        """`served` is what discovery says at the moment, and the custom kinds among that."""
        self._served = served
        self._made_of: Sequence[Kind] = ()
        self._making = asyncio.Lock()
        self._version_2: Mapping[str, _Encoded] = {}
        self._version_3: Mapping[str, _Encoded] = {}

    def routes(self) -> Mapping[str, Document]:
        """Who answers at which path."""
        return {_V2: self._get_2, _V3: self._get_3, f"{_V3}/{{name:.+}}": self._get_3}

    async def _get_2(self, request: web.Request) -> web.StreamResponse:
        async with self._making:
            served, custom = self._current()
            if not self._version_2:
                self._version_2 = await asyncio.to_thread(_made_2, served, custom)
        names = {clause.partition(";")[0].strip() for clause in request.headers.get("Accept", "").split(",")}
        if names & protobuf.ASKED_TYPES:
            return _answer(request, self._version_2[protobuf.MEDIA_TYPE], protobuf.MEDIA_TYPE)
        negotiation.accepted(request.headers.get("Accept", ""))
        return _answer(request, self._version_2[negotiation.JSON], negotiation.JSON)

    async def _get_3(self, request: web.Request) -> web.StreamResponse:
        negotiation.accepted(request.headers.get("Accept", ""))
        async with self._making:
            served, custom = self._current()
            if not self._version_3:
                self._version_3 = await asyncio.to_thread(_made_3, served, custom)
        document = self._version_3.get(request.match_info.get("name", INDEX))
        if document is None:
            raise NotFound(MISSING)
        return _answer(request, document, negotiation.JSON)

    def _current(self) -> tuple[Served, Sequence[Kind]]:
        """What is served now; documents about something else are forgotten."""
        served, custom = self._served()
        if custom is not self._made_of:
            self._made_of, self._version_2, self._version_3 = custom, {}, {}
        return served, custom


def _made_2(served: Served, custom: Sequence[Kind]) -> Mapping[str, _Encoded]:
    document = documents.version_2(KUBERNETES_VERSION, served, custom)
    return _hashed({negotiation.JSON: documents.encoded(document), protobuf.MEDIA_TYPE: protobuf.encode(document)})


def _made_3(served: Served, custom: Sequence[Kind]) -> Mapping[str, _Encoded]:
    made = {
        name: documents.encoded(document)
        for name, document in documents.version_3(KUBERNETES_VERSION, served, custom).items()
    }
    return _hashed({**made, INDEX: documents.encoded(documents.index_3(made))})


def _hashed(made: Mapping[str, bytes]) -> Mapping[str, _Encoded]:
    return {name: _Encoded(data, documents.digest(data)) for name, data in made.items()}


def _answer(request: web.Request, document: _Encoded, media: str) -> web.StreamResponse:
    """The document, unless the client has it already."""
    tag = f'"{document.digest}"'
    headers = {"ETag": tag, "Vary": "Accept"}
    if request.query.get("hash") == document.digest:
        headers["Cache-Control"] = f"public, immutable, max-age={_HASHED_SECONDS}"
    if tag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    response = answers.whole(request, document.data, media)
    response.headers.update(headers)
    return response
