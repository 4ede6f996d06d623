"""Watching which level the members know, and, on the leader, raising the cluster's once all know a higher one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from api import errors
from api.v1.apiserver_pb2 import ClusterStatusResponse
from controlplane.commands import RaiseLevel
from controlplane.level import KNOWN_LEVEL
from controlplane.replica import Replica

PERIOD_SECONDS: Final = 5.0
FIRST_SECONDS: Final = 1.0  # while a member has not told yet what it knows, as in a cluster that is starting

log = structlog.get_logger()


def levels_known(status: ClusterStatusResponse) -> dict[str, int]:
    """The level that each member advertises, learners too; 0 for one that does not answer."""
    return {each.id: 0 if each.role == "unreachable" else each.level for each in status.replicas}


class LevelLoop:
    """Runs in every API process, so that each can say who holds the level back; the leader's raises it."""

    def __init__(self, replica: Replica, status: Callable[[], Awaitable[ClusterStatusResponse]]) -> None:
        self._replica = replica
        self._status = status
        self._holding: dict[str, int] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            held_back = self._replica.state.level < KNOWN_LEVEL and await self.look()
            waits = self._replica.state.level < KNOWN_LEVEL and not held_back
            await asyncio.sleep(FIRST_SECONDS if waits else PERIOD_SECONDS)

    async def look(self) -> bool:
        """Ask the members once; on the leader, raise the level if all of them know a higher one than the cluster's.

        Returns whether one of them is known to be too old for this program's level.
        """
        known = levels_known(await self._status())
        self._replica.levels.observe(known)
        held_back = any(0 < each < KNOWN_LEVEL for each in known.values())
        if not self._replica.status.leading:
            return held_back
        level = min(known.values(), default=0)
        if level > self._replica.state.level:
            await self._raise(level)
        holding = {replica: each for replica, each in known.items() if each < KNOWN_LEVEL}
        if holding != self._holding:
            self._holding = holding
            log.info("level_held_back", level=self._replica.state.level, known=KNOWN_LEVEL, by=holding)
        return held_back

    async def _raise(self, level: int) -> None:
        try:
            await self._replica.commit((RaiseLevel(level),))
        except errors.ApiError as error:
            log.info("level_not_raised", level=level, reason=str(error))
            return
        log.info("level_raised", level=level)
