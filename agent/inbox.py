"""A client's frames on a stream to this node, and its leaving: nothing is done any longer for somebody who has gone.

It must not know what a stream is about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

import grpc.aio

from api.v1.apiserver_pb2 import StreamFrame
from component.tasks import run_until_one_ends

FRAMES_AHEAD = 16


class Frames(Protocol):
    """The client's frames, in order."""

    async def get(self) -> StreamFrame | None:
        """The next one, None once the client has gone."""


class Inbox:
    """The client's frames, read by one task that lives as long as the call.

    Cancelling a read of grpc.aio cancels the whole call, and with it frames that are still on their way out.
    """

    def __init__(self, call: Any) -> None:
        self.ended = False  # the client is gone: the control plane ends the call for nothing else
        self._frames: asyncio.Queue[StreamFrame | None] = asyncio.Queue(FRAMES_AHEAD)
        self._task = asyncio.ensure_future(self._read(call))

    async def get(self) -> StreamFrame | None:
        """The next frame, None once the client has gone; may be cancelled."""
        return None if self.ended else await self._frames.get()

    async def close(self) -> None:
        """Stop reading; the call must be over."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self, call: Any) -> None:
        try:
            while isinstance(frame := await call.read(), StreamFrame):
                await self._frames.put(frame)
        except grpc.aio.AioRpcError:
            pass  # how the call went is told to whoever waits for its status
        finally:  # also when the channel was closed under the call, which grpc tells as a cancellation
            self._end()

    def _end(self) -> None:
        """Wake whoever waits for a frame. What the client said before it left is said to nobody."""
        self.ended = True
        while not self._frames.empty():
            self._frames.get_nowait()
        self._frames.put_nowait(None)


async def while_heard(frames: Frames, work: Coroutine[Any, Any, None]) -> None:
    """Do `work`, to its end or until the client has gone; what the client says is ignored. Raises what `work` does."""
    await run_until_one_ends(work, _left(frames))


async def _left(frames: Frames) -> None:
    while await frames.get() is not None:
        pass
