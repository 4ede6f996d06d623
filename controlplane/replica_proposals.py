"""Getting transactions into the log exactly once, whoever leads: group commit, forwarding, precise outcomes.

Every proposal is pinned to a term. When an entry of a higher term is applied first, it certainly never commits and
is proposed again to the new leader under the same id; the state remembers ids, so that not even a copy that was
thought lost counts twice. A failover is a delay to the caller, not an error. It must not know what transactions do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import inf
from typing import Final, Protocol

import structlog

from api import errors
from component.env import Env
from controlplane.commands import Result, encode_entry, transaction_id
from controlplane.gathering import Gathering
from controlplane.raft.protocol import NotLeader, RaftStatus, ReplicatedLog

# An entry is applied without a pause: 3 ms for so many bytes of small objects, 2 ms for so many transactions of one.
BATCH_BYTES: Final = 160 * 1024  # or one transaction, whatever its size
BATCH_TRANSACTIONS: Final = 128
IN_FLIGHT_BATCHES: Final = 1  # the rest gathers: what a batch costs three replicas is worth five creates
QUEUE_BYTES: Final = 32 * 1024 * 1024
QUEUE_TRANSACTIONS: Final = 20_000
FORWARD_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 0.02
RETRY_DOUBLINGS: Final = 5  # with every failure in a row, so at most 0.64 s
NOBODY_LEADS: Final = "no replica leads: a majority of the replicas must be up and reach each other (tim status)"

logger = structlog.get_logger()


class LeaderLink(Protocol):
    """How a follower reaches the leader's `Replica.accept` and `Replica.leader_read_index`."""

    async def propose(self, leader: str, term: int, transactions: Sequence[bytes]) -> None:
        """Hand transactions to a leader. NotLeader: certainly refused. Any ApiError: the log will tell, or a retry."""

    async def read_index(self, leader: str) -> int:
        """Return the leader's read index; NotLeader or an ApiError when it does not answer as the leader."""


class RememberedResults(Protocol):
    """What of an installed state tells the fate of proposals."""

    @property
    def applied_term(self) -> int:
        """Term of the last entry in it."""

    @property
    def transaction_count(self) -> int:
        """Transactions ever applied."""

    def result_of(self, transaction_id: bytes) -> Result | None:
        """The result of one of the latest `remembered` transactions."""


class Proposal:
    """One transaction on its way. `open_term` is the highest term in which a copy may yet commit, 0 if none can."""

    __slots__ = ("batch", "born", "data", "gone", "id", "on_outcome", "open_term", "pinned_term", "queued")

    def __init__(
        self, data: bytes, born: int, pinned_term: int, on_outcome: Callable[[Result | errors.ApiError], None] | None
    ) -> None:
        self.id = transaction_id(data)
        self.data = data
        self.born = born  # transactions applied here when it was made: how much may have been forgotten since
        self.pinned_term = pinned_term  # other than 0: never proposed in any other term
        self.on_outcome = on_outcome  # None: nobody waits for it here
        self.open_term = 0
        self.queued = False
        self.gone = False  # resolved, or nobody wants it any more
        self.batch: Batch | None = None


class Batch:
    """Transactions handed over together; its slot is free again when none of them is under way."""

    __slots__ = ("earlier", "proposals", "sent_time", "term")

    def __init__(self, term: int, proposals: Iterable[Proposal], sent_time: float) -> None:
        self.term = term
        self.sent_time = sent_time
        self.proposals = {proposal.id: proposal for proposal in proposals}
        self.earlier = {each.id: each.open_term for each in self.proposals.values()}  # before this copy
        for proposal in self.proposals.values():
            proposal.batch = self
            proposal.open_term = term


