"""A follower's part: the leader's entries into the log, its snapshots into the folder, and the answers."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from api.v1 import raft_pb2
from component.env import Env
from controlplane.raft import messages
from controlplane.raft.append_rules import Accept, Extend, LogView, Reject, decide
from controlplane.raft.config import NodeSettings
from controlplane.raft.core import RaftCore
from controlplane.raft.frames import FrameError
from controlplane.raft.log import DurableLog
from controlplane.raft.snapshots import SnapshotFolder

log = structlog.get_logger()


class Following:
    """`electable` is told to the leader with every answer, which hands over only to who can lead at once."""

    def __init__(
        self,
        settings: NodeSettings,
        core: RaftCore,
        durable_log: DurableLog,
        snapshots: SnapshotFolder,
        env: Env,
        electable: Callable[[], bool],
    ) -> None:
        self._sign_period_seconds = settings.append_period_seconds
        self._core = core
        self._log = durable_log
        self._snapshots = snapshots
        self._env = env
        self._electable = electable
        self._round = 0  # of the message being answered
        self._answered_time = float("-inf")

    def acknowledge(self, peer: str, next_index: int, *, success: bool = False, reset: bool = False) -> None:
        """Answer the leader; leaves this replica only after the next sync."""
        self._answered_time = self._env.monotonic()
        reply = raft_pb2.AppendReply(
            next_index=next_index, success=success, reset=reset, round=self._round, electable=self._electable()
        )
        self._core.send(peer, raft_pb2.RaftMessage(append_reply=reply))

    def receive_append(self, peer: str, term: int, append: raft_pb2.AppendEntries) -> None:
        """Entries or a sign of life from the leader of `term`."""
        entries = messages.entries(append, term)
        self._round = append.round
        view = LogView(self._log.first_index, self._log.last_index, self._core.commit_index, self._log.term_at)
        match decide(view, append.prev_index, append.prev_term, [entry[2] for entry in entries]):
            case Accept(matched_index):
                self._core.receive_contact(peer, term, min(append.commit_index, matched_index))
                self.acknowledge(peer, matched_index + 1, success=True)
            case Reject(next_index):
                self._core.receive_contact(peer, term, 0)
                self.acknowledge(peer, next_index, reset=True)
            case Extend(prev_index, prev_term, skip):
                self._core.receive_entries(peer, term, append.commit_index, prev_index, prev_term, entries[skip:])

    def receive_part(self, peer: str) -> None:
        """A part of a message of the leader's: both sides live, however long the rest takes."""
        if self._env.monotonic() - self._answered_time >= self._sign_period_seconds:
            self._core.receive_contact(peer, self._core.term, 0)
            self.acknowledge(peer, self._log.last_index + 1)

    def receive_snapshot_piece(self, peer: str, term: int, piece: raft_pb2.SnapshotChunk) -> None:
        """A piece of the leader's snapshot; the last one installs it."""
        self._round = piece.round
        index = piece.index
        known = self._log.first_index <= index <= self._log.last_index and self._log.term_at(index) == piece.index_term
        self._core.receive_contact(peer, term, index if known else 0)
        commit_index = self._core.commit_index
        if index <= commit_index:  # installing it would undo what is committed here
            self.acknowledge(peer, commit_index + 1, success=True, reset=True)
            return
        if not self._snapshots.receive(index, piece.index_term, piece.offset, piece.data):
            raise FrameError("a piece of a snapshot out of order")
        if not piece.last:
            self.acknowledge(peer, self._log.last_index + 1)  # only a sign of life
            return
        membership = piece.membership.SerializeToString() if piece.HasField("membership") else b""
        snapshot = self._snapshots.finish(piece.size_bytes, piece.crc32, membership)
        if snapshot is None:
            raise FrameError(f"a snapshot at index {index} with a wrong checksum")
        self._log.reset(index, piece.index_term)
        self._core.installed(index, messages.membership_of(piece.membership) if membership else None)
        log.info("snapshot_installed", index=index, term=piece.index_term, size_bytes=piece.size_bytes)
        self.acknowledge(peer, index + 1, success=True)
