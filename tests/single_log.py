"""A replicated log without peers and without a disk, inside the calling process: the fake behind `ReplicatedLog`.

It keeps every promise of the port (one order, terms, refusals, snapshots, resumed delivery), so that everything
above can be tested without processes. It must not know what the bytes mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from controlplane.raft.protocol import Entry, NotLeader, RaftStatus, Role, Snapshot


class SingleLog:
    """One replica that leads by itself; `connect` may be called again after `close`, as by a restarted API process.

    Beyond the port it offers what a test wants of a cluster: `pause` (no quorum), `resume`, `step_down`, `lead`.
    """

    def __init__(self, replica: str = "single") -> None:
        self._replica = replica
        self._term = 0
        self._role: Role = "follower"
        self._cut_off = False
        self._first_index = 1  # of `_entries`; everything before is only in `_snapshot`
        self._entries: list[Entry] = []
        self._commit_index = 0
        self._snapshot: Snapshot | None = None
        self._paused = False
        self._delivered = 0
        self._wake = asyncio.Event()
        self._delivery: asyncio.Task[None] | None = None
        self._on_status: Callable[[RaftStatus], None] | None = None
        self._reads: list[tuple[int, asyncio.Future[int]]] = []
        self._no_op_index = 0
        self.lead()

    async def connect(
        self,
        applied: tuple[int, int],
        on_entries: Callable[[Sequence[Entry]], None],
        on_status: Callable[[RaftStatus], None],
        on_install: Callable[[Snapshot], Awaitable[None]],
    ) -> None:
        """Start delivery after `applied`; ValueError when this log never had that entry."""
        assert self._delivery is None, "already connected"
        self._check_cursor(applied)
        self._delivered = applied[0]
        self._on_status = on_status
        self._wake.set()
        self._delivery = asyncio.create_task(self._deliver(on_entries, on_install))

    def propose(
        self, data: bytes, term: int, on_refused: Callable[[], None], *, awaited_elsewhere: bool = False
    ) -> None:
        """Append if leading in `term`; otherwise `on_refused` runs soon."""
        if self._role != "leader" or term != self._term:
            asyncio.get_running_loop().call_soon(on_refused)
            return
        self._append(data)

    async def read_index(self) -> int:
        """The commit index, once this term's first entry is committed; waits while paused."""
        if self._role != "leader":
            raise NotLeader
        read: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._reads.append((self._commit_index, read))
        self._wake.set()
        return await read

    @property
    def status(self) -> RaftStatus:
        """The status as of now; `leading` once the no-op of the term has been delivered."""
        leading = self._role == "leader" and self._delivered >= self._no_op_index
        leader = self._replica if self._role == "leader" else ""
        return RaftStatus(
            self._role, self._term, leader, self._commit_index, self._last_index, leading, cut_off=self._cut_off
        )

    def snapshot_saved(self, snapshot: Snapshot) -> None:
        """Forget every entry up to the snapshot; a later `connect` below it gets the snapshot first."""
        assert snapshot.index <= self._commit_index, "a snapshot of entries that are not committed"
        if self._snapshot is not None and snapshot.index <= self._snapshot.index:
            return
        self._snapshot = snapshot
        del self._entries[: snapshot.index + 1 - self._first_index]
        self._first_index = snapshot.index + 1

    async def close(self) -> None:
        """Stop delivery; everything committed stays for the next `connect`."""
        delivery, self._delivery, self._on_status = self._delivery, None, None
        self._fail_reads()
        if delivery is None:
            return
        delivery.cancel()
        try:
            await delivery
        except asyncio.CancelledError:
            if not delivery.cancelled():
                raise

    def pause(self) -> None:
        """Commit nothing more until `resume`, as when the quorum is lost."""
        self._paused = True

    def resume(self) -> None:
        """Commit what waits."""
        self._paused = False
        self._wake.set()

    def step_down(self, *, cut_off: bool = False) -> None:
        """Lose leadership to nobody: what is not committed is dropped, as if another leader had overwritten it."""
        self._cut_off = cut_off
        del self._entries[self._commit_index + 1 - self._first_index :]
        self._role = "follower"
        self._term += 1
        self._fail_reads()
        self._wake.set()

    def lead(self) -> None:
        """Win the next term; its no-op is the first entry."""
        self._role = "leader"
        self._cut_off = False
        self._term += 1
        self._append(b"")
        self._no_op_index = self._last_index

    @property
    def _last_index(self) -> int:
        return self._first_index + len(self._entries) - 1

    def _append(self, data: bytes) -> None:
        self._entries.append(Entry(self._last_index + 1, self._term, data))
        self._wake.set()

    def _check_cursor(self, applied: tuple[int, int]) -> None:
        index, term = applied
        if index > self._commit_index:
            raise ValueError(f"entry {index} was never committed here: the last one is {self._commit_index}")
        if index >= self._first_index and self._entries[index - self._first_index].term != term:
            raise ValueError(f"entry {index} has another term than {term}")

    def _fail_reads(self) -> None:
        reads, self._reads = self._reads, []
        for _, read in reads:
            if not read.done():
                read.set_exception(NotLeader())

    async def _deliver(
        self, on_entries: Callable[[Sequence[Entry]], None], on_install: Callable[[Snapshot], Awaitable[None]]
    ) -> None:
        last_status: RaftStatus | None = None
        while True:
            if not self._paused:
                self._commit_index = self._last_index
            if self._snapshot is not None and self._delivered < self._snapshot.index:
                await on_install(self._snapshot)
                self._delivered = self._snapshot.index
            start = self._delivered + 1 - self._first_index
            batch = self._entries[start : self._commit_index + 1 - self._first_index]
            if batch:
                self._delivered = batch[-1].index
                on_entries(batch)
            self._answer_reads()
            if self.status != last_status and self._on_status is not None:
                last_status = self.status
                self._on_status(last_status)
            self._wake.clear()
            if self._paused or (self._delivered == self._commit_index == self._last_index and not self._reads):
                await self._wake.wait()

    def _answer_reads(self) -> None:
        if self._paused or self._delivered < self._no_op_index:
            return
        reads, self._reads = self._reads, []
        for index, read in reads:
            if not read.done():
                read.set_result(index)
