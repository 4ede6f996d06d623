"""Every byte of a small log flipped, and the log cut at every byte: it is repaired or refused, never wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controlplane.raft.log import DurableLog, LogEntry, LogFailure
from controlplane.raft.recovery import align

pytestmark = pytest.mark.slow

STEP = 3  # of the cuts: each opens the log once, and most lie inside records alike


class Written:
    """A log's files and what must be found in them: all that was synced before the last batch."""

    def __init__(self, folder: Path, segment_bytes: int) -> None:
        self.segment_bytes = segment_bytes
        self.log = log = DurableLog(folder, segment_bytes=segment_bytes)
        log.set_term(3, "r2")
        log.sync()
        self._add(3, 40)
        self._add(2, 60)
        log.delete_from(4)
        log.sync()
        self._add(3, 50)
        self._add(6, 50)
        self.before: list[LogEntry] = log[:]
        self._add(1, 30)
        self.all: list[LogEntry] = log[:]
        end_of_life(log)
        self.files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}

    def _add(self, count: int, size: int) -> None:
        for _ in range(count):
            index = self.log.last_index + 1
            self.log.add(b"\0" + bytes([index]) * size, index, 3)
        self.log.sync()


def end_of_life(log: DurableLog) -> None:
    """As kill -9: nothing more is written."""
    os.close(log._descriptor)
    log._descriptor = -1


def outcome(written: Written, folder: Path, files: dict[str, bytes]) -> str:
    """Open a log with these files; what it is, or how it is wrong."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    try:
        log = DurableLog(folder, segment_bytes=written.segment_bytes)
    except LogFailure:
        return "refused"
    found, vote = log[:], (log.term, log.vote)
    end_of_life(log)
    try:
        align(log, None)  # what follows at every start, and refuses a log whose first segment is missing
    except LogFailure:
        return "refused"
    if found not in (written.before, written.all) or vote != (3, "r2"):
        return f"wrong: {len(found)} entries of {len(written.all)}, term and vote {vote}"
    return "repaired"


@pytest.fixture(params=[1024, 4096], ids=["two segments", "one segment"])
def written(request, tmp_path) -> Written:
    return Written(tmp_path / "log", request.param)


def test_whatever_byte_is_flipped(written, tmp_path):
    wrong, seen = [], set()
    for name, content in written.files.items():
        for offset in range(min(len(content), len(content.rstrip(b"\0")) + 20)):
            damaged = bytearray(content)
            damaged[offset] ^= 1 << offset % 8
            seen.add(found := outcome(written, tmp_path / "copy", {**written.files, name: bytes(damaged)}))
            if found.startswith("wrong"):
                wrong.append((name, offset, found))
    assert not wrong
    assert seen == {"refused", "repaired"}


def test_wherever_a_file_is_cut_or_missing(written, tmp_path):
    """An empty last segment is what a crash while it is made leaves: only that cannot be told from a cut."""
    wrong = []
    names = list(written.files)
    for name, content in written.files.items():
        for size in range(1, len(content), STEP):
            found = outcome(written, tmp_path / "copy", {**written.files, name: content[:size]})
            if found.startswith("wrong"):
                wrong.append((name, size, found))
    for name in names[:-1]:
        left = {other: content for other, content in written.files.items() if other != name}
        assert outcome(written, tmp_path / "copy", left) == "refused"
    assert not wrong
