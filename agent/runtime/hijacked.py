"""The connection that Podman leaves behind after an HTTP upgrade: input, and output in frames or raw.

Input goes as raw bytes. Output comes as frames (stream, 3 zero bytes, length, big-endian) or, with a terminal, raw.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Literal

from agent.runtime.http import Upgraded

_PIECE_BYTES = 32 << 10
_MAX_FRAME_BYTES = 16 << 20
_STREAMS: dict[int, Literal["stdout", "stderr"]] = {0: "stdout", 1: "stdout", 2: "stderr"}


class Hijacked:
    """The streams of a command or a container; `ended` once there is no more output."""

    def __init__(self, connection: Upgraded, *, tty: bool) -> None:
        self.ended = False
        self._reader, self._writer = connection.reader, connection.writer
        self._tty = tty
        self._frame_stream: Literal["stdout", "stderr"] = "stdout"
        self._frame_left_bytes = 0

    async def read(self) -> tuple[Literal["stdout", "stderr"], bytes] | None:
        """The next piece of output, None at its end. A connection cut inside a frame counts as the end."""
        try:
            piece = await (self._reader.read(_PIECE_BYTES) if self._tty else self._read_framed())
        except (ConnectionError, asyncio.IncompleteReadError):
            piece = b""
        if piece:
            return self._frame_stream, piece
        self.ended = True
        return None

    async def write(self, data: bytes) -> None:
        """Send to standard input; data for what has ended is dropped."""
        with suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    async def close_stdin(self) -> None:
        """Half-close the connection; with a terminal this is the end of input, too."""
        with suppress(OSError):
            if self._writer.can_write_eof():
                self._writer.write_eof()

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _read_framed(self) -> bytes:
        while not self._frame_left_bytes:
            header = await self._reader.readexactly(8)
            self._frame_stream = _STREAMS.get(header[0], "stdout")
            self._frame_left_bytes = int.from_bytes(header[4:], "big")
            if self._frame_left_bytes > _MAX_FRAME_BYTES:
                raise ConnectionError("podman sent a malformed frame")
        piece = await self._reader.read(min(self._frame_left_bytes, _PIECE_BYTES))
        self._frame_left_bytes -= len(piece)
        return piece
