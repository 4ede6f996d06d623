"""Keeping the status of quotas up to date, and their ledgers beyond doubt. Runs on the leader.

It looks at the ledgers themselves: nothing has to be told to it, and a namespace without quotas costs nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog

from api.errors import ApiError, Conflict
from api.policy import ResourceQuota
from component.env import Env
from controlplane.admission.resource_quota import QUOTAS, quota_ledger
from controlplane.apiserver.quota_counting import QuotaCounting, uncounted
from controlplane.commands import Key, Stored
from controlplane.replica import Replica
from controlplane.store.draft import Amounts

PERIOD_SECONDS: Final = 0.2
FIRST_RECOUNT_SECONDS: Final = 5.0
"""After a quota is first seen: what was decided without it, such as a deletion on its way, is settled by then."""

RECOUNT_SECONDS: Final = 300.0

log = structlog.get_logger()


@dataclass(slots=True)
class _Seen:
    """What was last shown of a quota, and when it is to be counted again."""

    revision: int
    amounts: Amounts
    recount_time: float


class QuotaLoop:
    """Runs while this replica leads in `epoch`."""

    def __init__(self, replica: Replica, env: Env, epoch: int) -> None:
        self._replica = replica
        self._env = env
        self._epoch = epoch
        self._counting = QuotaCounting(replica)
        self._seen: dict[Key, _Seen] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(PERIOD_SECONDS)

    async def look(self) -> None:
        """Once at every quota whose ledger or spec changed, or whose time has come."""
        quotas = self._replica.state.scan(QUOTAS)
        for gone in self._seen.keys() - {stored.envelope.key for stored in quotas}:
            del self._seen[gone]
        for stored in quotas:
            try:
                await self._look_at(stored)
            except Conflict:
                continue  # somebody else changed it, or leads by now
            except ApiError as error:
                log.info("quota_status_delayed", quota=str(stored.envelope.key), reason=str(error))
                return

    async def _look_at(self, stored: Stored) -> None:
        key, now = stored.envelope.key, self._env.monotonic()
        amounts = self._replica.state.ledger(quota_ledger(key.namespace, key.name))
        seen = self._seen.get(key)
        if seen is None:
            seen = self._seen[key] = _Seen(0, {}, now + FIRST_RECOUNT_SECONDS)
        due = now >= seen.recount_time
        if not due and seen.revision == stored.revision and seen.amounts is amounts:
            return
        if due or uncounted(msgspec.json.decode(stored.body, type=ResourceQuota).spec.hard, amounts):
            await self._counting.count(key, self._epoch)
        else:
            await self._counting.show(key, self._epoch)
        if due:
            seen.recount_time = now + RECOUNT_SECONDS * (1.0 + self._env.rng.random() / 10.0)
        seen.revision, seen.amounts = stored.revision, amounts
