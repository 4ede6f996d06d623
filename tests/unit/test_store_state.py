"""Rules of the state machine, one by one."""

from __future__ import annotations

import pytest

from controlplane.commands import (
    ADDED,
    COMMAND_VERSION,
    DELETED,
    MODIFIED,
    OBJECT_LIMIT_BYTES,
    QUOTA_SETTING,
    Add,
    Change,
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
    UnknownCommandVersion,
    encode_entry,
    encode_transaction,
)
from controlplane.raft.protocol import Entry
from controlplane.store.draft import CLOCK_LIMIT, CLOCK_MARGIN, INCARNATION_REVISIONS
from controlplane.store.state import (
    REMEMBERED_AT_MOST,
    REMEMBERED_MILLISECONDS,
    REMEMBERED_TRANSACTIONS,
    State,
)

A = Key("pods", "default", "a")
B = Key("pods", "default", "b")


class Log:
    """A state and what was applied to it."""

    def __init__(self):
        self.state = State()
        self.changes = []

    def apply(self, *transactions, now_ms=0):
        applied = self.state.apply(Entry(self.state.applied_index + 1, 1, encode_entry(transactions, now_ms)))
        self.changes = list(applied.changes)
        return [result for _, result in applied.results]

    def run(self, *ops, epoch=0, transaction_id=None):
        number = self.state.applied_index.to_bytes(16, "big") if transaction_id is None else transaction_id
        [result] = self.apply(encode_transaction(Transaction(number, ops, epoch)))
        return result


@pytest.fixture
def log():
    return Log()


def pod(key=A, uid="u", body=b"{}", **fields):
    return Put(Envelope(key, uid, **fields), body)


def reason(result):
    assert isinstance(result, Refused)
    return result.reason, result.op_index


def test_a_put_creates_then_modifies_and_changes_carry_both_sides(log):
    first, second = pod(body=b"1", labels={"v": "1"}), pod(body=b"2")
    assert log.run(first) == Committed(1, 1)
    assert log.changes == [Change(1, ADDED, first.envelope, b"1")]
    assert log.run(second) == Committed(2, 2)
    assert log.changes == [Change(2, MODIFIED, second.envelope, b"2", first.envelope, b"1", 1, 1)]
    stored = log.state.get(A)
    assert (stored.revision, stored.created_revision, stored.body) == (2, 1, b"2")
    assert log.run(Delete(A)) == Committed(3, 3)
    assert log.changes == [Change(3, DELETED, second.envelope, b"2", second.envelope, b"2", 2, 1)]
    assert log.state.get(A) is None


def test_each_object_change_has_a_revision_of_its_own_in_order_of_the_operations(log):
    assert log.run(pod(A), pod(B), pod(A, body=b"2"), Delete(B)) == Committed(1, 4)
    assert [(each.revision, each.type) for each in log.changes] == [(1, ADDED), (2, ADDED), (3, MODIFIED), (4, DELETED)]
    assert log.run(Claim("s", "v", "o")) == Committed(5, 4)
    assert log.state.revision == 4


def test_a_refused_transaction_leaves_no_trace_and_names_its_operation(log):
    log.run(pod(B))
    ops = (pod(A), Claim("s", "v", "o"), Add("l", {"cpu": 1}), Set("n", b"v"), SetEpoch("r"), Check(B, absent=True))
    assert reason(log.run(*ops)) == ("Exists", 5)
    state = log.state
    assert (state.get(A), state.claimed("s", "v"), dict(state.ledger("l")), state.setting("n")) == (None, None, {}, b"")
    assert (state.epoch, state.revision, log.changes) == (0, 1, [])


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        (Check(A), None),
        (Check(A, "u", 1), None),
        (Check(A, "other"), "Conflict"),
        (Check(A, "u", 2), "Conflict"),
        (Check(A, absent=True), "Exists"),
        (Check(B), "NotFound"),
        (Check(B, absent=True), None),
    ],
)
def test_checks(log, check, expected):
    log.run(pod(A))
    result = log.run(check)
    assert result == Committed(2, 1) if expected is None else reason(result) == (expected, 0)


