"""One replica of the cluster state: the log's entries applied to the state, the changes handed to watchers.

It ties together the replicated log, the state, the hub, snapshots and leadership, and offers commits and reads to the
API server. It must not know kinds, requests or connections.
"""

from __future__ import annotations

import asyncio
import functools
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import structlog

from api import errors
from component.env import Env
from controlplane.commands import (
    ID_BYTES,
    CommitRefused,
    Committed,
    Malformed,
    Op,
    Refused,
    Transaction,
    UnknownCommandVersion,
    check_transaction,
    encode_transaction,
)
from controlplane.level import FIRST_LEVEL, LevelGate, TooNew, check_known
from controlplane.raft.protocol import Entry, RaftStatus, ReplicatedLog, Snapshot
from controlplane.replica_history import KEPT_BYTES, KEPT_SECONDS, History
from controlplane.replica_leadership import Leadership, OnLeadership
from controlplane.replica_proposals import LeaderLink, Proposals
from controlplane.replica_reads import Reached, ReadBarrier
from controlplane.replica_snapshots import InThread, SnapshotSchedule
from controlplane.replica_watching import Backlog, Place
from controlplane.sealing import Sealing, active_key
from controlplane.store import snapshot as snapshots
from controlplane.store.divergence import Diverged, DivergenceCheck
from controlplane.store.state import REMEMBERED_TRANSACTIONS, State
from controlplane.watch.hub import Hub

SLICE_SECONDS: Final = 0.002  # and one more entry, of up to 3 ms: the loop must never be held for 5
DEADLINE_SECONDS: Final = 5.0  # below the 10 s of a client's attempt, so that our reason arrives before its time-out
LEADERLESS_SECONDS: Final = 3.0  # longer than an election takes: then others are asked, nobody waits here any more
CUT_OFF_SECONDS: Final = 0.02  # without Raft process or majority: others can serve before this replica can again
NEWER_SECONDS: Final = 3.0
ACTOR_CHARACTERS: Final = 256  # a certificate may hold any name, the log need not

logger = structlog.get_logger()

__all__ = ["EXPLAINED", "InThread", "LeaderLink", "Replica"]

EXPLAINED: Final = (Diverged, TooNew, UnknownCommandVersion)
"""Failures of a replica that are no bug of this program, and say what to do."""


