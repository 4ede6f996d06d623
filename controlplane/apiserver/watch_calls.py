"""Watches over gRPC: cached frames of events, as they come, until the reader or this server goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import aclosing
from typing import Any, Final

from api.errors import Unavailable
from api.v1 import apiserver_pb2 as pb
from component.rpc_server import Context
from controlplane.apiserver.authn import Authenticator
from controlplane.apiserver.reads import Reads
from controlplane.apiserver.watches import Batch
from controlplane.watch.frames import bookmark_frame

WATCH_MESSAGE_BYTES: Final = 1 << 20
SLOW_READER_SECONDS: Final = 30.0


class WatchCalls:
    """Serves Watch. A reader that takes nothing for `slow_reader_seconds` is let go."""

    def __init__(
        self, reads: Reads, authenticator: Authenticator, *, slow_reader_seconds: float = SLOW_READER_SECONDS
    ) -> None:
        self._reads = reads
        self._identify = authenticator.identify
        self._slow_reader_seconds = slow_reader_seconds
        self._waiting: set[asyncio.Task[Any]] = set()  # watches with nothing to send
        self._closing = False

    def behaviours(self) -> dict[str, Callable[..., Any]]:
        """What answers each RPC, by name."""
        return {"Watch": self.watch}

    async def watch(self, request: pb.WatchRequest, context: Context) -> None:
        """Watch: cached frames of single events, concatenated; nothing is decoded or encoded per watcher."""
        batches = self._reads.watch(
            self._identify(context),
            request.resource,
            request.namespace,
            revision=request.resource_version if request.HasField("resource_version") else None,
            label_selector=request.label_selector,
            field_selector=request.field_selector,
        )
        task = asyncio.current_task()
        assert task is not None, "grpc runs every handler in a task"
        try:
            async with aclosing(batches):
                while not self._closing:
                    self._waiting.add(task)
                    batch = await anext(batches)
                    self._waiting.discard(task)
                    await self._send(context, batch)
        except asyncio.CancelledError:
            if not self._closing:
                raise
        finally:
            self._waiting.discard(task)
        raise Unavailable("this replica is shutting down: go on at another one")

    def end_watches(self) -> None:
        """Send all watchers to another replica; without this they would keep a closing server waiting.

        A write is never cancelled: while one is under way grpc sends no status, and the watcher would learn nothing.
        """
        self._closing = True
        for task in self._waiting:
            task.cancel()

    async def _send(self, context: Context, batch: Batch) -> None:
        frames = [event.frame for event in batch.events]
        if batch.bookmark:
            frames.append(bookmark_frame(batch.bookmark))
        for message in _joined(frames):
            await self._write(context, message)

    async def _write(self, context: Context, message: bytes) -> None:
        try:
            # Not wait_for: in Python 3.11 it swallows a cancellation that meets the end of the write.
            async with asyncio.timeout(self._slow_reader_seconds):
                await context.write(message)
        except TimeoutError:
            seconds = f"{self._slow_reader_seconds:g} s"
            raise Unavailable(f"nothing was read for {seconds}: watch on from the last revision that came") from None


def _joined(frames: Iterable[bytes]) -> Iterator[bytes]:
    """Concatenate frames to messages of about a megabyte: a batch may be larger than a message can be."""
    message: list[bytes] = []
    size = 0
    for frame in frames:
        if message and size + len(frame) > WATCH_MESSAGE_BYTES:
            yield b"".join(message)
            message, size = [], 0
        message.append(frame)
        size += len(frame)
    if message:
        yield b"".join(message)
