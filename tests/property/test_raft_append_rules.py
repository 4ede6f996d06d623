"""Whatever order appends of one leader arrive in, the follower's log becomes a prefix of the leader's and stays it."""

from hypothesis import given
from hypothesis import strategies as st

from controlplane.raft.append_rules import Accept, Extend, LogView, Reject, decide

TERMS = st.lists(st.integers(1, 4), min_size=0, max_size=8).map(sorted)


def view(terms, commit):
    return LogView(1, len(terms), commit, lambda index: terms[index - 1])


def logs(common, mine, leaders):
    """Two logs with a common start, as elections can leave them: no term of one's rest occurs in the other's."""
    base, top = max([0, *common]), max([0, *mine])
    return [0, *common, *[base + top + term for term in leaders]], [0, *common, *[base + term for term in mine]]


def apply(log, prev, terms, decision):
    match decision:
        case Extend(prev_index, prev_term, skip):
            assert log[prev_index - 1] == prev_term
            return log[:prev_index] + terms[skip:]
        case _:
            return log


@given(
    common=TERMS,
    mine=TERMS,
    leaders=TERMS,
    cuts=st.lists(st.tuples(st.integers(1, 20), st.integers(0, 6)), max_size=12),
)
def test_acknowledged_entries_match_the_leader_and_never_go_away(common, mine, leaders, cuts):
    leader, follower = logs(common, mine, leaders)
    commit = 1
    acknowledged = 1
    for prev, count in cuts:
        if prev > len(leader):
            continue
        terms = leader[prev : prev + count]
        decision = decide(view(follower, commit), prev, leader[prev - 1], terms)
        follower = apply(follower, prev, terms, decision)
        match decision:
            case Accept(matched):
                acknowledged = max(acknowledged, matched)
                assert matched == prev + len(terms)
            case Extend():
                acknowledged = max(acknowledged, prev + len(terms))
            case Reject(next_index):
                assert 1 < next_index <= prev
        assert follower[:acknowledged] == leader[:acknowledged]
        commit = max(commit, acknowledged)


@given(common=TERMS, mine=TERMS, leaders=TERMS)
def test_following_rejections_always_reaches_the_leaders_log(common, mine, leaders):
    leader, follower = logs(common, mine, leaders)
    next_index = len(leader) + 1
    for _ in range(20):
        prev, terms = next_index - 1, leader[next_index - 1 :]
        decision = decide(view(follower, 1), prev, leader[prev - 1], terms)
        follower = apply(follower, prev, terms, decision)
        if isinstance(decision, Reject):
            assert decision.next_index < next_index
            next_index = decision.next_index
        else:
            break
    assert follower[: len(leader)] == leader
