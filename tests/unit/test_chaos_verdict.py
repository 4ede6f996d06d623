"""The judge of a chaos run: a clean history passes, and each kind of broken promise is found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from api.object import Object, canonical
from component.client import ObjectList
from tests.chaos.verdict import complaints, judge
from tests.chaos.watchers import Sightings
from tests.chaos.workload import Recording
from tests.simulation.checks.record import ADDED, DELETED, MODIFIED, Asked, Seen, Watched

NAME = "chaos/a"
START = 10


def asked(verb, begin, token="", **fields) -> Asked:
    settings = {"uid": "u1", "return_time": begin + 0.5, "outcome": "ok"} | fields
    return Asked("c1", verb, NAME, begin, token=token, **settings)


@pytest.fixture
def history() -> list[Asked]:
    """Created at 12, updated at 13, read, deleted at 15; 11 and 14 are somebody else's."""
    return [
        asked("create", 1.0, "t1", revision=12),
        asked("update", 2.0, "t2", revision=13, precondition=12),
        asked("get", 3.0, revision=13, seen="t2"),
        asked("list", 4.0, revision=14, seen={NAME: (13, "t2")}),
        asked("delete", 5.0),
    ]


CHANGES = (Seen(12, ADDED, NAME, "t1"), Seen(13, MODIFIED, NAME, "t2"), Seen(15, DELETED, NAME, "t2"))


def problems(history, changes=CHANGES, watched=None, final=()) -> list[str]:
    sightings = Sightings()
    for change in changes:
        sightings.add("w", change, "u1")
    rows = sightings.rows(history)
    segments = [Watched("w", "secrets", START, list(changes) if watched is None else watched, 15)]
    items = tuple(
        Object("secrets", "chaos", name, "u1", revision, canonical({"metadata": {"labels": {"token": token}}}))
        for name, revision, token in final
    )
    return judge(Recording("chaos", history), rows, segments, {"r1": ObjectList(items, 15)}, START).problems


def test_a_clean_history_passes(history):
    assert problems(history) == []


def test_an_unknown_write_may_have_happened_or_not(history):
    history[1] = replace(history[1], outcome="unknown", revision=0)
    assert problems(history) == []
    assert problems([*history, asked("update", 6.0, "t9", outcome="unknown")]) == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (CHANGES[:2], "an acknowledged write is lost"),
        ((CHANGES[0], CHANGES[2]), "an acknowledged write is lost"),
        ((*CHANGES[:2], Seen(14, MODIFIED, NAME, "t2"), CHANGES[2]), "applied twice"),
        ((*CHANGES[:2], Seen(14, MODIFIED, NAME, "t7"), CHANGES[2]), "nobody asked for the change"),
    ],
)
def test_lost_repeated_and_invented_changes_are_found(history, changes, complaint):
    assert any(complaint in problem for problem in problems(history, changes))


def test_a_write_that_was_called_undone_and_happened_is_found(history):
    history[1] = replace(history[1], outcome="unavailable")
    assert any("said not to have happened did" in problem for problem in problems(history))


def test_a_write_that_was_refused_and_happened_is_found(history):
    history[1] = replace(history[1], outcome="refused", reason="Conflict", revision=0)
    assert any("said not to have happened did" in problem for problem in problems(history))


def test_an_unknown_write_that_happened_twice_is_found(history):
    history[1] = replace(history[1], outcome="unknown", revision=0)
    twice = (*CHANGES[:2], Seen(14, MODIFIED, NAME, "t2"), CHANGES[2])
    assert any("applied twice" in problem for problem in problems(history, twice))


def test_a_precondition_that_did_not_hold_is_found(history):
    history[1] = replace(history[1], precondition=11)
    assert any("a precondition did not hold" in problem for problem in problems(history))


def test_a_refusal_without_a_reason_is_found(history):
    history.append(asked("create", 3.0, "t9", outcome="refused", reason="NotFound", revision=0))
    assert any("a refusal has no reason" in problem for problem in problems(history))


def test_a_write_that_comes_before_one_acknowledged_earlier_is_found(history):
    """Somebody was told of revision 15 before the update was even asked for, and it got 13."""
    history[4] = asked("delete", 1.6, return_time=1.9)
    assert any("ordered against real time" in problem for problem in problems(history))


def test_a_list_that_lacks_what_is_there_is_found(history):
    history[3] = replace(history[3], seen={})
    assert any("a list differs from a replay" in problem for problem in problems(history))


def test_a_traceback_and_a_replica_that_diverged_are_found_in_the_logs(tmp_path):
    log = tmp_path / "r1" / "log" / "api.log"
    log.parent.mkdir(parents=True)
    log.write_text('{"event": "replica_started"}\n{"event": "snapshot_failed", "error": "No space left on device"}\n')
    assert complaints([log]) == []
    with log.open("a") as file:
        file.write('{"event": "replica_failed", "reason": "state ..., so this one diverged: ..."}\n')
        file.write('{"event": "unexpected", "exception": "Traceback (most recent call last): ..."}\n')
    found = complaints([log])
    assert [each.split(":")[0] for each in found] == ["r1/api.log"] * 2


def test_old_reads_are_found(history):
    history[2] = replace(history[2], revision=12, seen="t1")
    assert any("a read saw what was not there" in problem for problem in problems(history))
    history[3] = replace(history[3], revision=12, seen={NAME: (12, "t1")})
    assert any("a list is of the wrong time" in problem for problem in problems(history))


@pytest.mark.parametrize(
    "events", [CHANGES[1:], (*CHANGES[:2], *CHANGES[1:]), (CHANGES[1], CHANGES[0], CHANGES[2]), CHANGES[:2]]
)
def test_watchers_that_missed_repeated_or_reordered_are_found(history, events):
    assert problems(history, watched=list(events))


def test_watchers_that_saw_different_changes_are_found():
    sightings = Sightings()
    sightings.add("w1", CHANGES[0], "u1")
    sightings.add("w2", replace(CHANGES[0], token="other"), "u1")
    assert len(sightings.problems) == 1


def test_a_replica_that_ends_differently_is_found(history):
    assert any("r1 ends with other objects" in problem for problem in problems(history, final=[("a", 13, "t2")]))


def test_a_deletion_acknowledged_twice_is_found(history):
    assert any("acknowledged twice" in problem for problem in problems([*history, asked("delete", 6.0)]))
