"""The log of a container, as text in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from api.v1.apiserver_pb2 import LogsRequest
from controlplane.apiserver.rest import queries
from controlplane.apiserver.rest.call import Call
from controlplane.apiserver.rest.queries import Query
from controlplane.apiserver.rest.refusals import bad_request
from controlplane.apiserver.rest.streaming import Outflow
from controlplane.apiserver.stream_calls import NodeStreams, ending

HEAD_WITHIN_SECONDS: Final = 1.0
"""A silent container has nothing to send; who follows it gets the answer's head all the same."""


class Logs:
    """Serves logs out of the streams to the nodes."""

    def __init__(self, streams: NodeStreams) -> None:
        self._streams = streams

    async def read(self, call: Call) -> web.StreamResponse:
        """The log, or with `follow` what comes, too."""
        wanted = request_of(call.target.namespace, call.target.name, call.query)
        lines = self._streams.logs(wanted)
        async with ending(lines), Outflow(call.request, "text/plain", slow_reader_seconds=None) as out:
            first = asyncio.ensure_future(_next(lines))
            try:
                await asyncio.wait((first,), timeout=HEAD_WITHIN_SECONDS if wanted.follow else None)
                if not first.done():
                    await out.start()
                if data := await first:
                    await out.write(data)
                    async for more in lines:
                        await out.write(more)
            finally:
                first.cancel()
                await asyncio.gather(first, return_exceptions=True)
        return out.response


def request_of(namespace: str, name: str, query: Query) -> LogsRequest:
    """What is asked for. Refusal."""
    if query.get("stream", "All") != "All":
        raise bad_request(f'stream: Unsupported value: "{query["stream"]}": both streams are kept as one: All')
    if query.get("sinceSeconds") and query.get("sinceTime"):
        raise bad_request("sinceSeconds and sinceTime exclude each other")
    request = LogsRequest(
        namespace=namespace,
        pod=name,
        container=query.get("container", ""),
        follow=bool(queries.boolean(query, "follow", default=False)),
        previous=bool(queries.boolean(query, "previous", default=False)),
        timestamps=bool(queries.boolean(query, "timestamps", default=False)),
    )
    for parameter, field in (
        ("tailLines", "tail_lines"),
        ("sinceSeconds", "since_seconds"),
        ("limitBytes", "limit_bytes"),
    ):
        if (number := queries.number(query, parameter)) is not None:
            setattr(request, field, number)
    if since_time := query.get("sinceTime"):
        request.since_time = since_time
    return request


async def _next(lines: AsyncIterator[bytes]) -> bytes:
    return await anext(lines, b"")
