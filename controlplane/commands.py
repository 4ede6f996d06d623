"""Transactions: the versioned bytes that raft carries, store applies and watch fans out the changes of.

A transaction is a list of operations, all or nothing. It sees objects as an envelope and an opaque body; it must
not know kinds, defaults or validation. One log entry carries many transactions (group commit), each with a result
of its own.

Conventions on top of the operations:

- The cluster level is raised by `RaiseLevel` and never falls.
- Join tokens are ordinary internal objects: using one is a `Check` and a `Delete` in the transaction that admits the
  newcomer, so that a token works once.
- `QUOTA_SETTING` overrides how many bytes of objects the state may hold.

The bytes of an operation never change: one that needs another field is a new one, with a tag of its own. It gets a row
in `OPERATION_LEVELS`, and a transaction's version is the highest level among its operations: whoever knows that level
can read it, a replica that does not stops, it never skips. It is proposed only once the cluster is at that level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from api import errors

COMMAND_VERSION: Final = 3
"""The newest version that this program reads: the highest of `OPERATION_LEVELS`."""

FIRST_VERSION: Final = 1
"""Of entries, and of transactions of the first release's operations."""

ID_BYTES: Final = 16  # of a transaction
OBJECT_LIMIT_BYTES: Final = 3 * 1024 * 1024 // 2
TRANSACTION_LIMIT_BYTES: Final = 8 * 1024 * 1024
TRANSACTION_LIMIT_OPS: Final = 5_000
AMOUNT_LIMIT: Final = 1 << 62  # of a ledger: an int64 with room to add two
SETTING_LIMIT_BYTES: Final = 64 * 1024

QUOTA_SETTING: Final = "state-quota-bytes"

ADDED: Final = 1
MODIFIED: Final = 2
DELETED: Final = 3

_LATEST_MILLISECONDS: Final = 253_402_300_799_999  # the end of year 9999, the last that RFC 3339 can write


class UnknownCommandVersion(Exception):
    """The log holds a command written by newer software: this process must end, skipping would fork the state."""


class Malformed(ValueError):
    """Bytes of a known version that are no command. Applying them gives a result, not an exception."""


class Key(msgspec.Struct, frozen=True, array_like=True, gc=False, order=True, forbid_unknown_fields=True):
    """What identifies an object at one time: plural.group, namespace ("" for cluster-scoped kinds), name."""

    resource: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return "/".join(filter(None, (self.resource, self.namespace, self.name)))


class Envelope(msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True):
    """What the state machine sees of an object. `owners` are owner uids; `node` is the node a pod is bound to.

    It repeats what the body says: the writer answers for their agreement.
    """

    key: Key
    uid: str = ""
    labels: dict[str, str] = {}
    owners: tuple[str, ...] = ()
    finalizers: tuple[str, ...] = ()
    node: str = ""
    deletion_time: str = ""


