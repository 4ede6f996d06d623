"""The replicated log as the API process sees it: bytes in, the same bytes out everywhere, in one order.

Behind this port stands the socket to the Raft process of the replica (`controlplane.raft.link`), or in tests one
log without peers. It knows nothing of what the bytes mean.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from controlplane.raft.membership import Member, Membership

Role = Literal["leader", "follower", "candidate"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One committed and locally durable log entry. `data` is empty for a leader's no-op at the start of a term."""

    index: int
    term: int
    data: bytes


@dataclass(frozen=True, slots=True)
class RaftStatus:
    """What the local Raft process last said of itself. `leader` is a replica id, empty while there is none.

    `leading` is true only on a leader whose own term's no-op is committed and delivered here. `connected` is false
    while the Raft process is out of reach: then the rest is what it said last. `cut_off`: there is no leader, and for
    as long as an election may take a majority, or the Raft process itself, has been silent, or another replica hears a
    leader: another replica may serve, this one cannot.
    `membership` is the one in force, committed or not.
    """

    role: Role
    term: int
    leader: str
    commit_index: int
    last_index: int
    leading: bool = False
    connected: bool = True
    cut_off: bool = False
    membership: Membership | None = None


@dataclass(frozen=True, slots=True)
class Vitals:
    """How the local Raft process does: recent log syncs, and on a leader (log index, connected) of the others."""

    sync_p50_seconds: float = 0.0
    sync_p99_seconds: float = 0.0
    progress: Mapping[str, tuple[int, bool]] = field(default_factory=dict)


class NotLeader(Exception):
    """The local replica does not lead in the term asked for: certainly nothing was appended."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot file on this replica's disk: the state after applying `index` of `term`."""

    index: int
    term: int
    path: Path


class ReplicatedLog(Protocol):
    """Ordered, durable, agreed bytes.

    `connect` must be called first. Its callbacks run on the event loop, one at a time and in order; the log
    delivers no further entries before `on_entries` returned.
    """

    async def connect(
        self,
        applied: tuple[int, int],
        on_entries: Callable[[Sequence[Entry]], None],
        on_status: Callable[[RaftStatus], None],
        on_install: Callable[[Snapshot], Awaitable[None]],
    ) -> None:
        """Start delivery after the (index, term) already applied. Reconnects by itself until `close`.

        `on_entries` gets committed entries, each index exactly once. `on_install` gets a snapshot from the leader
        that replaces the whole state; delivery goes on after its index when it returns.
        """

    def propose(
        self, data: bytes, term: int, on_refused: Callable[[], None], *, awaited_elsewhere: bool = False
    ) -> None:
        """Append at the local leader in exactly `term`; `on_refused` runs if that certainly did not happen.

        The outcome is learned by delivery: an entry of a higher term delivered first means `data` never commits. With
        `awaited_elsewhere` other replicas hear of the commit as soon as the leader does, else some milliseconds later.
        """

    async def read_index(self) -> int:
        """The index that a linearizable read starting now must have applied. NotLeader on other replicas."""

    @property
    def status(self) -> RaftStatus:
        """The latest status; a follower without a leader before the first one and while disconnected."""

    def snapshot_saved(self, snapshot: Snapshot) -> None:
        """A snapshot is durable and verified: entries up to its index may be compacted away."""

    async def close(self) -> None:
        """Stop delivery. Proposals under way stay unknown."""


class MembershipControl(Protocol):
    """Changes of the membership, asked of the local Raft process."""

    async def add_learner(self, newcomer: Member) -> None:
        """Append a learner, which is promoted once it has caught up. ChangeRefused, ChangeNotNow."""

    async def remove_member(self, replica: str) -> None:
        """Append the membership without `replica`. ChangeRefused, ChangeNotNow."""

    async def hand_over(self, to: str) -> None:
        """Begin to hand leadership over to `to`, or to the best ("")."""

    @property
    def vitals(self) -> Vitals:
        """The latest."""
