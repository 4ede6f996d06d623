"""The checkers themselves: each accepts what is right and finds a violation planted in it."""

import random

import pytest

from tests.simulation.checks import history, placement, watching
from tests.simulation.checks.agreement import Agreement, Epochs
from tests.simulation.checks.placement import PodRow
from tests.simulation.checks.raft_rules import RaftRules
from tests.simulation.checks.record import ADDED, DELETED, MODIFIED, Asked, Row, Seen, Watched
from tests.simulation.checks.wing_gong import linearizable

SMALL_HISTORIES = 400


def row(revision, kind=ADDED, name="a", token="", uid="u", time=None):
    return Row(revision, kind, "configmaps", name, uid, token or f"t{revision}", revision if time is None else time)


def write(verb, begin, end, token, revision=0, outcome="ok", name="a", **more):
    return Asked("c", verb, name, begin, token, "u", return_time=end, outcome=outcome, revision=revision, **more)


def get(begin, end, revision, token, outcome="ok", name="a"):
    return Asked("c", "get", name, begin, return_time=end, outcome=outcome, revision=revision, seen=token)


def listed(begin, end, revision, seen):
    return Asked("c", "list", "", begin, return_time=end, outcome="ok", revision=revision, seen=seen)


ROWS = [row(1), row(2, MODIFIED), row(3, DELETED, token="t2"), row(4)]
HISTORY = [
    write("create", 0.5, 1.5, "t1", 1),
    write("update", 1.6, 2.5, "t2", 2, precondition=1),
    get(1.7, 2.6, 1, "t1"),
    write("delete", 2.6, 3.5, "", 3),
    get(3.6, 3.7, 0, None, "refused"),
    write("create", 3.8, 9.0, "t4", outcome="unknown"),
    listed(4.5, 5.0, 4, {"a": (4, "t4")}),
]


def check(asked, rows=ROWS):
    return history.check(asked, rows, "configmaps")


def test_a_right_history_is_accepted():
    assert check(HISTORY) == []
    assert linearizable(HISTORY)


@pytest.mark.parametrize(
    ("position", "wrong", "problem"),
    [
        (0, write("create", 0.5, 1.5, "t1", 9), "lost"),
        (0, write("create", 0.5, 1.5, "t1", outcome="refused", reason="AlreadyExists"), "said not to have happened"),
        (1, write("update", 1.6, 2.5, "t2", 2, precondition=7), "precondition"),
        (2, get(2.55, 2.6, 1, "t1"), "was not there"),
        (4, get(3.6, 3.7, 2, "t2"), "was not there"),
        (2, get(1.7, 1.9, 0, None, "refused"), "was not there"),
        (6, listed(4.5, 5.0, 3, {}), ""),
        (6, listed(4.5, 5.0, 4, {"a": (2, "t2")}), "differs"),
    ],
)
def test_a_planted_violation_is_found_by_both_checkers(position, wrong, problem):
    planted = [*HISTORY[:position], wrong, *HISTORY[position + 1 :]]
    if problem:
        assert any(problem in each for each in check(planted))
        assert not linearizable(planted) or problem in {"lost", "said not to have happened"}
    else:  # nobody had been told of revision 4 yet: an older list is as good
        assert check(planted) == []
        assert linearizable(planted)


def test_an_unknown_write_is_applied_at_most_once():
    twice = [*ROWS, row(5, MODIFIED, token="t4")]
    assert any("applied twice" in each for each in check(HISTORY, twice))


def test_an_apply_makes_an_object_or_changes_it():
    applied = [write("apply", 0.5, 1.5, "t1", 1), write("apply", 1.6, 2.5, "t2", 2), *HISTORY[3:]]
    assert check(applied) == []
    assert linearizable(applied)


@pytest.mark.parametrize(
    ("at", "revision", "token", "reason", "right"),
    [
        (1, 1, "t1", "", True),
        (2, 2, "t2", "", True),
        (3, 0, None, "NotFound", True),
        (2, 0, None, "Expired", True),
        (2, 1, "t1", "", False),
        (2, 0, None, "NotFound", False),
        (3, 2, "t2", "", False),
    ],
)
def test_a_read_of_the_past_equals_the_replay_at_its_revision_or_is_refused(at, revision, token, reason, right):
    past = Asked("c", "past", "a", 9.1, precondition=at, return_time=9.2, revision=revision, seen=token, reason=reason)
    past.outcome = "refused" if reason else "ok"
    problems = check([*HISTORY, past])
    assert (problems == []) is right
    assert all("the past was otherwise" in each for each in problems)


def test_a_read_inside_a_transaction_is_one_of_its_end():
    past = Asked("c", "past", "a", 9.1, precondition=1, return_time=9.2, revision=2, seen="t2", outcome="ok")
    assert check([*HISTORY, past]) != []
    assert history.check([*HISTORY, past], ROWS, "configmaps", pairs=[("t1", "t2")]) == []


