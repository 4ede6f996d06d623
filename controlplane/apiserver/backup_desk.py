"""Backups taken while the cluster runs, from any replica, at a linearizable revision."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import grpc
import structlog

from api import errors
from api.v1 import apiserver_pb2 as pb
from component.env import Env
from component.rpc_server import Context
from controlplane import backup
from controlplane.replica import Replica
from controlplane.store.snapshot import CorruptSnapshot

log = structlog.get_logger()


class BackupDesk:
    """One backup at a time: each takes as much room in `folder` as a snapshot while it is sent."""

    def __init__(self, replica: Replica, facts: Callable[[], backup.Facts], folder: Path, env: Env) -> None:
        self._replica = replica
        self._facts = facts
        self._folder = folder
        self._env = env
        self._busy = asyncio.Lock()

    async def save(self, request: pb.BackupRequest, context: Context) -> AsyncIterator[pb.BackupChunk]:
        """Backup: everything acknowledged before the call is in it. Unavailable without a quorum."""
        del request, context
        async with self._busy:
            await self._replica.read_barrier()
            state = self._replica.state.clone()
            pieces = backup.pieces(state, self._facts(), self._folder, self._env)
            try:
                async with aclosing(in_threads(pieces)) as made:
                    async for piece in made:
                        yield pb.BackupChunk(data=piece)
            except (OSError, CorruptSnapshot) as error:
                raise errors.Unavailable(
                    f"replica {self._replica.replica_id} cannot write a backup: {error}"
                ) from error
            log.info("backup_sent", index=state.applied_index, revision=state.revision)

    def handler(self) -> grpc.RpcMethodHandler[Any, Any]:
        """The handler of the RPC."""
        return grpc.unary_stream_rpc_method_handler(
            self.save, pb.BackupRequest.FromString, pb.BackupChunk.SerializeToString
        )


async def in_threads(pieces: Generator[bytes, None, None]) -> AsyncGenerator[bytes, None]:
    """What a generator that takes its time yields, made in threads; it is closed at the end, also of a reader that goes.

    Who is cancelled leaves a thread behind that is still at work: closing waits for it.
    """
    turn = threading.Lock()

    def step() -> bytes | None:
        with turn:
            return next(pieces, None)

    def close() -> None:
        with turn:
            pieces.close()

    try:
        while (piece := await asyncio.to_thread(step)) is not None:
            yield piece
    finally:
        await asyncio.to_thread(close)
