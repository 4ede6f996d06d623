"""Reads that must see every write acknowledged before them: read index, section 6.4 of Ongaro's dissertation.

The leader stamps its appends with a round; a read waits until a majority echoed a round that started after it.
Pure bookkeeping: it must not know messages or clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

ReadDone = Callable[[int | None], None]  # the index to wait for, or None: not the leader


@dataclass(slots=True)
class ReadRounds:
    """Rounds of one leadership. `round` travels on every append."""

    round: int = 0
    _new: list[ReadDone] = field(default_factory=list)
    _waiting: list[tuple[int, int, list[ReadDone]]] = field(default_factory=list)  # round, index, reads
    _echoed: dict[str, int] = field(default_factory=dict)

    def add(self, done: ReadDone) -> None:
        """A read wants to start; it joins the next round."""
        self._new.append(done)

    def start(self, commit_index: int) -> bool:
        """Begin a round for the reads that joined; True when its number must be sent."""
        if not self._new:
            return False
        self.round += 1
        self._waiting.append((self.round, commit_index, self._new))
        self._new = []
        return True

    def echo(self, peer: str, number: int) -> None:
        """A peer answered, in this term, a message stamped with `number`."""
        self._echoed[peer] = max(self._echoed.get(peer, 0), number)

    @property
    def under_way(self) -> bool:
        """Whether reads wait for a round that began."""
        return bool(self._waiting)

    def by_latest_echo(self, peers: Iterable[str]) -> list[str]:
        """The peers in the order in which their answers are to be expected: who answered last first."""
        return sorted(peers, key=lambda peer: (-self._echoed.get(peer, 0), peer))

    def finish(self, voters: Collection[str]) -> bool:
        """Answer the reads whose round a majority of `voters` and this replica has seen; whether there were any."""
        finished = False
        while self._waiting:
            number, index, reads = self._waiting[0]
            seen = sum(self._echoed.get(peer, 0) >= number for peer in voters)
            if 2 * (1 + seen) <= len(voters) + 1:
                break
            finished = True
            self._waiting.pop(0)
            for done in reads:
                done(index)
        return finished

    def fail(self) -> None:
        """Leadership is over: nobody here may answer these reads."""
        reads = [*(done for _, _, group in self._waiting for done in group), *self._new]
        self._waiting, self._new, self._echoed = [], [], {}
        for done in reads:
            done(None)
