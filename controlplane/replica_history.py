"""Keeping the history of one replica: what was applied goes to immutable segments, the oldest of them are forgotten.

The path of writes pays for one append to a list an entry. Segments are cut at snapshots, so that after a restart the
newest one leads exactly to the snapshot and replaying the log makes the rest again. Whatever is wrong with a file
shortens history and is logged; it never gives a wrong answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import structlog

from api import errors
from component.env import rfc3339
from controlplane.commands import Key
from controlplane.replica_snapshots import InThread
from controlplane.store import history, history_segment
from controlplane.store.history import MemoryPart, Part, Version, moment_of
from controlplane.store.history_segment import CorruptSegment, Mark, Moment, Segment
from controlplane.store.state import Applied, State

CUT_BYTES: Final = 2 * 1024 * 1024  # of log: about 5,000 small changes, which are sorted in 3 ms
WAITING_PARTS: Final = 16  # when the disk takes no more than that, history begins anew
READERS: Final = 2  # at once, each in a thread
KEPT_BYTES: Final = 256 * 1024 * 1024
KEPT_SECONDS: Final = 24 * 3600.0

DISK_REMEDY: Final = "make room on the disk, or lower history_mebibytes; writes go on"
LOSS_REMEDY: Final = "nothing has to be done: older revisions are read from other replicas; look for a failing disk"

T = TypeVar("T")
logger = structlog.get_logger()


class History:
    """The changes of the last `keep_seconds`, but at most `keep_bytes` on disk; 0 of either keeps none.

    All methods run on the event loop. Reads raise Expired when they go back further than history does.
    """

    def __init__(
        self,
        replica_id: str,
        folder: Path,
        in_thread: InThread,
        *,
        keep_seconds: float = KEPT_SECONDS,
        keep_bytes: int = KEPT_BYTES,
    ) -> None:
        self._replica_id = replica_id
        self._folder = folder
        self._in_thread = in_thread
        self._keep_ms = int(keep_seconds * 1000)
        self._keep_bytes = keep_bytes
        self._kept = bool(keep_bytes and keep_seconds)
        self._segments: tuple[Segment, ...] = ()
        self._waiting: list[MemoryPart] = []  # cut, not yet on disk
        self._pending: list[tuple[Applied, int]] = []
        self._pending_bytes = 0
        self._start = Moment(0, 0, b"")  # of what is pending
        self._writing: asyncio.Task[None] | None = None
        self._readers = asyncio.Semaphore(READERS)
        self._progress = asyncio.Event()  # set, and replaced, when a part was written or writing ended
        self._rubbish: list[Path] = []
        self._lives = 0  # how often history began anew
        self._incarnation = 0
        self._incarnation_revision = 0  # nothing before it is history of this cluster

    async def open(self, state: State) -> None:
        """Take up the segments that lead to `state`, as loaded from a snapshot; remove all others."""
        self._start = moment_of(state)
        self._note_incarnation(state)
        found, damaged = await self._in_thread(partial(history_segment.listed, self._folder))
        chain = history.chained(found, self._start) if self._kept else []
        self._segments = tuple(chain)
        # Segments after the snapshot go as well: the log makes their changes again.
        self._rubbish = [*(each.path for each in found if each not in chain), *(each.path for each in damaged)]
        self._trim()
        for each in damaged:
            self._say_shortened(each)
        try:
            await self._remove()
        except OSError as error:
            logger.warning("history_write_failed", folder=str(self._folder), error=str(error), remedy=DISK_REMEDY)

    @property
    def beginning(self) -> Moment:
        """The oldest point that can be read."""
        parts: Sequence[Part] = self._segments or self._waiting
        return parts[0].start if parts else self._start

    # The path of writes

    def applied(self, state: State, applied: Applied, size_bytes: int) -> None:
        """Note what an entry of `size_bytes` did to `state`."""
        if not self._kept:
            self._start = moment_of(state)
            return
        if applied.changes:
            self._pending.append((applied, state.time_ms))
            self._pending_bytes += size_bytes
            if self._pending_bytes >= CUT_BYTES:
                self.cut(state)

    def cut(self, state: State) -> None:
        """Let what is pending become a segment that ends at `state`, and write it."""
        end = moment_of(state)
        if not self._kept or end.digest == self._start.digest:  # nothing was applied since
            return
        part = MemoryPart(self._start, end, self._pending)
        self._waiting.append(part)
        self._start, self._pending, self._pending_bytes = part.end, [], 0
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    def reset(self, state: State) -> None:
        """Begin anew: `state` came from another replica, or from before a loss of quorum."""
        self._forget_all()
        self._start = moment_of(state)
        self._note_incarnation(state)

    async def persist(self) -> None:
        """Return once all that was cut so far is on disk, or cannot be put there."""
        last = self._waiting[-1] if self._waiting else None
        while self._writing is not None and any(part is last for part in self._waiting):
            await self._progress.wait()

    async def close(self) -> None:
        """Wait for what is being written: a thread cannot be stopped. What was not cut comes from the log again."""
        if self._writing is not None:
            await asyncio.shield(self._writing)

    # Reads

    async def transaction_end(self, revision: int) -> Mark:
        """The end of the transaction that a revision, not after the state's, belongs to, and its time. Expired."""
        what, begin = f"revision {revision}", self.beginning
        if revision < begin.revision:
            raise self._expired(what)
        if revision == begin.revision:
            return Mark(begin.revision, begin.time_ms)
        end = await self._read(lambda parts: history.transaction_end(parts, revision), what)
        assert end is not None, "a revision between history's beginning and now belongs to no transaction"
        return end

    async def newest_at(self, time_ms: int) -> Mark:
        """The newest transaction that was committed by then. Expired."""
        what = rfc3339(time_ms / 1000)
        newest = await self._read(lambda parts: history.newest_at(parts, time_ms), what)
        if newest is None:
            raise self._expired(what)
        return newest

    async def rewound(self, state: State, resource: str, revision: int, key: Key | None = None) -> State:
        """A copy of the replica's `state` as it was at the end of a transaction, for one resource or one object."""
        now, only = state.clone(), None if key is None else (key.namespace, key.name)
        return await self.read_after(revision, lambda parts: history.rewind(now, parts, resource, revision, only))

    async def versions(self, state: State, key: Key, limit: int) -> tuple[list[Version], bool]:
        """The latest changes of an object, oldest first, and whether these are all that are kept."""
        current, place = state.held(key), (key.namespace, key.name)
        found, complete = await self._read(
            lambda parts: history.versions(parts, key.resource, place, current, limit), f"the history of {key}"
        )
        if state.opening is not None and key.resource in state.opening.resources:
            found = [history.opened(version, state.opening.opened_object) for version in found]
        return found, complete

    async def read_after(self, revision: int, function: Callable[[Sequence[Part]], T]) -> T:
        """What `function` makes, in a thread, of parts that hold every change after `revision`. Expired."""
        what = f"revision {revision}"
        if revision < self.beginning.revision:
            raise self._expired(what)
        return await self._read(function, what)

    async def _read(self, function: Callable[[Sequence[Part]], T], what: str) -> T:
        """Read, in a thread, the parts as they are at the call; damage found on the way shortens history."""
        parts = self._parts()
        async with self._readers:
            try:
                return await self._in_thread(partial(function, parts))
            except CorruptSegment as error:  # unless it fell out of the window meanwhile
                self._lose(error)
                raise self._expired(what) from None
            except OSError as error:
                logger.warning("history_read_failed", error=str(error))
                raise errors.Unavailable(f"replica {self._replica_id} cannot read its history: {error}") from None

    def _parts(self) -> Sequence[Part]:
        last = self._start
        if self._pending:
            applied, time_ms = self._pending[-1]
            last = Moment(applied.changes[-1].revision, time_ms, b"")
        return *self._segments, *self._waiting, MemoryPart(self._start, last, tuple(self._pending))

    # Files

    async def _write(self) -> None:
        """Write what waits, oldest first, and remove what is not needed any more."""
        try:
            while self._waiting or self._rubbish:
                await self._remove()
                if self._waiting:
                    await self._write_one(self._waiting[0], self._lives)
        except OSError as error:
            self._write_failed(error)
        except Exception:  # the outermost frame of its task; snapshots must go on without history
            logger.exception("history_broke")
            self._forget_all()
        finally:
            self._writing = None
            self._note_progress()

    def _write_failed(self, error: OSError) -> None:
        """The next cut tries again; memory is bounded."""
        logger.warning(
            "history_write_failed",
            folder=str(self._folder),
            error=str(error),
            waiting=len(self._waiting),
            remedy=DISK_REMEDY,
        )
        if len(self._waiting) > WAITING_PARTS:
            self._forget_all()
            self._say_shortened(error)

    async def _write_one(self, part: MemoryPart, life: int) -> None:
        segment = await self._in_thread(partial(part.write, self._folder))
        if life != self._lives:
            self._rubbish.append(segment.path)
            return
        del self._waiting[0]
        self._segments = (*self._segments, segment)
        self._trim()
        self._note_progress()

    def _note_progress(self) -> None:
        self._progress.set()
        self._progress = asyncio.Event()

    def _trim(self) -> None:
        """Forget the oldest segments that are outside the window."""
        size_bytes = sum(segment.size_bytes for segment in self._segments)
        oldest_ms = self._start.time_ms - self._keep_ms
        dropped = 0
        for segment in self._segments:
            if size_bytes <= self._keep_bytes and segment.end.time_ms >= oldest_ms:
                break
            size_bytes -= segment.size_bytes
            dropped += 1
        self._rubbish += [segment.path for segment in self._segments[:dropped]]
        self._segments = self._segments[dropped:]

    def _lose(self, error: CorruptSegment) -> None:
        """A file of the window is damaged or gone: history begins after it."""
        for at, segment in enumerate(self._segments):
            if segment.path == error.path:
                self._rubbish += [each.path for each in self._segments[: at + 1]]
                self._segments = self._segments[at + 1 :]
                self._say_shortened(error)
                return

    def _say_shortened(self, error: CorruptSegment | OSError) -> None:
        first = self.beginning.revision
        logger.error("history_shortened", error=str(error), first_revision=first, remedy=LOSS_REMEDY)

    def _forget_all(self) -> None:
        self._lives += 1
        self._rubbish += [segment.path for segment in self._segments]
        self._segments, self._waiting = (), []
        self._pending, self._pending_bytes = [], 0

    async def _remove(self) -> None:
        rubbish, self._rubbish = self._rubbish, []

        def remove() -> None:
            for path in rubbish:
                path.unlink(missing_ok=True)

        if rubbish:
            await self._in_thread(remove)

    def _note_incarnation(self, state: State) -> None:
        self._incarnation = state.incarnation
        self._incarnation_revision = state.oldest_revision

    def _expired(self, what: str) -> errors.Expired:
        begin = self.beginning
        since = f" ({rfc3339(begin.time_ms / 1000)})" if begin.time_ms else ""
        why = ""
        if self._incarnation and begin.revision == self._incarnation_revision:
            why = f", where the cluster was restored or recovered (incarnation {self._incarnation})"
        return errors.Expired(
            f"{what} is not kept: history on replica {self._replica_id} begins at revision {begin.revision}{since}{why}"
        )
