"""A leader's part: what goes to each peer, what their answers mean, and reads that a majority must confirm."""

from __future__ import annotations

import structlog

from api.v1 import raft_pb2
from component.env import Env
from controlplane.raft.config import NodeSettings
from controlplane.raft.core import RaftCore
from controlplane.raft.frames import FrameError
from controlplane.raft.log import DurableLog
from controlplane.raft.reads import ReadDone, ReadRounds
from controlplane.raft.sender import PeerSender
from controlplane.raft.snapshots import SnapshotFolder
from controlplane.raft.transport import PeerTransport

log = structlog.get_logger()

MAX_PEER_BACKLOG_BYTES = 4 << 20  # then only heartbeats until the socket drains
SNAPSHOT_BACKLOG_BYTES = 1 << 20
COMMIT_PATIENCE_SECONDS = 0.005  # for the next append to tell followers of a commit that none of them waits for
ROUND_PATIENCE_SECONDS = 0.005  # for the answers of those that were asked alone
FIRST_INDEX = 1  # every log begins with the library's own entry
_NEVER = float("inf")


class Leading:
    """Everything here is of one leadership; `begin` and `end` bound it. `due` asks for appends in this turn.

    Every message wakes a process on another machine, which answers and so wakes this one: what can wait for the next
    message, or needs the answer of a majority only, makes none of its own.
    """

    def __init__(
        self,
        settings: NodeSettings,
        core: RaftCore,
        durable_log: DurableLog,
        snapshots: SnapshotFolder,
        network: PeerTransport,
        env: Env,
    ) -> None:
        self._append_period_seconds = settings.append_period_seconds
        self._core = core
        self._log = durable_log
        self._network = network
        self._env = env
        self._rounds = ReadRounds()
        self._sender = PeerSender(durable_log, snapshots)
        self._electable: set[str] = set()
        self._commit_due_time = _NEVER  # when followers must be told the commit index
        self._told_index = 0  # the commit index that they were told last
        self.awaited_index = 0  # the newest entry that a client of another replica waits for
        self._round_due_time = _NEVER  # when everybody is asked to confirm the oldest round of reads
        self.due = False

    @property
    def due_time(self) -> float:
        """When `turn` has something to send; in the past if at once."""
        if self.due:
            return float("-inf")
        return min(self._commit_due_time, self._round_due_time, self._core.append_time)

    def begin(self) -> None:
        """This replica was elected."""
        self.due = True
        self._told_index = self.awaited_index = 0
        self._electable.clear()
        log.info("elected", term=self._core.term, last_index=self._log.last_index)

    def end(self) -> None:
        """It leads no more: reads fail, transmissions stop."""
        self.due = False
        self._commit_due_time = self._round_due_time = _NEVER
        self._rounds.fail()
        self._sender.close()
        log.info("stepped_down", term=self._core.term)

    def turn(self) -> None:
        """Start and finish rounds of reads, and send when something is due."""
        commit_index, now = self._core.commit_index, self._env.monotonic()
        if commit_index >= self._core.no_op_index and self._rounds.start(commit_index):
            self._ask(now)
        if self._rounds.finish(self._core.voters):
            self._round_due_time = now + ROUND_PATIENCE_SECONDS if self._rounds.under_way else _NEVER
        if self.due or min(self._commit_due_time, self._round_due_time) <= now:
            self._core.send_appends_now()

    def commit_advanced(self) -> None:
        """Let followers know the new commit index, at once if one of them may wait for it.

        A read of theirs that needs it makes a round, which tells all.
        """
        patience_seconds = 0.0 if self.awaited_index > self._told_index else COMMIT_PATIENCE_SECONDS
        self._commit_due_time = min(self._commit_due_time, self._env.monotonic() + patience_seconds)

    def read_index(self, done: ReadDone) -> None:
        """Call `done` once a majority has confirmed that this replica still leads."""
        self._rounds.add(done)

    def caught_up(self) -> list[str]:
        """The voters that could lead at once, best name first."""
        return sorted(
            peer
            for peer in self._core.voters
            if self.could_lead(peer) and self._core.match_index(peer) == self._log.last_index
        )

    def close(self) -> None:
        """Close snapshot files being sent."""
        self._sender.close()

    # Sending ------------------------------------------------------------------------------------------------------

    def _ask(self, now: float) -> None:
        """Have the latest round confirmed: by a bare majority, unless all are to get something anyway."""
        voters = self._core.voters
        needed = (len(voters) + 1) // 2
        asked = self._rounds.by_latest_echo(peer for peer in voters if self._network.connected(peer))[:needed]
        if self._commit_due_time < _NEVER or len(asked) < needed:
            self.due = True
        if self.due:
            return
        self._sender.begin_turn()
        for peer in asked:
            self._append_to(peer)
        self._round_due_time = min(self._round_due_time, now + ROUND_PATIENCE_SECONDS)

    def send_appends(self) -> None:
        """Send every connected peer what it misses, or a sign of life."""
        self.due = False
        self._commit_due_time = self._round_due_time = _NEVER
        self._told_index = self._core.commit_index
        self._sender.begin_turn()
        for peer in self._core.peers:
            if self._network.connected(peer):
                self._append_to(peer)

    def _append_to(self, peer: str) -> None:
        next_index = self._core.next_index(peer)
        if next_index <= self._log.first_index:
            self._send_snapshot_piece(peer)
            return
        self._sender.drop(peer)
        if self._network.backlog_bytes(peer) > MAX_PEER_BACKLOG_BYTES:
            return  # what waits in the socket is contact enough
        message = self._sender.append(next_index, self._core.commit_index, self._rounds.round)
        self._core.send(peer, message)
        next_index += len(message.append_entries.entries)
        self._core.set_next_index(peer, next_index)
        if next_index <= self._log.last_index:
            self.due = True

    def _send_snapshot_piece(self, peer: str) -> None:
        if self._network.backlog_bytes(peer) >= SNAPSHOT_BACKLOG_BYTES:
            return
        piece = self._sender.snapshot_piece(peer, self._rounds.round)
        if piece.offset == 0:
            log.info("snapshot_sending", peer=peer, index=piece.index)
        self._core.send(peer, raft_pb2.RaftMessage(snapshot_chunk=piece))
        if piece.last:
            self._core.set_next_index(peer, piece.index + 1)
        else:
            self.due = True

    # Receiving ----------------------------------------------------------------------------------------------------

    def peer_connected(self, peer: str) -> None:
        """What was under way to the peer is lost with its old session."""
        self._sender.drop(peer)
        if self._core.leads and peer in self._core.peers:
            self._core.set_next_index(peer, (self._core.match_index(peer) or self._log.last_index) + 1)
            self.due = True

    def peer_disconnected(self, peer: str) -> None:
        """Nothing can be sent to it."""
        self._sender.drop(peer)
        self._electable.discard(peer)

    def in_touch(self, peer: str) -> bool:
        """Whether there is a session with the peer and it answered in this leadership."""
        return self._network.connected(peer) and self._core.match_index(peer) > 0

    def awaits(self, peer: str) -> bool:
        """Whether there is a session with a peer that has answered nothing in this leadership: it had no time, or hangs."""
        return self._network.connected(peer) and not self.in_touch(peer)

    def could_lead(self, peer: str) -> bool:
        """Whether the peer's API process is alive and done with what the peer knows committed."""
        return peer in self._electable and self._network.connected(peer)

    def receive_reply(self, peer: str, reply: raft_pb2.AppendReply) -> None:
        """An answer, in this term, to an append or a piece of a snapshot. Nobody's who is no member any more."""
        if peer not in self._core.peers:
            return
        if reply.success and reply.next_index > self._log.last_index + 1:
            raise FrameError(f"an acknowledgement of entry {reply.next_index - 1}, which does not exist")
        if (reply.success or reply.reset) and reply.next_index <= FIRST_INDEX:
            raise FrameError(f"an answer about entry {reply.next_index}, before the log begins")
        self._rounds.echo(peer, reply.round)
        if reply.electable:
            self._electable.add(peer)
        else:
            self._electable.discard(peer)
        reset = reply.reset and self._sender.follow_reset(
            peer, reply.next_index, self._env.monotonic(), self._append_period_seconds
        )
        sent_index = self._core.next_index(peer)
        self._core.receive_append_reply(peer, reply, reset=reset)
        if reply.success and not reset and self._core.next_index(peer) < sent_index:
            # The library goes back to what the answer speaks of, and would send again what is under way behind it.
            self._core.set_next_index(peer, sent_index)
        if reset or self._core.next_index(peer) <= self._log.last_index:
            self.due = True