def test_an_object_cannot_take_over_the_key_of_another_uid(log):
    log.run(pod(A, uid="u1"))
    assert reason(log.run(pod(A, uid="u2"))) == ("Conflict", 0)
    assert log.run(Delete(A), pod(A, uid="u2")) == Committed(2, 3)
    assert log.state.get(A).created_revision == 3


def test_the_index_follows_nodes(log):
    log.run(pod(A, node=""), pod(B, uid="v", node="n1"))
    assert list(log.state.by_node("n1")) == [B]
    log.run(pod(A, node="n1"))
    assert list(log.state.by_node("n1")) == [A, B]
    log.run(Delete(B))
    assert list(log.state.by_node("n1")) == [A]
    assert list(log.state.by_node("n")) == []


def test_a_claim_has_one_holder_until_it_is_released(log):
    assert log.run(Claim("ip", "1", "a")) == log.run(Claim("ip", "1", "a")) == Committed(1, 0)
    assert reason(log.run(Claim("ip", "1", "b"))) == ("Claimed", 0)
    assert log.run(Claim("port", "1", "b")) == Committed(1, 0)
    log.run(Release("ip", "1", owner="b"))
    assert log.state.claimed("ip", "1") == "a"
    log.run(Release("ip", "1"), Claim("ip", "1", "b"))
    assert list(log.state.claims("ip")) == [("1", "b")]
    assert log.run(Release("ip", "none")) == Committed(1, 0)


def test_a_ledger_refuses_growth_over_a_limit_and_falling_below_zero(log):
    assert log.run(Add("n1", {"cpu": 3, "pods": 1}, {"cpu": 4})) == Committed(1, 0)
    assert reason(log.run(Add("n1", {"cpu": 2}, {"cpu": 4}))) == ("Limit", 0)
    assert reason(log.run(Add("n1", {"pods": -2}))) == ("Underflow", 0)
    assert reason(log.run(Add("n1", {"cpu": 1 << 62}))) == ("Limit", 0)
    assert dict(log.state.ledger("n1")) == {"cpu": 3, "pods": 1}


def test_a_ledger_over_a_lowered_limit_may_shrink_but_not_grow(log):
    log.run(Add("n1", {"cpu": 4}))
    assert reason(log.run(Add("n1", {"cpu": 1}, {"cpu": 2}))) == ("Limit", 0)
    assert log.run(Add("n1", {"cpu": -1}, {"cpu": 2})) == Committed(1, 0)


def test_a_ledger_of_zeros_is_gone(log):
    log.run(Add("n1", {"cpu": 4, "pods": 1}))
    log.run(Add("n1", {"cpu": -4}))
    assert dict(log.state.ledger("n1")) == {"pods": 1}
    log.run(Add("n1", {"pods": -1}))
    assert list(log.state.all_ledgers()) == []


def test_only_the_epoch_of_the_state_may_act_as_the_leader(log):
    log.run(SetEpoch("r1"))
    assert (log.state.epoch, log.state.epoch_holder) == (1, "r1")
    assert log.run(pod(A), epoch=1) == Committed(1, 1)
    log.run(SetEpoch("r2"))
    assert reason(log.run(pod(B), epoch=1)) == ("Epoch", -1)
    assert reason(log.run(pod(B), epoch=3)) == ("Epoch", -1)
    assert log.run(pod(B)) == Committed(2, 2)


def test_the_level_never_falls(log):
    log.run(RaiseLevel(3))
    log.run(RaiseLevel(2))
    assert log.state.level == 3


def test_a_new_incarnation_jumps_over_every_revision_that_may_have_been_lost(log):
    log.run(pod(A))
    assert log.run(StartIncarnation(), pod(B, uid="v")) == Committed(1_000_000_002, 1_000_000_002)
    assert (log.state.incarnation, log.state.oldest_revision) == (1, 1_000_000_001)


def test_a_new_incarnation_goes_on_at_the_clock(log):
    log.run(pod(A))
    now = 1_764_000_000_000_000
    assert log.run(StartIncarnationAt(now), pod(B, uid="v")) == Committed(now + 1, now + 1)
    assert (log.state.incarnation, log.state.oldest_revision) == (1, now)


