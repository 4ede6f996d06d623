"""What every `ReplicatedLog` promises, run against the in-process log and against real Raft processes."""

from __future__ import annotations

import asyncio

import pytest

from controlplane.raft.protocol import NotLeader, Snapshot
from tests.integration.raft_processes import RaftProcesses, Reader, leading, put
from tests.single_log import SingleLog


class Single:
    """A fresh reader per connection, always of the same log."""

    def __init__(self):
        self._log = SingleLog()
        self._reader = None

    async def leader(self):
        reader = await self.reconnected((0, 0))
        await reader.lead()
        return reader

    async def reconnected(self, applied):
        self._reader = Reader(self._log)
        await self._reader.connect(applied)
        return self._reader

    def readers(self):
        return [self._reader]

    async def close(self):
        await self._log.close()


class Processes:
    """The API end of whichever replica leads; the others' stay connected, or they could not be elected."""

    def __init__(self, folder, count):
        # Nothing here is about elections: none is to come between because a busy machine lets a leader wait.
        self._cluster = RaftProcesses(folder, count, time_factor=5.0)
        self._cluster.start()
        self._apis = {}

    async def leader(self):
        await self.reconnected((0, 0))
        return await leading(self.readers())

    async def reconnected(self, applied):
        """Connect every API end that is closed; returns the last of them."""
        reader = None
        for name in self._cluster.names:
            if name not in self._apis or self._apis[name].log.run is None:
                reader = self._apis[name] = self._cluster.api(name)
                await reader.connect(applied)
        return reader

    def readers(self):
        return list(self._apis.values())

    async def close(self):
        try:
            for api in self._apis.values():
                await api.log.close()
        finally:
            self._cluster.close()


@pytest.fixture(
    params=[
        "single",
        pytest.param(1, marks=pytest.mark.slow, id="one-replica"),
        pytest.param(3, marks=pytest.mark.slow, id="three-replicas"),
    ]
)
async def logs(request, tmp_path):
    logs = Single() if request.param == "single" else Processes(tmp_path, request.param)
    yield logs
    await logs.close()


def never() -> None:
    raise AssertionError("refused")


async def test_delivers_every_proposal_once_in_the_order_proposed(logs):
    reader = await logs.leader()
    sent = [b"%d" % number for number in range(200)]
    for data in sent:
        reader.log.propose(data, reader.log.status.term, never)
    await reader.until(lambda: len(reader.data) >= 200)
    assert reader.data == sent
    assert [entry.index for entry in reader.entries] == list(range(1, len(reader.entries) + 1))


async def test_leads_only_after_the_no_op_of_its_term_was_delivered(logs):
    reader = await logs.leader()
    assert any(entry.term == reader.log.status.term and entry.data == b"" for entry in reader.entries)
    assert reader.log.status.leader


async def test_refuses_a_proposal_of_another_term(logs):
    reader = await logs.leader()
    term = reader.log.status.term
    refused = []
    reader.log.propose(b"late", term - 1, lambda: refused.append(1))
    reader.log.propose(b"early", term + 1, lambda: refused.append(2))
    reader.log.propose(b"right", term, never)
    await reader.until(lambda: bool(reader.data) and len(refused) == 2)
    assert reader.data == [b"right"]


async def test_a_reconnected_reader_continues_after_its_cursor(logs):
    reader = await logs.leader()
    reader.log.propose(b"one", reader.log.status.term, never)
    await reader.until(lambda: reader.data == [b"one"])
    await reader.log.close()
    again = await logs.reconnected(reader.applied)
    await put(logs.readers(), b"two")
    await again.until(lambda: b"two" in again.data)
    assert again.entries[0].index == reader.entries[-1].index + 1
    assert [entry.index for entry in again.entries] == list(
        range(again.entries[0].index, again.entries[0].index + len(again.entries))
    )


async def test_a_read_index_covers_what_was_delivered_before(logs):
    reader = await logs.leader()
    reader.log.propose(b"one", reader.log.status.term, never)
    await reader.until(lambda: bool(reader.data))
    assert await reader.log.read_index() >= reader.entries[-1].index


async def test_a_large_entry_travels_unchanged(logs):
    reader = await logs.leader()
    data = bytes(range(256)) * 4096 * 8  # 8 MiB, the limit of a transaction
    reader.log.propose(data, reader.log.status.term, never)
    await reader.until(lambda: bool(reader.data))
    assert reader.data == [data]


async def test_a_cursor_below_the_snapshot_gets_the_snapshot_first(tmp_path):
    for logs in (Single(), Processes(tmp_path / "raft", 1)):
        reader = await logs.leader()
        reader.log.propose(b"one", reader.log.status.term, never)
        await reader.until(lambda reader=reader: bool(reader.data))
        index, term = reader.applied
        path = tmp_path / "snapshot"
        path.write_bytes(b"state")
        reader.log.snapshot_saved(Snapshot(index, term, path))
        await reader.log.read_index()  # answered after the message before it
        await reader.log.close()
        again = await logs.leader()
        assert [snapshot.index for snapshot in again.installed] == [index]
        assert again.installed[0].path.read_bytes() == b"state"
        assert again.data == []
        await logs.close()


async def test_single_log_fails_reads_and_drops_what_is_not_committed_when_it_steps_down():
    log = SingleLog()
    reader = Reader(log)
    await reader.connect()
    term = await reader.lead()
    log.pause()
    log.propose(b"lost", term, never)
    read = asyncio.create_task(log.read_index())
    await asyncio.sleep(0)
    log.step_down()
    with pytest.raises(NotLeader):
        await read
    log.lead()
    log.resume()
    assert await reader.lead() > term
    assert reader.data == []
    await log.close()
