"""TCP links that can be cut without either end being told, for tests of what silence does."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self


class TcpLink:
    """Relays connections to `target` ("host:port"); while it is not `up` nothing gets through, in both directions."""

    def __init__(self, target: str, port: int = 0) -> None:
        self._host, _, target_port = target.rpartition(":")
        self._target_port = int(target_port)
        self._port = port
        self._connections: set[asyncio.Task[None]] = set()
        self.up = asyncio.Event()
        self.up.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self._port)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_raised: object) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            # The stream server would complain of a callback that was cancelled.
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self.up.wait()
                far_reader, far_writer = await asyncio.open_connection(self._host, self._target_port)
                try:
                    await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))
                finally:
                    far_writer.close()
        finally:
            writer.close()
            self._connections.discard(task)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while received := await reader.read(65536):
                await self.up.wait()
                writer.write(received)
                await writer.drain()
        writer.close()
