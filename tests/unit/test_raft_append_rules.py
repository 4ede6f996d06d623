import pytest

from controlplane.raft.append_rules import Accept, ConflictBelowCommit, Extend, LogView, Reject, decide


def view(terms, *, first=1, commit=1):
    """A log whose entries from index `first` on have these terms."""
    return LogView(first, first + len(terms) - 1, commit, lambda index: terms[index - first])


def test_entries_after_the_end_extend_the_log():
    assert decide(view([1, 1]), 2, 1, [1, 1]) == Extend(2, 1, 0)


def test_a_matching_prefix_is_skipped():
    assert decide(view([1, 1, 1]), 1, 1, [1, 1, 2]) == Extend(3, 1, 2)


def test_an_old_append_never_truncates_a_matching_suffix():
    """ADR 1, hole 1."""
    assert decide(view([1, 1, 1, 1]), 1, 1, [1]) == Accept(2)


def test_a_heartbeat_acknowledges_only_what_it_compared():
    assert decide(view([1, 1, 1, 1]), 2, 1, []) == Accept(2)


def test_a_conflicting_suffix_is_replaced():
    assert decide(view([1, 1, 2, 2]), 2, 1, [3]) == Extend(2, 1, 0)


def test_a_gap_asks_for_what_follows_the_end():
    assert decide(view([1, 1]), 5, 1, [1]) == Reject(3)


def test_a_conflict_skips_its_whole_term():
    """ADR 1, hole 18; Raft paper, section 5.3."""
    assert decide(view([1, 2, 2, 2, 2]), 5, 3, []) == Reject(2)


def test_a_conflict_does_not_go_back_below_the_commit_index():
    assert decide(view([1, 2, 2, 2, 2], commit=3), 5, 3, []) == Reject(4)


def test_entries_that_the_base_covers_are_accepted():
    assert decide(view([1, 1], first=10, commit=11), 5, 1, [1, 1]) == Accept(7)


def test_entries_across_the_base_are_compared_from_there():
    assert decide(view([1, 1], first=10, commit=11), 8, 1, [1, 1, 1, 2]) == Extend(11, 1, 3)


@pytest.mark.parametrize(("prev", "prev_term", "terms"), [(3, 9, []), (2, 1, [9])])
def test_contradicting_a_committed_entry_stops_the_replica(prev, prev_term, terms):
    with pytest.raises(ConflictBelowCommit):
        decide(view([1, 1, 1], commit=3), prev, prev_term, terms)
