"""Whether a history of requests is linearizable in the order of revisions.

The rows are the order; every answer must fit it, and the order must respect real time. `wing_gong` checks this
checker on small histories, which needs no rows but tries all orders.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import pairwise

from tests.simulation.checks.record import ADDED, DELETED, Asked, Row

WRITES = {"create", "update", "patch", "apply", "delete"}
UNTOLD = {"unknown", "open"}


class Replay:
    """Objects at any revision."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._revisions: dict[str, list[int]] = defaultdict(list)
        self._rows: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            self._revisions[row.name].append(row.revision)
            self._rows[row.name].append(row)

    def names(self) -> list[str]:
        return list(self._rows)

    def at(self, name: str, revision: int) -> Row | None:
        """The row whose object is there at `revision`, None if there is none."""
        position = bisect_right(self._revisions.get(name, []), revision)
        if position == 0:
            return None
        row = self._rows[name][position - 1]
        return None if row.type == DELETED else row

    def between(self, name: str, first: int, last: int) -> list[tuple[int, Row | None]]:
        """Every state of one object from revision `first` to `last`, each with the first revision it is at."""
        revisions = self._revisions.get(name, [])
        start, stop = bisect_right(revisions, first), bisect_right(revisions, last)
        rows = self._rows.get(name, [])[start:stop]
        later = ((row.revision, None if row.type == DELETED else row) for row in rows)
        return [(first, self.at(name, first)), *later]


def check(
    asked: Sequence[Asked],
    rows: Sequence[Row],
    resource: str,
    start_revision: int = 0,
    jump: tuple[int, int] = (0, 0),
    pairs: Sequence[tuple[str, str]] = (),
) -> list[str]:
    """Return what contradicts the order of the rows; they hold every change after `start_revision`, of any resource.

    After the first revision of `jump` they go on after the second: a restore began a new incarnation there. `pairs` are the
    tokens of what was written in one transaction: a read at the first one's revision is one at the second's.
    """
    found = _check_order(rows, jump)
    if found:
        return found
    asked_about = [row for row in rows if row.resource == resource]
    replay = Replay(asked_about)
    by_revision = {row.revision: row for row in asked_about}
    second = dict(pairs)
    inside = {row.revision for row in asked_about if row.type != DELETED and row.token in second}
    found += _check_writes_once(asked, asked_about)
    ceiling = _Ceiling(rows, start_revision)
    floor = start_revision
    told: list[tuple[float, int]] = []  # when somebody was told of which revision, as a heap
    for each in sorted(asked, key=lambda each: each.invoke_time):
        while told and told[0][0] < each.invoke_time:
            floor = max(floor, heappop(told)[1])
        if each.outcome not in {"ok", "refused"}:
            continue
        last = ceiling.at(each.return_time)
        last = max(last, jump[1])  # also before the first change after it
        if each.verb == "past":
            end = each.precondition + (each.precondition in inside)
            problem, point = _check_past(each, replay.at(each.name, end)), 0
        else:
            problem, point = _check_answer(each, floor, last, by_revision, replay)
        if problem:
            found.append(f"{problem}: {each}, floor {floor}, ceiling {last}")
        heappush(told, (each.return_time, point))
    return found


def check_together(pairs: Sequence[tuple[str, str]], rows: Sequence[Row]) -> list[str]:
    """Return which transactions, each given by the tokens of its two writes in order, were not done whole."""
    made = {row.token: row.revision for row in rows if row.type != DELETED}
    return [
        f"a transaction was not done whole: {first} at {made.get(first)}, {second} at {made.get(second)}"
        for first, second in pairs
        if (first in made or second in made) and made.get(first, -1) + 1 != made.get(second)
    ]


def _check_order(rows: Sequence[Row], jump: tuple[int, int]) -> list[str]:
    old, began = jump
    for before, row in pairwise(rows):
        follows = began + 1 if before.revision <= old < row.revision else before.revision + 1
        if row.revision != follows:
            return [f"revision {before.revision} is followed by {row.revision}"]
    return []