@pytest.mark.parametrize("clock", [CLOCK_MARGIN + 2, CLOCK_LIMIT - 1])
def test_a_clock_ahead_of_the_revisions_by_more_than_a_second_counts(log, clock):
    log.run(pod(A))
    log.run(StartIncarnationAt(clock))
    assert log.state.revision == clock


@pytest.mark.parametrize("clock", [CLOCK_MARGIN + 1, 1, 0, -1, CLOCK_LIMIT, 1 << 63])
def test_revisions_jump_when_the_clock_is_behind_them_or_far_in_the_future(log, clock):
    log.run(pod(A))
    log.run(StartIncarnationAt(clock))
    assert (log.state.incarnation, log.state.revision) == (1, 1 + INCARNATION_REVISIONS)


@pytest.mark.parametrize("start", [StartIncarnation(), StartIncarnationAt(1_764_000_000_000_000)])
def test_an_incarnation_starts_before_the_changes_of_its_transaction_or_not_at_all(log, start):
    assert reason(log.run(pod(A), start)) == ("Malformed", 1)
    assert (log.state.incarnation, log.state.revision) == (0, 0)


def test_the_way_in_which_incarnations_started_below_level_3_has_the_same_outcome_for_ever():
    log = Log()
    log.run(RaiseLevel(2))
    log.run(pod(A))
    log.apply(encode_transaction(Transaction(b"i" * 16, (StartIncarnation(),))), now_ms=1_764_000_000_000)
    log.run(pod(B))
    assert (log.state.revision, log.state.level) == (1_000_000_002, 2)
    assert log.state.digest.hex() == "c55a2e853b00d7519f79cb97c006c706"


def test_time_never_goes_back(log):
    log.apply(now_ms=500)
    log.apply(now_ms=400)
    assert log.state.time_ms == 500


def test_a_second_transaction_of_the_same_id_gets_the_first_result(log):
    one = bytes(16)
    assert log.run(pod(A), transaction_id=one) == Committed(1, 1)
    log.run(pod(B))
    assert log.run(pod(A), transaction_id=one) == Committed(1, 1)
    assert (log.state.revision, log.changes) == (2, [])
    refused = log.run(Check(A, absent=True), transaction_id=bytes([1] * 16))
    log.run(Delete(A))
    assert log.run(Check(A, absent=True), transaction_id=bytes([1] * 16)) == refused


@pytest.mark.slow
def test_transactions_are_remembered_by_number_and_never_more_than_two_generations(log):
    ids = [number.to_bytes(16, "big") for number in range(2 * REMEMBERED_AT_MOST + 1000)]
    for start in range(0, len(ids), 1000):
        some = ids[start : start + 1000]
        log.apply(*(encode_transaction(Transaction(each, (Release("s", "v"),))) for each in some))
        latest = ids[max(0, start + 1000 - REMEMBERED_TRANSACTIONS) : start + 1000]
        assert all(log.state.result_of(each) is not None for each in latest)
        assert len(log.state.recent) + len(log.state.recent_before) <= 2 * REMEMBERED_AT_MOST
    assert log.state.result_of(ids[0]) is None


@pytest.mark.slow
def test_transactions_are_remembered_by_time_and_what_may_be_forgotten_is_refused_as_late(log):
    def at(now_ms, start, count=REMEMBERED_TRANSACTIONS):
        ids = [number.to_bytes(16, "big") for number in range(start, start + count)]
        log.apply(*(encode_transaction(Transaction(each, (pod(body=each),))) for each in ids), now_ms=now_ms)

    def late(since):
        data = encode_transaction(Transaction(bytes([255] * 16), (pod(B),), since=since))
        [(_, result)] = log.state.clone().apply(Entry(log.state.applied_index + 1, 1, encode_entry([data], 0))).results
        return result

    at(1_000, 0)
    at(REMEMBERED_MILLISECONDS - 1, REMEMBERED_TRANSACTIONS)
    assert log.state.result_of(bytes(16)) is not None
    assert isinstance(late(since=1), Committed)
    at(REMEMBERED_MILLISECONDS, 2 * REMEMBERED_TRANSACTIONS, 1)
    first_cut = log.state.revision
    assert log.state.result_of(bytes(16)) is not None
    at(2 * REMEMBERED_MILLISECONDS, 3 * REMEMBERED_TRANSACTIONS)
    assert log.state.result_of(bytes(16)) is None
    assert reason(late(since=1)) == reason(late(since=first_cut - 1)) == ("Late", -1)
    assert isinstance(late(since=first_cut), Committed)
    assert isinstance(late(since=0), Committed)


