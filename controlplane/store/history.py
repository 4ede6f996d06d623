"""What the state was at an earlier revision, told from the changes since then.

An object that changed later was, then, what the first later change replaced; one that did not is what it is now. So
history needs no base: forgetting the oldest changes only moves its beginning. Parts are runs of changes without a
gap, oldest first, on disk (`history_segment`) or still in memory. Reading them blocks and belongs in a thread. It
must not know who keeps them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from controlplane.commands import Change, Committed, Key, Stored
from controlplane.store import history_segment
from controlplane.store.history_segment import Mark, Moment, Name, Record, Segment
from controlplane.store.state import Applied, State

LEFT_OUT: Final = frozenset({"events"})
"""Resources without history: they would push out everything else, and expire on their own."""


class Part(Protocol):
    """Changes after `start` up to and including `end`."""

    @property
    def start(self) -> Moment:
        """What they begin after."""

    @property
    def end(self) -> Moment:
        """What they lead to."""

    def records(self, resource: str, only: Name | None = None) -> Iterator[Record]:
        """Yield the changes of a resource, or of one object; those of one object oldest first."""

    def changes(self, resource: str) -> Iterator[Change]:
        """Yield the changes of a resource whole; those of one object oldest first."""

    def marks(self) -> Sequence[Mark]:
        """The transactions, oldest first."""


@dataclass(frozen=True, slots=True)
class MemoryPart:
    """What was applied since the last segment was cut: (what an entry did, the state's time after it)."""

    start: Moment
    end: Moment
    entries: Sequence[tuple[Applied, int]]

    def records(self, resource: str, only: Name | None = None) -> Iterator[Record]:
        """Yield changes in the order they were made."""
        for change in self.changes(resource):
            key = change.envelope.key
            if only is None or (key.namespace, key.name) == only:
                yield Record(key.namespace, key.name, change.revision, change.type, change.previous)

    def changes(self, resource: str) -> Iterator[Change]:
        """Yield changes in the order they were made."""
        for applied, _ in self.entries:
            for change in applied.changes:
                if change.envelope.key.resource == resource:
                    yield change

    def marks(self) -> Sequence[Mark]:
        """The transactions that changed something. One that was proposed twice counts where it was done."""
        marks: list[Mark] = []
        last = self.start.revision
        for applied, time_ms in self.entries:
            for (_, result), actor in zip(applied.results, applied.actors, strict=True):
                if isinstance(result, Committed) and result.last_revision > last:
                    last = result.last_revision
                    marks.append(Mark(last, time_ms, actor))
        return marks

    def write(self, folder: Path) -> Segment:
        """Put it on disk. OSError."""
        records: dict[str, list[Record]] = {}
        settled: set[Key] = set()
        for applied, _ in reversed(self.entries):
            for change in reversed(applied.changes):
                key = change.envelope.key
                if key.resource not in LEFT_OUT:
                    outcome = None if key in settled else change.outcome
                    settled.add(key)
                    record = Record(key.namespace, key.name, change.revision, change.type, change.previous, outcome)
                    records.setdefault(key.resource, []).append(record)
        for listed in records.values():
            listed.sort(key=lambda record: (record.place, record.revision))
        return history_segment.write(folder, self.start, self.end, self.marks(), records)


def moment_of(state: State) -> Moment:
    """Where a state stands."""
    return Moment(state.revision, state.time_ms, state.digest)


def chained(segments: Sequence[Segment], end: Moment) -> list[Segment]:
    """The segments that lead without a gap to `end`, oldest first. Digests tell them from those of another log."""
    by_end = {segment.end.digest: segment for segment in segments if segment.end.revision <= end.revision}
    chain: list[Segment] = []
    digest, revision = end.digest, end.revision
    while (segment := by_end.pop(digest, None)) is not None and segment.end.revision == revision:
        chain.append(segment)
        digest, revision = segment.start.digest, segment.start.revision
    return chain[::-1]


def transaction_end(parts: Sequence[Part], revision: int) -> Mark | None:
    """The end of the transaction that `revision` belongs to; None when it is not after the parts' beginning."""
    for part in parts:
        if part.start.revision < revision <= part.end.revision:
            marks = part.marks()
            at = bisect_left(marks, revision, key=lambda mark: mark.revision)
            return marks[at] if at < len(marks) else None
    return None


def newest_at(parts: Sequence[Part], time_ms: int) -> Mark | None:
    """The newest transaction that was committed by then, or the parts' beginning; None when that was later."""
    for part in reversed(parts):
        if part.start.time_ms > time_ms:
            continue
        marks = part.marks()
        at = bisect_right(marks, time_ms, key=lambda mark: mark.time_ms)
        return marks[at - 1] if at else Mark(part.start.revision, part.start.time_ms)
    return None


def replaced_since(
    parts: Sequence[Part], resource: str, revision: int, only: Name | None = None
) -> dict[Name, Stored | None]:
    """The objects of a resource, or the one, that changed after `revision`, as they were at it; None: not there."""
    found: dict[Name, Stored | None] = {}
    for part in parts:
        if part.end.revision <= revision:
            continue
        for record in part.records(resource, only):
            if record.revision > revision:
                found.setdefault(record.place, record.previous)
    return found


def rewind(state: State, parts: Sequence[Part], resource: str, revision: int, only: Name | None = None) -> State:
    """Turn `state`, a copy of now, into the state at `revision` as far as one resource, or one object, goes."""
    for (namespace, name), stored in replaced_since(parts, resource, revision, only).items():
        state.put_back(resource, namespace, name, stored)
    state.revision = revision
    return state


@dataclass(frozen=True, slots=True)
class Version:
    """One change of an object: when, by whom, and the object before and after it (None: not there)."""

    revision: int
    time_ms: int
    actor: str
    type: int
    before: Stored | None
    after: Stored | None


def opened(version: Version, open_object: Callable[[Stored], Stored]) -> Version:
    """The change with objects as they were before they were sealed."""
    before, after = (None if each is None else open_object(each) for each in (version.before, version.after))
    return replace(version, before=before, after=after)


def versions(
    parts: Sequence[Part], resource: str, name: Name, current: Stored | None, limit: int
) -> tuple[list[Version], bool]:
    """The latest `limit` changes of an object, oldest first, and whether there are no older ones in the parts."""
    found: list[Version] = []
    after = current
    for part in reversed(parts):
        records = list(part.records(resource, name))
        if not records:
            continue
        marks = part.marks()
        for record in reversed(records):
            if len(found) == limit:
                return found[::-1], False
            mark = marks[bisect_left(marks, record.revision, key=lambda each: each.revision)]
            found.append(Version(record.revision, mark.time_ms, mark.actor, record.type, record.previous, after))
            after = record.previous
    return found[::-1], True