def _check_writes_once(asked: Sequence[Asked], rows: Sequence[Row]) -> list[str]:
    """Every change has one request that may have made it; every request made at most one."""
    found: list[str] = []
    writers: dict[str, Asked] = {each.token: each for each in asked if each.token}
    deleters: dict[str, list[Asked]] = defaultdict(list)
    for each in asked:
        if each.verb == "delete":
            deleters[each.name].append(each)
    made: dict[str, int] = {}
    for row in rows:
        if row.type == DELETED:
            may = [d for d in deleters[row.name] if d.uid in {"", row.uid} and d.invoke_time <= row.time]
            if not any(d.outcome in UNTOLD or (d.outcome, d.revision) == ("ok", row.revision) for d in may):
                found.append(f"nobody asked for the deletion {row}")
            continue
        writer = writers.get(row.token)
        if writer is None or writer.invoke_time > row.time:
            found.append(f"nobody asked for the change {row}")
        elif row.token in made:
            found.append(f"a write was applied twice, at {made[row.token]} and {row.revision}: {writer}")
        elif writer.outcome in {"refused", "unavailable"}:
            found.append(f"a write that was said not to have happened did, at {row.revision}: {writer}")
        made[row.token] = row.revision
    return found


class _Ceiling:
    """The newest revision that anybody can have known at a time."""

    def __init__(self, rows: Sequence[Row], start_revision: int) -> None:
        self._times: list[float] = []
        self._revisions: list[int] = []
        self._start_revision = start_revision
        for row in sorted(rows, key=lambda row: (row.time, row.revision)):
            self._times.append(row.time)
            self._revisions.append(max(row.revision, self._revisions[-1] if self._revisions else 0))

    def at(self, time: float) -> int:
        position = bisect_right(self._times, time)
        return self._revisions[position - 1] if position else self._start_revision


def _check_answer(each: Asked, floor: int, last: int, by_revision: dict[int, Row], replay: Replay) -> tuple[str, int]:
    """Return what is wrong with an answer, "" if nothing, and the earliest revision at which it is right.

    `floor` is the newest revision that anybody had to be at who was answered before this was asked.
    """
    if each.verb in WRITES and each.outcome == "ok":
        return _check_write(each, floor, last, by_revision, replay), each.revision
    if each.verb == "list":
        return _check_list(each, floor, last, replay), each.revision
    for point, state in replay.between(each.name, floor, last):
        if _right(each, state):
            return "", point
    return ("a read saw what was not there" if each.verb == "get" else "a refusal has no reason"), floor


def _right(each: Asked, state: Row | None) -> bool:
    """Whether a get or a refused write may be answered so when the object is in this state."""
    if each.verb == "get" and each.outcome == "ok":
        return state is not None and (state.revision, state.token) == (each.revision, each.seen)
    if each.verb == "get":
        return state is None
    match each.reason:
        case "AlreadyExists":
            return state is not None
        case "NotFound":
            return state is None
        case "Conflict":
            other = state is None or state.revision != each.precondition
            another = each.uid != "" and (state is None or state.uid != each.uid)
            return not each.precondition or other or another
    return True


def _check_write(each: Asked, floor: int, last: int, by_revision: dict[int, Row], replay: Replay) -> str:
    row = by_revision.get(each.revision)
    if row is None:
        return "an acknowledged write is lost"
    if not floor < each.revision <= last:
        return "a write is ordered against real time"
    before = replay.at(each.name, each.revision - 1)
    if each.verb == "delete":
        right = row.type == DELETED and row.name == each.name and each.uid in {"", row.uid}
    else:
        made = each.verb == "create" if each.verb != "apply" else before is None
        right = row.token == each.token and row.name == each.name and (row.type == ADDED) == made
    if not right:
        return f"an acknowledged write is not what its revision says, which is {row}"
    if each.precondition and (before is None or before.revision != each.precondition):
        return f"a precondition did not hold, there was {before}"
    return ""


def _check_past(each: Asked, state: Row | None) -> str:
    """Whether that is how the object was; the history may also not go back so far."""
    if each.outcome == "ok":
        right = state is not None and (state.revision, state.token) == (each.revision, each.seen)
    else:
        right = each.reason == "Expired" or (each.reason == "NotFound" and state is None)
    return "" if right else f"the past was otherwise, there was {state}"


def _check_list(each: Asked, floor: int, last: int, replay: Replay) -> str:
    if each.outcome == "refused" or not floor <= each.revision <= last:
        return "a list is of the wrong time"
    there = {name: replay.at(name, each.revision) for name in replay.names()}
    wanted = {name: (row.revision, row.token) for name, row in there.items() if row is not None}
    return "" if wanted == each.seen else f"a list differs from a replay, which has {wanted}"
