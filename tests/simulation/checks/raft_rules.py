"""What the Raft paper demands of single steps, seen from outside: promises on disk, elections and commits.

Breaking one of these loses writes only under rare circumstances; here the step itself is enough.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field


@dataclass
class RaftRules:
    """Fed with what every member did and made durable; `problems` says which rule was broken."""

    problems: list[str] = field(default_factory=list)
    _promised: dict[str, tuple[int, str | None]] = field(default_factory=dict)
    _votes: dict[tuple[int, str], str] = field(default_factory=dict)  # term and voter

    def synced(self, replica: str, term: int, vote: str | None) -> None:
        """Term and vote became durable: they are never taken back (figure 2, persistent state)."""
        self._promised[replica] = (term, vote)
        if vote is not None and self._votes.setdefault((term, replica), vote) != vote:
            self.problems.append(f"{replica} voted twice in term {term}: {self._votes[term, replica]} and {vote}")

    def restarted(self, replica: str, term: int, vote: str | None) -> None:
        """What a member reads back at its start."""
        promised_term, promised_vote = self._promised.get(replica, (0, None))
        if term < promised_term:
            self.problems.append(f"{replica} restarts in term {term}, it had been in {promised_term}")
        elif term == promised_term and vote != promised_vote and promised_vote is not None:
            self.problems.append(f"{replica} forgot its vote in term {term}: {promised_vote}, now {vote}")

    def elected(self, replica: str, term: int, members: int) -> None:
        """A leader has the durable votes of a majority in exactly its term; its own may be just on its way (5.2)."""
        votes = 1 + sum(t == term and v == replica and voter != replica for (t, voter), v in self._votes.items())
        if 2 * votes <= members:
            self.problems.append(f"{replica} leads in term {term} with {votes} votes of {members}")

    def committed(
        self, replica: str, term: int, index: int, entry_term: int, holders: Collection[str], members: int
    ) -> None:
        """A leader moved its commit index: to an entry of its own term (5.4.2) that a majority holds durably (5.3)."""
        if entry_term != term:
            self.problems.append(f"{replica} committed entry {index} of term {entry_term} directly, leading in {term}")
        if 2 * len(holders) <= members:
            self.problems.append(f"{replica} committed entry {index}, which only {sorted(holders)} of {members} hold")
