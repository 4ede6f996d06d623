"""The Raft process's end of the socket to its API process.

Delivers committed and locally durable entries from the API's cursor under its byte credits, takes proposals, reads
and snapshots, and tells the node whether the API process is alive. It must not know what entries mean.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import structlog
from google.protobuf.message import DecodeError

from api.v1 import raft_pb2
from controlplane.raft import frames, messages
from controlplane.raft.frames import ENTRY_OVERHEAD_BYTES, FrameError, FrameReader
from controlplane.raft.log import DurableLog, LogFailure
from controlplane.raft.membership import ChangeNotNow, ChangeRefused
from controlplane.raft.node import RaftNode
from controlplane.raft.poller import READ, WRITE, Poller
from controlplane.raft.protocol import Snapshot
from controlplane.raft.snapshots import SnapshotFolder

log = structlog.get_logger()

MAX_UNCOMMITTED_BYTES = 64 << 20  # proposals beyond it are refused: the quorum is gone or too slow
_BATCH_BYTES = 256 << 10
_READ_BYTES = 256 << 10


class LinkServer:
    """Listens on the socket and serves the newest API process; `pump` runs after every sync.

    A simulation gives its own `listen`.
    """

    def __init__(
        self,
        path: Path,
        replica: str,
        node: RaftNode,
        durable_log: DurableLog,
        snapshots: SnapshotFolder,
        poller: Poller,
        sync_percentiles: Callable[[], tuple[float, float]],
        *,
        listen: Callable[[Path], socket.socket] | None = None,
    ) -> None:
        self._path = path
        self._sync_percentiles = sync_percentiles
        self._replica = replica
        self._node = node
        self._log = durable_log
        self._snapshots = snapshots
        self._poller = poller
        self._session: LinkSession | None = None
        self._listener = (listen or _listen)(path)
        poller.watch(self._listener.fileno(), READ, self._accept)

    def pump(self) -> None:
        """Send everything the API process may have and does not have yet."""
        if self._session is not None:
            self._session.pump()

    def close(self) -> None:
        """Close the socket and remove its name."""
        self._poller.forget(self._listener.fileno())
        self._listener.close()
        self._path.unlink(missing_ok=True)
        if self._session is not None:
            self._session.close("shutting down")

    def _accept(self, _events: int) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # gone again
            return
        if self._session is not None:
            self._session.close("replaced by a newer API process")
        self._session = LinkSession(
            connection,
            self._replica,
            self._node,
            self._log,
            self._snapshots,
            self._poller,
            self._sync_percentiles,
            self._closed,
        )

    def _closed(self, reason: str) -> None:
        self._session = None
        self._node.api.lost()
        log.info("api_disconnected", reason=reason)


class LinkSession:
    """One API process, from its hello until its socket closes."""

    def __init__(
        self,
        connection: socket.socket,
        replica: str,
        node: RaftNode,
        durable_log: DurableLog,
        snapshots: SnapshotFolder,
        poller: Poller,
        sync_percentiles: Callable[[], tuple[float, float]],
        on_closed: Callable[[str], None],
    ) -> None:
        self._sync_percentiles = sync_percentiles
        self._connection = connection
        self._replica = replica
        self._node = node
        self._log = durable_log
        self._snapshots = snapshots
        self._poller = poller
        self._on_closed = on_closed
        self._reader = FrameReader()
        self._out = bytearray()
        self._open = True
        self._greeted = False
        self._cursor = 0
        self._credit_bytes = 0
        self._own: dict[int, tuple[int, int, int]] = {}  # index: term, id, size
        self._own_bytes = 0
        self._status_due = False
        self._reported: tuple[object, ...] = ()
        self._events = 0
        connection.setblocking(False)
        self._want(READ)

    def close(self, reason: str) -> None:
        """End the session."""
        if self._open:
            self._open = False
            self._poller.forget(self._connection.fileno())
            self._connection.close()
            self._on_closed(reason)

    def pump(self) -> None:
        """Deliver, report, write."""
        if not self._greeted:
            return
        self._deliver()
        self._report()
        self._flush()

    # Receiving --------------------------------------------------------------------------------------------------

    def _turn(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if not self._open or not events & ~WRITE:
            return
        try:
            received = self._connection.recv(_READ_BYTES)
            if not received:
                self.close("closed by the API process")
                return
            for body in self._reader.feed(received):
                self._handle(raft_pb2.LinkMessage.FromString(body))
                if not self._open:
                    return
        except BlockingIOError:
            return
        except (FrameError, DecodeError) as error:
            self.close(f"broke the protocol: {error}")
        except OSError as error:
            self.close(error.strerror or str(error))

    def _handle(self, message: raft_pb2.LinkMessage) -> None:
        kind = message.WhichOneof("message")
        if not self._greeted:
            if kind != "hello":
                raise FrameError("the first message is not a hello")
            self._greet(message.hello)
            return
        match kind:
            case "propose":
                self._propose(message.propose)
            case "read_index":
                number = message.read_index.id
                self._node.read_index(lambda index: self._answer_read(number, index))
            case "credit":
                self._credit_bytes += message.credit.bytes
                self._seen(message.credit.applied_index)
            case "tick":
                self._status_due = True
                self._seen(message.tick.applied_index)
            case "snapshot_saved":
                saved = message.snapshot_saved
                self._snapshot_saved(Snapshot(saved.index, saved.term, Path(saved.path)))
            case "change":
                self._change(message.change)
            case _:
                raise FrameError(f"a message without meaning here: {kind}")

    def _greet(self, hello: raft_pb2.LinkHello) -> None:
        if hello.replica != self._replica:
            self._fail(f"this is the Raft process of replica {self._replica}, not of {hello.replica}")
            return
        contradiction = self._contradiction(hello.applied_index, hello.applied_term)
        if contradiction:
            self._fail(f"{contradiction}; remove this replica from the cluster and join it anew")
            return
        self._greeted = True
        self._cursor = hello.applied_index
        self._credit_bytes = hello.credit_bytes
        self._node.api.connected(hello.applied_index)
        log.info("api_connected", applied_index=hello.applied_index)
        latest = self._snapshots.latest
        if latest is not None and latest.index > self._cursor:
            self._install(latest)

    def _contradiction(self, index: int, term: int) -> str:
        """How the API's cursor contradicts the log, or "". What was applied is committed and durable for ever."""
        if index > self._log.last_index:
            return f"the API process applied entry {index}, but the log ends at {self._log.last_index}: it lost data"
        if index > 0 and self._log.first_index <= index and self._log.term_at(index) != term:
            return f"the API process applied entry {index} of term {term}, the log has term {self._log.term_at(index)}"
        return ""

    def _seen(self, applied_index: int) -> None:
        self._node.api.seen(applied_index)
        latest = self._snapshots.latest
        if latest is not None and applied_index >= latest.index:
            self._snapshots.remove_older()

    def _propose(self, proposal: raft_pb2.LinkPropose) -> None:
        index = None
        if self._own_bytes < MAX_UNCOMMITTED_BYTES:
            index = self._node.propose(proposal.data, proposal.term, awaited_elsewhere=proposal.awaited_elsewhere)
        if index is None:
            self._send(raft_pb2.LinkMessage(refused=raft_pb2.LinkRefused(id=proposal.id)))
            return
        self._own[index] = (proposal.term, proposal.id, len(proposal.data))
        self._own_bytes += len(proposal.data)

    def _change(self, change: raft_pb2.LinkChange) -> None:
        reply = raft_pb2.LinkChangeReply(id=change.id)
        try:
            match change.WhichOneof("change"):
                case "add_learner":
                    self._node.add_learner(messages.member_of(change.add_learner))
                case "remove":
                    self._node.remove_member(change.remove)
                case "hand_over":
                    self._node.hand_over("asked for", change.hand_over)
                case other:
                    raise FrameError(f"a change without meaning here: {other}")
        except ChangeRefused as refused:
            reply.refused, reply.retry = str(refused), isinstance(refused, ChangeNotNow)
        self._send(raft_pb2.LinkMessage(change_reply=reply))

    def _answer_read(self, number: int, index: int | None) -> None:
        reply = raft_pb2.LinkReadReply(id=number, index=index or 0, refused=index is None)
        self._send(raft_pb2.LinkMessage(read_reply=reply))

    def _snapshot_saved(self, snapshot: Snapshot) -> None:
        """Adopt the file and compact; one that does not fit what was delivered is refused, nothing is lost by it."""
        latest = self._snapshots.latest
        if latest is not None and snapshot.index <= latest.index:
            return
        known = self._log.first_index <= snapshot.index <= min(self._cursor, self._node.deliverable_index())
        if not known or self._log.term_at(snapshot.index) != snapshot.term:
            log.error("snapshot_refused", index=snapshot.index, term=snapshot.term, reason="not a delivered entry")
            return
        try:
            self._snapshots.adopt(snapshot, self._node.membership_at(snapshot.index))
        except (FileNotFoundError, ValueError) as error:
            log.error("snapshot_refused", index=snapshot.index, reason=str(error))  # noqa: TRY400 - told, not traced
            return
        self._log.compact(snapshot.index)
        self._node.snapshot_kept(snapshot.index)
        self._snapshots.remove_older()
        log.info("log_compacted", snapshot_index=snapshot.index, first_index=self._log.first_index)

    # Sending ----------------------------------------------------------------------------------------------------

    def _deliver(self) -> None:
        limit = self._node.deliverable_index()
        if self._cursor + 1 < self._log.first_held_index:
            assert self._snapshots.latest is not None, "a compacted log without a snapshot"
            self._install(self._snapshots.latest)
        while self._cursor < limit and self._credit_bytes > 0:
            self._send(raft_pb2.LinkMessage(entries=self._batch(limit)))

    def _batch(self, limit: int) -> raft_pb2.LinkEntries:
        batch = raft_pb2.LinkEntries(commit_index=self._node.deliverable_index())
        size_bytes = 0
        first_index = self._log.first_index
        while self._cursor < limit and size_bytes < _BATCH_BYTES and self._credit_bytes > 0:
            data, index, term = self._log[self._cursor + 1 - first_index]
            own_term, own_id, own_bytes = self._own.pop(index, (0, 0, 0))
            self._own_bytes -= own_bytes
            if own_id and own_term == term:
                batch.entries.add(index=index, term=term, own_id=own_id)
                cost_bytes = ENTRY_OVERHEAD_BYTES
            else:
                command = messages.command_in(data)
                batch.entries.add(index=index, term=term, data=command)
                cost_bytes = ENTRY_OVERHEAD_BYTES + len(command)
            size_bytes += cost_bytes
            self._credit_bytes -= cost_bytes
            self._cursor = index
        return batch

    def _install(self, snapshot: Snapshot) -> None:
        install = raft_pb2.LinkSnapshot(index=snapshot.index, term=snapshot.term, path=str(snapshot.path))
        self._send(raft_pb2.LinkMessage(snapshot_install=install))
        self._cursor = snapshot.index

    def _report(self) -> None:
        """Send the status when role, term, leader or `leading` changed, or a tick asks for it."""
        role, term, leader, cut_off = self._node.standing()
        no_op_index = self._node.no_op_index()
        leading = 0 < no_op_index <= self._cursor
        membership = self._node.membership
        facts = (role, term, leader, leading, cut_off, membership.age)
        if facts == self._reported and not self._status_due:
            return
        if role != "leader" and self._own:  # outcomes come by delivery; the bytes no longer count
            self._own_bytes = 0
            self._own = {index: (term, number, 0) for index, (term, number, _) in self._own.items()}
        self._reported, self._status_due = facts, False
        sync_p50, sync_p99 = self._sync_percentiles()
        said = raft_pb2.LinkStatus(
            role=role,
            term=term,
            leader=leader,
            commit_index=self._node.deliverable_index(),
            last_index=self._log.last_index,
            leading=leading,
            cut_off=cut_off,
            membership=messages.membership_message(membership),
            sync_p50_seconds=sync_p50,
            sync_p99_seconds=sync_p99,
        )
        for replica, match_index, connected in self._node.progress():
            said.progress.add(replica=replica, match_index=match_index, connected=connected)
        self._send(raft_pb2.LinkMessage(status=said))

    def _fail(self, reason: str) -> None:
        """Tell the API process that it can never continue here, and end the session."""
        log.error("api_refused", reason=reason)
        self._send(raft_pb2.LinkMessage(error=raft_pb2.LinkError(message=reason)))
        self._flush()
        self.close(reason)

    def _send(self, message: raft_pb2.LinkMessage) -> None:
        self._out += frames.encode(message)

    def _flush(self) -> None:
        try:
            while self._out:
                with memoryview(self._out)[: 1 << 20] as chunk:
                    sent = self._connection.send(chunk)
                del self._out[:sent]
        except BlockingIOError:
            pass
        except OSError as error:
            self.close(error.strerror or str(error))
            return
        self._want(READ | WRITE if self._out else READ)

    def _want(self, events: int) -> None:
        if events != self._events:
            self._events = events
            self._poller.watch(self._connection.fileno(), events, self._turn)


def _listen(path: Path) -> socket.socket:
    """Listen; a name left by a killed process is removed, which the folder's lock makes safe."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(4)
    except OSError as error:
        listener.close()
        raise LogFailure(f"cannot listen on {path}: {error.strerror or error}") from error
    listener.setblocking(False)
    return listener
