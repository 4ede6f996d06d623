"""What one transaction would do: its operations evaluated against the state, without touching it.

A draft sees its own earlier operations. It is either thrown away (refused) or handed to the state whole, which is
what makes a transaction all or nothing. Every input gives a draft or a reason, never an exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from controlplane.commands import (
    ADDED,
    AMOUNT_LIMIT,
    DELETED,
    MODIFIED,
    OBJECT_LIMIT_BYTES,
    QUOTA_SETTING,
    SETTING_LIMIT_BYTES,
    Add,
    Attest,
    Change,
    Check,
    Claim,
    Delete,
    Forget,
    Key,
    Op,
    Put,
    RaiseLevel,
    Reason,
    Refused,
    Release,
    Set,
    SetEpoch,
    StartIncarnation,
    StartIncarnationAt,
    Stored,
    Transaction,
)

OBJECT_OVERHEAD_BYTES: Final = 950  # of a pod in memory besides its body, by bench/store_apply.py
MESSAGE_CHARACTERS: Final = 400  # results are remembered, and names inside messages may be of any length
INCARNATION_REVISIONS: Final = 1_000_000_000
CLOCK_MARGIN: Final = 1_000_000  # revisions, which is a second by the clock
CLOCK_LIMIT: Final = 1 << 52  # the year 2112; as many revisions below 2^53 are left to count on from there
QUOTA_BYTES: Final = 1024 * 1024 * 1024
RESERVE_SHARE: Final = 8  # changes of objects that exist may use one eighth above the quota

Amounts = Mapping[str, int]
_ClusterOp = SetEpoch | RaiseLevel | StartIncarnation | StartIncarnationAt | Attest
_NO_AMOUNTS: Final[Amounts] = {}


class DraftSource(Protocol):
    """The state before the transaction."""

    revision: int
    epoch: int
    epoch_holder: str
    level: int
    incarnation: int
    size_bytes: int

    def held(self, key: Key) -> Stored | None:
        """The object at `key` as it is stored."""

    def claimed(self, space: str, value: str) -> str | None:
        """Who holds a claim."""

    def ledger(self, name: str) -> Amounts:
        """A ledger's amounts."""

    def setting(self, name: str) -> bytes:
        """A setting, empty if it is not there."""


def object_bytes(body: bytes) -> int:
    """What an object counts against the quota."""
    return len(body) + OBJECT_OVERHEAD_BYTES


