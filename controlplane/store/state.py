"""The replicated state: `State.apply` turns log entries into results and changes, the same on every replica.

Apply is deterministic and total: time, uids and ids arrive in the commands, and bytes that make no sense give a
result. It sees envelopes and opaque bodies; it must not know kinds, clocks, files or sockets.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from controlplane.commands import (
    ID_BYTES,
    TRANSACTION_LIMIT_BYTES,
    TRANSACTION_LIMIT_OPS,
    Change,
    Committed,
    Envelope,
    Key,
    Malformed,
    Op,
    Refused,
    Result,
    Stored,
    Transaction,
    decode_entry,
    decode_transaction,
)
from controlplane.store.draft import MESSAGE_CHARACTERS, Amounts, Draft, empty_amounts, object_bytes
from controlplane.store.sharing import Sharing
from controlplane.store.sorted_map import SortedMap

REMEMBERED_TRANSACTIONS: Final = 8_192
"""At least so many of the latest transactions are remembered by id."""

REMEMBERED_MILLISECONDS: Final = 15_000
"""At least so long they are remembered, unless they are too many: about as long as a client tries again."""

REMEMBERED_AT_MOST: Final = 4 * REMEMBERED_TRANSACTIONS
"""So many make a generation however young they are. Memory holds two generations."""

_RUN_ITEMS: Final = 2_000
_LATE: Final = "it comes too late to tell whether an earlier sending of the same request was done"
_digest_encoder = msgspec.msgpack.Encoder()


class EntryLike(Protocol):
    """A log entry."""

    @property
    def index(self) -> int:
        """Position in the log."""

    @property
    def term(self) -> int:
        """Term of the leader that appended it."""

    @property
    def data(self) -> bytes:
        """What `encode_entry` returned, or empty."""


class Opening(Protocol):
    """What makes sealed objects of some resources readable."""

    @property
    def resources(self) -> frozenset[str]:
        """The resources whose objects may be sealed."""

    def opened_object(self, stored: Stored) -> Stored:
        """The object as it was before it was sealed. Unavailable."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What one entry did: one result and one actor per transaction, and the changes of all, in order of revision."""

    index: int
    results: Sequence[tuple[bytes, Result]]
    changes: Sequence[Change]
    actors: Sequence[str]


