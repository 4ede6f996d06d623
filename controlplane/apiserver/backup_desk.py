"""Backups taken while the cluster runs, from any replica, at a linearizable revision."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
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
                while (piece := await asyncio.to_thread(_next, pieces)) is not None:
                    yield pb.BackupChunk(data=piece)
            except (OSError, CorruptSnapshot) as error:
                raise errors.Unavailable(
                    f"replica {self._replica.replica_id} cannot write a backup: {error}"
                ) from error
            finally:
                await asyncio.to_thread(pieces.close)
            log.info("backup_sent", index=state.applied_index, revision=state.revision)

    def handler(self) -> grpc.RpcMethodHandler[Any, Any]:
        """The handler of the RPC."""
        return grpc.unary_stream_rpc_method_handler(
            self.save, pb.BackupRequest.FromString, pb.BackupChunk.SerializeToString
        )


def _next(pieces: Iterator[bytes]) -> bytes | None:
    return next(pieces, None)
