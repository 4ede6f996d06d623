"""History on disk: what survives a restart, what ends it, and that damage shortens it without ever lying."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from api import errors
from controlplane.commands import Delete, Envelope, Key, Put, Transaction, encode_entry, encode_transaction
from controlplane.raft.protocol import Entry
from controlplane.replica_history import CUT_BYTES, WAITING_PARTS, History
from controlplane.store.state import State

A = Key("pods", "ns", "a")
HOUR_MS = 3_600_000


async def at_once(function):
    return function()


class Rig:
    """A state that entries are applied to, and its history."""

    def __init__(self, folder, in_thread=at_once, writer=b"writer-1", **options):
        self.writer = writer  # transaction ids are random, so those of two logs differ
        self.folder, self.in_thread, self.options = folder, in_thread, options
        self.state = State()
        self.history = History("r1", folder, in_thread, **options)

    def put(self, body, key=A, time_ms=1_000_000):
        return self.run(Put(Envelope(key, "u"), body), time_ms=time_ms)

    def run(self, op, time_ms=1_000_000):
        index = self.state.applied_index + 1
        data = encode_entry([encode_transaction(Transaction(self.writer + index.to_bytes(8, "big"), (op,)))], time_ms)
        self.history.applied(self.state, self.state.apply(Entry(index, 1, data)), len(data))
        return self.state.revision

    async def cut(self):
        self.history.cut(self.state)
        await self.history.persist()

    async def restarted(self, state=None):
        """Another process on the same folder, after loading `state` from a snapshot."""
        rig = Rig(self.folder, self.in_thread, **self.options)
        rig.state = state or self.state
        await rig.history.open(rig.state)
        return rig

    async def body_at(self, revision):
        stored = (await self.history.rewound(self.state, "pods", revision, A)).get(A)
        return stored and stored.body

    @property
    def files(self):
        return sorted(self.folder.glob("*"))


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path / "history")


async def test_history_survives_a_restart_at_a_snapshot(rig):
    rig.put(b"one")
    await rig.cut()
    rig.put(b"two")
    rig.run(Delete(A))
    await rig.cut()
    rig = await rig.restarted()
    assert rig.history.beginning.revision == 0
    assert [await rig.body_at(revision) for revision in range(4)] == [None, b"one", b"two", None]


async def test_what_was_written_after_the_snapshot_comes_from_the_log_again(rig):
    rig.put(b"one")
    await rig.cut()
    snapshot = rig.state.clone()
    rig.put(b"two")
    await rig.cut()
    rig = await rig.restarted(snapshot)
    assert len(rig.files) == 1
    rig.put(b"two")
    rig.put(b"three")
    assert [await rig.body_at(revision) for revision in range(4)] == [None, b"one", b"two", b"three"]


async def test_segments_of_another_log_are_not_taken_up(rig):
    rig.put(b"one")
    await rig.cut()
    other = Rig(rig.folder, writer=b"writer-2")
    other.put(b"another")
    rig = await other.restarted()
    assert rig.history.beginning.revision == 1
    assert rig.files == []
    with pytest.raises(errors.Expired, match="revision 0 is not kept: history on replica r1 begins at revision 1"):
        await rig.body_at(0)


async def test_a_missing_segment_ends_history_there(rig):
    for body in (b"one", b"two", b"three"):
        rig.put(body)
        await rig.cut()
    rig.files[1].unlink()
    rig = await rig.restarted()
    assert rig.history.beginning.revision == 2
    assert len(rig.files) == 1


async def test_a_segment_that_was_being_written_is_dropped(rig):
    rig.put(b"one")
    await rig.cut()
    (rig.folder / "00000000000000000009-00.tmp").write_bytes(b"half")
    rig = await rig.restarted()
    assert rig.history.beginning.revision == 0
    assert len(rig.files) == 1


@pytest.mark.slow
async def test_a_damaged_byte_shortens_history_and_never_gives_a_wrong_answer(rig):
    for number in range(30):
        rig.put(b"%d" % number * 50)
        if number in {9, 19, 29}:
            await rig.cut()
    whole = {path: path.read_bytes() for path in rig.files}
    damaged = sorted(whole)[1]
    for position in range(0, len(whole[damaged]), 3):
        for path, data in whole.items():
            path.write_bytes(data)
        broken = bytearray(whole[damaged])
        broken[position] ^= 0x41
        damaged.write_bytes(broken)
        with capture_logs() as logs:
            again = await rig.restarted()
            refused = 0
            for revision in range(31):
                try:
                    body = await again.body_at(revision)
                except errors.Expired:
                    refused += 1
                    continue
                assert body == (b"%d" % (revision - 1) * 50 if revision else None)
        # One byte belongs to marks that this read does not need; every other is found out.
        if refused:
            assert refused >= 20
            assert any(each["event"] == "history_shortened" for each in logs)
    damaged.write_bytes(whole[damaged][:-1])
    with capture_logs():
        again = await rig.restarted()
    assert again.history.beginning.revision == 20


async def test_times_name_the_newest_transaction_committed_by_then(rig):
    for number in range(3):
        rig.put(b"%d" % number, time_ms=1_000_000 + number * 10_000)
        await rig.cut()
    assert (await rig.history.newest_at(1_009_999)).revision == 1
    assert (await rig.history.newest_at(1_010_000)).revision == 2
    assert (await rig.history.newest_at(9_999_999)).revision == 3


async def test_the_window_closes_by_time(tmp_path):
    rig = Rig(tmp_path / "history", keep_seconds=3600.0)
    for number in range(4):
        rig.put(b"%d" % number, time_ms=HOUR_MS * (1 + number) // 2)
        await rig.cut()
    assert rig.history.beginning.revision == 1
    await rig.cut()
    with pytest.raises(errors.Expired, match=r"1970-01-01T00:10:00Z is not kept: .* \(1970-01-01T00:30:00Z\)"):
        await rig.history.newest_at(600_000)


async def test_the_window_closes_by_size(tmp_path):
    rig = Rig(tmp_path / "history", keep_bytes=1_000)
    for number in range(20):
        rig.put(b"%d" % number)
        await rig.cut()
    rig.put(b"last")
    await rig.cut()
    assert sum(path.stat().st_size for path in rig.files) <= 1_500
    begin = rig.history.beginning.revision
    assert 10 < begin < 21
    assert [await rig.body_at(revision) for revision in range(begin, 21)] == [
        b"%d" % (revision - 1) for revision in range(begin, 21)
    ]


async def test_without_a_window_nothing_is_kept(tmp_path):
    rig = Rig(tmp_path / "history", keep_bytes=0)
    rig.put(b"one")
    await rig.cut()
    assert rig.history.beginning.revision == 1
    assert rig.files == []
    assert await rig.body_at(1) == b"one"
    with pytest.raises(errors.Expired):
        await rig.body_at(0)


async def test_a_state_from_another_replica_begins_history_anew(rig):
    rig.put(b"one")
    await rig.cut()
    other = Rig(rig.folder)
    for number in range(5):
        other.put(b"%d" % number)
    rig.state = other.state
    rig.history.reset(rig.state)
    with pytest.raises(errors.Expired, match="begins at revision 5"):
        await rig.body_at(1)
    rig.put(b"six")
    await rig.cut()
    assert len(rig.files) == 1
    assert await rig.body_at(5) == b"4"


async def test_a_long_run_is_cut_by_itself(rig):
    for number in range(5):
        rig.put(b"%d" % number * (CUT_BYTES // 2))
    await rig.history.persist()
    assert len(rig.files) >= 1
    assert await rig.body_at(1) == b"0" * (CUT_BYTES // 2)


async def test_a_full_disk_costs_history_but_no_memory(tmp_path):
    full = True

    async def in_thread(function):
        if full and getattr(function, "func", None) is not None and function.func.__name__ == "write":
            raise OSError(28, "No space left on device")
        return function()

    rig = Rig(tmp_path / "history", in_thread)
    with capture_logs() as logs:
        for number in range(3):
            rig.put(b"%d" % number)
            await rig.cut()
        assert [await rig.body_at(revision) for revision in range(4)] == [None, b"0", b"1", b"2"]
        for number in range(3, WAITING_PARTS + 3):
            rig.put(b"%d" % number)
            await rig.cut()
    assert {each["event"] for each in logs} == {"history_write_failed", "history_shortened"}
    with pytest.raises(errors.Expired):
        await rig.body_at(0)
    full = False
    begin = rig.put(b"after")
    await rig.cut()
    assert rig.files
    rig.put(b"more")
    assert await rig.body_at(begin) == b"after"


async def test_a_read_under_way_ends_well_when_its_segments_leave_the_window(tmp_path):
    started, go_on = asyncio.Event(), asyncio.Event()

    async def in_thread(function):
        if getattr(function, "args", None) and isinstance(function.args[0], tuple):
            started.set()
            await go_on.wait()
        return function()

    rig = Rig(tmp_path / "history", in_thread)
    rig.put(b"one")
    await rig.cut()
    rig.put(b"two")
    reading = asyncio.ensure_future(rig.body_at(0))
    await started.wait()
    for path in rig.files:
        path.unlink()
    go_on.set()
    with pytest.raises(errors.Expired, match="revision 0 is not kept"):
        await reading
