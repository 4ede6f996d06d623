"""Refuses what would exceed a ResourceQuota of its namespace (Kubernetes: ResourceQuota).

What counts is the ledger of each quota, kept by the transactions that create and delete objects; here it is only
looked at, to say why. The limits inside the transaction are what holds when many create at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from api.object import Object
from api.pod import PodSpec
from api.policy import ResourceQuota as Quota
from api.policy import ResourceQuotaSpec
from api.quota_usage import hard_amounts, in_scope, shown, taken, unsaid
from controlplane.admission.request import Request, Snapshot

QUOTAS: Final = "resourcequotas"
QUOTA_LEDGERS: Final = "quota/"
UNCOUNTED: Final = 1 << 60
"""What an amount starts with that nobody has counted yet. It may rise and fall meanwhile, and is not limited."""


def quota_ledger(namespace: str, name: str) -> str:
    """The ledger of what is taken of a quota, in the units of `api.quota_usage`."""
    return f"{QUOTA_LEDGERS}{namespace}/{name}"


def counted(amount: int) -> bool:
    """Whether an amount of a quota's ledger is what there really is."""
    return amount < UNCOUNTED // 2


def growth(spec: ResourceQuotaSpec, request: Request) -> Mapping[str, int]:
    """What a write takes of a quota in addition. A pod takes all when it is created, as in Kubernetes."""
    before = taken(spec, request.kind.resource, request.old)
    after = taken(spec, request.kind.resource, request.tree)
    return {name: after[name] - before.get(name, 0) for name in after if after[name] > before.get(name, 0)}


class ResourceQuota:
    """Judges creates, and updates of everything but pods."""

    def check(self, request: Request, snapshot: Snapshot) -> None:
        """Forbidden for what exceeds a quota, or does not say what the quota has to count."""
        pods = request.kind.resource == "pods"
        if not request.kind.namespaced or request.verb not in ({"create"} if pods else {"create", "update"}):
            return
        for quota in snapshot.list(QUOTAS, request.namespace):
            _check(request, quota, snapshot)


def _check(request: Request, quota: Object, snapshot: Snapshot) -> None:
    spec = quota.view(Quota).spec
    if request.kind.resource == "pods":
        pod = msgspec.convert(request.tree["spec"], PodSpec)
        if in_scope(spec, pod) and (missing := unsaid(spec, pod)):
            raise request.forbidden(f"failed quota: {quota.name}: must specify {missing}")
    requested = growth(spec, request)
    used = snapshot.ledger(quota_ledger(quota.namespace, quota.name)) if requested else {}
    hard = hard_amounts(spec)
    exceeded = {
        name: delta
        for name, delta in requested.items()
        if counted(used.get(name, 0)) and used.get(name, 0) + delta > hard[name]
    }
    if exceeded:
        raise request.forbidden(
            f"exceeded quota: {quota.name}, requested: {shown(exceeded)}, "
            f"used: {shown({name: used.get(name, 0) for name in exceeded})}, "
            f"limited: {shown({name: hard[name] for name in exceeded})}"
        )
