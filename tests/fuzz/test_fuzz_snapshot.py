"""Snapshots with any byte flipped or cut, or with frames that are sound and wrong: loaded as written, or refused."""

from __future__ import annotations

import random
import zlib

import msgspec
import pytest

from controlplane.store import snapshot
from controlplane.store.snapshot import CorruptSnapshot
from tests.unit.test_store_snapshot import state_of

pytestmark = pytest.mark.slow

FRAMES = 1500


@pytest.fixture(params=[snapshot.COMPRESSED_LEVEL - 1, snapshot.COMPRESSED_LEVEL], ids=["plain", "compressed"])
def file(tmp_path, request):
    return snapshot.write(state_of(2, level=request.param), tmp_path).path


def loads(path, content: bytes) -> bytes | None:
    """The digest of the state that a file with this content gives; None when it is refused."""
    path.write_bytes(content)
    try:
        state = snapshot.load(path)
    except CorruptSnapshot:
        return None
    return state.digest + bytes(str(list(state.scan("pods"))), "utf-8")


def test_every_byte_that_is_flipped_or_cut_is_noticed(file):
    whole = file.read_bytes()
    right = loads(file, whole)
    for offset in range(len(whole)):
        assert loads(file, whole[:offset]) is None, f"cut at {offset}"
        for bit in (0, 3, 7):
            damaged = bytearray(whole)
            damaged[offset] ^= 1 << bit
            assert loads(file, bytes(damaged)) in {None, right}, f"bit {bit} of byte {offset}"
    assert loads(file, whole + b"\0") is None


def test_frames_with_a_right_sum_and_wrong_contents_are_refused_or_loaded_never_more(file):
    """What a defect of ours, not of the disk, would leave behind."""
    rng = random.Random(3)
    with file.open("rb") as opened:
        frames = list(snapshot._read_frames(opened, file))
    magic = file.read_bytes()[:8]
    refused = 0
    for _ in range(FRAMES):
        changed = [bytearray(frame) for frame in frames]
        for _ in range(rng.choice((1, 2, 4))):
            frame = rng.choice(changed)
            at = rng.randrange(len(frame))
            match rng.randrange(3):
                case 0:
                    frame[at] = rng.randrange(256)
                case 1:
                    del frame[at + 1 : at + rng.choice((2, 4))]
                case _:
                    frame[at:at] = msgspec.msgpack.encode(rng.choice((None, -1, "x", [1], {"a": 1}, 2**63)))
        refused += loads(file, magic + b"".join(framed(frame, magic[-1]) for frame in changed)) is None
    assert refused > FRAMES // 2


def framed(frame: bytearray, version: int) -> bytes:
    data = zlib.compress(frame) if version == 2 else bytes(frame)
    return snapshot._HEADER.pack(len(data), zlib.crc32(data)) + data
