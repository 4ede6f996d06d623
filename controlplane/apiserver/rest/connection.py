"""One connection to a port of a pod, as the ways to carry it over a WebSocket see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from api.v1.apiserver_pb2 import ForwardStart, StreamFrame
from controlplane.apiserver.stream_calls import NodeStreams, ending

CONNECTIONS_AT_ONCE: Final = 64
"""Of one client's WebSocket."""

FRAMES_AHEAD: Final = 16


class Connection:
    """Takes what the client says, also before the pod is reached, and yields what the pod says."""

    def __init__(self, streams: NodeStreams, start: ForwardStart, port: int) -> None:
        self._streams = streams
        self._start = ForwardStart(namespace=start.namespace, pod=start.pod, port=port)
        self._frames: asyncio.Queue[StreamFrame] = asyncio.Queue(FRAMES_AHEAD)
        self._over = False

    async def send(self, data: bytes) -> None:
        """Pass bytes on to the pod; waits while it takes none, and does nothing once the connection is over."""
        await self._put(StreamFrame(stdin=data))

    async def end(self) -> None:
        """The client says nothing more."""
        await self._put(StreamFrame(stdin_closed=True))

    async def received(self) -> AsyncGenerator[bytes | None]:
        """Yield what the pod says, then None; the connection is over when this ends. ApiError as `NodeStreams.forward`."""
        try:
            async with ending(self._streams.forward(self._sent())) as frames:
                async for frame in frames:
                    match frame.WhichOneof("frame"):
                        case "stdout":
                            yield frame.stdout
                        case "stdout_closed":
                            yield None
        finally:
            self._over = True
            while not self._frames.empty():  # lets go of whoever waits to send
                self._frames.get_nowait()

    async def _put(self, frame: StreamFrame) -> None:
        if not self._over:
            await self._frames.put(frame)

    async def _sent(self) -> AsyncIterator[StreamFrame]:
        yield StreamFrame(forward=self._start)
        while True:
            yield await self._frames.get()