def test_half_a_transaction_and_one_that_others_came_between_are_found():
    rows = [row(1, token="a"), row(2, token="b"), row(3, token="c"), row(4, token="x"), row(5, token="d")]
    assert history.check_together([("a", "b"), ("e", "f")], rows) == []
    assert [each.split(": ")[1] for each in history.check_together([("c", "d"), ("x", "y"), ("y", "x")], rows)] == [
        "c at 3, d at 5",
        "x at 4, y at None",
        "y at None, x at 4",
    ]


def test_a_change_that_nobody_asked_for_is_found():
    assert any("nobody asked" in each for each in check(HISTORY, [*ROWS, row(5, MODIFIED, token="x")]))
    assert any("nobody asked for the deletion" in each for each in check(HISTORY[:3], ROWS[:3]))


def test_a_write_may_not_come_before_one_that_had_been_acknowledged():
    rows = [row(1, name="a"), row(2, name="b")]
    asked = [write("create", 1, 2, "t2", 2, name="b"), write("create", 3, 4, "t1", 1, name="a")]
    assert any("against real time" in each for each in check(asked, rows))
    assert not linearizable(asked)


def test_a_gap_in_the_revisions_is_found():
    assert check([], [row(1), row(3)]) == ["revision 1 is followed by 3"]


def _small(rng):
    """A random right history of few requests, with their rows: asked one after the other, told at other times."""
    revision, objects, rows, asked = 0, {}, [], []
    for number in range(rng.randrange(3, 8)):
        time = float(number + 1)
        begin, end = time - rng.random() * 2, time + rng.random() * 2
        name = rng.choice("ab")
        stored = objects.get(name)
        verb = rng.choice(("create", "update", "apply", "delete", "get", "get", "list"))
        each = Asked("c", verb, name if verb != "list" else "", begin, f"t{number}", return_time=end, outcome="ok")
        if verb == "list":
            each.token, each.revision, each.seen = "", revision, dict(objects)
        elif verb != "apply" and (verb == "create") == (stored is not None):
            each.outcome, each.reason = "refused", "AlreadyExists" if verb == "create" else "NotFound"
        elif verb == "get":
            each.token, (each.revision, each.seen) = "", stored
        else:
            revision += 1
            each.revision = revision
            kind = DELETED if verb == "delete" else ADDED if stored is None else MODIFIED
            rows.append(row(revision, kind, name, each.token if verb != "delete" else stored[1], uid="", time=time))
            objects = {k: v for k, v in objects.items() if k != name}
            if verb == "delete":
                each.token = ""
            else:
                objects[name] = (revision, each.token)
            if rng.random() < 0.2:
                each.outcome, each.revision, each.return_time = "unknown", 0, float("inf")
        asked.append(each)
    return asked, rows


def _spoil(rng, asked):
    """Change one answer, or when it was given."""
    each = rng.choice(asked)
    draw = rng.random()
    if draw < 0.4:
        each.invoke_time, each.return_time = each.invoke_time + 3, each.return_time + 3
    elif draw < 0.7 and each.outcome == "ok" and each.verb == "get":
        each.revision, each.seen = max(1, each.revision - 1), "t0"
    elif each.outcome == "ok":
        each.outcome, each.reason = "refused", "NotFound"


def test_what_the_checker_accepts_has_an_order_and_what_has_none_it_refuses():
    rng = random.Random(11)
    spoiled = 0
    for _ in range(SMALL_HISTORIES):
        asked, rows = _small(rng)
        assert history.check(asked, rows, "configmaps") == []
        assert linearizable(asked)
        _spoil(rng, asked)
        problems = history.check(asked, rows, "configmaps")
        assert problems or linearizable(asked), (asked, rows)
        spoiled += bool(problems)
    assert spoiled > SMALL_HISTORIES / 10


def test_a_watcher_that_saw_everything_once_is_accepted():
    events = [Seen(each.revision, each.type, each.name, each.token) for each in ROWS[1:]]
    assert watching.check([Watched("w", "configmaps", 1, events, 4)], ROWS) == []


@pytest.mark.parametrize("order", [[1, 3], [1, 2, 2, 3], [2, 1, 3], [1, 2]], ids=["lost", "doubled", "order", "end"])
def test_a_watcher_that_lost_doubled_or_reordered_an_event_is_found(order):
    events = [Seen(ROWS[n].revision, ROWS[n].type, ROWS[n].name, ROWS[n].token) for n in order]
    assert watching.check([Watched("w", "configmaps", 1, events, 4)], ROWS) != []