class Stored(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An object as the state holds it: `revision` of its last change, `created_revision` of its first."""

    envelope: Envelope
    body: bytes
    revision: int
    created_revision: int


class Change(msgspec.Struct, frozen=True, gc=False):
    """One object change, with one revision of its own.

    `type` is ADDED, MODIFIED or DELETED. For DELETED, `envelope` and `body` are the object as it was last. The
    previous ones are None for ADDED only; `previous_revision` and `created_revision` are 0 then.
    """

    revision: int
    type: int
    envelope: Envelope
    body: bytes
    previous_envelope: Envelope | None = None
    previous_body: bytes | None = None
    previous_revision: int = 0
    created_revision: int = 0

    @property
    def previous(self) -> Stored | None:
        """The object before the change; None if there was none."""
        if self.previous_envelope is None or self.previous_body is None:
            return None
        return Stored(self.previous_envelope, self.previous_body, self.previous_revision, self.created_revision)

    @property
    def outcome(self) -> Stored | None:
        """The object after the change; None if it is gone."""
        if self.type == DELETED:
            return None
        return Stored(self.envelope, self.body, self.revision, self.created_revision or self.revision)


class Check(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1, forbid_unknown_fields=True):
    """Holds if the object exists with this uid and revision ("" and 0: not compared), or, `absent`, does not exist."""

    key: Key
    uid: str = ""
    revision: int = 0
    absent: bool = False


class Put(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2, forbid_unknown_fields=True):
    """Creates or replaces an object. Conflict if another uid holds the key: delete that first."""

    envelope: Envelope
    body: bytes


class Delete(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=3, forbid_unknown_fields=True):
    """Removes an object; NotFound if there is none."""

    key: Key


class Claim(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=4, forbid_unknown_fields=True):
    """Makes `owner` the only holder of `value` in `space`; Claimed if somebody else is. Repeating is harmless."""

    space: str
    value: str
    owner: str


class Release(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=5, forbid_unknown_fields=True):
    """Ends a claim; nothing happens if there is none or, when `owner` is given, if it is somebody else's."""

    space: str
    value: str
    owner: str = ""


class Add(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=6, forbid_unknown_fields=True):
    """Adds integer deltas to a ledger's amounts.

    Limit if an amount that grows would exceed its limit (amounts without one are bounded by AMOUNT_LIMIT only);
    Underflow if one would fall below 0. Shrinking an amount that is over a lowered limit is allowed. Amounts of 0
    are forgotten, and so is a ledger that has no others.
    """

    ledger: str
    deltas: dict[str, int]
    limits: dict[str, int] = {}


class SetEpoch(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=7, forbid_unknown_fields=True):
    """A new leader's first command: the epoch rises by one and commands of earlier epochs are refused."""

    holder: str


class Set(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=8, forbid_unknown_fields=True):
    """Stores a small cluster setting; an empty value removes it."""

    name: str
    value: bytes


class RaiseLevel(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=9, forbid_unknown_fields=True):
    """Raises the cluster level; a lower one than the state's changes nothing."""

    level: int


class StartIncarnation(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=10, forbid_unknown_fields=True):
    """After a restore or quorum-loss recovery, as logs of before level 3 have it: revisions jump by 10^9.

    None of the lost ones comes again, but two clusters with the same beginning go on with the same revisions.
    """


class Attest(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=11, forbid_unknown_fields=True):
    """Says what digest `replica` had after applying `index`, so that a replica that diverged is found out."""

    replica: str
    index: int
    digest: bytes


class Forget(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=12, forbid_unknown_fields=True):
    """Removes a ledger with all its amounts; nothing happens if there is none."""

    ledger: str


class StartIncarnationAt(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=13, forbid_unknown_fields=True):
    """After a restore or quorum-loss recovery: revisions go on at the clock, in microseconds since 1970.

    A cluster uses far fewer than one revision a microsecond. So what starts at the clock is past whatever another cluster
    with the same beginning has used until then, and not yet where one that starts later will begin. A clock that is not
    ahead of the revisions by a second, or says 2112 or later, is wrong, and they jump by 10^9 instead. That keeps them
    far below 2^53, from where on readers that take JSON's numbers for floats err.
    """

    clock_microseconds: int


Op = (
    Check
    | Put
    | Delete
    | Claim
    | Release
    | Add
    | SetEpoch
    | Set
    | RaiseLevel
    | StartIncarnation
    | Attest
    | Forget
    | StartIncarnationAt
)

OPERATION_LEVELS: Final[Mapping[type[Op], int]] = {
    Check: 1,
    Put: 1,
    Delete: 1,
    Claim: 1,
    Release: 1,
    Add: 1,
    SetEpoch: 1,
    Set: 1,
    RaiseLevel: 1,
    StartIncarnation: 1,
    Attest: 1,
    Forget: 2,
    StartIncarnationAt: 3,
}
"""The cluster level from which each operation may be used, which is also the version of a command that holds it."""


class Transaction(msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True):
    """Operations that happen together or not at all.

    `id` is 16 random bytes: a second transaction with the same id gets the first one's result. `epoch` other than 0
    marks a command of the leader's scheduler and controllers: it is refused unless it is the state's epoch. `actor`
    is the user who asked for it, for history alone. `since` other than 0 is a revision at which the id was not used
    yet: the transaction is refused when the state does not remember all ids since then.
    """

    id: bytes
    ops: tuple[Op, ...]
    epoch: int = 0
    actor: str = ""
    since: int = 0


class _Command(msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True):
    time_ms: int
    transactions: tuple[bytes, ...]


Reason = Literal[
    "Exists",
    "NotFound",
    "Conflict",
    "Claimed",
    "Limit",
    "Underflow",
    "Epoch",
    "TooLarge",
    "Quota",
    "Malformed",
    "Late",
]


class Committed(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """Done. Its object changes have the revisions `first_revision` to `last_revision`, in the order of the operations.

    Without object changes `last_revision` is the state's revision and `first_revision` one more.
    """

    first_revision: int
    last_revision: int

    @property
    def changed(self) -> bool:
        """Whether there were object changes."""
        return self.first_revision <= self.last_revision


class Refused(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """Nothing was changed. `op_index` is the operation that did not hold, -1 if the transaction as a whole."""

    reason: Reason
    op_index: int
    message: str


Result = Committed | Refused

_encoder = msgspec.msgpack.Encoder()
_transaction_decoder = msgspec.msgpack.Decoder(Transaction)
_command_decoder = msgspec.msgpack.Decoder(_Command)
_BEFORE_ID: Final = b"\x95\xc4\x10"  # MessagePack: an array of five, the first of them 16 bytes
_ID_AT: Final = 1 + len(_BEFORE_ID)
_FIRST_VERSION_BYTE: Final = bytes([FIRST_VERSION])

_ERRORS: Final[dict[Reason, type[errors.ApiError]]] = {
    "Exists": errors.AlreadyExists,
    "NotFound": errors.NotFound,
    "Conflict": errors.Conflict,
    "Claimed": errors.Conflict,
    "Limit": errors.TooLarge,
    "Underflow": errors.Conflict,
    "Epoch": errors.Conflict,
    "TooLarge": errors.TooLarge,
    "Quota": errors.TooLarge,
    "Malformed": errors.Invalid,
    "Late": errors.Unknown,
}


class CommitRefused(errors.ApiError):
    """The transaction was applied and refused: certainly nothing was changed.

    Whoever built the transaction knows what operation `refused.op_index` stood for and tells the user; `error` is
    the plain translation.
    """

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.message)
        self.refused = refused

    @property
    def reason(self) -> str:
        """The reason of the plain translation."""
        return _ERRORS[self.refused.reason].__name__

    @property
    def error(self) -> errors.ApiError:
        """The error of the tree in `api.errors` that fits without knowing the request."""
        return _ERRORS[self.refused.reason](self.refused.message)


def encode_transaction(transaction: Transaction) -> bytes:
    """Return the bytes that travel; raises TooLarge, so that nothing is proposed that apply must refuse."""
    if len(transaction.ops) > TRANSACTION_LIMIT_OPS:
        raise errors.TooLarge(f"{len(transaction.ops)} operations at once; at most {TRANSACTION_LIMIT_OPS}")
    data = bytes([version_of(transaction.ops)]) + _encoder.encode(transaction)
    if len(data) > TRANSACTION_LIMIT_BYTES:
        raise errors.TooLarge(f"a write of {len(data)} bytes; at most {TRANSACTION_LIMIT_BYTES}")
    return data


def version_of(ops: Sequence[Op]) -> int:
    """The version of a command with these operations: programs that know this level can read it."""
    return max([OPERATION_LEVELS[type(op)] for op in ops], default=FIRST_VERSION)


def decode_transaction(data: bytes) -> Transaction:
    """Inverse of `encode_transaction`; raises UnknownCommandVersion or Malformed.

    An operation of a higher version than the bytes claim is Malformed here, as it is to a program that does not know it.
    """
    _check_version(data)
    try:
        transaction = _transaction_decoder.decode(memoryview(data)[1:])
    except ValueError as error:
        raise Malformed(str(error)) from None
    if data[0] < COMMAND_VERSION and data[0] < version_of(transaction.ops):
        raise Malformed(f"an operation that is not of version {data[0]}")
    return transaction


def check_transaction(data: bytes, version: int) -> None:
    """Raise Malformed for bytes that must not enter the log: no transaction, or newer than every member can read."""
    if data and data[0] > version:
        raise Malformed(f"version {data[0]}, the cluster is at level {version}")
    if len(data) > TRANSACTION_LIMIT_BYTES:
        raise Malformed(f"{len(data)} bytes; at most {TRANSACTION_LIMIT_BYTES}")
    transaction = decode_transaction(data)
    if len(transaction.id) != ID_BYTES:
        raise Malformed(f"an id of {len(transaction.id)} bytes, not {ID_BYTES}")
    if len(transaction.ops) > TRANSACTION_LIMIT_OPS:
        raise Malformed(f"{len(transaction.ops)} operations; at most {TRANSACTION_LIMIT_OPS}")


def transaction_id(data: bytes) -> bytes:
    """Return the id of an encoded transaction without decoding the rest; b"" when it has none of the right form."""
    return data[_ID_AT : _ID_AT + ID_BYTES] if data.startswith(_BEFORE_ID, 1) else b""


def encode_entry(transactions: Sequence[bytes], now_ms: int) -> bytes:
    """Pack encoded transactions and the proposer's clock (milliseconds since the epoch) into one log entry."""
    return _FIRST_VERSION_BYTE + _encoder.encode((now_ms, transactions))


def decode_entry(data: bytes) -> tuple[tuple[bytes, ...], int]:
    """Return (transactions, now_ms); raises UnknownCommandVersion, also for any transaction in it, or Malformed."""
    _check_version(data)
    try:
        command = _command_decoder.decode(memoryview(data)[1:])
    except ValueError as error:
        raise Malformed(str(error)) from None
    if not 0 <= command.time_ms <= _LATEST_MILLISECONDS:
        raise Malformed("time stamp out of range")
    for transaction in command.transactions:
        if transaction and transaction[0] > COMMAND_VERSION:
            _check_version(transaction)
    return command.transactions, command.time_ms


def _check_version(data: bytes) -> None:
    if not data or data[0] == 0:
        raise Malformed("no command version")
    if data[0] > COMMAND_VERSION:
        raise UnknownCommandVersion(
            f"the log holds a command of version {data[0]}, this program knows {COMMAND_VERSION}: "
            "install the version that the other replicas run"
        )
