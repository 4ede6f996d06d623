import os
import zlib

import pytest

from controlplane.raft import log_records
from controlplane.raft.log import DurableLog, LogFailure, SafetyViolation
from controlplane.raft.protocol import Snapshot
from controlplane.raft.recovery import align, open_storage

SEGMENT_BYTES = 1 << 14


@pytest.fixture
def open_log(tmp_path):
    """Opens the same folder again and again, as a restarted process does."""
    opened = []

    def reopen(**settings):
        settings = {"segment_bytes": SEGMENT_BYTES, "tail_bytes": 2000, **settings}
        log = DurableLog(tmp_path / "log", **settings)
        opened.append(log)
        return log

    yield reopen
    for log in opened:
        kill(log)


def kill(log):
    """End as kill -9 does: what was not synced is gone, the descriptor too."""
    if log._descriptor >= 0:
        os.close(log._descriptor)
        log._descriptor = -1


def fill(log, count, size=100, term=1):
    for index in range(log.last_index + 1, log.last_index + 1 + count):
        log.add(b"\0" + b"x" * size, index, term)
    log.sync()


def last_segment(log):
    return log._path(log._segments[-1][0])


def overwrite(path, offset, content):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def test_entries_term_and_vote_survive_a_kill(open_log):
    log = open_log()
    log.set_term(7, "r2")
    fill(log, 5)
    kill(log)
    again = open_log()
    assert (again.term, again.vote, again.last_index, again.durable_index) == (7, "r2", 5, 5)
    assert again[4] == (b"\0" + b"x" * 100, 5, 1)


def test_what_was_not_synced_is_not_durable_and_gone_after_a_kill(open_log):
    log = open_log()
    fill(log, 3)
    log.add(b"\0late", 4, 1)
    log.set_term(9, "r1")
    assert (log.last_index, log.durable_index) == (4, 3)
    kill(log)
    again = open_log()
    assert (again.last_index, again.term) == (3, 0)


def test_one_sync_covers_everything_added_since_the_last(open_log):
    syncs = []
    log = open_log(datasync=syncs.append)
    for index in range(1, 11):
        log.add(b"\0", index, 1)
    log.set_term(1, None)
    assert log.sync()
    assert not log.sync()
    assert len(syncs) == 1


def test_a_torn_tail_is_dropped_and_never_comes_back(open_log):
    log = open_log()
    fill(log, 3)
    path, end = last_segment(log), log._position
    kill(log)
    overwrite(path, end, os.urandom(3000))
    again = open_log()
    assert again.torn_bytes_dropped
    assert again.last_index == 3
    fill(again, 1, size=5)
    kill(again)
    third = open_log()
    assert (third.last_index, third.torn_bytes_dropped) == (4, False)


@pytest.mark.parametrize("cut", [1, 8, 9, 30, 100, 130])
def test_a_half_written_last_batch_is_dropped_as_far_as_it_is_unreadable(open_log, cut):
    log = open_log()
    fill(log, 3)
    start = log._position
    fill(log, 1)
    path, end = last_segment(log), log._position
    kill(log)
    overwrite(path, end - cut, bytes(cut))
    assert end - cut > start - 1
    again = open_log()
    assert again.last_index == 3


def test_damage_before_synced_bytes_is_refused_with_a_remedy(open_log):
    log = open_log()
    fill(log, 3)
    middle = log._position - 50
    fill(log, 3)
    path = last_segment(log)
    kill(log)
    overwrite(path, middle, b"\xff")
    with pytest.raises(LogFailure, match=r"had been synced.*join it anew"):
        open_log()


def test_zeros_over_synced_bytes_are_damage_not_the_end(open_log):
    log = open_log()
    fill(log, 3)
    middle = log._position - 120
    fill(log, 3)
    path = last_segment(log)
    kill(log)
    overwrite(path, middle, bytes(120))
    with pytest.raises(LogFailure, match="had been synced"):
        open_log()


def test_an_entry_that_looks_like_a_batch_record_does_not_turn_a_torn_tail_into_damage(open_log):
    log = open_log()
    fill(log, 3)
    content = last_segment(log).read_bytes()[: log._position]
    end = log._position
    kill(log)
    # The bytes of an old segment, stored as data, in a write that was torn at its start.
    overwrite(last_segment(log), end, b"\xff" * 20 + content.replace(log._salt, b"othersal"))
    assert open_log().last_index == 3