class Draft:
    """The outcome of the operations so far. None in `objects` and `claims` means removed."""

    def __init__(self, source: DraftSource) -> None:
        self._source = source
        self.changes: list[Change] = []
        self.objects: dict[Key, Stored | None] = {}
        self.claims: dict[tuple[str, str], str | None] = {}
        self.ledgers: dict[str, Amounts] = {}
        self.settings: dict[str, bytes] = {}
        self.attestations: dict[str, tuple[int, bytes]] = {}
        self.revision = source.revision
        self.epoch = source.epoch
        self.epoch_holder = source.epoch_holder
        self.level = source.level
        self.incarnation = source.incarnation
        self.growth_bytes = 0
        self._creating_op = -1
        self._growing_op = -1

    def run(self, transaction: Transaction) -> Refused | None:
        """Evaluate all operations in order; the first that does not hold is the reason of refusal."""
        if transaction.epoch and transaction.epoch != self._source.epoch:
            message = f"epoch {transaction.epoch} is over, {self._source.epoch} leads"
            return Refused("Epoch", -1, message)
        for op_index, op in enumerate(transaction.ops):
            refusal = self._evaluate(op, op_index)
            if refusal is not None:
                return Refused(refusal[0], op_index, refusal[1][:MESSAGE_CHARACTERS])
        return self._check_quota()

    def _evaluate(self, op: Op, op_index: int) -> tuple[Reason, str] | None:
        match op:
            case Check():
                return self._check(op)
            case Put():
                return self._put(op, op_index)
            case Delete():
                return self._delete(op)
            case Claim() | Release() | Add() | Forget() | Set():
                return self._evaluate_holding(op)
            case _:
                return self._evaluate_cluster_op(op)

    def _evaluate_holding(self, op: Claim | Release | Add | Forget | Set) -> tuple[Reason, str] | None:
        match op:
            case Claim():
                return self._claim(op)
            case Release():
                return self._release(op)
            case Add():
                return self._add(op)
            case Forget(ledger):
                self.ledgers[ledger] = _NO_AMOUNTS
                return None
            case Set():
                return self._set(op)

    def _evaluate_cluster_op(self, op: _ClusterOp) -> tuple[Reason, str] | None:
        match op:
            case SetEpoch(holder):
                self.epoch += 1
                self.epoch_holder = holder
            case RaiseLevel(level):
                if not 0 <= level <= AMOUNT_LIMIT:
                    return "Malformed", f"level {level} is out of range"
                self.level = max(self.level, level)
            case StartIncarnation():
                return self._start_incarnation(self.revision + INCARNATION_REVISIONS)
            case StartIncarnationAt(clock):
                right = self.revision + CLOCK_MARGIN < clock < CLOCK_LIMIT
                return self._start_incarnation(clock if right else self.revision + INCARNATION_REVISIONS)
            case Attest(replica, index, digest):
                self.attestations[replica] = (index, digest)
        return None

    def _start_incarnation(self, revision: int) -> tuple[Reason, str] | None:
        if self.changes:
            return "Malformed", "an incarnation must start before the changes of its transaction"
        if revision > AMOUNT_LIMIT:
            return "Malformed", "no revisions are left"
        self.incarnation += 1
        self.revision = revision
        return None

    def _get(self, key: Key) -> Stored | None:
        return self.objects[key] if key in self.objects else self._source.held(key)

    def _check(self, op: Check) -> tuple[Reason, str] | None:
        stored = self._get(op.key)
        if op.absent:
            return None if stored is None else ("Exists", f"{op.key} already exists")
        if stored is None:
            return "NotFound", f"{op.key} not found"
        if op.uid and stored.envelope.uid != op.uid:
            return "Conflict", f"{op.key} has uid {stored.envelope.uid}, not {op.uid}"
        if op.revision and stored.revision != op.revision:
            return "Conflict", f"{op.key} is at resource version {stored.revision}, not {op.revision}"
        return None

    def _put(self, op: Put, op_index: int) -> tuple[Reason, str] | None:
        key = op.envelope.key
        if len(op.body) > OBJECT_LIMIT_BYTES:
            return "TooLarge", f"{key} has {len(op.body)} bytes; at most {OBJECT_LIMIT_BYTES}"
        stored = self._get(key)
        self.revision += 1
        if stored is None:
            self.changes.append(Change(self.revision, ADDED, op.envelope, op.body))
            self.objects[key] = Stored(op.envelope, op.body, self.revision, self.revision)
            self.growth_bytes += object_bytes(op.body)
            self._creating_op = op_index if self._creating_op < 0 else self._creating_op
            return None
        if stored.envelope.uid != op.envelope.uid:
            return "Conflict", f"{key} has uid {stored.envelope.uid}, not {op.envelope.uid}"
        before = stored.envelope, stored.body, stored.revision, stored.created_revision
        self.changes.append(Change(self.revision, MODIFIED, op.envelope, op.body, *before))
        self.objects[key] = Stored(op.envelope, op.body, self.revision, stored.created_revision)
        self.growth_bytes += len(op.body) - len(stored.body)
        self._growing_op = op_index
        return None

    def _delete(self, op: Delete) -> tuple[Reason, str] | None:
        stored = self._get(op.key)
        if stored is None:
            return "NotFound", f"{op.key} not found"
        self.revision += 1
        last = stored.envelope, stored.body
        self.changes.append(Change(self.revision, DELETED, *last, *last, stored.revision, stored.created_revision))
        self.objects[op.key] = None
        self.growth_bytes -= object_bytes(stored.body)
        return None

    def _claim(self, op: Claim) -> tuple[Reason, str] | None:
        held = op.space, op.value
        owner = self.claims[held] if held in self.claims else self._source.claimed(*held)
        if owner is not None and owner != op.owner:
            return "Claimed", f"{op.value} of {op.space} is held by {owner}"
        self.claims[held] = op.owner
        return None

    def _release(self, op: Release) -> tuple[Reason, str] | None:
        held = op.space, op.value
        owner = self.claims[held] if held in self.claims else self._source.claimed(*held)
        if owner is not None and op.owner in {"", owner}:
            self.claims[held] = None
        return None

    def _add(self, op: Add) -> tuple[Reason, str] | None:
        old = self.ledgers[op.ledger] if op.ledger in self.ledgers else self._source.ledger(op.ledger)
        amounts = dict(old)
        for name, delta in op.deltas.items():
            amount = amounts.get(name, 0) + delta
            limit = min(op.limits.get(name, AMOUNT_LIMIT), AMOUNT_LIMIT)
            if delta > 0 and amount > limit:
                return "Limit", f"{name} of {op.ledger} would be {amount}; at most {limit}"
            if amount < 0:
                return "Underflow", f"{name} of {op.ledger} would be {amount}"
            if amount:
                amounts[name] = amount
            else:
                amounts.pop(name, None)
        self.ledgers[op.ledger] = amounts
        return None

    def _set(self, op: Set) -> tuple[Reason, str] | None:
        if len(op.value) > SETTING_LIMIT_BYTES:
            return "TooLarge", f"setting {op.name} has {len(op.value)} bytes; at most {SETTING_LIMIT_BYTES}"
        if op.name == QUOTA_SETTING and op.value and not (op.value.isdigit() and len(op.value) < 19):
            return "Malformed", f"setting {op.name} must be a number of bytes"
        self.settings[op.name] = op.value
        return None

    def _check_quota(self) -> Refused | None:
        """Refuse growth past the quota: new objects at it, changes of old ones when the reserve is used up as well."""
        if self.growth_bytes <= 0:
            return None
        quota = int(self._source.setting(QUOTA_SETTING) or QUOTA_BYTES)
        creating = self._creating_op >= 0
        limit = quota if creating else quota + quota // RESERVE_SHARE
        size = self._source.size_bytes + self.growth_bytes
        if size <= limit:
            return None
        message = (
            f"the cluster's objects would take {size} bytes, at most {limit} are allowed: delete what is not needed, "
            "or raise state_quota_mebibytes of every replica"
        )
        return Refused("Quota", self._creating_op if creating else self._growing_op, message)


def empty_amounts() -> Amounts:
    """The amounts of a ledger that does not exist."""
    return _NO_AMOUNTS
