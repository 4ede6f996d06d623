"""What goes wrong with the files of history costs history at most, is said with its remedy, and never more than once."""

from __future__ import annotations

import asyncio
import errno

import pytest
from structlog.testing import capture_logs

from api import errors
from controlplane.replica_history import WAITING_PARTS
from tests.unit.test_replica_history import Rig


@pytest.fixture
async def rig(tmp_path):
    """Three segments, of one change each."""
    rig = Rig(tmp_path / "history")
    for body in (b"one", b"two", b"three"):
        rig.put(body)
        await rig.cut()
    return rig


async def test_a_segment_that_somebody_removed_shortens_history_once(rig):
    rig.files[1].unlink()
    with capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(errors.Expired, match="revision 0 is not kept"):
                await rig.body_at(0)
    (line,) = logs
    assert line["event"] == "history_shortened"
    assert f"{rig.folder}/" in line["error"]
    assert "is gone" in line["error"]
    assert (line["first_revision"], rig.history.beginning.revision) == (2, 2)
    assert "other replicas" in line["remedy"]
    assert await rig.body_at(2) == b"two"


async def test_too_many_open_files_lose_nothing_and_send_the_reader_elsewhere(tmp_path):
    failing = False

    async def in_thread(function):
        if failing:
            raise OSError(errno.EMFILE, "Too many open files")
        return function()

    rig = Rig(tmp_path / "history", in_thread)
    rig.put(b"one")
    await rig.cut()
    failing = True
    with (
        capture_logs() as logs,
        pytest.raises(errors.Unavailable, match=r"replica r1 cannot read its history: .* open"),
    ):
        await rig.body_at(0)
    assert [each["event"] for each in logs] == ["history_read_failed"]
    failing = False
    assert await rig.body_at(0) is None
    assert await rig.body_at(1) == b"one"


async def test_what_is_no_segment_does_not_keep_a_replica_from_starting(rig):
    (rig.folder / "00000000000000000009-00.history").mkdir()
    (rig.folder / "00000000000000000008-00.tmp").mkdir()
    rig.files[0].write_bytes(b"TIMHIST\x01 of an earlier version")
    with capture_logs() as logs:
        rig = await rig.restarted()
    assert {each["event"] for each in logs} == {"history_shortened", "history_write_failed"}
    assert any("does not begin like a segment of this version" in each["error"] for each in logs if "error" in each)
    assert rig.history.beginning.revision == 1
    assert await rig.body_at(1) == b"one"


async def test_a_file_in_the_place_of_the_folder_costs_history_and_nothing_else(tmp_path):
    (tmp_path / "history").write_text("not a folder")
    rig = await Rig(tmp_path / "history").restarted()
    with capture_logs() as logs:
        for number in range(WAITING_PARTS + 3):
            rig.put(b"%d" % number)
            await rig.cut()
    assert {each["event"] for each in logs} == {"history_write_failed", "history_shortened"}
    assert all(str(tmp_path / "history") in str(each) and each["remedy"] for each in logs)
    assert await rig.body_at(rig.state.revision) == b"%d" % (WAITING_PARTS + 2)


async def test_a_smaller_window_counts_from_the_start_on(rig):
    rig.options["keep_bytes"] = 1
    rig = await rig.restarted()
    assert rig.history.beginning.revision == 3
    assert rig.files == []


async def test_waiting_for_what_was_cut_does_not_wait_for_what_is_cut_later(tmp_path):
    written = 0

    async def in_thread(function):
        nonlocal written
        await asyncio.sleep(0)
        if getattr(getattr(function, "func", None), "__name__", "") == "write":
            written += 1
            rig.put(b"%d" % written)  # the state is always busy: there is something to write for ever
            if written < 100:
                rig.history.cut(rig.state)
        return function()

    rig = Rig(tmp_path / "history", in_thread)
    await rig.history.open(rig.state)
    rig.put(b"first")
    rig.history.cut(rig.state)
    await rig.history.persist()
    assert written < 5
    await rig.history.close()
    assert written == 100
