"""The socket between API and Raft process, cut at every kind of frame, before or after it got through.

Whatever was under way, no write is lost, none counts twice, and entries come in order, each once.
"""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from api import errors
from api.v1 import raft_pb2
from component.env import system_env
from controlplane.commands import Add, Check, Envelope, Key, Put
from controlplane.raft.frames import FrameReader, encode
from controlplane.raft.link import SocketLog
from controlplane.raft.protocol import NotLeader, Snapshot
from controlplane.replica import Replica
from tests.integration.raft_processes import RaftProcesses, Reader, put
from tests.waiting import eventually

pytestmark = pytest.mark.slow

OCCURRENCES = (1, 2, 5)  # at which frame of a kind

BUSY_KINDS = ("hello", "propose", "read_index", "credit", "tick", "entries", "read_reply", "status")


class CuttableSocket:
    """Relays between `path` and the Raft process's socket, frame by frame, until a frame of `kind` is the one to cut."""

    def __init__(self, path, target):
        self.path = path
        self._target = target
        self._connections = set()
        self._plan = []  # kind, occurrence, deliver of the cuts to come
        self._seen = 0  # frames of the first one's kind
        self.cuts = 0

    async def __aenter__(self):
        self._server = await asyncio.start_unix_server(self._relay, self.path)
        return self

    async def __aexit__(self, *_raised):
        self._server.close()
        await asyncio.sleep(0)  # what was accepted just now is known after a turn of the loop
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def cut_at(self, kind, occurrence, *, deliver):
        """Cut at such a frame, after the cuts planned before; `deliver`: after it got through."""
        self._plan.append((kind, occurrence, deliver))

    async def cut_now(self, kind, occurrence, *, deliver):
        """Plan a cut and wait for it."""
        if kind == "hello":  # which is said only in a new connection
            self.cut_at("tick", 1, deliver=True)
        self.cut_at(kind, occurrence, deliver=deliver)
        await eventually(lambda: not self._plan)

    async def _relay(self, reader, writer):
        self._connections.add(asyncio.current_task())
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._relay_to(reader, writer, *await asyncio.open_unix_connection(self._target))
        finally:
            writer.transport.abort()

    async def _relay_to(self, reader, writer, far_reader, far_writer):
        copies = [asyncio.create_task(self._copy(*ends)) for ends in ((reader, far_writer), (far_reader, writer))]
        try:
            await next(asyncio.as_completed(copies))
        finally:
            for copy in copies:
                copy.cancel()
            await asyncio.gather(*copies, return_exceptions=True)
            far_writer.transport.abort()

    async def _copy(self, reader, writer):
        frames = FrameReader()
        while received := await reader.read(65536):
            for body in frames.feed(received):
                message = raft_pb2.LinkMessage.FromString(body)
                kind, occurrence, deliver = self._plan[0] if self._plan else ("", 0, True)
                self._seen += message.WhichOneof("message") == kind
                cut = bool(kind) and self._seen == occurrence
                if not cut or deliver:
                    writer.write(encode(message))
                    await writer.drain()
                if cut:
                    self._plan.pop(0)
                    self._seen = 0
                    self.cuts += 1
                    return


class NoPeers:
    """A cluster of one replica."""

    async def propose(self, leader, term, transactions):
        raise NotLeader(leader)

    async def read_index(self, leader):
        raise NotLeader(leader)


@pytest.fixture
async def raft(tmp_path):
    raft = RaftProcesses(tmp_path, 1)
    raft.start()
    yield raft
    raft.close()


@pytest.fixture
async def socket(raft):
    real = raft.socket_path("r1")
    await eventually(real.exists)
    async with CuttableSocket(real.with_suffix(".cut"), real) as socket:
        yield socket
    socket.path.unlink(missing_ok=True)


@pytest.fixture
async def replica(socket, tmp_path):
    replica = Replica("r1", SocketLog(socket.path, "r1"), NoPeers(), tmp_path / "snapshots", system_env())
    await replica.start()
    await eventually(lambda: replica.ready)
    yield replica
    await replica.close()


class Writers:
    """A few writers and readers of one replica, who note what they were told."""

    def __init__(self, replica):
        self._replica = replica
        self.acknowledged = set()
        self.doubtful = set()
        self.reads = 0

    async def write(self, worker):
        number = 0
        while True:
            name = f"{worker}-{number}"
            key = Key("pods", "d", name)
            try:
                await self._replica.commit(
                    [Check(key, absent=True), Put(Envelope(key, name), b"{}"), Add("all", {"n": 1})]
                )
            except errors.Unavailable:
                await asyncio.sleep(0.005)
                continue
            except (errors.Unknown, asyncio.CancelledError) as told:
                self.doubtful.add(name)
                if isinstance(told, asyncio.CancelledError):
                    raise
            else:
                self.acknowledged.add(name)
            number += 1

    async def read(self):
        while True:
            with contextlib.suppress(errors.Unavailable):
                await self._replica.read_barrier()
                self.reads += 1
            await asyncio.sleep(0.005)

    async def more(self):
        written, reads = len(self.acknowledged), self.reads
        await eventually(lambda: len(self.acknowledged) > written + 3 and self.reads > reads)


@pytest.mark.parametrize("deliver", [False, True], ids=["before", "after"])
async def test_a_cut_at_any_frame_loses_and_repeats_no_write(replica, socket, deliver):
    writers = Writers(replica)
    tasks = [asyncio.create_task(work) for work in (*map(writers.write, "abc"), writers.read())]
    for kind in BUSY_KINDS:
        for occurrence in OCCURRENCES if kind != "hello" else (1,):
            await writers.more()
            await socket.cut_now(kind, occurrence, deliver=deliver)
    await writers.more()
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(ended, asyncio.CancelledError), ended
    await replica.read_barrier()
    stored = {stored.envelope.key.name for stored in replica.state.each("pods")}
    assert writers.acknowledged <= stored <= writers.acknowledged | writers.doubtful
    assert replica.state.ledger("all")["n"] == len(stored)


@pytest.mark.parametrize("deliver", [False, True], ids=["before", "after"])
async def test_a_cut_at_a_snapshot_that_is_told_or_installed_leaves_no_gap(raft, socket, tmp_path, deliver):
    first = Reader(SocketLog(socket.path, "r1"))
    await first.connect()
    for number in range(8):
        await put([first], b"%d" % number + bytes(1 << 20))  # more than the tail for laggards
    file = tmp_path / "state"
    file.write_bytes(b"state")
    snapshot = Snapshot(*first.applied, file)
    socket.cut_at("snapshot_saved", 1, deliver=deliver)
    first.log.snapshot_saved(snapshot)
    await eventually(lambda: socket.cuts == 1)
    await put([first], b"after")
    first.log.snapshot_saved(snapshot)  # a lost one is told again, with the next snapshot at the latest
    await put([first], b"last")
    assert [entry.index for entry in first.entries] == list(range(1, len(first.entries) + 1))
    await first.log.close()

    second = Reader(SocketLog(socket.path, "r1"))
    socket.cut_at("snapshot_install", 1, deliver=deliver)
    await second.connect()
    await eventually(lambda: second.data[-1:] == [b"last"])
    assert socket.cuts == 2
    assert {each.index for each in second.installed} == {snapshot.index}
    assert [entry.index for entry in second.entries] == [
        snapshot.index + 1 + offset for offset in range(len(second.entries))
    ]
    await second.log.close()
