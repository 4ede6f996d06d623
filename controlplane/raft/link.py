"""The API process's end of the socket to the Raft process of its replica: `ReplicatedLog` for production.

Reconnects by itself; every session starts from what was applied, so nothing is delivered twice or left out. It must
not know what entries mean.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import structlog
from google.protobuf.message import DecodeError

from api.v1 import raft_pb2
from controlplane.raft import frames, messages
from controlplane.raft.frames import ENTRY_OVERHEAD_BYTES, FrameError, FrameReader
from controlplane.raft.membership import ChangeNotNow, ChangeRefused, Member
from controlplane.raft.protocol import Entry, NotLeader, RaftStatus, Role, Snapshot, Vitals

log = structlog.get_logger()

TICK_SECONDS = 0.25
SILENCE_SECONDS = 2.0  # the Raft process answers every tick
UNANSWERED_TICKS = 3  # then others can serve sooner than this replica; ticks, since a stall of this process counts once
CREDIT_BYTES = 8 << 20
CREDIT_SECONDS = 0.01  # what was taken in is told with the next message, or when nothing came for so long
OWED_BYTES = CREDIT_BYTES // 4  # or at once when it is so much
MAX_UNSENT_BYTES = 32 << 20
_RETRY_SECONDS = 0.05
_READ_BYTES = 256 << 10
_ROLES: dict[str, Role] = {"leader": "leader", "follower": "follower", "candidate": "candidate"}


class LinkRefused(Exception):
    """The Raft process says that this API process can never continue; the text says why and what to do."""


class SocketLog:
    """`ReplicatedLog` over the Unix socket at `socket_path`.

    `run` is the task that delivers; it ends only with `close`, or with the error of a callback or a `LinkRefused`,
    after which this API process must end too.
    """

    def __init__(self, socket_path: Path, replica: str, *, time_factor: float = 1.0) -> None:
        self._socket_path = socket_path
        self._replica = replica
        self._silence_seconds = SILENCE_SECONDS * time_factor
        self._most_unanswered = max(UNANSWERED_TICKS, round(UNANSWERED_TICKS * time_factor))
        self._unanswered = 0  # ticks since something came from the Raft process
        self._applied = (0, 0)
        self._status = RaftStatus("follower", 0, "", 0, 0, connected=False)
        self._on_entries: Callable[[Sequence[Entry]], None] = lambda _entries: None
        self._on_status: Callable[[RaftStatus], None] = lambda _status: None
        self._on_install: Callable[[Snapshot], Awaitable[None]]
        self._writer: asyncio.StreamWriter | None = None
        self._unsent: list[bytes] = []
        self._owed_bytes = 0  # of credits
        self._crediting: asyncio.Handle | None = None
        self._last_id = 0
        self._own: dict[int, tuple[bytes, Callable[[], None]]] = {}
        self._reads: dict[int, asyncio.Future[int]] = {}
        self._changes: dict[int, asyncio.Future[raft_pb2.LinkChangeReply]] = {}
        self.vitals = Vitals()
        self._ticking: asyncio.TimerHandle | None = None
        self.run: asyncio.Task[None] | None = None

    async def connect(
        self,
        applied: tuple[int, int],
        on_entries: Callable[[Sequence[Entry]], None],
        on_status: Callable[[RaftStatus], None],
        on_install: Callable[[Snapshot], Awaitable[None]],
    ) -> None:
        """Start delivery after `applied`; returns at once, the Raft process need not be there yet."""
        assert self.run is None, "already connected"
        self._applied = applied
        self._on_entries, self._on_status, self._on_install = on_entries, on_status, on_install
        self.run = asyncio.create_task(self._run(), name="raft-link")

    def propose(
        self, data: bytes, term: int, on_refused: Callable[[], None], *, awaited_elsewhere: bool = False
    ) -> None:
        """Send to the Raft process; refused at once while there is none or it takes nothing."""
        writer = self._writer
        if writer is None or writer.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            asyncio.get_running_loop().call_soon(on_refused)
            return
        self._last_id += 1
        self._own[self._last_id] = (data, on_refused)
        proposal = raft_pb2.LinkPropose(id=self._last_id, term=term, data=data, awaited_elsewhere=awaited_elsewhere)
        self._send(raft_pb2.LinkMessage(propose=proposal))

    async def read_index(self) -> int:
        """The index a linearizable read starting now must have applied; NotLeader elsewhere or without Raft process."""
        if self._writer is None:
            raise NotLeader
        self._last_id += 1
        number = self._last_id
        read: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._reads[number] = read
        self._send(raft_pb2.LinkMessage(read_index=raft_pb2.LinkReadIndex(id=number)))
        try:
            return await read
        finally:
            self._reads.pop(number, None)

    async def add_learner(self, newcomer: Member) -> None:
        """Append a learner, which is promoted once it has caught up. ChangeRefused, ChangeNotNow."""
        member = raft_pb2.Membership.Member(replica=newcomer.replica, uid=newcomer.uid, address=newcomer.address)
        await self._change(raft_pb2.LinkChange(add_learner=member))

    async def remove_member(self, replica: str) -> None:
        """Append the membership without `replica`. ChangeRefused, ChangeNotNow."""
        await self._change(raft_pb2.LinkChange(remove=replica))

    async def hand_over(self, to: str) -> None:
        """Begin to hand leadership over to `to`, or to the best ("")."""
        await self._change(raft_pb2.LinkChange(hand_over=to))

    async def _change(self, change: raft_pb2.LinkChange) -> None:
        if self._writer is None:
            raise ChangeNotNow("the Raft process of this replica is away")
        self._last_id += 1
        change.id = self._last_id
        answer: asyncio.Future[raft_pb2.LinkChangeReply] = asyncio.get_running_loop().create_future()
        self._changes[change.id] = answer
        self._send(raft_pb2.LinkMessage(change=change))
        try:
            reply = await answer
        finally:
            self._changes.pop(change.id, None)
        if reply.refused:
            raise (ChangeNotNow if reply.retry else ChangeRefused)(reply.refused)

    @property
    def status(self) -> RaftStatus:
        """The latest status; a follower without a leader while there is no Raft process."""
        return self._status

    def snapshot_saved(self, snapshot: Snapshot) -> None:
        """Tell the Raft process, which keeps a link to the file: it must not be written again, but may be removed.

        While the Raft process is away nothing is lost, the next snapshot will do.
        """
        saved = raft_pb2.LinkSnapshot(index=snapshot.index, term=snapshot.term, path=str(snapshot.path.absolute()))
        self._send(raft_pb2.LinkMessage(snapshot_saved=saved))

    async def close(self) -> None:
        """Stop delivery. Proposals under way stay unknown."""
        run, self.run = self.run, None
        if run is not None:
            run.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await run

    # Sessions ---------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            try:
                reader, self._writer = await asyncio.open_unix_connection(self._socket_path)
            except OSError:
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            try:
                await self._session(reader)
            except (OSError, TimeoutError, FrameError, DecodeError) as error:
                log.warning("raft_link_lost", reason=str(error) or "silent")
            finally:
                self._disconnect()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _session(self, reader: asyncio.StreamReader) -> None:
        index, term = self._applied
        hello = raft_pb2.LinkHello(
            applied_index=index, applied_term=term, replica=self._replica, credit_bytes=CREDIT_BYTES
        )
        self._send(raft_pb2.LinkMessage(hello=hello))
        self._tick()
        frame_reader = FrameReader()
        while True:
            try:
                async with asyncio.timeout(self._silence_seconds):
                    received = await reader.read(_READ_BYTES)
            except TimeoutError:
                if self._unanswered < self._most_unanswered:
                    continue  # it was this process that stood still; what came meanwhile waits in the reader
                raise
            if not received:
                raise OSError("closed by the Raft process")
            self._unanswered = 0
            for body in frame_reader.feed(received):
                await self._handle(raft_pb2.LinkMessage.FromString(body))

    def _disconnect(self) -> None:
        """Forget everything of the session: proposals are unknown now, reads must go elsewhere."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.transport.abort()
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
        self._unanswered = 0
        self._unsent.clear()
        self._forget_credits()
        self._own.clear()
        self._fail_reads()
        for change in self._changes.values():
            if not change.done():
                change.set_exception(ChangeNotNow("this replica lost the connection to its Raft process"))
        old = self._status
        self._set_status(replace(old, role="follower", leader="", leading=False, connected=False))

    def _fail_reads(self) -> None:
        for read in self._reads.values():
            if not read.done():
                read.set_exception(NotLeader())

    def _set_status(self, status: RaftStatus) -> None:
        if status != self._status:
            self._status = status
            self._on_status(status)

    # Receiving --------------------------------------------------------------------------------------------------

    async def _handle(self, message: raft_pb2.LinkMessage) -> None:
        match message.WhichOneof("message"):
            case "entries":
                self._deliver(message.entries)
            case "refused":
                proposal = self._own.pop(message.refused.id, None)
                if proposal is not None:
                    proposal[1]()
            case "read_reply":
                self._answer_read(message.read_reply)
            case "status":
                self._hear(message.status)
            case "change_reply":
                change = self._changes.get(message.change_reply.id)
                if change is not None and not change.done():
                    change.set_result(message.change_reply)
            case "snapshot_install":
                await self._install(message.snapshot_install)
            case "error":
                raise LinkRefused(message.error.message)
            case other:
                raise FrameError(f"a message without meaning here: {other}")

    def _hear(self, said: raft_pb2.LinkStatus) -> None:
        progress = {each.replica: (each.match_index, each.connected) for each in said.progress}
        self.vitals = Vitals(said.sync_p50_seconds, said.sync_p99_seconds, progress)
        self._set_status(
            RaftStatus(
                _ROLES[said.role],
                said.term,
                said.leader,
                said.commit_index,
                said.last_index,
                said.leading,
                cut_off=said.cut_off,
                membership=messages.membership_of(said.membership),
            )
        )

    def _deliver(self, batch: raft_pb2.LinkEntries) -> None:
        entries: list[Entry] = []
        cost_bytes = 0
        next_index = self._applied[0] + 1
        for said in batch.entries:
            data = said.data
            cost_bytes += ENTRY_OVERHEAD_BYTES + len(data)
            if said.own_id:
                data = self._own.pop(said.own_id)[0]
            if said.index < next_index:
                continue
            if said.index > next_index:
                raise FrameError(f"entry {said.index} came where {next_index} was due")
            entries.append(Entry(said.index, said.term, data))
            next_index += 1
        commit_index = max(self._status.commit_index, batch.commit_index)
        last_index = max(self._status.last_index, commit_index)
        self._status = replace(self._status, commit_index=commit_index, last_index=last_index)
        if entries:
            self._applied = (entries[-1].index, entries[-1].term)
            self._on_entries(entries)
        self._owe(cost_bytes)

    async def _install(self, said: raft_pb2.LinkSnapshot) -> None:
        if said.index <= self._applied[0]:
            return
        await self._on_install(Snapshot(said.index, said.term, Path(said.path)))
        self._applied = (said.index, said.term)
        credit = raft_pb2.LinkCredit(bytes=0, applied_index=said.index)
        self._send(raft_pb2.LinkMessage(credit=credit))

    def _answer_read(self, reply: raft_pb2.LinkReadReply) -> None:
        read = self._reads.get(reply.id)
        if read is None or read.done():
            return
        if reply.refused:
            read.set_exception(NotLeader())
        else:
            read.set_result(reply.index)

    # Sending ----------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Show that this process's loop is alive; the Raft process leads only while it sees that."""
        loop = asyncio.get_running_loop()
        if self._unanswered >= self._most_unanswered and not self._status.cut_off:
            self._set_status(replace(self._status, role="follower", leader="", leading=False, cut_off=True))
        self._unanswered += 1
        self._send(raft_pb2.LinkMessage(tick=raft_pb2.LinkTick(applied_index=self._applied[0])))
        self._ticking = loop.call_later(TICK_SECONDS, self._tick)

    def _owe(self, cost_bytes: int) -> None:
        """Give credits with whatever is sent next, at the latest a tick: a message of their own wakes the Raft process.

        After the last entry it comes soon: who is told as behind what is committed cannot be elected.
        """
        self._owed_bytes += cost_bytes
        if self._crediting is not None:
            self._crediting.cancel()
        seconds = CREDIT_SECONDS if self._owed_bytes < OWED_BYTES else 0.0
        self._crediting = asyncio.get_running_loop().call_later(seconds, self._flush)

    def _send(self, message: raft_pb2.LinkMessage) -> None:
        """Queue a frame; everything queued in one turn of the loop leaves in one write."""
        if self._writer is None:
            return
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent.append(frames.encode(message))

    def _flush(self) -> None:
        if self._crediting is not None:
            credit = raft_pb2.LinkCredit(bytes=self._owed_bytes, applied_index=self._applied[0])
            self._unsent.append(frames.encode(raft_pb2.LinkMessage(credit=credit)))
            self._forget_credits()
        unsent, self._unsent = self._unsent, []
        if self._writer is not None and unsent and not self._writer.is_closing():  # else the reader tells of the loss
            self._writer.write(b"".join(unsent))

    def _forget_credits(self) -> None:
        if self._crediting is not None:
            self._crediting.cancel()
            self._crediting = None
        self._owed_bytes = 0