def test_replicas_that_disagree_are_found():
    agreement = Agreement()
    agreement.delivered("r1", 1, 1, b"x")
    agreement.state("r1", 1, b"digest", 1)
    agreement.changed("r1", 1, "change")
    agreement.elected("r1", 1, {1: (1, b"x")}, 1)
    agreement.delivered("r2", 1, 1, b"x")
    agreement.state("r2", 1, b"digest", 1)
    agreement.changed("r2", 1, "change")
    assert agreement.problems == []
    agreement.delivered("r2", 1, 2, b"x")
    agreement.state("r2", 1, b"other", 1)
    agreement.changed("r2", 1, "other change")
    agreement.elected("r2", 1, {}, 1)
    agreement.committed(1, 1)
    agreement.elected("r2", 2, {}, 1)
    assert [problem.split(" ")[0] for problem in agreement.problems] == ["r2", "r2", "r2", "r2", "r2"]


def test_who_learns_late_that_it_won_need_not_have_what_was_committed_in_a_higher_term():
    agreement = Agreement()
    agreement.elected("r1", 6, {}, 1)
    agreement.committed(2, 6)
    agreement.elected("r2", 5, {}, 1)
    assert agreement.problems == []
    agreement.elected("r3", 7, {1: (6, b"x")}, 1)
    assert agreement.problems == ["r3 leads in term 7 without entry 2, committed in 6"]


def test_a_revision_that_comes_again_after_a_restore_is_found():
    agreement = Agreement()
    for revision in (1, 2, 3):
        agreement.changed("r1", revision, f"change {revision}")
    agreement.restored(1, 2)
    agreement.changed("r1", 2, "change 2")
    agreement.changed("r1", 1_000_000_003, "another")
    assert agreement.problems == []
    agreement.changed("r1", 3, "another")
    assert agreement.problems == ["r1 uses revision 3 again after a restore"]


def test_revisions_may_jump_where_a_cluster_was_restored_and_nowhere_else():
    rows = [row(1), row(1_000_000_002, MODIFIED)]
    asked = [
        write("create", 0.5, 1.5, "t1", 1),
        listed(1.6, 1.7, 1_000_000_001, {"a": (1, "t1")}),
        write("update", 1.8, 1e10, "t1000000002", 1_000_000_002),
    ]
    assert history.check(asked, rows, "configmaps", jump=(1, 1_000_000_001)) == []
    assert history.check(asked, rows, "configmaps", jump=(1, 1_000_000_000)) != []
    assert history.check(asked, rows, "configmaps") != []


def test_raft_steps_by_the_paper_are_accepted():
    rules = RaftRules()
    rules.synced("r2", 3, "r1")
    rules.restarted("r2", 3, "r1")
    rules.elected("r1", 3, 3)
    rules.committed("r1", 3, 7, 3, ["r1", "r2"], 3)
    assert rules.problems == []


@pytest.mark.parametrize(
    ("step", "arguments", "problem"),
    [
        ("synced", ("r2", 3, "r3"), "voted twice"),
        ("restarted", ("r2", 3, None), "forgot its vote"),
        ("restarted", ("r2", 2, None), "it had been in 3"),
        ("elected", ("r3", 3, 3), "with 1 votes of 3"),
        ("committed", ("r1", 3, 7, 2, ["r1", "r2"], 3), "directly"),
        ("committed", ("r1", 3, 7, 3, ["r1"], 3), "hold"),
    ],
)
def test_a_raft_step_against_the_paper_is_found(step, arguments, problem):
    rules = RaftRules()
    rules.synced("r2", 3, "r1")
    getattr(rules, step)(*arguments)
    assert len(rules.problems) == 1
    assert problem in rules.problems[0]


def test_a_command_of_an_old_epoch_is_found():
    epochs = Epochs()
    epochs.applied(1, 0, sets_epoch=True, committed=True)
    epochs.applied(2, 1, sets_epoch=False, committed=True)
    epochs.applied(3, 0, sets_epoch=True, committed=True)
    epochs.applied(4, 1, sets_epoch=False, committed=False)
    assert epochs.problems == []
    assert epochs.refused == 1
    epochs.applied(5, 1, sets_epoch=False, committed=True)
    assert epochs.problems == ["entry 5 committed a command of epoch 1, but 2 leads"]


def _pod(revision, uid, node="n1", kind=MODIFIED, *, ended=False):
    return PodRow(revision, kind, uid, uid, node, {"cpu": 500}, ended)


def test_pods_may_fill_a_node_and_leave_it():
    rows = [
        _pod(1, "a"),
        _pod(2, "b"),
        _pod(3, "a", ended=True),
        _pod(4, "c"),
        _pod(5, "b", kind=DELETED),
        _pod(6, "d"),
    ]
    assert placement.check(rows, {"n1": {"cpu": 1000}}) == []


def test_a_pod_bound_twice_and_a_node_over_committed_are_found():
    twice = placement.check([_pod(1, "a"), _pod(2, "a", "n2")], {"n1": {"cpu": 1000}, "n2": {"cpu": 1000}})
    assert twice == ["pod a (a) was bound to n1, at 2 to 'n2'"]
    over = placement.check([_pod(1, "a"), _pod(2, "b"), _pod(3, "c")], {"n1": {"cpu": 1000}})
    assert over == ["n1 holds 1500 of cpu at 3, more than it has"]
