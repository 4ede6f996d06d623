"""What a chaos run proved or disproved: the recorded history against the changes, and the replicas against each other."""

from __future__ import annotations

import collections
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from component.client import ObjectList
from tests.chaos.ports import RESOURCE
from tests.chaos.workload import Recording, token_of
from tests.simulation.checks import history, watching
from tests.simulation.checks.record import DELETED, MODIFIED, Asked, Row, Watched

LONGEST_PROBLEM = 600
BUGS = ("Traceback", "diverge")


@dataclass
class Verdict:
    """`problems` is empty when the run proved what it should; `figures` are for people."""

    problems: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def lines(self) -> Iterable[str]:
        """For the terminal."""
        for name, value in self.figures.items():
            yield f"{name}: {value:g}"
        for problem in self.problems[:20]:
            yield f"PROBLEM: {problem[:LONGEST_PROBLEM]}"
        if len(self.problems) > 20:
            yield f"... and {len(self.problems) - 20} more problems"


def judge(
    recording: Recording, rows: Sequence[Row], watched: Sequence[Watched], final: dict[str, ObjectList], start: int
) -> Verdict:
    """Check everything that was recorded; `final` is what each replica listed at the end."""
    verdict = Verdict()
    verdict.problems += _date_deletions(recording.asked, rows)
    verdict.problems += history.check(recording.asked, _filled(rows, start, recording.asked), RESOURCE, start)
    verdict.problems += watching.check(watched, rows)
    verdict.problems += _equal(rows, final)
    verdict.figures = _figures(recording)
    return verdict


def _date_deletions(asked: Sequence[Asked], rows: Sequence[Row]) -> list[str]:
    """Give acknowledged deletions the revision of the change they made, which the API does not tell.

    A uid is created once, so there is at most one such change; returns who else was told to have made it.
    """
    changes = {(row.name, row.uid): row.revision for row in rows if row.type == DELETED}
    deleters: dict[tuple[str, str], Asked] = {}
    found = []
    for each in asked:
        if each.verb == "delete" and each.outcome == "ok":
            first = deleters.setdefault((each.name, each.uid), each)
            if first is not each:
                found.append(f"one deletion was acknowledged twice: {first} and {each}")
            each.revision = changes.get((each.name, each.uid), 0)
    return found


def _filled(rows: Sequence[Row], start: int, asked: Sequence[Asked]) -> list[Row]:
    """The rows with one for every other change between them, which nobody of ours asked for.

    It happened after the row before it, so that nobody can have known of it before that was asked for.
    """
    last = max([start, *(each.revision for each in asked)])
    by_revision = {row.revision: row for row in rows}
    filled: list[Row] = []
    when = 0.0
    for revision in range(start + 1, max(last, *by_revision, 0) + 1):
        row = by_revision.get(revision) or Row(revision, MODIFIED, "other", "", "", "", when)
        when = max(when, row.time)
        filled.append(row)
    return filled


def _equal(rows: Sequence[Row], final: dict[str, ObjectList]) -> list[str]:
    """Every replica ends with what a replay of all changes gives."""
    replay: dict[str, tuple[int, str]] = {}
    for row in rows:
        if row.type == DELETED:
            replay.pop(row.name, None)
        else:
            replay[row.name] = (row.revision, row.token)
    found = []
    for replica, listed in final.items():
        there = {f"{item.namespace}/{item.name}": (item.revision, token_of(item)) for item in listed.items}
        if different := sorted(set(there.items()) ^ set(replay.items())):
            found.append(f"{replica} ends with other objects than all changes give: {different[:5]}")
    return found


def _figures(recording: Recording) -> dict[str, float]:
    outcomes = collections.Counter(each.outcome for each in recording.asked)
    writes = [each for each in recording.asked if each.verb in history.WRITES]
    unknown = sum(each.outcome in {"unknown", "open"} for each in writes)
    taken = sorted(each.return_time - each.invoke_time for each in writes if each.outcome == "ok")
    return {
        "requests": len(recording.asked),
        "writes acknowledged": recording.acknowledged,
        "writes unknown": unknown,
        "writes unknown, percent": round(100 * unknown / max(1, len(writes)), 2),
        "requests refused": outcomes["refused"],
        "requests told as unavailable": outcomes["unavailable"],
        "write p50, ms": round(1e3 * median(taken), 1) if taken else 0,
        "write p99, ms": round(1e3 * taken[int(len(taken) * 0.99)], 1) if taken else 0,
    }


def complaints(logs: Iterable[Path]) -> list[str]:
    """What processes wrote that is a bug whatever happened: tracebacks, divergence, unexpected errors."""
    found = []
    for path in logs:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        bad = [line for line in lines if any(word in line for word in BUGS)]
        found += [f"{path.parent.parent.name}/{path.name}: {_shown(line)}" for line in bad]
    return found


def _shown(line: str) -> str:
    try:
        return str({k: v for k, v in json.loads(line).items() if k != "exception"} | {"traceback": "see the log"})
    except ValueError:
        return line
