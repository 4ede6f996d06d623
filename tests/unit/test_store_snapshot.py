"""Snapshot files, whole and damaged."""

from __future__ import annotations

import pytest

from api.object import canonical
from controlplane.commands import (
    Add,
    Claim,
    Envelope,
    Key,
    Put,
    Set,
    SetEpoch,
    Transaction,
    encode_entry,
    encode_transaction,
)
from controlplane.raft.protocol import Entry
from controlplane.store import snapshot
from controlplane.store.snapshot import COMPRESSED_LEVEL, CorruptSnapshot
from controlplane.store.state import State
from tests.builders import pod

BOTH_FORMATS = pytest.mark.parametrize("level", [COMPRESSED_LEVEL - 1, COMPRESSED_LEVEL])


def state_of(pods: int = 3, body: bytes = b"{}", *, level: int = 1) -> State:
    state = State()
    state.level = level
    ops = [Put(Envelope(Key("pods", "d", f"p{i}"), uid=str(i), owners=("o",), node="n"), body) for i in range(pods)]
    ops += [Claim("ip", "1", "a"), Add("n1", {"cpu": 1}), Set("x", b"y"), SetEpoch("r")]
    for index, op in enumerate(ops, 1):
        data = encode_transaction(Transaction(index.to_bytes(16, "big"), (op,)))
        state.apply(Entry(index, 2, encode_entry([data], index)))
    return state


def test_the_name_carries_index_and_term(tmp_path):
    written = snapshot.write(state_of(), tmp_path / "new")
    assert written.path.name == "00000000000000000007-00000000000000000002.snapshot"
    assert snapshot.listed(tmp_path / "new") == [written]
    assert list((tmp_path / "new").iterdir()) == [written.path]


def test_only_the_newest_two_are_kept(tmp_path):
    files = [snapshot.write(state_of(pods), tmp_path) for pods in (1, 2, 3)]
    assert snapshot.listed(tmp_path) == [files[2], files[1]]


@BOTH_FORMATS
def test_many_objects_span_frames_and_come_back(tmp_path, level):
    state = state_of(400, b"x" * 1000, level=level)
    path = snapshot.write(state, tmp_path).path
    with path.open("rb") as file:
        assert sum(map(len, snapshot._read_frames(file, path))) > 3 * snapshot.FRAME_BYTES
    loaded = snapshot.load(path)
    assert list(loaded.scan("pods")) == list(state.scan("pods"))
    assert list(loaded.by_node("n")) == list(state.by_node("n"))
    assert loaded.size_bytes == state.size_bytes
    assert loaded.level == level


def test_what_is_alike_takes_a_tenth_once_every_member_can_read_that(tmp_path):
    plain, compressed = (
        snapshot.write(state_of(400, canonical(pod()), level=level), tmp_path / str(level)).path.stat().st_size
        for level in (COMPRESSED_LEVEL - 1, COMPRESSED_LEVEL)
    )
    assert plain > 400 * len(canonical(pod()))
    assert compressed < plain / 10


def test_a_format_of_a_newer_program_is_named(tmp_path):
    path = snapshot.write(state_of(level=COMPRESSED_LEVEL), tmp_path).path
    data = bytearray(path.read_bytes())
    data[7] += 1
    path.write_bytes(data)
    with pytest.raises(CorruptSnapshot, match="it has format 3, this program reads up to 2"):
        snapshot.load(path)


def test_a_frame_with_a_right_sum_that_was_not_compressed_is_refused(tmp_path):
    path = snapshot.write(state_of(), tmp_path).path
    data = bytearray(path.read_bytes())
    data[7] = 2
    path.write_bytes(data)
    for read in (snapshot.load, snapshot.verify):
        with pytest.raises(CorruptSnapshot, match="move it away"):
            read(path)


@BOTH_FORMATS
@pytest.mark.parametrize("flip", [0, 7, 8, 12, 20, 60, -1])
def test_a_flipped_bit_is_found_and_the_remedy_named(tmp_path, flip, level):
    path = snapshot.write(state_of(level=level), tmp_path).path
    data = bytearray(path.read_bytes())
    data[flip] ^= 4
    path.write_bytes(data)
    for read in (snapshot.load, snapshot.verify):
        with pytest.raises(CorruptSnapshot, match="move it away") as caught:
            read(path)
        assert str(path) in str(caught.value)


@BOTH_FORMATS
def test_a_file_cut_off_anywhere_is_found(tmp_path, level):
    path = snapshot.write(state_of(level=level), tmp_path).path
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        for read in (snapshot.load, snapshot.verify):
            with pytest.raises(CorruptSnapshot):
                read(path)


def test_a_file_of_another_index_than_expected_is_refused(tmp_path):
    path = snapshot.write(state_of(), tmp_path).path
    assert snapshot.load(path, (7, 2)).applied_index == 7
    with pytest.raises(CorruptSnapshot, match="index 7 of term 2"):
        snapshot.load(path, (8, 2))


def test_the_older_one_serves_when_the_newest_is_damaged(tmp_path):
    older = snapshot.write(state_of(1), tmp_path)
    newest = snapshot.write(state_of(2), tmp_path)
    newest.path.write_bytes(b"rot")
    loaded, damaged = snapshot.load_newest(tmp_path)
    assert loaded.applied_index == older.index
    assert [each.path for each in damaged] == [newest.path]
    older.path.write_bytes(b"")
    with pytest.raises(CorruptSnapshot) as caught:
        snapshot.load_newest(tmp_path)
    assert caught.value.path == newest.path


def test_a_folder_without_snapshots_gives_none_and_half_written_ones_are_removed(tmp_path):
    assert snapshot.load_newest(tmp_path / "none") == (None, [])
    half = tmp_path / f"{9:020d}-{1:020d}.tmp"
    half.write_bytes(b"half")
    (tmp_path / "other.tmp").write_bytes(b"not ours")
    assert snapshot.load_newest(tmp_path) == (None, [])
    assert list(tmp_path.iterdir()) == [tmp_path / "other.tmp"]


def test_a_failed_write_leaves_the_older_ones_alone(tmp_path):
    written = snapshot.write(state_of(1), tmp_path)
    state = state_of(2)
    (tmp_path / f"{state.applied_index:020d}-{state.applied_term:020d}.snapshot").mkdir()
    with pytest.raises(OSError, match="directory"):
        snapshot.write(state, tmp_path)
    assert snapshot.load(written.path).applied_index == written.index
    assert not list(tmp_path.glob("*.tmp"))


def test_an_adopted_file_survives_the_removal_of_the_original(tmp_path):
    given = snapshot.write(state_of(), tmp_path / "raft")
    own = snapshot.adopt(given.path, tmp_path / "own", given.index, given.term)
    given.path.unlink()
    assert snapshot.load(own.path).applied_index == given.index
    assert snapshot.adopt(own.path, tmp_path / "own", own.index, own.term) == own
    assert own.path.exists()
