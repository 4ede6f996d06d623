"""Who takes part in Raft, and how that changes: one member at a time, through learners.

Chapter 4 of Ongaro's dissertation. A membership is a log entry and in force as soon as it is appended, committed or
not; when its entry is truncated, the one before is in force again. Pure: it must not know messages, files or clocks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace


class ChangeRefused(Exception):
    """The membership cannot change like this (now); the message says why. Nothing was appended."""


class ChangeNotNow(ChangeRefused):
    """Refused for the moment, or by this replica: the same change may work soon, or at the leader."""


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """One replica. `uid` tells a replica from an earlier one of the same id; `address` is its Raft host:port.

    A learner (not `voter`) receives everything, votes for nobody and counts in no majority.
    """

    replica: str
    uid: str = ""
    address: str = ""
    voter: bool = True


@dataclass(frozen=True, slots=True)
class Membership:
    """All members, by replica id. `index` is the log entry that made it; the first one, from the files, has 0."""

    members: tuple[Member, ...]
    incarnation: int = 0
    index: int = 0

    @property
    def voters(self) -> frozenset[str]:
        """The replicas whose majority elects and commits."""
        return frozenset(each.replica for each in self.members if each.voter)

    @property
    def learners(self) -> frozenset[str]:
        """The replicas that only receive."""
        return frozenset(each.replica for each in self.members if not each.voter)

    @property
    def age(self) -> tuple[int, int]:
        """Of two memberships the one with the higher age is the newer one."""
        return self.incarnation, self.index

    def member(self, replica: str) -> Member | None:
        """The member of that id."""
        return next((each for each in self.members if each.replica == replica), None)

    def vote_of(self, own: Member) -> bool:
        """Whether exactly this life of the replica votes; an earlier one of the same id is somebody else."""
        found = self.member(own.replica)
        return found is not None and found.voter and found.uid == own.uid

    def with_learner(self, newcomer: Member) -> Membership:
        """A new member that does not vote yet. ChangeRefused when the id is taken."""
        if self.member(newcomer.replica) is not None:
            raise ChangeRefused(f"replica {newcomer.replica} is a member already")
        return self._of((*self.members, replace(newcomer, voter=False)))

    def promoted(self, replica: str) -> Membership:
        """The learner votes from now on. ChangeRefused when there is no such learner."""
        if replica not in self.learners:
            raise ChangeRefused(f"replica {replica} is no learner")
        return self._of(replace(each, voter=True) if each.replica == replica else each for each in self.members)

    def without(self, replica: str) -> Membership:
        """One member less. ChangeRefused when it is no member, or the last voter."""
        if self.member(replica) is None:
            raise ChangeRefused(f"replica {replica} is no member")
        if self.voters == {replica}:
            raise ChangeRefused(f"replica {replica} is the last one that votes: nobody would be left")
        return self._of(each for each in self.members if each.replica != replica)

    def alone(self, replica: str, index: int) -> Membership:
        """After the loss of the quorum: only `replica`, in a new incarnation. ChangeRefused when it is no voter."""
        survivor = self.member(replica)
        if survivor is None or not survivor.voter:
            raise ChangeRefused(f"replica {replica} never voted in this cluster: recover from one that did")
        return Membership((survivor,), self.incarnation + 1, index)

    def _of(self, members: Iterable[Member]) -> Membership:
        return replace(self, members=tuple(sorted(members)))


class MembershipHistory:
    """The memberships of a log: the one in force at its start, and those in its entries.

    `latest` is in force. Older ones stay until a snapshot covers what replaced them.
    """

    def __init__(self, first: Membership) -> None:
        self._first = first
        self._known = [first]

    @property
    def latest(self) -> Membership:
        """The membership in force."""
        return self._known[-1]

    def at(self, index: int) -> Membership:
        """What is in force for who knows the log up to `index` only."""
        return next((each for each in reversed(self._known) if each.index <= index), self._known[0])

    def appended(self, membership: Membership) -> None:
        """Its entry was appended: in force at once."""
        assert membership.index > self.latest.index, "memberships are appended in order"
        self._known.append(membership)

    def truncated(self, index: int) -> None:
        """Entries from `index` on are gone; the first membership stays, truncation never reaches below a snapshot."""
        self._known[1:] = [each for each in self._known[1:] if each.index < index]

    def installed(self, membership: Membership | None) -> None:
        """A snapshot replaced the log; None: the first membership is in force there."""
        self._known = [membership or self._first]

    def covered(self, index: int) -> None:
        """A snapshot at `index` makes what was replaced before unneeded."""
        while len(self._known) > 1 and self._known[1].index <= index:
            del self._known[0]
