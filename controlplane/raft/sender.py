"""What a leader sends to each peer: entries in batches, or the snapshot in pieces when the log no longer has them.

It builds messages; when to send them, and what replies mean, is the node's part.
"""

from __future__ import annotations

from api.v1 import raft_pb2
from controlplane.raft.log import DurableLog
from controlplane.raft.snapshots import OutgoingSnapshot, SnapshotFolder

APPEND_BATCH_BYTES = 1 << 20
SNAPSHOT_PIECE_BYTES = 256 << 10


class PeerSender:
    """Messages of one leadership. `begin_turn` forgets what was built for the turn before."""

    def __init__(self, durable_log: DurableLog, snapshots: SnapshotFolder) -> None:
        self._log = durable_log
        self._snapshots = snapshots
        self._appends: dict[int, raft_pb2.RaftMessage] = {}
        self._outgoing: dict[str, OutgoingSnapshot] = {}
        self._resets: dict[str, tuple[int, float]] = {}

    def begin_turn(self) -> None:
        """Commit index and round may have changed: build appends anew."""
        self._appends.clear()

    def append(self, next_index: int, commit_index: int, number: int) -> raft_pb2.RaftMessage:
        """The entries from `next_index` on, as many as fit one batch; peers at the same index share the message."""
        message = self._appends.get(next_index)
        if message is None:
            prev = self._log[next_index - 1 - self._log.first_index]
            append = raft_pb2.AppendEntries(
                commit_index=commit_index, prev_index=prev[1], prev_term=prev[2], round=number
            )
            size_bytes = 0
            for position in range(next_index - self._log.first_index, len(self._log)):
                data, index, term = self._log[position]
                size_bytes += len(data)
                if size_bytes > APPEND_BATCH_BYTES and append.entries:
                    break
                append.entries.add(
                    index=index, term=term, kind=raft_pb2.RaftEntry.Kind.ValueType(data[0]), data=data[1:]
                )
            message = self._appends[next_index] = raft_pb2.RaftMessage(append_entries=append)
        return message

    def snapshot_piece(self, peer: str, number: int) -> raft_pb2.SnapshotChunk:
        """The next piece of the latest snapshot; the one with `last` set ends the transmission."""
        outgoing = self._outgoing.get(peer)
        if outgoing is None:
            assert self._snapshots.latest is not None, "a compacted log without a snapshot"
            outgoing = self._outgoing[peer] = OutgoingSnapshot(self._snapshots.latest, self._snapshots.membership())
        offset, data = outgoing.read(SNAPSHOT_PIECE_BYTES)
        membership = b""
        if outgoing.complete:
            membership = outgoing.membership
            self.drop(peer)
        return raft_pb2.SnapshotChunk(
            index=outgoing.snapshot.index,
            index_term=outgoing.snapshot.term,
            offset=offset,
            data=data,
            last=outgoing.complete,
            round=number,
            size_bytes=outgoing.offset,
            crc32=outgoing.crc32,
            membership=raft_pb2.Membership.FromString(membership) if membership else None,
        )

    def follow_reset(self, peer: str, next_index: int, now: float, patience_seconds: float) -> bool:
        """Whether to go back to `next_index` as the peer asks.

        Every append under way is answered with the same reset; following each would send all of it again.
        """
        last_index, last_time = self._resets.get(peer, (-1, 0.0))
        if last_index == next_index and now - last_time <= patience_seconds:
            return False
        self._resets[peer] = (next_index, now)
        return True

    def drop(self, peer: str) -> None:
        """Give up a transmission; the next one starts from the beginning."""
        outgoing = self._outgoing.pop(peer, None)
        if outgoing is not None:
            outgoing.close()

    def close(self) -> None:
        """Leadership is over."""
        for peer in list(self._outgoing):
            self.drop(peer)
        self._resets.clear()