def test_a_body_over_the_limit_is_refused(log):
    assert reason(log.run(pod(A), pod(B, body=b"x" * (OBJECT_LIMIT_BYTES + 1)))) == ("TooLarge", 1)
    assert log.run(pod(B, body=b"x" * OBJECT_LIMIT_BYTES)) == Committed(1, 1)


def test_past_the_quota_only_changes_in_the_reserve_and_deletes_pass(log):
    log.run(Set(QUOTA_SETTING, b"8000"))
    assert log.run(pod(A, body=b"x" * 6000)) == Committed(1, 1)
    assert reason(log.run(pod(B, body=b"x" * 1000))) == ("Quota", 0)
    assert log.run(pod(A, body=b"x" * 8000)) == Committed(2, 2)
    assert reason(log.run(Check(A), pod(A, body=b"x" * 9000))) == ("Quota", 1)
    assert log.run(pod(A, body=b"x" * 7900)) == Committed(3, 3)
    assert log.run(Delete(A)) == Committed(4, 4)
    assert log.state.size_bytes == 0
    assert log.run(pod(B, body=b"x" * 1000)) == Committed(5, 5)


@pytest.mark.parametrize("value", [b"x", b"-1", b"9" * 19])
def test_a_quota_that_is_no_number_is_refused(log, value):
    assert reason(log.run(Set(QUOTA_SETTING, value))) == ("Malformed", 0)


def test_a_setting_is_replaced_and_an_empty_one_is_gone(log):
    log.run(Set("a", b"1"), Set("b", b"2"))
    log.run(Set("a", b""))
    assert (log.state.setting("a"), log.state.setting("b"), log.state.settings) == (b"", b"2", {"b": b"2"})


def test_garbage_in_an_entry_gets_a_result_and_its_neighbours_are_applied(log):
    good = encode_transaction(Transaction(bytes(16), (pod(A),)))
    short = encode_transaction(Transaction(b"short", (pod(B),)))
    results = log.apply(b"\x01garbage", good, short)
    assert [reason(results[0])[0], results[1], reason(results[2])[0]] == ["Malformed", Committed(1, 1), "Malformed"]


def test_a_leaders_empty_entry_counts_as_applied(log):
    applied = log.state.apply(Entry(1, 7, b""))
    assert (applied.results, applied.changes) == ([], [])
    assert (log.state.applied_index, log.state.applied_term) == (1, 7)


def test_a_newer_command_changes_nothing_and_stops_the_replica(log):
    before = log.state.digest
    good = encode_transaction(Transaction(bytes(16), (pod(A),)))
    with pytest.raises(UnknownCommandVersion):
        log.apply(good, bytes([COMMAND_VERSION + 1]) + b"new")
    assert (log.state.get(A), log.state.applied_index, log.state.digest) == (None, 0, before)


def test_the_digest_tells_states_apart_that_applied_different_logs():
    one, two = Log(), Log()
    one.run(Claim("ip", "1", "a"))
    two.run(Claim("ip", "1", "a"))
    assert one.state.digest == two.state.digest
    one.run(pod(A), transaction_id=b"1" * 16)
    two.run(pod(A), transaction_id=b"2" * 16)
    assert one.state.digest != two.state.digest


def test_equal_labels_and_owners_are_kept_once(log):
    log.run(pod(A, labels={"app": "x"}, owners=("o" * 36,)), pod(B, labels={"app": "x"}, owners=("o" * 36,)))
    one, two = log.state.get(A).envelope, log.state.get(B).envelope
    assert one.labels is two.labels
    assert one.owners is two.owners
