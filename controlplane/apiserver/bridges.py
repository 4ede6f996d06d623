"""The meeting of a client and a node in one stream: frames both ways, and an end that reaches both sides in any order.

Pure but for waiting: it must not know RPCs, pods or sessions. Ending never waits, so no cancellation can come between.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from api import errors
from api.v1.apiserver_pb2 import StreamFrame

QUEUE_BYTES: Final = 128 << 10
"""May wait in each direction; one frame more when it does not fit. A reader who pauses stops its writer."""

FRAME_BYTES: Final = 100
"""What a frame costs beside its data."""

PIECE_BYTES: Final = 64 << 10
"""The most input that one frame to a node carries."""


LAST: Final = frozenset({"exit_code", "ended", "error"})
"""Frames of an agent behind which nothing comes."""


class FrameQueue:
    """One direction: bounded, for one writer and one reader."""

    def __init__(self) -> None:
        self.ended = False  # no more frames come
        self._frames: deque[StreamFrame] = deque()
        self._bytes = 0
        self._changed = asyncio.Event()

    async def put(self, frame: StreamFrame) -> None:
        """Add a frame; waits for room. After the end it does nothing."""
        while self._bytes >= QUEUE_BYTES and not self.ended:
            await self._wait()
        if not self.ended:
            self._frames.append(frame)
            self._bytes += _size(frame)
            self._changed.set()

    async def get(self) -> StreamFrame | None:
        """The next frame; None after the last."""
        while not self._frames and not self.ended:
            await self._wait()
        if not self._frames:
            return None
        frame = self._frames.popleft()
        self._bytes -= _size(frame)
        self._changed.set()
        return frame

    def end(self) -> None:
        """No more frames come; those that did can still be read."""
        self.ended = True
        self._changed.set()

    def abandon(self) -> None:
        """Nobody reads any more."""
        self._frames.clear()
        self._bytes = 0
        self.end()

    async def _wait(self) -> None:
        # One event for both: at most one side waits, the writer for room or the reader for frames.
        self._changed.clear()
        await self._changed.wait()


class Bridge:
    """One stream, from the request that a node dial back until either side ends. `holder`: the session that was asked."""

    def __init__(self, node: str, holder: object) -> None:
        self.node = node
        self.holder = holder
        self._to_agent = FrameQueue()
        self._to_client = FrameQueue()
        self._answered = asyncio.Event()  # the agent dialled, or never will
        self._at_work = False  # the agent, as far as is known
        self._lost = False

    async def dialled(self, seconds: float) -> None:
        """Wait for the agent. Unavailable when it does not come within `seconds`, or lost its session."""
        try:
            async with asyncio.timeout(seconds):
                await self._answered.wait()
        except TimeoutError:
            raise errors.Unavailable(f"node {self.node!r} did not dial back within {seconds:.0f} s") from None
        if self._lost:
            raise errors.Unavailable(f"node {self.node!r} lost its connection to the control plane: retry")

    def accept(self) -> None:
        """The agent has dialled."""
        self._at_work = True
        self._answered.set()

    def node_lost(self) -> None:
        """The node's session ended: the client gets what has come, the agent nothing more."""
        self._lost = not self._answered.is_set()
        self._answered.set()
        self._to_client.end()
        self._to_agent.abandon()

    async def for_client(self) -> AsyncIterator[StreamFrame]:
        """Yield what the agent says, until it has said everything or is gone."""
        while (frame := await self._to_client.get()) is not None:
            yield frame

    async def for_agent(self) -> AsyncIterator[StreamFrame]:
        """Yield what the client says, until it has gone or the stream is over."""
        while (frame := await self._to_agent.get()) is not None:
            yield frame

    async def client_says(self, frames: AsyncIterator[StreamFrame]) -> None:
        """Take what the client says. Its silence ends nothing: only `client_left` does.

        What it says wrongly ends the stream.
        """
        try:
            async for frame in frames:
                for piece in _pieces(frame):
                    await self._to_agent.put(piece)
        except BaseException:
            self._to_client.end()
            raise

    async def agent_says(self, frames: AsyncIterator[StreamFrame]) -> None:
        """Take what the agent says; its end is the stream's."""
        try:
            async for frame in frames:
                self._at_work = frame.WhichOneof("frame") not in LAST
                await self._to_client.put(frame)
        finally:
            self._to_client.end()

    def client_left(self) -> bool:
        """The client has gone, or heard everything; returns whether the agent is still at work for it."""
        at_work = self._at_work and not self._to_client.ended
        self._to_agent.abandon()
        self._to_client.abandon()
        return at_work

    def agent_left(self) -> None:
        """The agent's side broke off, or is over: the client gets what has come."""
        self._to_client.end()
        self._to_agent.abandon()


def _size(frame: StreamFrame) -> int:
    return FRAME_BYTES + len(frame.stdout) + len(frame.stderr) + len(frame.stdin)


def _pieces(frame: StreamFrame) -> list[StreamFrame]:
    """A client's frame, with much input as several."""
    data = frame.stdin
    if len(data) <= PIECE_BYTES:
        return [frame]
    return [StreamFrame(stdin=data[at : at + PIECE_BYTES]) for at in range(0, len(data), PIECE_BYTES)]
