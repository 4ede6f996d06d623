"""Asking before campaigning: Ongaro's dissertation, section 9.6.

A replica that cannot win does not raise the term, so one that is cut off on one side cannot depose a healthy
leader. Pure bookkeeping.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class PreVote:
    """The rounds of one replica that would like to campaign in a cluster of `members`."""

    members: int
    round: int = 0
    won: bool = False
    asked_time: float = float("-inf")  # when this replica last asked
    _granted_by: set[str] = field(default_factory=set)

    def start(self, now: float) -> int:
        """Begin a round and return its number."""
        self.void()
        self.asked_time = now
        return self.round

    def void(self) -> None:
        """Answers to earlier rounds count no more: there is a leader."""
        self.round += 1
        self.won = False
        self._granted_by.clear()

    def granted(self, peer: str, number: int) -> bool:
        """Count a grant; True when it completes a majority."""
        if number != self.round or self.won:
            return False
        self._granted_by.add(peer)
        self.won = 2 * (1 + len(self._granted_by)) > self.members
        return self.won


@dataclass(frozen=True, slots=True, order=True)
class Claim:
    """How good a candidate is: the later last term wins, then the higher index (Raft paper, section 5.4.1).

    The replica id decides only between two that ask at the same time, so that they do not split the votes.
    """

    last_term: int
    last_index: int
    replica: str = ""


def grants(own: Claim, candidate: Claim, *, asking: bool) -> bool:
    """Would this replica vote for the candidate? `asking`: it asked for itself a moment ago."""
    if asking:
        return candidate > own
    return (candidate.last_term, candidate.last_index) >= (own.last_term, own.last_index)