def test_damage_in_an_older_segment_is_refused(open_log):
    log = open_log()
    for _ in range(40):
        fill(log, 10)
    assert len(log._segments) > 2
    path = log._path(log._segments[0][0])
    kill(log)
    overwrite(path, SEGMENT_BYTES // 2, b"\xff\xff\xff")
    with pytest.raises(LogFailure, match="damaged"):
        open_log()


def test_zeros_at_the_end_of_an_older_segment_are_damage(open_log):
    log = open_log()
    for _ in range(40):
        fill(log, 10)
    path = log._path(log._segments[0][0])
    kill(log)
    content = path.read_bytes()
    end = len(content.rstrip(b"\0"))
    overwrite(path, end - 60, bytes(60))
    with pytest.raises(LogFailure, match="damaged"):
        open_log()


def test_a_missing_segment_is_refused(open_log):
    log = open_log()
    for _ in range(40):
        fill(log, 10)
    path = log._path(log._segments[1][0])
    kill(log)
    path.unlink()
    with pytest.raises(LogFailure, match="is missing"):
        open_log()


@pytest.mark.parametrize("left_behind", [b"", bytes(100), b"\x20\0\0\0garbage".ljust(SEGMENT_BYTES, b"\0")])
def test_a_crash_while_a_segment_is_made_loses_nothing(open_log, left_behind):
    log = open_log()
    log.set_term(3, "r1")
    fill(log, 5)
    sequence = log._segments[-1][0] + 1
    kill(log)
    log._path(sequence).write_bytes(left_behind)
    again = open_log()
    assert (again.last_index, again.term, again.vote) == (5, 3, "r1")
    fill(again, 1)
    kill(again)
    assert open_log().last_index == 6


def test_refuses_to_truncate_at_or_below_the_commit_index(open_log):
    log = open_log()
    fill(log, 5)
    log.commit_index = 3
    with pytest.raises(SafetyViolation, match="3 is committed"):
        log.delete_from(2)
    log.delete_from(3)
    assert log.last_index == 3


def test_a_truncation_survives_a_kill_and_lowers_what_is_durable(open_log):
    log = open_log()
    fill(log, 5)
    log.delete_from(2)
    assert log.durable_index == 2
    log.add(b"\0new", 3, 2)
    log.sync()
    kill(log)
    again = open_log()
    assert again[-1] == (b"\0new", 3, 2)


def test_compaction_keeps_a_tail_and_term_and_vote(open_log):
    log = open_log()
    log.set_term(4, "r3")
    for _ in range(60):
        fill(log, 10)
    before = len(log._segments)
    log.compact(590)
    assert 570 < log.first_index < 590
    assert len(log._segments) < before
    kill(log)
    again = open_log()
    assert (again.last_index, again.term, again.vote) == (600, 4, "r3")
    assert again.first_index <= 590


def test_a_reset_forgets_everything_before_the_snapshot(open_log):
    log = open_log()
    log.set_term(2, "r1")
    for _ in range(40):
        fill(log, 10)
    log.reset(1000, 2)
    assert (log.first_index, log.last_index, log.first_held_index) == (1000, 1000, 1001)
    assert len(log._segments) == 1
    log.add(b"\0after", 1001, 2)
    log.sync()
    kill(log)
    again = open_log()
    assert again[:] == [(b"", 1000, 2), (b"\0after", 1001, 2)]
    assert (again.term, again.vote) == (2, "r1")


def test_a_failed_sync_is_a_log_failure_that_names_the_folder(open_log, tmp_path):
    def fail(_descriptor):
        raise OSError(5, "Input/output error")

    log = open_log(datasync=fail)
    log.add(b"\0", 1, 1)
    with pytest.raises(LogFailure, match=f"{tmp_path}.*Input/output error"):
        log.sync()


def test_a_record_of_a_newer_format_is_refused(open_log):
    log = open_log()
    fill(log, 1)
    path, end = last_segment(log), log._position
    kill(log)
    overwrite(path, end, log_records._HEADER.pack(3, zlib.crc32(b"new", 99), 99) + b"new")
    with pytest.raises(LogFailure, match="unknown type 99"):
        open_log()


def snapshot(index, term, path):
    return Snapshot(index, term, path)


def test_a_crash_between_snapshot_and_compaction_keeps_the_suffix(open_log, tmp_path):
    """ADR 1, hole 2."""
    log = open_log()
    fill(log, 20)
    kill(log)
    again = open_log()
    align(again, snapshot(10, 1, tmp_path))
    assert (again.last_index, again.commit_index) == (20, 10)
    assert again.term_at(10) == 1


def test_a_snapshot_beyond_the_log_starts_it_anew(open_log, tmp_path):
    log = open_log()
    fill(log, 20)
    align(log, snapshot(50, 3, tmp_path))
    assert log[:] == [(b"", 50, 3)]


def test_a_snapshot_of_another_history_starts_the_log_anew(open_log, tmp_path):
    log = open_log()
    fill(log, 20)
    align(log, snapshot(15, 2, tmp_path))
    assert log[:] == [(b"", 15, 2)]


def test_a_log_that_starts_late_without_a_snapshot_is_refused(open_log):
    """ADR 1, hole 6: an empty replica must not lead."""
    log = open_log()
    log.reset(10, 1)
    with pytest.raises(LogFailure, match="there is no snapshot"):
        align(log, None)


def test_a_second_process_on_the_same_folder_is_refused(tmp_path):
    storage = open_storage(tmp_path)
    try:
        with pytest.raises(LogFailure, match="another process uses"):
            open_storage(tmp_path)
    finally:
        storage.close()
    open_storage(tmp_path).close()