class Replica:
    """The replica `replica_id`.

    `state` and `hub` are for reading on the event loop; `state` is replaced whole when a snapshot is installed, so it
    must be taken anew after every wait.
    """

    def __init__(
        self,
        replica_id: str,
        log: ReplicatedLog,
        peers: LeaderLink,
        snapshots_dir: Path,
        env: Env,
        *,
        in_thread: InThread = asyncio.to_thread,
        history_seconds: float = KEPT_SECONDS,
        history_bytes: int = KEPT_BYTES,
        sealing: Sealing | None = None,
    ) -> None:
        self.replica_id = replica_id
        self._sealing = sealing
        self.state = self._readable(State())
        self.hub = Hub(opening=sealing)
        self.levels = LevelGate(lambda: self.state.level)
        self._log = log
        self._folder = snapshots_dir
        self._env = env
        self._in_thread = in_thread
        self._backlog: deque[Entry] = deque()
        self._slice: asyncio.Handle | None = None
        self._failed: asyncio.Future[None] | None = None
        self._caught_up = False
        self._confirmed_time = -math.inf  # until then everything acknowledged anywhere is in the state
        self._led_time = env.monotonic()  # when this replica last knew a leader
        self._leader_known = False
        self._status_listeners: list[Callable[[RaftStatus], None]] = []
        self._cut_off: asyncio.TimerHandle | None = None
        self._proposals = Proposals(
            log,
            peers,
            env,
            remembered=REMEMBERED_TRANSACTIONS,
            applied_count=lambda: self.state.transaction_count,
        )
        self._applied = Reached(lambda: self.state.applied_index)
        self._revision = Reached(lambda: self.state.revision)
        self._barrier = ReadBarrier(log, peers, self._applied)
        self._leadership = Leadership(replica_id, self._proposals, env, lambda: self.state.epoch)
        self.history = History(
            replica_id,
            snapshots_dir / "history",
            in_thread,
            keep_seconds=history_seconds,
            keep_bytes=history_bytes,
        )
        self._backlog_of_watches = Backlog(self.history, opening=sealing)
        self._snapshots = SnapshotSchedule(snapshots_dir, in_thread, log.snapshot_saved, self.history)
        self._divergence = DivergenceCheck(replica_id)

    async def start(self) -> None:
        """Load the newest snapshot and begin to apply the log.

        CorruptSnapshot when there are only damaged ones, TooNew for one that only a newer program may go on from.
        """
        self._failed = asyncio.get_running_loop().create_future()
        loaded, damaged = await self._in_thread(functools.partial(snapshots.load_newest, self._folder))
        for each in damaged:
            logger.error("snapshot_damaged", path=str(each.path), error=str(each))
        if loaded is not None:
            check_known(loaded.level)
            self.state = self._readable(loaded)
            self.hub.reset(loaded)
        await self.history.open(self.state)
        applied = self.state.applied_index, self.state.applied_term
        logger.info("replica_started", replica=self.replica_id, applied_index=applied[0], revision=self.state.revision)
        await self._log.connect(applied, self._on_entries, self._on_status, self._on_install)

    async def close(self) -> None:
        """Stop; waiting callers get Unavailable or Unknown, leadership ends."""
        await self._log.close()
        for handle in (self._slice, self._cut_off):
            if handle is not None:
                handle.cancel()
        self._slice = self._cut_off = None
        self._backlog.clear()
        self._leadership.lose()
        await self._barrier.close()
        await self._proposals.close()
        await self._snapshots.close()
        await self.history.close()
        if self._failed is not None and not self._failed.done():
            self._failed.set_result(None)

    async def wait_failed(self) -> None:
        """Return after `close`; raise what makes going on impossible: the process must end then, and say so."""
        assert self._failed is not None, "not started"
        await asyncio.shield(self._failed)

    @property
    def status(self) -> RaftStatus:
        """What the local Raft process last said."""
        return self._log.status

    @property
    def ready(self) -> bool:
        """Whether this replica has caught up once, knows a leader, can open every Secret and has not failed."""
        return not any(self.problems().values())

    def problems(self) -> Mapping[str, str]:
        """By the name of each condition of being `ready` what is wrong with it; "" if nothing is."""
        failed = self._failed is None or self._failed.done()
        missing = self._sealing is not None and self._sealing.missing
        return {
            "caught-up": "the replica has failed" if failed else "" if self._caught_up else "the state is behind",
            "leader": "" if self._log.status.leader else "no leader is known",
            "secrets": "keys of stored Secrets are missing" if missing else "",
        }

    # Writes

    async def commit(
        self,
        ops: Sequence[Op],
        *,
        epoch: int = 0,
        deadline_seconds: float = DEADLINE_SECONDS,
        transaction_id: bytes = b"",
        since: int = 0,
        actor: str = "",
    ) -> Committed:
        """Apply operations together, wherever the leader is; return once they are applied here.

        With a `transaction_id` that the state remembers nothing is done again, and the first result counts; `since` as
        in `Transaction`.
        History names the `actor`.
        CommitRefused: an operation did not hold, nothing changed. TooLarge: over a limit, NotReady: above the cluster's
        level, not even proposed. Unavailable: no leader in time, or no key for a Secret, certainly not done. Unknown: the
        outcome is open, read before retrying.
        """
        self.levels.check(ops)
        if self._sealing is not None:
            ops = self._sealing.sealed(ops, active_key(self.state))
        transaction = Transaction(
            transaction_id or self._env.rng.randbytes(ID_BYTES), tuple(ops), epoch, actor[:ACTOR_CHARACTERS], since
        )
        data = encode_transaction(transaction)
        result = await self._proposals.commit(data, deadline_seconds, self._patience(deadline_seconds))
        if isinstance(result, Refused):
            raise CommitRefused(result)
        return result

    def accept(self, term: int, transactions: Sequence[bytes]) -> None:
        """Propose what a follower forwarded, in exactly `term`. NotLeader, Unavailable, Invalid: none of it was taken.

        What is no transaction, or of a version above the cluster's level, is Invalid: in the log it could end replicas.
        """
        try:
            for data in transactions:
                check_transaction(data, max(self.state.level, FIRST_LEVEL))
        except (Malformed, UnknownCommandVersion) as error:
            logger.warning("proposal_refused", term=term, transactions=len(transactions), error=str(error))
            raise errors.Invalid(f"not a transaction: {error}") from error
        self._proposals.accept(term, transactions)

    # Reads

    async def read_barrier(self, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        """Return once `state` holds everything acknowledged anywhere before this call; Unavailable."""
        asked_time = self._env.monotonic()
        await self._barrier.wait(self._patience(deadline_seconds))
        self._confirmed_time = max(self._confirmed_time, asked_time)

    @property
    def age_seconds(self) -> float:
        """How old `state` may be: it holds everything acknowledged anywhere until so long ago. Infinite at first."""
        return self._env.monotonic() - self._confirmed_time

    async def confirmed_within(self, seconds: float) -> None:
        """Return once `state` is no older than `seconds`; Unavailable when it is and no leader can be asked."""
        if self.age_seconds <= seconds:
            return
        try:
            await self.read_barrier()
        except errors.Unavailable as error:
            known = f"last knew its state to be the newest {self.age_seconds:.1f} s ago, more than the {seconds:g} s allowed"
            if math.isinf(self.age_seconds):
                known = "has not known its state to be the newest since it started"
            raise errors.Unavailable(f"replica {self.replica_id} {known}: {error}") from None

    async def leader_read_index(self) -> int:
        """The read index for a follower's barrier; NotLeader when this is not the leader."""
        return await self._log.read_index()

    async def at_least(self, revision: int, seconds: float = NEWER_SECONDS) -> None:
        """Return once `state` has reached `revision`; Expired when it has not in time (it may be another cluster's)."""
        try:
            async with asyncio.timeout(seconds):
                await self._revision.wait(revision)
        except TimeoutError:
            raise errors.Expired(
                f"resource version {revision} is too large: {self.state.revision} is the newest here, list again"
            ) from None

    def place(self, resource: str, revision: int, node: str = "") -> Place:
        """Where a watch that goes on after `revision` stands; with a node, only in what touches this node's objects."""
        return Place(self.hub, self._backlog_of_watches, resource, revision, node)

    def on_status(self, callback: Callable[[RaftStatus], None]) -> None:
        """Call back with every status of the local Raft process."""
        self._status_listeners.append(callback)

    # Leadership

    def on_leadership(self, callback: OnLeadership) -> None:
        """Call back with the new epoch once it is applied here, and with None at once when leadership is lost."""
        self._leadership.listen(callback)

    # What the log says

    def _on_entries(self, entries: Sequence[Entry]) -> None:
        if self._failed is None or self._failed.done():
            return
        self._backlog.extend(entries)
        if self._slice is None:
            self._apply_slice()

    def _on_status(self, status: RaftStatus) -> None:
        if status.leader or self._leader_known:
            self._led_time = self._env.monotonic()
        self._leader_known = bool(status.leader)
        for listener in self._status_listeners:
            listener(status)
        self._note_cut_off(status)
        self._note_caught_up()
        self._leadership.status_changed(status)
        self._proposals.status_changed(status)
        self._barrier.status_changed()

    async def _on_install(self, installed: Snapshot) -> None:
        """Replace the state; delivery waits meanwhile."""
        try:
            expected = installed.index, installed.term
            state = await self._in_thread(functools.partial(snapshots.load, installed.path, expected))
            check_known(state.level)
        except (snapshots.CorruptSnapshot, OSError, TooNew) as error:
            self._fail(error)
            raise
        if state.applied_index <= self.state.applied_index:
            logger.info("installed_snapshot_ignored", index=state.applied_index, applied=self.state.applied_index)
            return
        adopt = functools.partial(snapshots.adopt, installed.path, self._folder, installed.index, installed.term)
        kept = await self._in_thread(adopt)
        logger.info("snapshot_installed", index=state.applied_index, revision=state.revision)
        self._backlog.clear()  # all of it is in the snapshot
        before = self.state.clone()  # whoever still reads the old state keeps it whole
        self.state = self._readable(state)
        self._divergence.forget()
        self.hub.reset(state)
        self.history.reset(state)
        self._proposals.installed(state)
        self._snapshots.installed(kept.path.stat().st_size)
        self._advance()
        await self._in_thread(before.let_go)

    def _apply_slice(self) -> None:
        """Apply what was delivered, for at most a few milliseconds at a time."""
        self._slice = None
        started = self._env.monotonic()
        try:
            while self._backlog:
                self._apply(self._backlog.popleft())
                if self._backlog and self._env.monotonic() - started > SLICE_SECONDS:
                    self._slice = asyncio.get_running_loop().call_soon(self._apply_slice)
                    break
        except Exception as error:  # noqa: BLE001 - whatever it is, going on would skip an entry and fork the state
            self._fail(error)
            return
        self._advance()

    def _apply(self, entry: Entry) -> None:
        index = self.state.applied_index
        if entry.index <= index:
            return  # delivered again after a reconnect
        assert index in {0, entry.index - 1}, f"the log skipped from entry {index} to {entry.index}"
        incarnation = self.state.incarnation
        applied = self.state.apply(entry)
        check_known(self.state.level)
        if incarnation == self.state.incarnation:
            self.hub.append(applied.changes)
            self.history.applied(self.state, applied, len(entry.data))
        else:
            self.hub.reset(self.state)  # revisions jumped: nobody can watch across, or look back
            self.history.reset(self.state)
        attestation = self._divergence.applied(self.state)
        if attestation is not None and self._caught_up:
            self._leadership.attest(self._log.status, attestation)
        self._proposals.applied(entry.term, applied.results)
        self._snapshots.applied(self.state, len(entry.data))

    def _readable(self, state: State) -> State:
        state.opening = self._sealing
        return state

    def _advance(self) -> None:
        self._applied.advance()
        self._revision.advance()
        self._note_caught_up()

    def _patience(self, deadline_seconds: float) -> float:
        """How long a caller may wait for a leader: hardly at all on a replica that has been cut off for a while."""
        if self._leader_known:
            return deadline_seconds
        if not self._log.status.connected or self._log.status.cut_off:
            return min(deadline_seconds, CUT_OFF_SECONDS)
        return min(deadline_seconds, max(0.0, self._led_time + LEADERLESS_SECONDS - self._env.monotonic()))

    def _note_cut_off(self, status: RaftStatus) -> None:
        """Send callers on soon when the Raft process is gone: it takes a second to be back, an election 50 ms.

        Without a majority they are sent on too: an election takes no longer than it took to notice.
        """
        cut_off = not status.connected or status.cut_off
        if not cut_off and self._cut_off is not None:
            self._cut_off.cancel()
            self._cut_off = None
        elif cut_off and self._cut_off is None:
            self._cut_off = asyncio.get_running_loop().call_later(CUT_OFF_SECONDS, self._give_up)

    def _give_up(self) -> None:
        """The reason is that of now: a Raft process that is back meanwhile may have found no majority."""
        connected = self._log.status.connected
        why = f"this replica lost {'the majority' if connected else 'the connection to its Raft process'}"
        self._proposals.give_up(why)
        self._barrier.give_up(why)

    def _note_caught_up(self) -> None:
        status = self._log.status
        if not self._caught_up and status.leader and self.state.applied_index >= status.commit_index:
            self._caught_up = True

    def _fail(self, error: Exception) -> None:
        told = isinstance(error, EXPLAINED)
        logger.critical(
            "replica_failed", index=self.state.applied_index, reason=str(error), exc_info=None if told else error
        )
        self._backlog.clear()
        self._leadership.lose()
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(error)
