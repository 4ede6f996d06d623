"""On the leader: raising the cluster level once every member advertises a higher one."""

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

log = structlog.get_logger()


def level_to_raise(status: ClusterStatusResponse) -> int:
    """The level that every member advertises, learners too; 0 while one of them does not answer."""
    if any(each.role == "unreachable" for each in status.replicas):
        return 0
    return min((each.level for each in status.replicas), default=0)


class LevelLoop:
    """Runs in every API process; the leader's raises the level."""

    def __init__(self, replica: Replica, status: Callable[[], Awaitable[ClusterStatusResponse]]) -> None:
        self._replica = replica
        self._status = status

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            if self._replica.status.leading and self._replica.state.level < KNOWN_LEVEL:
                await self.raise_level()
            await asyncio.sleep(PERIOD_SECONDS)

    async def raise_level(self) -> None:
        """Once, if every member knows a higher level than the cluster's."""
        level = level_to_raise(await self._status())
        if level <= self._replica.state.level:
            return
        try:
            await self._replica.commit((RaiseLevel(level),))
        except errors.ApiError as error:
            log.info("level_not_raised", level=level, reason=str(error))
            return
        log.info("level_raised", level=level)
