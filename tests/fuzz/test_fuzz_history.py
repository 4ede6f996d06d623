"""Segments of history: any byte flipped or cut, sound blocks with wrong contents, and a process killed while writing."""

from __future__ import annotations

import random
import subprocess
import sys
import zlib
from pathlib import Path

import msgspec
import pytest

from controlplane.commands import ADDED, DELETED, MODIFIED, Envelope, Key, Stored
from controlplane.store import history_segment, replay
from controlplane.store.history_segment import CorruptSegment, Mark, Moment, Record, Segment

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
DAMAGES = 600


def stored(name, revision):
    return Stored(Envelope(Key("pods", "d", name), f"uid-{name}", {"app": "web"}), b"%d" % revision, revision, 1)


@pytest.fixture
def segment(tmp_path):
    """Object a comes, changes and goes; b comes and stays."""
    records = [
        Record("d", "a", 1, ADDED, None),
        Record("d", "a", 3, MODIFIED, stored("a", 1)),
        Record("d", "a", 4, DELETED, stored("a", 3)),
        Record("d", "b", 2, ADDED, None, stored("b", 2)),
    ]
    marks = [Mark(2, 1_000, "ann"), Mark(4, 2_000)]
    begin, end = Moment(0, 0, b"0" * 16), Moment(4, 2_000, b"4" * 16)
    return history_segment.write(tmp_path, begin, end, marks, {"pods": records})


def read(segment: Segment, content: bytes):
    """All that a segment with this content tells, in every way of reading it; None when it is refused anywhere."""
    segment.path.write_bytes(content)
    try:
        found, damaged = history_segment.listed(segment.path.parent)
        if damaged:
            return None
        page = replay.page_after(found, "pods", 0, 1 << 20)
        marks, records = found[0].marks(), list(found[0].records("pods"))
    except CorruptSegment:
        return None
    return found[0].start, found[0].end, marks, records, list(page.changes)


def test_every_byte_that_is_flipped_or_cut_is_noticed(segment):
    whole = segment.path.read_bytes()
    right = read(segment, whole)
    assert [change.revision for change in right[4]] == [1, 2, 3, 4]
    for offset in range(len(whole)):
        assert read(segment, whole[:offset]) is None, f"cut at {offset}"
        for bit in (0, 3, 7):
            damaged = bytearray(whole)
            damaged[offset] ^= 1 << bit
            assert read(segment, bytes(damaged)) is None, f"bit {bit} of byte {offset}"
    assert read(segment, whole + b"\0") is None
    assert read(segment, whole) == right


def rebuilt(head: list, blocks: list[bytes]) -> bytes:
    """A file with right sums whatever its head and its blocks, which may be no sound compression, hold."""
    offset = 0
    for listed, block in zip([head[2], *head[3]], blocks, strict=False):
        listed[3:] = [offset, len(block), zlib.crc32(block)]
        offset += len(block)
    data = msgspec.msgpack.encode(head)
    header = history_segment._HEADER.pack(len(data), zlib.crc32(data))
    return b"".join([history_segment._MAGIC, header, data, *blocks])


def test_sound_blocks_with_wrong_contents_are_refused_or_read_never_more(segment):
    """What a defect of ours, not of the disk, would leave behind."""
    rng = random.Random(3)
    with segment.path.open("rb") as file:
        head, offset = history_segment._read_head(file, segment.path)
        packed = file.read()
    listed = [head.marks, *head.blocks]
    contents = [zlib.decompress(packed[each.offset : each.offset + each.length]) for each in listed]
    assert len(packed) == segment.size_bytes - offset
    refused = 0
    for _ in range(DAMAGES):
        changed = [bytearray(each) for each in contents]
        each = rng.choice(changed)
        for _ in range(rng.choice((1, 2, 4))):
            at = rng.randrange(len(each))
            match rng.randrange(3):
                case 0:
                    each[at] = rng.randrange(256)
                case 1:
                    del each[at + 1 : at + rng.choice((2, 4))]
                case _:
                    each[at:at] = msgspec.msgpack.encode(rng.choice((None, -1, "x", [1], {"a": 1}, 2**63)))
        blocks = [bytes(each) if rng.random() < 0.1 else zlib.compress(bytes(each)) for each in changed]
        plain = msgspec.msgpack.decode(msgspec.msgpack.encode(head))
        refused += read(segment, rebuilt(plain, blocks)) is None
    assert refused > DAMAGES // 3


def test_a_head_with_wrong_places_is_refused(segment):
    with segment.path.open("rb") as file:
        head, _ = history_segment._read_head(file, segment.path)
        packed = file.read()
    for wrong in (-1, -(10**6), 10**9, 2**62):
        plain = msgspec.msgpack.decode(msgspec.msgpack.encode(head))
        plain[3][0][3] = wrong
        data = msgspec.msgpack.encode(plain)
        header = history_segment._HEADER.pack(len(data), zlib.crc32(data))
        assert read(segment, history_segment._MAGIC + header + data + packed) is None


def test_a_process_killed_at_any_file_operation_loses_no_history_and_a_full_disk_stops_nothing(tmp_path):
    told = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.history_crashes", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert told.returncode == 0, told.stdout[-3000:] + told.stderr[-3000:]
    assert int(told.stdout.split()[-1]) > 60