class State:
    """Objects, claims, ledgers and settings at one point of the log.

    Only `apply` changes it. The attributes are for reading: `revision` of the last object change, `time_ms` of the
    latest command, `size_bytes` that count against the quota, `digest` over all results so far, `transaction_count`
    of all transactions ever applied. All transactions after `remembered_revision` are remembered. Bodies may be sealed:
    `opening` is for readers alone, what is applied depends on the sealed ones.
    """

    def __init__(self) -> None:
        self.opening: Opening | None = None
        self.applied_index = 0
        self.applied_term = 0
        self.revision = 0
        self.time_ms = 0
        self.epoch = 0
        self.epoch_holder = ""
        self.level = 0
        self.incarnation = 0
        self.oldest_revision = 0  # of this incarnation: nothing before it can be bridged
        self.size_bytes = 0
        self.transaction_count = 0
        self.digest = bytes(16)
        self.settings: dict[str, bytes] = {}
        self.attestations: dict[str, tuple[int, bytes]] = {}
        self.recent: dict[bytes, Result] = {}  # by transaction id, and the generation before
        self.recent_before: dict[bytes, Result] = {}
        self.recent_revision = 0  # when `recent` began, and the time
        self.recent_time_ms = 0
        self.remembered_revision = 0  # when `recent_before` began
        self._objects: dict[str, SortedMap[tuple[str, str], Stored]] = {}
        self._placed: SortedMap[tuple[str, str, str, str], Key] = SortedMap()  # node, then the key
        self._claims: SortedMap[tuple[str, str], str] = SortedMap()
        self._ledgers: SortedMap[tuple[str], Amounts] = SortedMap()
        self._sharing = Sharing()

    # Reads

    def get(self, key: Key) -> Stored | None:
        """Return the object at `key` or None. Unavailable when it cannot be opened."""
        stored = self.held(key)
        if stored is None or self.opening is None or key.resource not in self.opening.resources:
            return stored
        return self.opening.opened_object(stored)

    def held(self, key: Key) -> Stored | None:
        """Return the object at `key` as it is stored, sealed perhaps, or None."""
        objects = self._objects.get(key.resource)
        return None if objects is None else objects.get((key.namespace, key.name))

    def scan(
        self, resource: str, namespace: str = "", after: tuple[str, str] | None = None, limit: int = 0
    ) -> Sequence[Stored]:
        """Return objects ordered by (namespace, name), those after `after` only; "" is all namespaces, 0 no limit.

        Unavailable when one cannot be opened.
        """
        objects = self._objects.get(resource)
        if objects is None:
            return []
        start = (namespace, "") if after is None or (namespace and after[0] < namespace) else after
        stop = (_next(namespace), "") if namespace else None
        found = objects.values_between(start, stop, limit=limit, after_start=start == after)
        if self.opening is None or resource not in self.opening.resources:
            return found
        return list(map(self.opening.opened_object, found))

    def each(self, resource: str) -> Iterator[Stored]:
        """Iterate over all objects of a resource in order, as they are stored; the state must not change meanwhile."""
        objects = self._objects.get(resource)
        return iter(()) if objects is None else (stored for _, stored in objects.items())

    def count(self, resource: str) -> int:
        """Return how many objects of `resource` there are."""
        objects = self._objects.get(resource)
        return 0 if objects is None else len(objects)

    def count_in(self, resource: str, namespace: str) -> int:
        """Return how many objects of `resource` there are in a namespace; "" is all."""
        objects = self._objects.get(resource)
        if objects is None or not namespace:
            return 0 if objects is None else len(objects)
        return objects.count_between((namespace, ""), (_next(namespace), ""))

    def changes(self, resource: str) -> int:
        """Return a number that differs after any change of an object of `resource`, as long as this is the same state."""
        objects = self._objects.get(resource)
        return 0 if objects is None else objects.changes

    def resources(self) -> Sequence[str]:
        """Return the resources that have objects, sorted."""
        return sorted(resource for resource, objects in self._objects.items() if len(objects))

    def by_node(self, node: str) -> Sequence[Key]:
        """Return the keys of the objects placed on `node`, sorted."""
        return self._placed.values_between((node, "", "", ""), (_next(node), "", "", ""))

    def claimed(self, space: str, value: str) -> str | None:
        """Return who holds a claim, None if nobody does."""
        return self._claims.get((space, value))

    @property
    def claim_changes(self) -> int:
        """A number that differs after any change of a claim, as long as this is the same state."""
        return self._claims.changes

    def claims(self, space: str) -> Sequence[tuple[str, str]]:
        """Return the (value, owner) of all claims of a space, sorted by value."""
        held = self._claims.items_between((space, ""), (_next(space), ""))
        return [(value, owner) for (_, value), owner in held]

    def ledger(self, name: str) -> Amounts:
        """Return a ledger's amounts, none of them 0; empty if there is no such ledger. Not to be changed."""
        return self._ledgers.get((name,)) or empty_amounts()

    def setting(self, name: str) -> bytes:
        """Return a setting, empty if it is not there."""
        return self.settings.get(name, b"")

    def result_of(self, transaction_id: bytes) -> Result | None:
        """Return the result of one of the latest transactions, None if it is not among them."""
        return self.recent.get(transaction_id) or self.recent_before.get(transaction_id)

    def all_claims(self) -> Iterator[tuple[tuple[str, str], str]]:
        """Iterate over ((space, value), owner), sorted."""
        return self._claims.items()

    def all_ledgers(self) -> Iterator[tuple[str, Amounts]]:
        """Iterate over (name, amounts), sorted."""
        return ((name, amounts) for (name,), amounts in self._ledgers.items())

    # Writes

    def apply(self, entry: EntryLike) -> Applied:
        """Apply one entry whole. Raises only UnknownCommandVersion, with nothing changed: the process must end."""
        transactions: tuple[bytes, ...] = ()
        now_ms = 0
        if entry.data:
            with contextlib.suppress(Malformed):  # what is no command changes nothing, everywhere
                transactions, now_ms = decode_entry(entry.data)
        self.applied_index = entry.index
        self.applied_term = entry.term
        self.time_ms = max(self.time_ms, now_ms)
        changes: list[Change] = []
        actors: list[str] = []
        results = [self._apply_transaction(each, changes, actors) for each in transactions]
        facts = [(each[0], *_facts(each[1])) for each in results]
        summary = _digest_encoder.encode((entry.index, entry.term, self.time_ms, facts))
        self.digest = hashlib.blake2b(self.digest + summary, digest_size=16).digest()
        return Applied(entry.index, results, changes, actors)

    def rehearse(self, ops: Sequence[Op]) -> Refused | None:
        """Carry operations out on this copy, which is not the replicated state any more; Refused: nothing changed."""
        draft = Draft(self)
        refused = draft.run(Transaction(b"", tuple(ops)))
        if refused is None:
            self._accept(draft)
        return refused

    def put_back(self, resource: str, namespace: str, name: str, stored: Stored | None) -> None:
        """On a copy: let an object be what it was earlier, None if it was not there."""
        self._store(Key(resource, namespace, name), stored)

    def clone(self) -> State:
        """Return a copy for reading that later applies do not change. Shares memory; takes well under 1 ms."""
        new: State = State.__new__(State)
        new.__dict__.update(self.__dict__)
        new.settings = self.settings.copy()
        new.recent = self.recent.copy()
        new._objects = {resource: objects.clone() for resource, objects in self._objects.items()}
        new._placed = self._placed.clone()
        new._claims = self._claims.clone()
        new._ledgers = self._ledgers.clone()
        new._sharing = Sharing()
        return new

    def let_go(self) -> None:
        """Free what only this copy still holds, for a thread: 100,000 objects at once would hold everything up for 100 ms."""
        for objects in self._objects.values():
            objects.let_go()
        self._placed.let_go()
        self._claims.let_go()
        self._ledgers.let_go()

    def restore(
        self,
        objects: dict[str, list[Stored]],
        claims: Sequence[tuple[str, str, str]],
        ledgers: Sequence[tuple[str, Amounts]],
    ) -> None:
        """Fill an empty state from what a snapshot held, every list in order, and keep the lists' objects shared.

        ValueError when out of order.
        """
        placed: list[tuple[tuple[str, str, str, str], Key]] = []
        for resource, listed in objects.items():
            for at, stored in enumerate(listed):  # in place: what was listed goes one by one, not all at once
                listed[at] = self._share(stored)
            self._objects[resource] = SortedMap.from_sorted((_place(each.envelope.key), each) for each in listed)
            for stored in listed:
                envelope = stored.envelope
                self.size_bytes += object_bytes(stored.body)
                if envelope.node:
                    placed.append((_under(envelope.node, envelope.key), envelope.key))
        self._placed = SortedMap.from_sorted(_sorted_in_runs(placed))
        self._claims = SortedMap.from_sorted(((space, value), owner) for space, value, owner in claims)
        self._ledgers = SortedMap.from_sorted(((name,), amounts) for name, amounts in ledgers)

    def _apply_transaction(self, data: bytes, changes: list[Change], actors: list[str]) -> tuple[bytes, Result]:
        self.transaction_count += 1
        try:
            transaction = decode_transaction(data)
        except Malformed as error:
            actors.append("")
            return b"", Refused("Malformed", -1, f"not a transaction: {error}"[:MESSAGE_CHARACTERS])
        actors.append(transaction.actor)
        if len(transaction.id) != ID_BYTES:
            return b"", Refused("Malformed", -1, f"a transaction id of {len(transaction.id)} bytes, not {ID_BYTES}")
        first = self.result_of(transaction.id)
        if first is not None:
            return transaction.id, first
        if 0 < transaction.since < self.remembered_revision:
            return transaction.id, Refused("Late", -1, _LATE)
        result = self._evaluate(transaction, len(data), changes)
        self._remember(transaction.id, result)
        return transaction.id, result

    def _evaluate(self, transaction: Transaction, size_bytes: int, changes: list[Change]) -> Result:
        if size_bytes > TRANSACTION_LIMIT_BYTES or len(transaction.ops) > TRANSACTION_LIMIT_OPS:
            return Refused("TooLarge", -1, "the transaction is over its limits")
        draft = Draft(self)
        refused = draft.run(transaction)
        if refused is not None:
            return refused
        self._accept(draft)
        changes.extend(draft.changes)
        return Committed(draft.revision - len(draft.changes) + 1, draft.revision)

    def _accept(self, draft: Draft) -> None:
        for key, stored in draft.objects.items():
            self._store(key, stored)
        for held, owner in draft.claims.items():
            if owner is None:
                self._claims.remove(held)
            else:
                self._claims.set(held, owner)
        for name, amounts in draft.ledgers.items():
            if amounts:
                self._ledgers.set((name,), amounts)
            else:
                self._ledgers.remove((name,))
        for name, value in draft.settings.items():
            if value:
                self.settings[name] = value
            else:
                self.settings.pop(name, None)
        if draft.attestations:
            self.attestations = {**self.attestations, **draft.attestations}  # a new dict, so that a look tells a change
        if draft.incarnation != self.incarnation:
            self.incarnation = draft.incarnation
            self.oldest_revision = draft.revision - len(draft.changes)
        self.revision = draft.revision
        self.epoch, self.epoch_holder = draft.epoch, draft.epoch_holder
        self.level = draft.level
        self.size_bytes += draft.growth_bytes

    def _store(self, key: Key, stored: Stored | None) -> None:
        objects = self._objects.get(key.resource)
        if objects is None:
            objects = self._objects[key.resource] = SortedMap()
        old = objects.get((key.namespace, key.name))
        if stored is None:
            objects.remove((key.namespace, key.name))
        else:
            stored = self._share(stored)
            objects.set(_place(stored.envelope.key), stored)
        self._index(key, old.envelope if old else None, stored.envelope if stored else None)

    def _index(self, key: Key, old: Envelope | None, new: Envelope | None) -> None:
        old_node = old.node if old else ""
        new_node = new.node if new else ""
        if old_node != new_node:
            if old_node:
                self._placed.remove(_under(old_node, key))
            if new_node:
                self._placed.set(_under(new_node, key), key)

    def _share(self, stored: Stored) -> Stored:
        return Stored(self._sharing.envelope(stored.envelope), stored.body, stored.revision, stored.created_revision)

    def _remember(self, transaction_id: bytes, result: Result) -> None:
        """Remember, and begin a new generation after enough: with a new revision, so that `since` tells both apart."""
        self.recent[transaction_id] = result
        count = len(self.recent)
        if count < REMEMBERED_TRANSACTIONS:
            return
        old_enough = self.time_ms - self.recent_time_ms >= REMEMBERED_MILLISECONDS
        if count >= REMEMBERED_AT_MOST or (old_enough and isinstance(result, Committed) and result.changed):
            self.recent_before, self.recent = self.recent, {}
            self.remembered_revision, self.recent_revision = self.recent_revision, self.revision
            self.recent_time_ms = self.time_ms


def _facts(result: Result) -> tuple[int, int] | tuple[str, int]:
    """What of a result must be equal everywhere; messages may be worded differently by versions."""
    if isinstance(result, Committed):
        return result.first_revision, result.last_revision
    return result.reason, result.op_index


def _place(key: Key) -> tuple[str, str]:
    return key.namespace, key.name


def _under(prefix: str, key: Key) -> tuple[str, str, str, str]:
    return prefix, key.resource, key.namespace, key.name


def _sorted_in_runs(
    items: list[tuple[tuple[str, str, str, str], Key]],
) -> Iterator[tuple[tuple[str, str, str, str], Key]]:
    """Sort in runs and merge them: sorting 100,000 items in one call would hold the interpreter for 50 ms."""
    return heapq.merge(*(sorted(items[start : start + _RUN_ITEMS]) for start in range(0, len(items), _RUN_ITEMS)))


def _next(text: str) -> str:
    """The first string after `text` in order."""
    return text + "\0"
