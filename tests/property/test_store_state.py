"""Apply is deterministic and total, and does what a plain model of the operations does."""

from __future__ import annotations

import copy
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.commands import (
    AMOUNT_LIMIT,
    ID_BYTES,
    Add,
    Attest,
    Check,
    Claim,
    Committed,
    Delete,
    Envelope,
    Key,
    Put,
    RaiseLevel,
    Refused,
    Release,
    Set,
    SetEpoch,
    StartIncarnation,
    StartIncarnationAt,
    Transaction,
    encode_entry,
    encode_transaction,
)
from controlplane.raft.protocol import Entry
from controlplane.store import snapshot
from controlplane.store.draft import CLOCK_LIMIT, CLOCK_MARGIN, INCARNATION_REVISIONS
from controlplane.store.state import State

pytestmark = pytest.mark.slow

KEYS = st.builds(
    Key, st.sampled_from(["pods", "services"]), st.sampled_from(["", "a", "b"]), st.sampled_from(["x", "y", "z"])
)
UIDS = st.sampled_from(["u1", "u2"])
NAMES = st.sampled_from(["n1", "n2"])
ENVELOPES = st.builds(
    Envelope,
    KEYS,
    UIDS,
    st.dictionaries(st.sampled_from(["app", "tier"]), NAMES, max_size=2),
    st.lists(UIDS, max_size=2).map(tuple),
    st.lists(NAMES, max_size=1).map(tuple),
    st.sampled_from(["", "n1", "n2"]),
    st.sampled_from(["", "2025-01-15T08:30:00Z"]),
)
AMOUNTS = st.dictionaries(
    st.sampled_from(["cpu", "memory"]), st.integers(-4, 6) | st.sampled_from([AMOUNT_LIMIT, -AMOUNT_LIMIT]), max_size=2
)
LIMITS = st.dictionaries(st.sampled_from(["cpu", "memory"]), st.integers(0, 10), max_size=2)
CLOCKS = st.one_of(
    st.integers(-1, CLOCK_MARGIN + 3),
    st.integers(INCARNATION_REVISIONS, INCARNATION_REVISIONS + CLOCK_MARGIN + 3),
    st.integers(CLOCK_LIMIT - CLOCK_MARGIN - 3, CLOCK_LIMIT + 1),
    st.sampled_from([1_764_000_000_000_000, AMOUNT_LIMIT, (1 << 64) - 1, -(1 << 63)]),
)
OPS = st.one_of(
    st.builds(Check, KEYS, st.sampled_from(["", "u1", "u2"]), st.integers(0, 5), st.booleans()),
    st.builds(Put, ENVELOPES, st.binary(max_size=8)),
    st.builds(Put, ENVELOPES, st.binary(max_size=8)),
    st.builds(Delete, KEYS),
    st.builds(Claim, NAMES, NAMES, UIDS),
    st.builds(Release, NAMES, NAMES, st.sampled_from(["", "u1"])),
    st.builds(Add, NAMES, AMOUNTS, LIMITS),
    st.builds(Set, NAMES, st.binary(max_size=3)),
    st.builds(Set, st.just("state-quota-bytes"), st.sampled_from([b"", b"3000", b"x", b"-1"])),
    st.builds(SetEpoch, NAMES),
    st.builds(RaiseLevel, st.integers(-1, 3)),
    st.builds(StartIncarnation),
    st.builds(StartIncarnationAt, CLOCKS),
    st.builds(Attest, NAMES, st.integers(0, 5), st.binary(max_size=2)),
)
IDS = st.integers(0, 40).map(lambda number: number.to_bytes(ID_BYTES, "big"))
TRANSACTIONS = st.builds(
    Transaction, IDS, st.lists(OPS, min_size=1, max_size=4).map(tuple), st.sampled_from([0, 0, 0, 1])
).map(encode_transaction)
GARBAGE = st.binary(max_size=30).map(lambda data: b"\x01" + data) | st.just(b"") | st.just(b"\x00")