class Proposals:
    """All proposals of one replica, own and forwarded by others."""

    def __init__(
        self, log: ReplicatedLog, link: LeaderLink, env: Env, *, remembered: int, applied_count: Callable[[], int]
    ) -> None:
        self._log = log
        self._link = link
        self._env = env
        self._remembered = remembered
        self._applied_count = applied_count
        self._queue: deque[Proposal] = deque()
        self._queued_bytes = 0
        self._open: dict[bytes, Proposal] = {}
        self._in_flight: dict[Batch, None] = {}
        self._forwards: dict[asyncio.Task[None], None] = {}
        self._flushing: asyncio.Handle | None = None
        self._gathering = Gathering()
        self._looking: asyncio.Handle | None = None  # for company, instead of flushing
        self._term = 0  # of the last applied entry
        self._failures = 0  # in a row, since something was handed over or another leader was seen
        self._interrupted = False  # the local Raft process knew no leader, or was away
        self._closed = False

    async def commit(self, data: bytes, deadline_seconds: float, leaderless_seconds: float = inf) -> Result:
        """Return the result of an encoded transaction, once applied here.

        Unavailable: certainly nothing happened. Unknown: the deadline passed while a copy may yet commit. A caller
        that is cancelled may have committed too. `leaderless_seconds` is the patience with a replica that knows no
        leader; a write that was handed over, or can be by then, has all of `deadline_seconds`.
        """
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Result] = loop.create_future()

        def resolve(result: Result | errors.ApiError) -> None:
            if outcome.done():
                return
            if isinstance(result, errors.ApiError):
                outcome.set_exception(result)
            else:
                outcome.set_result(result)

        proposal = self._add(data, 0, resolve)
        timers = [loop.call_later(deadline_seconds, self._expire, proposal)]
        if leaderless_seconds < deadline_seconds:
            timers.append(loop.call_later(leaderless_seconds, self._expire_leaderless, proposal))
        try:
            return await outcome
        finally:
            for timer in timers:
                timer.cancel()
            if proposal.on_outcome is resolve:  # else another sending of the same request waits for it now
                self._abandon(proposal)

    def propose_in(self, term: int, data: bytes, on_outcome: Callable[[Result | errors.ApiError], None] | None) -> None:
        """Propose in `term` or never; nothing is said when it is lost with the term."""
        self._add(data, term, on_outcome)

    def accept(self, term: int, transactions: Sequence[bytes]) -> None:
        """Take in what a follower forwards to this leader. NotLeader, Unavailable: none of it was taken."""
        status = self._log.status
        if status.role != "leader" or status.term != term or self._closed:
            raise NotLeader(f"not the leader of term {term}")
        if not all(map(transaction_id, transactions)):
            raise errors.Invalid("not a transaction")
        self._check_room(sum(map(len, transactions)), len(transactions))
        for data in transactions:
            known = self._open.get(transaction_id(data))
            if known is None:
                self._enqueue(Proposal(bytes(data), self._applied_count(), term, None))
            elif known.on_outcome is None or known.gone:
                # sent again: after a broken stream, or in a later term while the copy of an earlier one still waits
                known.pinned_term, known.on_outcome, known.gone = term, None, False

    def applied(self, term: int, results: Iterable[tuple[bytes, Result]]) -> None:
        """Learn from one applied entry: its results, and by its term what is certainly lost."""
        for proposed, result in results:
            proposal = self._open.pop(proposed, None)
            if proposal is not None:
                self._resolve(proposal, result)
        if term > self._term:
            self._term = term
            self._lose_below(term)
        if self._queue:
            self._flush_soon()

    def installed(self, state: RememberedResults) -> None:
        """Learn from a state that replaced the one before: what it remembers, and what it can only have forgotten."""
        self._term = max(self._term, state.applied_term)
        for proposal in list(self._open.values()):
            result = state.result_of(proposal.id)
            if result is not None:
                del self._open[proposal.id]
                self._resolve(proposal, result)
            elif proposal.open_term and state.transaction_count - proposal.born >= self._remembered:
                del self._open[proposal.id]
                self._resolve(proposal, errors.Unknown("this replica fell behind: read before retrying"))
        self._lose_below(state.applied_term)
        self._flush_soon()

    def status_changed(self, status: RaftStatus) -> None:
        """Try again with whoever leads now, without waiting out a pause.

        When the local Raft process was out of sight and still leads in the same term, what it was given may not have
        arrived: that is handed over again.
        """
        self._failures = 0
        if not status.leader:
            self._interrupted = True
        elif self._interrupted:
            self._interrupted = False
            if status.role == "leader":
                for batch in [each for each in self._in_flight if each.term == status.term]:
                    self._retry(batch)
                self._failures = 0
        if self._queue:
            self._stop_looking()
            if self._flushing is not None:
                self._flushing.cancel()
                self._flushing = None
            self._flush_soon()

    def give_up(self, why: str) -> None:
        """Give every waiting caller the most that is known now; what may yet commit is still learned from the log."""
        for proposal in list(self._open.values()):
            self._expire(proposal, why)

    async def close(self) -> None:
        """Give every waiting caller the most that is known: Unavailable if nothing was handed over, else Unknown."""
        self._closed = True
        self._stop_looking()
        if self._flushing is not None:
            self._flushing.cancel()
        self.give_up("the replica is shutting down")
        for task in self._forwards:
            task.cancel()
        if self._forwards:
            await asyncio.gather(*self._forwards, return_exceptions=True)

    # The queue

    def _add(
        self, data: bytes, pinned_term: int, on_outcome: Callable[[Result | errors.ApiError], None] | None
    ) -> Proposal:
        if self._closed:
            raise errors.Unavailable("the replica is shutting down")
        known = self._open.get(transaction_id(data))
        if known is not None and known.on_outcome is not None and not known.gone:
            raise errors.Unavailable("this write is under way here already: retry")
        self._check_room(len(data), 1)
        if known is None:
            known = Proposal(data, self._applied_count(), pinned_term, on_outcome)
        else:  # forwarded from elsewhere, or its caller went away: whoever asks again waits for the same copy
            known.pinned_term, known.on_outcome, known.gone = pinned_term, on_outcome, False
        if not known.queued and known.batch is None:
            self._enqueue(known)
        return known

    def _check_room(self, size_bytes: int, count: int) -> None:
        if self._fits(size_bytes, count):
            return
        for each in self._queue:
            each.queued = not each.gone
        self._queue = deque(each for each in self._queue if each.queued)
        self._queued_bytes = sum(len(each.data) for each in self._queue)
        if not self._fits(size_bytes, count):
            raise errors.Unavailable(f"{len(self._queue)} writes wait already: retry later")

    def _fits(self, size_bytes: int, count: int) -> bool:
        return self._queued_bytes + size_bytes <= QUEUE_BYTES and len(self._queue) + count <= QUEUE_TRANSACTIONS

    def _enqueue(self, proposal: Proposal) -> None:
        self._open[proposal.id] = proposal
        proposal.queued = True
        self._queue.append(proposal)
        self._queued_bytes += len(proposal.data)
        self._flush_soon()

    def _requeue(self, proposals: Iterable[Proposal]) -> None:
        """Put back in front what must be proposed again, in its old order."""
        again = [each for each in proposals if not each.gone and not each.queued]
        for proposal in reversed(again):
            proposal.queued = True
            self._queue.appendleft(proposal)
            self._queued_bytes += len(proposal.data)

    def _flush_soon(self) -> None:
        """Hand over what waits, once there is a free slot and nobody else is worth waiting for."""
        if self._looking is not None and self._gathering.complete(len(self._queue)):
            self._stop_looking()
        if self._looking is None and len(self._in_flight) < IN_FLIGHT_BATCHES:
            self._look()

    def _look(self) -> None:
        self._looking = None
        if self._flushing is not None or self._closed:
            return
        loop = asyncio.get_running_loop()
        pause_seconds = self._gathering.pause_seconds(len(self._queue))
        if pause_seconds:
            self._looking = loop.call_later(pause_seconds, self._look)
        else:
            self._flushing = loop.call_soon(self._flush)

    def _stop_looking(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def _flush_later(self) -> None:
        """Wait before trying again, so that a refusal that repeats does not spin."""
        if self._flushing is None and not self._closed:
            pause_seconds = RETRY_SECONDS * 2 ** min(self._failures, RETRY_DOUBLINGS)
            self._flushing = asyncio.get_running_loop().call_later(pause_seconds, self._flush)

    def _flush(self) -> None:
        self._flushing = None
        status = self._log.status
        if not status.leader or status.term < self._term:
            return  # status_changed comes
        while self._queue and len(self._in_flight) < IN_FLIGHT_BATCHES:
            proposals = self._take(status.term)
            if not proposals:
                continue
            batch = Batch(status.term, proposals, self._env.monotonic())
            self._in_flight[batch] = None
            if status.role == "leader":
                data = encode_entry([each.data for each in proposals], int(self._env.now() * 1000))
                elsewhere = any(each.on_outcome is None for each in proposals)
                self._log.propose(data, status.term, partial(self._refused, batch), awaited_elsewhere=elsewhere)
            else:
                task = asyncio.get_running_loop().create_task(self._forward(status.leader, batch))
                self._forwards[task] = None
                task.add_done_callback(self._forwards.pop)

    def _take(self, term: int) -> list[Proposal]:
        """Take the next batch off the queue, and what nobody wants any more with it."""
        taken: list[Proposal] = []
        size = 0
        while self._queue and len(taken) < BATCH_TRANSACTIONS:
            proposal = self._queue[0]
            if taken and size + len(proposal.data) > BATCH_BYTES:
                break
            self._queue.popleft()
            self._queued_bytes -= len(proposal.data)
            proposal.queued = False
            if not proposal.gone and proposal.pinned_term not in {0, term}:
                self._forget(proposal)
            if not proposal.gone:
                taken.append(proposal)
                size += len(proposal.data)
        return taken

    # Outcomes

    async def _forward(self, leader: str, batch: Batch) -> None:
        try:
            async with asyncio.timeout(FORWARD_SECONDS):
                await self._link.propose(leader, batch.term, [each.data for each in batch.proposals.values()])
        except NotLeader:
            self._refused(batch)
        except (errors.ApiError, TimeoutError) as error:
            if not self._failures:
                logger.info("forward_failed", leader=leader, term=batch.term, error=str(error) or "time-out")
            self._retry(batch)
        except Exception:  # the outermost frame of its task; without a retry the slot would be lost
            logger.exception("forward_broke", leader=leader, term=batch.term)
            self._retry(batch)
        else:
            self._failures = 0

    def _refused(self, batch: Batch) -> None:
        """Certainly not appended: what remains are copies of earlier terms."""
        for proposal in batch.proposals.values():
            if proposal.batch is batch:
                proposal.open_term = batch.earlier[proposal.id]
        self._retry(batch)

    def _retry(self, batch: Batch) -> None:
        """Propose again; a copy that did arrive is found out by its id, unless so many came since that it is forgotten."""
        self._in_flight.pop(batch, None)
        again = []
        for proposal in batch.proposals.values():
            if proposal.batch is not batch:
                continue  # lost with its term, and on its way again
            proposal.batch = None
            forgettable = self._applied_count() - proposal.born >= self._remembered
            if proposal.gone and not proposal.open_term:
                self._forget(proposal)
            elif not (proposal.open_term and forgettable):
                again.append(proposal)
        self._requeue(again)
        self._flush_later()
        self._failures += 1

    def _lose_below(self, term: int) -> None:
        """Entries of lower terms that were not applied by now never will be."""
        lost = []
        for proposal in self._open.values():
            if 0 < proposal.open_term < term:
                proposal.open_term = 0
                if not proposal.queued:
                    lost.append(proposal)
        for proposal in lost:
            if proposal.batch is not None:
                self._in_flight.pop(proposal.batch, None)
                proposal.batch = None
            if proposal.gone or 0 < proposal.pinned_term < term:
                self._forget(proposal)
        self._requeue(lost)
        if lost:
            self._flush_soon()

    def _resolve(self, proposal: Proposal, result: Result | errors.ApiError) -> None:
        """Its entry is applied; the proposal is no longer in `_open`."""
        batch = proposal.batch
        if batch is not None:
            proposal.batch = None
            batch.proposals.pop(proposal.id, None)
            if not batch.proposals:
                self._in_flight.pop(batch, None)
                took_seconds = self._env.monotonic() - batch.sent_time
                self._gathering.after(len(batch.earlier), len(self._queue), took_seconds)
        if not proposal.gone:
            proposal.gone = True
            if proposal.on_outcome is not None:
                proposal.on_outcome(result)

    def _expire(self, proposal: Proposal, why: str = "the deadline passed") -> None:
        """The caller waits no longer. A copy that may yet commit stays open, so that its slot is not given away."""
        if proposal.gone:
            return
        if proposal.open_term:
            outcome: errors.ApiError = errors.Unknown(
                f"{why} before the write's outcome was known: read before retrying"
            )
        elif self._log.status.leader:
            outcome = errors.Unavailable(f"{why} before the write reached a leader: nothing was changed, retry")
        else:
            outcome = errors.Unavailable(f"{NOBODY_LEADS}; nothing was changed, retry")
        if proposal.on_outcome is not None:
            proposal.on_outcome(outcome)
        self._abandon(proposal)

    def _expire_leaderless(self, proposal: Proposal) -> None:
        """Give up only what certainly did not happen: never make a doubt of a write that found a leader meanwhile."""
        if not proposal.open_term and not self._log.status.leader:
            self._expire(proposal)

    def _abandon(self, proposal: Proposal) -> None:
        if proposal.gone:
            return
        proposal.gone = True
        if not proposal.open_term:
            self._open.pop(proposal.id, None)

    def _forget(self, proposal: Proposal) -> None:
        proposal.gone = True
        self._open.pop(proposal.id, None)
