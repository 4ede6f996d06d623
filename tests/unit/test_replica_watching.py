"""Pages of history for watchers: read once for all of them, bounded, and given up when nobody needs them."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from api import errors
from controlplane.commands import Envelope, Key, Put, Transaction, encode_entry, encode_transaction
from controlplane.raft.protocol import Entry
from controlplane.replica_history import History
from controlplane.replica_watching import Backlog, Place
from controlplane.store.state import State
from controlplane.watch.hub import SCAN_EVENTS, Hub
from tests.waiting import eventually

BODY = b"x" * 100


class Rig:
    """A replica that was restarted after `count` changes of pods a0, a1, ...: its rings are empty."""

    def __init__(self, folder):
        self.reads = 0
        self.state = State()
        self.hub = Hub()
        self.history = History("r1", folder, self.in_thread)

    async def in_thread(self, function):
        self.reads += 1
        await asyncio.sleep(0)
        return function()

    async def fill(self, count, at_once=50):
        for first in range(0, count, at_once):
            puts = tuple(
                Put(Envelope(Key("pods", "d", f"a{number}"), "u"), BODY)
                for number in range(first, min(first + at_once, count))
            )
            index = self.state.applied_index + 1
            data = encode_entry([encode_transaction(Transaction(index.to_bytes(16, "big"), puts))], index)
            self.history.applied(self.state, self.state.apply(Entry(index, 1, data)), len(data))
        self.history.cut(self.state)
        await self.history.persist()
        self.hub.reset(self.state)
        self.reads = 0

    def place(self, backlog, revision=0):
        return Place(self.hub, backlog, "pods", revision, "")


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path / "history")


async def drain(place, end, match=None):
    """All revisions up to `end`."""
    found = []
    while place.revision < end:
        found += [event.revision for event in await place.pull(match)]
    return found


async def test_watchers_that_come_back_together_share_what_is_read(rig):
    await rig.fill(1_000)
    backlog = Backlog(rig.history)
    places = [rig.place(backlog, revision) for revision in (0, 0, 10, 999, 500)]
    got = await asyncio.gather(*(drain(place, 1_000) for place in places))
    assert [len(each) for each in got] == [1_000, 1_000, 990, 1, 500]
    assert rig.reads == 1
    first, second = rig.place(backlog), rig.place(backlog)
    assert (await first.pull(None))[0] is (await second.pull(None))[0]


async def test_a_page_takes_no_more_than_its_limit_however_much_a_segment_holds(rig):
    await rig.fill(1_000)
    backlog = Backlog(rig.history, page_bytes=20_000, kept_bytes=100_000)
    place, largest = rig.place(backlog), 0
    revisions = []
    while place.revision < 1_000:
        revisions += [event.revision for event in await place.pull(None)]
        largest = max(largest, sum(page.size_bytes for page in backlog._pages))
    assert revisions == list(range(1, 1_001))
    assert largest <= 100_000
    assert rig.reads > 10


async def test_a_selection_of_nothing_looks_at_a_bounded_number_and_moves_on(rig):
    await rig.fill(SCAN_EVENTS + 10)
    place = rig.place(Backlog(rig.history))
    assert await place.pull(lambda _: 0) == []
    assert place.revision == SCAN_EVENTS
    assert await place.pull(lambda _: 0) == []
    assert place.revision == SCAN_EVENTS + 10
    assert place._cursor is not None


async def test_pages_are_forgotten_once_nobody_needs_them(rig):
    await rig.fill(10)
    backlog = Backlog(rig.history, kept_seconds=0.001)
    await drain(rig.place(backlog), 10)
    await eventually(lambda: not backlog._pages)
    assert await drain(rig.place(backlog, 5), 10) == [6, 7, 8, 9, 10]


async def test_a_watch_that_is_cancelled_while_its_page_is_read_does_not_hold_up_others(rig):
    await rig.fill(10)
    backlog = Backlog(rig.history)
    one = asyncio.ensure_future(rig.place(backlog).pull(None))
    other = asyncio.ensure_future(rig.place(backlog).pull(None))
    await asyncio.sleep(0)
    one.cancel()
    assert len(await asyncio.wait_for(other, 10)) == 10


async def test_a_damaged_segment_ends_the_watch_and_not_the_replica(rig, tmp_path):
    await rig.fill(10)
    (path,) = (tmp_path / "history").glob("*.history")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with capture_logs() as logs, pytest.raises(errors.Expired, match="list again"):
        await rig.place(Backlog(rig.history)).pull(None)
    assert [each["event"] for each in logs] == ["history_shortened"]
