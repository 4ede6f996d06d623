"""What every `ReplicatedLog` promises, run against the in-process log and against real Raft processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from controlplane.raft.local import SingleLog
from controlplane.raft.protocol import Entry, NotLeader, RaftStatus, ReplicatedLog, Snapshot


class Reader:
    """Collects what a log delivers."""

    def __init__(self, log: ReplicatedLog) -> None:
        self.log = log
        self.entries: list[Entry] = []
        self.statuses: list[RaftStatus] = []
        self.installed: list[Snapshot] = []

    async def connect(self, applied: tuple[int, int] = (0, 0)) -> None:
        await self.log.connect(applied, self._take, self.statuses.append, self._install)

    def _take(self, entries: Sequence[Entry]) -> None:
        assert entries, "an empty batch"
        self.entries.extend(entries)

    async def _install(self, snapshot: Snapshot) -> None:
        self.installed.append(snapshot)

    @property
    def data(self) -> list[bytes]:
        return [entry.data for entry in self.entries if entry.data]

    async def until(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - real processes offer no event to wait for
                await asyncio.sleep(0.002)

    async def lead(self) -> int:
        await self.until(lambda: self.log.status.leading)
        return self.log.status.term


@pytest.fixture
async def leader():
    log = SingleLog()
    yield log
    await log.close()


def never() -> None:
    raise AssertionError("refused")


async def test_delivers_every_proposal_once_in_the_order_proposed(leader):
    reader = Reader(leader)
    await reader.connect()
    term = await reader.lead()
    sent = [b"%d" % number for number in range(200)]
    for data in sent:
        leader.propose(data, term, never)
    await reader.until(lambda: len(reader.data) >= 200)
    assert reader.data == sent
    assert [entry.index for entry in reader.entries] == list(range(1, len(reader.entries) + 1))


async def test_leads_only_after_the_no_op_of_its_term_was_delivered(leader):
    reader = Reader(leader)
    await reader.connect()
    term = await reader.lead()
    assert any(entry.term == term and entry.data == b"" for entry in reader.entries)


async def test_refuses_a_proposal_of_another_term(leader):
    reader = Reader(leader)
    await reader.connect()
    term = await reader.lead()
    refused = []
    leader.propose(b"late", term - 1, lambda: refused.append(1))
    leader.propose(b"early", term + 1, lambda: refused.append(2))
    leader.propose(b"right", term, never)
    await reader.until(lambda: bool(reader.data) and len(refused) == 2)
    assert reader.data == [b"right"]


async def test_a_reconnected_reader_continues_after_its_cursor(leader):
    reader = Reader(leader)
    await reader.connect()
    term = await reader.lead()
    leader.propose(b"one", term, never)
    await reader.until(lambda: reader.data == [b"one"])
    last = reader.entries[-1]
    await leader.close()
    again = Reader(leader)
    await again.connect((last.index, last.term))
    term = await again.lead()
    leader.propose(b"two", term, never)
    await again.until(lambda: bool(again.data))
    assert again.data == [b"two"]


async def test_a_read_index_covers_what_was_delivered_before(leader):
    reader = Reader(leader)
    await reader.connect()
    term = await reader.lead()
    leader.propose(b"one", term, never)
    await reader.until(lambda: bool(reader.data))
    assert await leader.read_index() >= reader.entries[-1].index


async def test_a_cursor_below_the_snapshot_gets_the_snapshot_first(leader, tmp_path):
    reader = Reader(leader)
    await reader.connect()
    term = await reader.lead()
    leader.propose(b"one", term, never)
    await reader.until(lambda: bool(reader.data))
    last = reader.entries[-1]
    path = tmp_path / "snapshot"
    path.write_bytes(b"state")
    leader.snapshot_saved(Snapshot(last.index, last.term, path))
    await leader.close()
    again = Reader(leader)
    await again.connect()
    await again.until(lambda: bool(again.installed))
    assert again.installed[0].index == last.index
    assert again.data == []


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
