"""Reads that are new enough: waiting for the log, and read barriers that many callers share.

It must not know what is read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Final

import structlog

from api import errors
from controlplane.raft.protocol import NotLeader, ReplicatedLog
from controlplane.replica_proposals import NOBODY_LEADS, LeaderLink

ROUND_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 0.02
COMPANY_READERS: Final = 3  # in one round
GATHERING_SECONDS: Final = 0.003  # at most, after a round with company


logger = structlog.get_logger()


class Reached:
    """Callers waiting until a number that only grows gets to where they need it."""

    def __init__(self, current: Callable[[], int]) -> None:
        self._current = current
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._sequence = 0
        self._left = 0  # cancelled since the last clean-up

    async def wait(self, goal: int) -> None:
        """Return once the number is `goal` or more."""
        if self._current() >= goal:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sequence += 1
        heappush(self._waiting, (goal, self._sequence, future))
        try:
            await future
        except asyncio.CancelledError:
            self._left += 1
            if self._left * 2 > len(self._waiting):
                self._waiting = [each for each in self._waiting if not each[2].done()]
                heapify(self._waiting)
                self._left = 0
            raise

    def advance(self) -> None:
        """Wake whom the current number satisfies."""
        current = self._current()
        while self._waiting and self._waiting[0][0] <= current:
            future = heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)


class ReadBarrier:
    """Linearizable reads: ask the leader for its read index, then wait until that is applied here.

    One round serves all callers that wait when it starts; a caller that comes during a round waits for the next,
    because the index of this one may be older than its request.
    """

    def __init__(self, log: ReplicatedLog, link: LeaderLink, applied: Reached) -> None:
        self._log = log
        self._link = link
        self._applied = applied
        self._waiting: list[asyncio.Future[int]] = []
        self._served: list[asyncio.Future[int]] = []  # by the round under way
        self._rounds: asyncio.Task[None] | None = None
        self._status_changed = asyncio.Event()
        self._asked = ("", 0)  # the leader of the round under way, and its term
        self._round: asyncio.Timeout | None = None

    async def wait(self, deadline_seconds: float) -> None:
        """Return once the state is at least as new as everything acknowledged before the call; Unavailable."""
        try:
            async with asyncio.timeout(deadline_seconds):
                round_index: asyncio.Future[int] = asyncio.get_running_loop().create_future()
                self._waiting.append(round_index)
                if self._rounds is None:
                    self._rounds = asyncio.get_running_loop().create_task(self._run_rounds())
                await self._applied.wait(await round_index)
        except TimeoutError:
            if not self._log.status.leader:
                raise errors.Unavailable(f"{NOBODY_LEADS}; retry") from None
            raise errors.Unavailable("no leader confirmed the read in time: retry") from None

    def status_changed(self) -> None:
        """A round that found no leader may try again, and one that waits for a former leader must."""
        self._status_changed.set()
        status = self._log.status
        if status.leader and (status.leader, status.term) != self._asked:
            self._end_round()

    def give_up(self, why: str) -> None:
        """End with Unavailable for all who wait for a round now."""
        for waiting in (*self._served, *self._waiting):
            if not waiting.done():
                waiting.set_exception(errors.Unavailable(f"{why}: retry"))
        self._end_round()

    async def close(self) -> None:
        """End with Unavailable for all who wait for a round."""
        if self._rounds is not None:
            self._rounds.cancel()
            await asyncio.gather(self._rounds, return_exceptions=True)
        self.give_up("the replica is shutting down")

    def _end_round(self) -> None:
        if self._round is not None and not self._round.expired():
            self._round.reschedule(asyncio.get_running_loop().time())

    async def _run_rounds(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                began, readers = loop.time(), len(self._waiting)
                await self._run_round()
                if readers >= COMPANY_READERS:
                    # More will come: a round costs three replicas the same for one reader as for many.
                    await asyncio.sleep(min(loop.time() - began, GATHERING_SECONDS))
        finally:
            self._rounds = None

    async def _run_round(self) -> None:
        self._served, self._waiting = self._waiting, []
        index: int | None = None
        try:
            index = await self._ask()
        finally:
            if index is None:  # nobody answered, or this replica is closing
                self._waiting = [each for each in self._served + self._waiting if not each.done()]
        if index is not None:
            for waiting in self._served:
                if not waiting.done():
                    waiting.set_result(index)

    async def _ask(self) -> int | None:
        """Return the leader's read index, or None after a pause if nobody answered as the leader."""
        self._status_changed.clear()
        status = self._log.status
        self._asked = status.leader, status.term
        try:
            async with asyncio.timeout(ROUND_SECONDS) as self._round:
                if status.role == "leader":
                    return await self._log.read_index()
                if status.leader:
                    return await self._link.read_index(status.leader)
        except (NotLeader, errors.ApiError, TimeoutError):
            pass  # then it is as without a leader
        except Exception:  # the outermost frame of the rounds; readers would wait for nobody
            logger.exception("read_round_broke", leader=status.leader)
        finally:
            self._round = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RETRY_SECONDS):
                await self._status_changed.wait()
        return None
