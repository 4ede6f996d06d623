"""Watches: one line of JSON for each change, in answers that last until the client has seen enough."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from typing import Final

from aiohttp import web

from api.errors import ApiError
from component.env import Env
from controlplane.apiserver.objects import object_at
from controlplane.apiserver.past import NOW
from controlplane.apiserver.reads import Reads
from controlplane.apiserver.rest import encoding, queries
from controlplane.apiserver.rest.call import Call
from controlplane.apiserver.rest.negotiation import JSON
from controlplane.apiserver.rest.queries import WatchOptions
from controlplane.apiserver.rest.refusals import bad_request, status_of
from controlplane.apiserver.rest.streaming import Outflow
from controlplane.apiserver.rest.views import View, view_of
from controlplane.apiserver.watches import Batch

LASTS_SECONDS: Final = 1_800.0
"""Of a watch that names no time; up to twice as long, so that they do not all come back at once. As in Kubernetes."""

REFUSED_WITHIN_SECONDS: Final = 0.005
"""What is wrong with a watch shows at once; then the head of the answer must not wait for the first change."""

CHUNK_BYTES: Final = 128 << 10


class Watching:
    """Serves watches; `end` sends all of their clients to another replica."""

    def __init__(self, reads: Reads, env: Env, slow_reader_seconds: float) -> None:
        self._reads = reads
        self._slow_reader_seconds = slow_reader_seconds
        self._env = env
        self._open: set[asyncio.Timeout] = set()
        self._closing = False

    async def watch(self, call: Call) -> web.StreamResponse:
        """Every change of what is selected, until the time is over."""
        view = view_of(call, self._env.now())
        options = queries.watch_options(call.query)
        revision = options.revision
        if options.from_now:
            revision = (await self._reads.past.moment(NOW)).revision
        batches = self._reads.watch(
            call.identity,
            call.resource,
            call.target.namespace,
            asked=call.allowed,
            revision=revision,
            label_selector=options.label_selector,
            field_selector=_fields(call, options),
        )
        lines = _Lines(call, view, options)
        async with aclosing(batches), Outflow(call.request, JSON, slow_reader_seconds=self._slow_reader_seconds) as out:
            deadline = asyncio.timeout(self._seconds(options))
            try:
                async with deadline:
                    self._open.add(deadline)
                    await self._send(out, batches, lines)
            except TimeoutError:
                if not deadline.expired():
                    raise
            finally:
                self._open.discard(deadline)
        return out.response

    def end(self) -> None:
        """End every watch as if its time were over: a closing server cannot wait for them."""
        self._closing = True
        for deadline in self._open:
            if not deadline.expired():
                deadline.reschedule(0)

    def _seconds(self, options: WatchOptions) -> float:
        if self._closing:
            return 0.0
        return options.timeout_seconds or self._env.rng.uniform(1, 2) * LASTS_SECONDS

    async def _send(self, out: Outflow, batches: AsyncGenerator[Batch], lines: _Lines) -> None:
        first = asyncio.ensure_future(_next(batches))
        try:
            await asyncio.wait((first,), timeout=REFUSED_WITHIN_SECONDS)
            if first.done():
                first.result()
            await out.start()
            batch = await first
            while True:
                for chunk in _joined(lines.of(batch)):
                    await out.write(chunk)
                    await asyncio.sleep(0)
                batch = await anext(batches)
        except ApiError as error:
            if not out.response.prepared:
                raise
            await out.write(encoding.error_line(status_of(error, lines.call.target)))
        finally:
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)


class _Lines:
    """What one client sees of batches. The first bookmark of a watch that shows what there is ends that part."""

    def __init__(self, call: Call, view: View, options: WatchOptions) -> None:
        self.call = call
        self._view = view
        self._options = options
        self._initial = options.revision is None and not options.from_now

    def of(self, batch: Batch) -> Iterator[bytes]:
        """The lines of a batch."""
        for event in batch.events:
            stored = object_at(event.envelope, event.body, event.revision)
            yield encoding.event_line(event.type, self._view.alone(stored))
        if batch.bookmark:
            ends, self._initial = self._initial, False
            if self._options.bookmarks:
                initial_end = ends and self._options.initial_end
                yield encoding.bookmark_line(self.call.kind, batch.bookmark, initial_end=initial_end)


def _fields(call: Call, options: WatchOptions) -> str:
    """The field selector; a watch of one object by its path selects that name."""
    if not call.target.name:
        return call.field_selector
    if options.field_selector:
        raise bad_request("a watch of one object takes no fieldSelector")
    return f"metadata.name={call.target.name}"


def _joined(lines: Iterable[bytes]) -> Iterator[bytes]:
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        chunk.append(line)
        size += len(line)
        if size >= CHUNK_BYTES:
            yield b"".join(chunk)
            chunk, size = [], 0
    if chunk:
        yield b"".join(chunk)


async def _next(batches: AsyncGenerator[Batch]) -> Batch:
    return await anext(batches)
