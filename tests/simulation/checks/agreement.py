"""Whether replicas agree: one entry per index, one state per index, one change per revision, one leader per term."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Agreement:
    """Fed by every replica in all its lives; `problems` says who contradicted whom."""

    problems: list[str] = field(default_factory=list)
    entries: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    states: dict[int, tuple[bytes, int]] = field(default_factory=dict)
    changes: dict[int, object] = field(default_factory=dict)
    leaders: dict[int, str] = field(default_factory=dict)
    commit_terms: dict[int, int] = field(default_factory=dict)  # by index: the term in which it was committed
    lost: dict[int, object] = field(default_factory=dict)  # changes that a restore took back

    def delivered(self, replica: str, index: int, term: int, data: bytes) -> None:
        """State machine safety (Raft paper, figure 3)."""
        known = self.entries.setdefault(index, (term, data))
        if known != (term, data):
            self.problems.append(f"{replica} was given another entry {index}, of term {term} instead of {known[0]}")

    def state(self, replica: str, index: int, digest: bytes, revision: int) -> None:
        """Equal states at equal indexes."""
        known = self.states.setdefault(index, (digest, revision))
        if known != (digest, revision):
            self.problems.append(f"{replica} has another state at {index}: revision {revision}, others {known[1]}")

    def changed(self, replica: str, revision: int, change: object) -> bool:
        """A revision is given once, for ever; whether this is the first to say so."""
        known = self.changes.setdefault(revision, change)
        if known is change:
            if self.lost.get(revision, change) != change:
                self.problems.append(f"{replica} uses revision {revision} again after a restore")
            return True
        if known != change:
            self.problems.append(f"{replica} has another change at revision {revision}: {change}, others {known}")
        return False

    def restored(self, index: int, revision: int) -> None:
        """Everything after a log index and a revision is gone; its revisions must not come again."""
        self.lost |= {number: change for number, change in self.changes.items() if number > revision}
        self.changes = {number: change for number, change in self.changes.items() if number <= revision}
        self.entries = {number: entry for number, entry in self.entries.items() if number <= index}
        self.states = {number: state for number, state in self.states.items() if number <= index}
        self.commit_terms = {number: term for number, term in self.commit_terms.items() if number <= index}
        self.leaders.clear()

    def committed(self, index: int, term: int) -> None:
        """The leader of a term moved its commit index."""
        while index > 0 and index not in self.commit_terms:
            self.commit_terms[index] = term
            index -= 1

    def elected(self, replica: str, term: int, log: dict[int, tuple[int, bytes]], first_index: int) -> None:
        """Election safety, and leader completeness (figure 3): what was committed in a lower term is there.

        A replica may learn late that it won: others may lead, and commit, in a higher term by then.
        """
        known = self.leaders.setdefault(term, replica)
        if known != replica:
            self.problems.append(f"{replica} and {known} both lead in term {term}")
        for index, commit_term in self.commit_terms.items():
            if commit_term < term and index >= first_index and index not in log:
                self.problems.append(
                    f"{replica} leads in term {term} without entry {index}, committed in {commit_term}"
                )
                return


@dataclass
class Epochs:
    """Whether only the current epoch's commands were applied; epochs are counted anew from the log."""

    epoch: int = 0
    problems: list[str] = field(default_factory=list)
    refused: int = 0

    def applied(self, index: int, epoch: int, *, sets_epoch: bool, committed: bool) -> None:
        """One transaction in the order of the log."""
        if epoch and committed and epoch != self.epoch:
            self.problems.append(f"entry {index} committed a command of epoch {epoch}, but {self.epoch} leads")
        if epoch and not committed and epoch != self.epoch:
            self.refused += 1
        if sets_epoch and committed:
            self.epoch += 1
