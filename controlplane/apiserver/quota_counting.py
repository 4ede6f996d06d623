"""Counting what is there, for quotas that came later, and again now and then to be sure.

From the moment a quota is stored every write in its namespace adds to its ledger. So the difference between what a copy
of the state holds and what the ledger says in the same copy does not depend on what happens meanwhile: adding it later
makes the ledger exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import structlog

from api.errors import ApiError
from api.object import Tree
from api.policy import ResourceQuota, ResourceQuotaSpec
from api.quota_usage import COUNTED_BY_NAME, quota_quantity, taken
from api.scheme import by_resource
from component.slices import let_others_run
from controlplane.admission.resource_quota import QUOTAS, counted, quota_ledger
from controlplane.apiserver.objects import put_of, tree_of
from controlplane.apiserver.quota_ledgers import renewed
from controlplane.commands import Add, Check, CommitRefused, Key, Op, Put, Stored
from controlplane.replica import Replica
from controlplane.store.draft import Amounts
from controlplane.store.state import State

TRIES: Final = 20  # the status of a busy quota is written several times a second, and each write is in the way
COUNTED_AT_ONCE: Final = 50  # pods before others may run: 2 ms

log = structlog.get_logger()
_KIND = by_resource(QUOTAS)


def uncounted(hard: Mapping[str, object], amounts: Amounts) -> bool:
    """Whether a ledger says something else than what there is of what the quota bounds."""
    return any(name not in hard or not counted(amount) for name, amount in amounts.items())


class QuotaCounting:
    """Makes ledgers exact, and shows them in the status of their quotas."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    async def settle(self, ops: Sequence[Op]) -> None:
        """Count the quotas that a commit made or changed, so that they hold by the time it is answered.

        If that fails now, the leader does it.
        """
        for op in ops:
            if isinstance(op, Put) and op.envelope.key.resource == QUOTAS:
                try:
                    await self._settle(op.envelope.key)
                except ApiError as error:
                    log.info("quota_not_counted", quota=str(op.envelope.key), reason=str(error))

    async def _settle(self, key: Key) -> None:
        state = self._replica.state
        stored = state.get(key)
        if stored is not None and uncounted(_spec(stored).hard, state.ledger(quota_ledger(key.namespace, key.name))):
            await self.count(key)

    async def count(self, key: Key, epoch: int = 0) -> None:
        """Make the ledger what there is, from one state. Raises as any write; Conflict when others were always faster."""
        for attempt in range(1, 1 + TRIES):
            state = self._replica.state.clone()
            stored = state.get(key)
            if stored is None:
                return
            spec = _spec(stored)
            ops = _corrections(stored, spec.hard, await _used(state, key.namespace, spec), state)
            try:
                if ops:
                    await self._replica.commit(ops, epoch=epoch)
            except CommitRefused as error:
                if error.refused.reason == "Epoch" or attempt == TRIES:
                    raise error.error from None
            else:
                return

    async def show(self, key: Key, epoch: int = 0) -> None:
        """Write what the ledger says into the status, unless it stands there; forgiving when somebody else changes the quota."""
        state = self._replica.state
        stored = state.get(key)
        if stored is None:
            return
        hard = _spec(stored).hard
        put = _shown(stored, hard, state.ledger(quota_ledger(key.namespace, key.name)))
        if put.body != stored.body:
            try:
                await self._replica.commit([Check(key, stored.envelope.uid, stored.revision), put], epoch=epoch)
            except CommitRefused as error:
                if error.refused.reason == "Epoch":
                    raise error.error from None


def _spec(stored: Stored) -> ResourceQuotaSpec:
    return msgspec.json.decode(stored.body, type=ResourceQuota).spec


def _corrections(stored: Stored, hard: Mapping[str, object], used: Amounts, state: State) -> list[Op]:
    """What makes the ledger in `state` equal to `used`; the quota is put with it, so that it can only be done once."""
    key = stored.envelope.key
    ledger = quota_ledger(key.namespace, key.name)
    amounts = state.ledger(ledger)
    wrong = {name: delta for name in (*hard, *amounts) if (delta := used.get(name, 0) - amounts.get(name, 0))}
    put = _shown(stored, hard, used)
    if not wrong:
        return [] if put.body == stored.body else [Check(key, stored.envelope.uid, stored.revision), put]
    drifted = {name: delta for name, delta in wrong.items() if name in hard and counted(amounts.get(name, 0))}
    if drifted:
        log.warning("quota_recounted", namespace=key.namespace, quota=key.name, difference=drifted)
    begins = renewed(state, key.namespace) if uncounted(hard, amounts) else ()
    return [*begins, Check(key, stored.envelope.uid, stored.revision), Add(ledger, wrong), put]


def _shown(stored: Stored, hard: Mapping[str, object], amounts: Amounts) -> Put:
    tree: Tree = tree_of(stored.body)
    used = {name: quota_quantity(name, amounts.get(name, 0)) for name in hard if counted(amounts.get(name, 0))}
    bounds = {name: bound for name, bound in hard.items() if name in used}
    return put_of(_KIND, {**tree, "status": {"hard": bounds, "used": used}})


async def _used(state: State, namespace: str, spec: ResourceQuotaSpec) -> dict[str, int]:
    """What all objects of the namespace take of a quota; others run in between, so the state must be a copy."""
    used: Counter[str] = Counter()
    for resource in sorted({_counted_kind(name) for name in spec.hard}):
        for number, stored in enumerate(state.scan(resource, namespace), start=1):
            used.update(taken(spec, resource, tree_of(stored.body)))
            if number % COUNTED_AT_ONCE == 0:
                await let_others_run()
    return dict(used)


def _counted_kind(name: str) -> str:
    """The kind that takes an amount: `count/…` and kinds by their name, else pods."""
    if name.startswith("count/"):
        return name.removeprefix("count/")
    plural = name.partition(".")[0]
    return plural if plural in COUNTED_BY_NAME else "pods"
