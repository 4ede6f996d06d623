"""The membership beside a snapshot with any byte flipped or cut: read as written, or refused with the remedy."""

from __future__ import annotations

import random

import pytest

from controlplane.raft import messages, snapshot_membership
from controlplane.raft.log import LogFailure
from controlplane.raft.membership import Member, Membership
from controlplane.raft.protocol import Snapshot
from controlplane.raft.snapshots import SnapshotFolder

pytestmark = pytest.mark.slow

REMEDY = "remove this replica from the cluster and join it anew"
CONTENTS = 500
MEMBERSHIP = Membership((Member("r1", "first", "h1:1"), Member("r2", "second", "h2:1", voter=False)), 1, 7)


@pytest.fixture
def beside(tmp_path):
    """The file beside a snapshot that counts."""
    state = tmp_path / "state"
    state.write_bytes(b"state")
    message = messages.membership_message(MEMBERSHIP).SerializeToString()
    SnapshotFolder(tmp_path / "snapshot").adopt(Snapshot(9, 3, state), message)
    (path,) = (tmp_path / "snapshot").glob("*.membership")
    return path


def read(path):
    """What a replica takes up at its start."""
    return messages.membership_beside(SnapshotFolder(path.parent).membership())


def test_every_byte_that_is_flipped_or_cut_is_refused_with_the_remedy(beside):
    whole = beside.read_bytes()
    assert read(beside) == MEMBERSHIP
    for offset in range(len(whole)):
        for damaged in (whole[:offset], *(_flipped(whole, offset, bit) for bit in range(8))):
            beside.write_bytes(damaged)
            with pytest.raises(LogFailure, match=REMEDY):
                read(beside)
    beside.write_bytes(whole + b"\0")
    with pytest.raises(LogFailure, match=REMEDY):
        read(beside)
    beside.unlink()
    with pytest.raises(LogFailure, match=f"is missing.*{REMEDY}"):
        read(beside)


def test_a_right_sum_over_anything_gives_a_membership_or_is_refused(beside):
    """What a defect of ours, not of the disk, would leave behind."""
    rng = random.Random(5)
    message = messages.membership_message(MEMBERSHIP).SerializeToString()
    refused = 0
    for _ in range(CONTENTS):
        changed = bytearray(message)
        for _ in range(rng.choice((1, 2, 8))):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        beside.write_bytes(snapshot_membership.encode(9, 3, bytes(changed)))
        try:
            assert isinstance(read(beside), Membership)
        except LogFailure:
            refused += 1
    assert refused > CONTENTS // 10


def test_the_membership_of_another_snapshot_or_of_a_newer_format_is_refused(beside, monkeypatch):
    content = beside.read_bytes()
    other = snapshot_membership.encode(9, 4, b"")
    beside.write_bytes(other)
    with pytest.raises(LogFailure, match="belongs to another snapshot"):
        read(beside)
    with monkeypatch.context() as newer:
        newer.setattr(snapshot_membership, "FORMAT_VERSION", 2)
        beside.write_bytes(snapshot_membership.encode(9, 3, b""))
    with pytest.raises(LogFailure, match="is of format 2, which only a newer version knows"):
        read(beside)
    beside.write_bytes(content)
    assert read(beside) == MEMBERSHIP


def _flipped(content, offset, bit):
    damaged = bytearray(content)
    damaged[offset] ^= 1 << bit
    return bytes(damaged)
