"""When to write a snapshot, and doing it beside the running state.

It must not know what a snapshot is for: the log compacts on its own once it is told that one is durable.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Protocol, TypeVar

import structlog

from controlplane.raft.protocol import Snapshot
from controlplane.store import snapshot as snapshots
from controlplane.store.state import State

LOG_BYTES: Final = 8 * 1024 * 1024  # the Raft process holds the log since the last snapshot in memory
LOG_ENTRIES: Final = 50_000  # replaying so many takes a second or two
LOG_SHARE: Final = 4  # a byte of log for so many of the state: encoding 4 bytes costs 2 % of what writing one did

T = TypeVar("T")
logger = structlog.get_logger()


class InThread(Protocol):
    """Runs what blocks away from the event loop; a simulation runs it at once."""

    def __call__(self, function: Callable[[], T], /) -> Awaitable[T]:
        """Return the function's value."""


class WrittenBeside(Protocol):
    """What the log before a snapshot is needed for as well: it must be safe before the snapshot counts."""

    def cut(self, state: State) -> None:
        """Begin to write everything up to `state`."""

    async def persist(self) -> None:
        """Return once all that was cut so far is durable, or given up."""


class SnapshotSchedule:
    """One snapshot at a time, after so much log that writing them at most doubles what goes to the disk.

    And not too often for a large state that compresses well: encoding it takes CPU time all the same.
    """

    def __init__(
        self, folder: Path, in_thread: InThread, saved: Callable[[Snapshot], None], beside: WrittenBeside
    ) -> None:
        self._beside = beside
        self._folder = folder
        self._in_thread = in_thread
        self._saved = saved
        self._log_bytes = 0
        self._log_entries = 0
        self._last_bytes = 0
        self._writing: asyncio.Task[None] | None = None
        self._closed = False

    def applied(self, state: State, size_bytes: int) -> None:
        """Count one entry that was just applied to `state`, and begin a snapshot of it if one is due."""
        self._log_bytes += size_bytes
        self._log_entries += 1
        enough_bytes = max(LOG_BYTES, self._last_bytes, state.size_bytes // LOG_SHARE)
        due = self._log_bytes >= enough_bytes or self._log_entries >= LOG_ENTRIES
        if due and self._writing is None and not self._closed:
            self.begin(state)

    def begin(self, state: State) -> None:
        """Write a snapshot of `state` as it is now."""
        self._log_bytes = self._log_entries = 0
        self._beside.cut(state)
        self._writing = asyncio.get_running_loop().create_task(self._write(state.clone()))

    def installed(self, size_bytes: int) -> None:
        """The log begins anew after a snapshot from the leader."""
        self._log_bytes = self._log_entries = 0
        self._last_bytes = size_bytes

    async def close(self) -> None:
        """Wait for a snapshot that is being written: a thread cannot be stopped."""
        self._closed = True
        if self._writing is not None:
            await self._writing

    async def _write(self, state: State) -> None:
        began = asyncio.get_running_loop().time()
        try:
            # First: a process that dies between the two starts from the older snapshot, and the log makes both again.
            await self._beside.persist()
            written = await self._in_thread(functools.partial(snapshots.write, state, self._folder))
            self._last_bytes = written.path.stat().st_size
        except (OSError, snapshots.CorruptSnapshot) as error:
            logger.warning("snapshot_failed", index=state.applied_index, error=str(error))
            return  # the log stays as it is; the next one comes after as much log again
        finally:
            self._writing = None
        took_seconds = round(asyncio.get_running_loop().time() - began, 3)
        logger.info("snapshot_written", index=written.index, size_bytes=self._last_bytes, took_seconds=took_seconds)
        if not self._closed:
            self._saved(Snapshot(written.index, written.term, written.path))
