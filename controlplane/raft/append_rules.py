"""What a follower does with entries from its leader: the log comparison of the Raft paper, section 5.3.

Pure. Stricter than pysyncobj 0.3.17, which truncates even a matching suffix and so loses acknowledged entries when
an older append arrives late.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accept:
    """Everything up to `matched_index` equals the leader's log: acknowledge exactly that, change nothing."""

    matched_index: int


@dataclass(frozen=True, slots=True)
class Extend:
    """Replace what follows `prev_index` by the entries from position `skip` on."""

    prev_index: int
    prev_term: int
    skip: int


@dataclass(frozen=True, slots=True)
class Reject:
    """The logs differ before the entries; the leader must continue at `next_index`."""

    next_index: int


class ConflictBelowCommit(Exception):
    """The leader contradicts a committed entry: somebody broke Raft, and going on would lose writes."""


@dataclass(frozen=True, slots=True)
class LogView:
    """What the rule needs of the log: base and last index, the commit index, and terms between base and last."""

    first_index: int
    last_index: int
    commit_index: int
    term_at: Callable[[int], int]


def decide(log: LogView, prev_index: int, prev_term: int, terms: Sequence[int]) -> Accept | Extend | Reject:
    """Return what to do with entries of these terms that follow (prev_index, prev_term) in the leader's log."""
    if prev_index > log.last_index:
        return Reject(log.last_index + 1)
    end = prev_index + len(terms)
    skip = 0
    if prev_index < log.first_index:  # everything up to the base is committed, so the leader has it too
        if end <= log.first_index:
            return Accept(end)
        skip = log.first_index - prev_index
        prev_index, prev_term = log.first_index, log.term_at(log.first_index)
    if log.term_at(prev_index) != prev_term:
        return Reject(_before_conflicting_term(log, prev_index))
    while skip < len(terms) and prev_index < log.last_index and log.term_at(prev_index + 1) == terms[skip]:
        prev_index, skip = prev_index + 1, skip + 1
    if skip == len(terms):
        return Accept(end)
    if prev_index < log.commit_index:
        raise ConflictBelowCommit(f"the leader's entry {prev_index + 1} contradicts a committed one")
    return Extend(prev_index, log.term_at(prev_index), skip)


def _before_conflicting_term(log: LogView, index: int) -> int:
    """Skip the whole conflicting term in one step, as section 5.3 suggests."""
    if index <= log.commit_index:
        raise ConflictBelowCommit(f"the leader's entry {index} contradicts a committed one")
    term = log.term_at(index)
    while index - 1 > log.commit_index and index - 1 > log.first_index and log.term_at(index - 1) == term:
        index -= 1
    return index
