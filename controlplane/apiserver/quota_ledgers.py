"""What goes into a transaction so that quotas count exactly, whoever creates and deletes at the same time.

Every quota has a ledger. It rises in the transaction that creates an object, within the quota's limits, and falls in
the one that deletes it. So that nobody decides without knowing a quota, whatever makes, changes, counts or removes one also
puts its namespace anew, unchanged: every create checks the revision of its namespace, and one that was decided before is
decided again. A namespace without quotas pays for none of this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from api.object import Tree
from api.policy import ResourceQuota, ResourceQuotaSpec
from api.quota_usage import hard_amounts, taken
from api.scheme import Kind
from controlplane.admission.resource_quota import QUOTAS, UNCOUNTED, counted, quota_ledger
from controlplane.commands import Add, Check, Forget, Key, Op, Put
from controlplane.store.state import State


def accounting(kind: Kind, old: Tree | None, new: Tree | None, state: State, *, limited: bool) -> list[Op]:
    """Return what quotas make of replacing `old` by `new`; None for no object. Not `limited`: it is only counted.

    Pods that are there already are never limited: they may end, and be told so.
    """
    if not kind.namespaced:
        return []
    metadata = (old if new is None else new or {})["metadata"]  # type: ignore[index] # one of them is an object
    namespace, own = metadata["namespace"], Key(kind.resource, metadata["namespace"], metadata["name"])
    limited = limited and (old is None or kind.resource != "pods")
    ops: list[Op] = []
    for stored in state.scan(QUOTAS, namespace):
        key = stored.envelope.key
        spec = msgspec.json.decode(stored.body, type=ResourceQuota).spec
        deltas = _deltas(taken(spec, kind.resource, old), taken(spec, kind.resource, new))
        if deltas and key != own:
            ledger = quota_ledger(namespace, key.name)
            limits = _limits(spec, deltas, state.ledger(ledger)) if limited else {}
            ops += [Check(key, stored.envelope.uid), Add(ledger, deltas, limits)]
    if kind.resource == QUOTAS:
        ops += _own_ledger(quota_ledger(namespace, own.name), old, new)
        return [*renewed(state, namespace), *ops] if ops else []
    return [*_unchanged(state, namespace), *ops] if ops else []


def renewed(state: State, namespace: str) -> Sequence[Op]:
    """Put a namespace as it is, so that what was decided before is decided again; a terminating one takes nothing new."""
    stored = state.get(Key("namespaces", "", namespace))
    if stored is None:
        return ()
    put = () if stored.envelope.deletion_time else (Put(stored.envelope, stored.body),)
    return (*_unchanged(state, namespace), *put)


def _unchanged(state: State, namespace: str) -> Sequence[Op]:
    """The quotas of the namespace are still those that were looked at."""
    stored = state.get(Key("namespaces", "", namespace))
    return () if stored is None else (Check(stored.envelope.key, stored.envelope.uid, stored.revision),)


def _deltas(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    names = sorted(before.keys() | after.keys())
    return {name: delta for name in names if (delta := after.get(name, 0) - before.get(name, 0))}


def _limits(spec: ResourceQuotaSpec, deltas: Mapping[str, int], amounts: Mapping[str, int]) -> dict[str, int]:
    hard = hard_amounts(spec)
    return {name: hard[name] for name, delta in deltas.items() if delta > 0 and counted(amounts.get(name, 0))}


def _own_ledger(ledger: str, old: Tree | None, new: Tree | None) -> list[Op]:
    """A quota begins with amounts that nobody has counted, and takes its ledger along when it goes."""
    before = None if old is None else old.get("spec", {})
    if new is None:
        return [Forget(ledger)]
    if before is None:
        return [Forget(ledger), *_begun(ledger, new["spec"].get("hard", {}))]
    if before == new["spec"]:
        return []
    added = new["spec"].get("hard", {}).keys() - before.get("hard", {}).keys()
    return _begun(ledger, sorted(added)) or [Add(ledger, {})]


def _begun(ledger: str, names: Sequence[str]) -> list[Op]:
    return [Add(ledger, dict.fromkeys(names, UNCOUNTED))] if names else []