@st.composite
def damaged(draw):
    data = bytearray(draw(TRANSACTIONS))
    data[draw(st.integers(1, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


ENTRIES = st.lists(
    st.builds(encode_entry, st.lists(TRANSACTIONS | TRANSACTIONS | GARBAGE | damaged(), max_size=4), st.integers(-1, 9))
    | GARBAGE,
    max_size=12,
)


def log_of(entries):
    return [Entry(index, 1 + index // 5, data) for index, data in enumerate(entries, 1)]


def contents(state):
    """Everything a state holds, in plain values."""
    resources = state.resources()
    return (
        state.digest,
        (state.applied_index, state.applied_term, state.revision, state.time_ms, state.epoch, state.epoch_holder),
        (state.level, state.incarnation, state.oldest_revision, state.size_bytes, state.transaction_count),
        {resource: list(state.scan(resource)) for resource in resources},
        {node: list(state.by_node(node)) for node in ("n1", "n2")},
        list(state.all_claims()),
        [(name, dict(amounts)) for name, amounts in state.all_ledgers()],
        dict(state.settings),
        dict(state.attestations),
        {**state.recent_before, **state.recent},
    )


@given(ENTRIES)
@settings(max_examples=300)
def test_two_replicas_agree_on_any_log_and_never_raise(entries):
    one, two = State(), State()
    for entry in log_of(entries):
        first, second = one.apply(entry), two.apply(entry)
        assert first == second
    assert contents(one) == contents(two)


@given(ENTRIES, st.integers(0, 12))
@settings(max_examples=150)
def test_a_restored_snapshot_goes_on_like_the_state_it_was_taken_from(entries, cut):
    log = log_of(entries)
    whole, half = State(), State()
    for entry in log[:cut]:
        half.apply(entry)
    with tempfile.TemporaryDirectory() as folder:
        restored = snapshot.load(snapshot.write(half.clone(), Path(folder)).path)
    for entry in log[cut:]:
        restored.apply(entry)
    for entry in log:
        whole.apply(entry)
    assert contents(restored) == contents(whole)


@given(ENTRIES, st.integers(0, 12))
@settings(max_examples=150)
def test_a_clone_does_not_change_with_its_origin_nor_the_other_way_round(entries, cut):
    log = log_of(entries)
    state = State()
    for entry in log[:cut]:
        state.apply(entry)
    before = copy.deepcopy(contents(state))
    clone = state.clone()
    for entry in log[cut:]:
        state.apply(entry)
    assert contents(clone) == before
    after = copy.deepcopy(contents(state))
    for entry in log[cut:]:
        clone.apply(entry)
    assert contents(clone) == after
    assert contents(state) == after


@dataclass
class Model:
    """What the operations mean, written the simple way: work on a copy, throw it away when refused."""

    objects: dict = field(default_factory=dict)  # key: (envelope, body, revision, created)
    claims: dict = field(default_factory=dict)
    ledgers: dict = field(default_factory=dict)
    revision: int = 0

    def run(self, op):
        return self.run_on_object(op) if isinstance(op, Check | Put | Delete) else self.run_on_holding(op)

    def run_on_object(self, op):
        match op:
            case Check(key, uid, revision, absent):
                held = self.objects.get(key)
                if absent:
                    return "Exists" if held else ""
                if held is None:
                    return "NotFound"
                return "Conflict" if uid not in {"", held[0].uid} or revision not in {0, held[2]} else ""
            case Put(envelope, body):
                held = self.objects.get(envelope.key)
                if held and held[0].uid != envelope.uid:
                    return "Conflict"
                self.revision += 1
                self.objects[envelope.key] = (envelope, body, self.revision, held[3] if held else self.revision)
            case Delete(key):
                if self.objects.pop(key, None) is None:
                    return "NotFound"
                self.revision += 1
        return ""

    def run_on_holding(self, op):
        match op:
            case Claim(space, value, owner):
                if self.claims.setdefault((space, value), owner) != owner:
                    return "Claimed"
            case Release(space, value, owner):
                if owner in {"", self.claims.get((space, value))}:
                    self.claims.pop((space, value), None)
            case Add(ledger, deltas, limits):
                amounts = self.ledgers.setdefault(ledger, {})
                for name, delta in deltas.items():
                    amounts[name] = amounts.get(name, 0) + delta
                    if delta > 0 and amounts[name] > min(limits.get(name, AMOUNT_LIMIT), AMOUNT_LIMIT):
                        return "Limit"
                    if amounts[name] < 0:
                        return "Underflow"
        return ""


MODELLED = st.one_of(
    st.builds(Check, KEYS, st.sampled_from(["", "u1", "u2"]), st.integers(0, 5), st.booleans()),
    st.builds(Put, ENVELOPES, st.binary(max_size=8)),
    st.builds(Delete, KEYS),
    st.builds(Claim, NAMES, NAMES, UIDS),
    st.builds(Release, NAMES, NAMES, st.sampled_from(["", "u1"])),
    st.builds(Add, NAMES, AMOUNTS, LIMITS),
)


@given(st.lists(st.lists(MODELLED, min_size=1, max_size=4), max_size=20))
@settings(max_examples=300)
def test_transactions_are_all_or_nothing_and_mean_what_the_model_says(transactions):
    state, model = State(), Model()
    for number, ops in enumerate(transactions, 1):
        data = encode_transaction(Transaction(number.to_bytes(ID_BYTES, "big"), tuple(ops)))
        applied = state.apply(Entry(number, 1, encode_entry([data], number)))
        attempt = copy.deepcopy(model)
        reasons = [(index, reason) for index, op in enumerate(ops) if (reason := attempt.run(op))]
        [(_, result)] = applied.results
        if reasons:
            assert isinstance(result, Refused)
            assert (result.op_index, result.reason) == reasons[0]
            assert applied.changes == []
        else:
            assert result == Committed(model.revision + 1, attempt.revision)
            assert [each.revision for each in applied.changes] == list(range(model.revision + 1, attempt.revision + 1))
            model = attempt
        check_against(state, model)


def check_against(state, model):
    for resource in ("pods", "services"):
        expected = sorted(
            (key.namespace, key.name, *held) for key, held in model.objects.items() if key.resource == resource
        )
        found = [
            (
                each.envelope.key.namespace,
                each.envelope.key.name,
                each.envelope,
                each.body,
                each.revision,
                each.created_revision,
            )
            for each in state.scan(resource)
        ]
        assert found == expected
    assert dict(state.all_claims()) == model.claims
    ledgers = {name: {k: v for k, v in amounts.items() if v} for name, amounts in model.ledgers.items()}
    assert {name: dict(amounts) for name, amounts in state.all_ledgers()} == {k: v for k, v in ledgers.items() if v}
    for node in ("n1", "n2"):
        assert list(state.by_node(node)) == sorted(k for k, held in model.objects.items() if held[0].node == node)


@given(
    st.lists(
        st.builds(StartIncarnationAt, CLOCKS) | st.builds(StartIncarnation) | st.builds(RaiseLevel, st.integers(2, 4))
    )
)
@settings(max_examples=200, deadline=None)
def test_an_incarnation_begins_at_a_clock_that_can_be_right_and_past_all_revisions_before_it_in_any_case(ops):
    state = State()
    for index, op in enumerate(ops, 1):
        before, incarnation = state.revision, state.incarnation
        data = encode_transaction(Transaction(index.to_bytes(ID_BYTES, "big"), (op,)))
        state.apply(Entry(index, 1, encode_entry([data], 0)))
        jumped = before + INCARNATION_REVISIONS
        match op:
            case StartIncarnationAt(clock):
                right = before + CLOCK_MARGIN < clock < CLOCK_LIMIT
                assert state.revision == state.oldest_revision == (clock if right else jumped)
            case StartIncarnation():
                assert state.revision == state.oldest_revision == jumped
            case _:
                assert state.revision == before
        assert state.incarnation == incarnation + (not isinstance(op, RaiseLevel))
        assert state.revision < 1 << 53


@given(st.lists(st.builds(Add, st.just("node"), AMOUNTS, st.just({"cpu": 5, "memory": 7})), max_size=30))
@settings(max_examples=200)
def test_a_ledger_is_never_over_its_limits_nor_below_zero(adds):
    state = State()
    for index, op in enumerate(adds, 1):
        data = encode_transaction(Transaction(index.to_bytes(ID_BYTES, "big"), (op,)))
        state.apply(Entry(index, 1, encode_entry([data], 0)))
        amounts = state.ledger("node")
        assert 0 <= amounts.get("cpu", 0) <= 5
        assert 0 <= amounts.get("memory", 0) <= 7
        assert 0 not in amounts.values()


@given(
    st.lists(st.builds(Put, ENVELOPES, st.binary(max_size=8)), max_size=30),
    st.sampled_from(["", "a", "b"]),
    st.integers(1, 4),
)
@settings(max_examples=200)
def test_pages_together_are_the_whole_list(puts, namespace, limit):
    state = State()
    for index, op in enumerate(puts, 1):
        data = encode_transaction(Transaction(index.to_bytes(ID_BYTES, "big"), (op,)))
        state.apply(Entry(index, 1, encode_entry([data], 0)))
    pages, after = [], None
    while page := state.scan("pods", namespace, after, limit):
        assert len(page) <= limit
        pages.extend(page)
        after = page[-1].envelope.key.namespace, page[-1].envelope.key.name
    whole = [each for each in state.scan("pods") if namespace in {"", each.envelope.key.namespace}]
    assert pages == whole == list(state.scan("pods", namespace))
