"""The way in for root on a replica's machine, when certificates have expired or a webhook refuses everything.

A Unix socket in front of the gRPC server: whoever connects as root, or as the user that the replica runs as, is an
administrator without a certificate. The kernel says who that is (SO_PEERCRED, unix(7)). gRPC itself cannot ask it, so it
listens in a folder that is closed to others, and bytes are carried between the two.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Collection
from pathlib import Path
from typing import Final

import structlog

from component.tasks import run_until_one_ends

SOCKET: Final = "admin.sock"
"""Its name in `run_dir`."""

CONNECTIONS: Final = 64  # at once
PIECE_BYTES: Final = 64 << 10

_CREDENTIALS: Final = struct.Struct("3i")  # process, user, group

log = structlog.get_logger()


class AdminSocket:
    """Listens at `run_dir`/admin.sock, and carries what `users` say to gRPC at `inner`, where that has to listen."""

    def __init__(self, run_dir: Path, users: Collection[int] = frozenset({0, os.geteuid()})) -> None:
        self._users = users
        self.path = run_dir / SOCKET
        self.inner = run_dir / "admin" / "grpc.sock"
        self._server: asyncio.Server | None = None
        self._carried: set[asyncio.Task[None]] = set()

    def prepare(self) -> None:
        """Make the folder that only this user can enter, before anything listens in it. OSError."""
        self.inner.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.inner.parent.chmod(0o700)

    async def start(self) -> None:
        """Listen. OSError."""
        self._server = await asyncio.start_unix_server(self._connected, self.path)
        self.path.chmod(0o600)

    async def close(self) -> None:
        """End everything that goes on."""
        if self._server is not None:
            self._server.close()
        for task in self._carried:
            task.cancel()
        await asyncio.gather(*self._carried, return_exceptions=True)
        for path in (self.path, self.inner):
            path.unlink(missing_ok=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        process, user, _ = _CREDENTIALS.unpack(
            writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        if user not in self._users or len(self._carried) >= CONNECTIONS:
            log.warning("admin_connection_refused", uid=user, pid=process, connections=len(self._carried))
            writer.close()
            return
        log.info("admin_connected", uid=user, pid=process)
        task = asyncio.ensure_future(self._carry(reader, writer))
        self._carried.add(task)
        task.add_done_callback(self._carried.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            inner_reader, inner_writer = await asyncio.open_unix_connection(self.inner)
            with contextlib.closing(inner_writer):
                await run_until_one_ends(_pump(reader, inner_writer), _pump(inner_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(PIECE_BYTES):
        writer.write(piece)
        await writer.drain()
