"""The Raft node of one replica: the core with elections, leading, following and handing over around it.

It decides which part a message or an event belongs to. It knows entries as bytes; it must not know sockets, files or
what entries mean.
"""

from __future__ import annotations

from typing import Any

from api.v1 import raft_pb2
from component.env import Env
from controlplane.raft import messages
from controlplane.raft.changes import MembershipChanges
from controlplane.raft.config import NodeSettings
from controlplane.raft.core import RaftCore
from controlplane.raft.election import Election
from controlplane.raft.following import Following
from controlplane.raft.frames import FrameError
from controlplane.raft.hand_over import ASK_SECONDS, HandOver
from controlplane.raft.leading import Leading
from controlplane.raft.liveness import ApiLiveness
from controlplane.raft.log import DurableLog
from controlplane.raft.membership import Member, Membership
from controlplane.raft.poller import Poller
from controlplane.raft.protocol import RaftStatus, Role
from controlplane.raft.reads import ReadDone
from controlplane.raft.snapshots import SnapshotFolder
from controlplane.raft.transport import PeerTransport


class RaftNode:
    """One member of the cluster; everything happens in the thread that calls `step`.

    It leads only while its API process is alive; the link reports that to `api`.
    """

    def __init__(
        self,
        settings: NodeSettings,
        durable_log: DurableLog,
        snapshots: SnapshotFolder,
        transport: PeerTransport,
        poller: Poller | Any,
        env: Env,
    ) -> None:
        self._log = durable_log
        self._network = transport
        self._env = env
        self._api = ApiLiveness(env, settings.api_silence_seconds)
        self._core = RaftCore(settings, durable_log, transport, poller, env, self)
        self._election = Election(settings, self._core, durable_log, env, self._electable)
        self._leading = Leading(settings, self._core, durable_log, snapshots, transport, env)
        self._following = Following(settings, self._core, durable_log, snapshots, env, self._electable)
        self._hand_over = HandOver(settings, self._core, self._leading, env)
        self._changes = MembershipChanges(settings, self._core, self._leading, self._hand_over, env)
        transport.on_message = self._receive
        transport.on_part = self._receive_part
        transport.on_connected = self._peer_connected
        transport.on_disconnected = self._peer_disconnected
        self._core.recover(messages.membership_beside(snapshots.membership()))

    # For the link and the process ---------------------------------------------------------------------------------

    def step(self, limit_seconds: float) -> None:
        """One turn: elections, commits, appends, then sleep in the poller for at most `limit_seconds`."""
        interruption = self._api.interruption()
        if interruption:
            self.hand_over(interruption)
        self._hand_over.turn()
        self._election.guard()
        self._core.tick(self._sleep_seconds(limit_seconds))

    def standing(self) -> tuple[Role, int, str, bool]:
        """Role, term, leader and whether this replica is cut off; asked for in every turn."""
        core = self._core
        return core.role, core.term, core.leader, self._election.cut_off()

    def status(self) -> RaftStatus:
        """Role, term and indexes; `leading` is left to the link, which knows what was delivered."""
        role, term, leader, cut_off = self.standing()
        return RaftStatus(role, term, leader, self._core.commit_index, self._log.last_index, cut_off=cut_off)

    def leads(self) -> bool:
        """Whether this replica believes that it leads; another one may already lead in a higher term."""
        return self._core.leads

    def no_op_index(self) -> int:
        """The index of the no-op of this leader's term; 0 while it does not lead or is about to stop."""
        return self._core.no_op_index if self._core.leads and not self._hand_over.under_way else 0

    def deliverable_index(self) -> int:
        """Entries up to here are committed and durable on this replica."""
        return min(self._core.commit_index, self._log.durable_index)

    def propose(self, data: bytes, term: int, *, awaited_elsewhere: bool = False) -> int | None:
        """Append at this leader in exactly `term`; returns the index, or None: certainly not appended.

        With `awaited_elsewhere` followers are told as soon as it is committed.
        """
        if not self._core.leads or term != self._core.term or self._hand_over.under_way:
            return None
        index = self._log.last_index + 1
        self._log.add(messages.COMMAND + data, index, term)
        self._leading.due = True
        if awaited_elsewhere:
            self._leading.awaited_index = index
        return index

    def read_index(self, done: ReadDone) -> None:
        """Call `done` with the index a read starting now must have applied, or None when this is no leader."""
        if self._core.leads:
            self._leading.read_index(done)
        else:
            done(None)

    @property
    def api(self) -> ApiLiveness:
        """Where the link reports what it sees of the API process."""
        return self._api

    def hand_over(self, reason: str, to: str = "") -> None:
        """Give up leadership: to a caught-up peer if there is one, else to nobody. Harmless on a follower.

        With `to` only to that voter, or not at all.
        """
        self._hand_over.begin(reason, to)

    @property
    def membership(self) -> Membership:
        """Who takes part, by the newest entry in the log that says so, committed or not."""
        return self._core.membership

    def membership_at(self, index: int) -> bytes:
        """What to keep beside a snapshot at `index`; b"" while the first membership is in force there."""
        membership = self._core.membership_at(index)
        return messages.membership_message(membership).SerializeToString() if membership.index else b""

    def snapshot_kept(self, index: int) -> None:
        """There is a durable snapshot at `index`."""
        self._core.covered(index)

    def add_learner(self, newcomer: Member) -> None:
        """Let a new member in, which is promoted once it has caught up; ChangeRefused."""
        self._changes.add(newcomer)

    def remove_member(self, replica: str) -> None:
        """Take a member out; ChangeRefused."""
        self._changes.remove(replica)

    def progress(self) -> list[tuple[str, int, bool]]:
        """On a leader: (replica, index up to which its log is durable, connected) of every other member."""
        if not self._core.leads:
            return []
        return [
            (peer, self._core.match_index(peer), self._network.connected(peer)) for peer in sorted(self._core.peers)
        ]

    def close(self) -> None:
        """Close snapshot files being sent; everything else belongs to the caller."""
        self._leading.close()

    def _electable(self) -> bool:
        """Whether a leadership of this replica would be of use at once."""
        return self._api.electable(self._core.commit_index)

    def _sleep_seconds(self, limit_seconds: float) -> float:
        if self._hand_over.under_way:
            limit_seconds = min(limit_seconds, ASK_SECONDS)
        due = self._leading.due_time if self._core.leads else self._election.due_time
        return min(limit_seconds, max(0.0, due - self._env.monotonic() + 0.0005))

    # What the core asks back --------------------------------------------------------------------------------------

    def lead(self) -> None:
        """Learners to promote, read rounds, and appends that are due."""
        self._changes.turn()
        self._leading.turn()

    def send_appends(self) -> None:
        """To every peer."""
        self._leading.send_appends()

    def acknowledge(self, peer: str, next_index: int, *, success: bool, reset: bool) -> None:
        """To the leader."""
        self._following.acknowledge(peer, next_index, success=success, reset=reset)

    def commit_advanced(self) -> None:
        """On a leader, followers are to learn the new commit index."""
        if self._core.leads:
            self._leading.commit_advanced()

    def leadership_changed(self, *, leading: bool) -> None:
        """Begin or end everything that is of one leadership."""
        self._hand_over.end()
        if leading:
            self._leading.begin()
            self._changes.begin()
        else:
            self._leading.end()

    def membership_changed(self) -> None:
        """Majorities are other ones now."""
        self._election.membership_changed()

    # Peers ----------------------------------------------------------------------------------------------------------

    def _peer_connected(self, peer: str) -> None:
        self._core.peer_connected(peer)
        self._leading.peer_connected(peer)

    def _peer_disconnected(self, peer: str) -> None:
        self._core.peer_disconnected(peer)
        self._leading.peer_disconnected(peer)
        self._election.session_lost(peer)

    def _receive(self, peer: str, message: raft_pb2.RaftMessage) -> None:
        kind = message.WhichOneof("message")
        current = self._core.term
        messages.check_term(message.term, current)
        self._election.heard(peer)
        if kind in {"append_reply", "vote_reply", "pre_vote_reply", "higher_term"}:
            if message.term > current:
                self._core.adopt_term(message.term)
            elif message.term == current or kind == "pre_vote_reply":  # those are matched by their round
                self._receive_reply(peer, message)
            return
        if message.term < current and kind != "pre_vote_request":  # whose reply carries the higher term
            self._core.send(peer, raft_pb2.RaftMessage(higher_term=raft_pb2.HigherTerm()))
            return
        match kind:
            case "append_entries":
                self._election.heard_from_leader()
                self._following.receive_append(peer, message.term, message.append_entries)
            case "snapshot_chunk":
                self._election.heard_from_leader()
                self._following.receive_snapshot_piece(peer, message.term, message.snapshot_chunk)
            case "vote_request":
                self._core.receive_vote_request(peer, message.term, message.vote_request)
            case "pre_vote_request":
                self._election.receive_pre_vote_request(peer, message.pre_vote_request)
            case "timeout_now":
                self._election.receive_timeout_now(peer, message.term)
            case _:
                raise FrameError(f"a message without meaning here: {kind}")

    def _receive_part(self, peer: str) -> None:
        """A part of a message, the whole of which may need longer than an election on a slow link."""
        self._election.heard(peer)
        if peer == self._core.leader and not self._core.leads:
            self._election.heard_from_leader()
            self._following.receive_part(peer)

    def _receive_reply(self, peer: str, message: raft_pb2.RaftMessage) -> None:
        """A reply to a message of this very term; to a pre-vote request, which binds nobody, also from a lower one."""
        if message.HasField("append_reply"):
            if self._core.leads:
                self._leading.receive_reply(peer, message.append_reply)
        elif message.HasField("vote_reply"):
            if message.vote_reply.granted:
                self._core.receive_vote(peer, message.term)
        elif message.HasField("pre_vote_reply"):
            self._election.receive_pre_vote_reply(peer, message.pre_vote_reply)
