"""Whether watchers saw every change once, in order, whichever replicas they were on."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from tests.simulation.checks.record import Row, Seen, Watched


def check(watched: Sequence[Watched], rows: Sequence[Row]) -> list[str]:
    """Return what watchers missed, saw twice, out of order or otherwise than it was."""
    changes: dict[str, list[Row]] = {}
    for row in rows:
        changes.setdefault(row.resource, []).append(row)
    return [problem for each in watched for problem in _check(each, changes.get(each.resource, []))]


def _check(watched: Watched, changes: Sequence[Row]) -> list[str]:
    end = max([watched.end, *(event.revision for event in watched.events)])
    revisions = [row.revision for row in changes]
    due = changes[bisect_right(revisions, watched.start) : bisect_right(revisions, end)]
    wanted = [Seen(row.revision, row.type, row.name, row.token) for row in due]
    if watched.events == wanted:
        return []
    for position, (seen, want) in enumerate(zip(watched.events, wanted, strict=False)):
        if seen != want:
            return [
                f"{watched.watcher} of {watched.resource} after {watched.start}: event {position} is {seen}, not {want}"
            ]
    counts = f"{len(watched.events)} events instead of {len(wanted)}"
    return [f"{watched.watcher} of {watched.resource} after {watched.start} up to {end}: {counts}"]
