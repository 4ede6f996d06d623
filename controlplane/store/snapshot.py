"""Snapshots of the state on disk: written beside the running state, checked, and loaded whole or not at all.

A file is a magic number and frames of length, CRC-32 and MessagePack, which is compressed once every member can read
that; the last frame counts the others, so that a cut-off file is told from a whole one. Its name carries the log index
and term it stands for. Everything here blocks and belongs in a thread. It must not know who keeps the log.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

import msgspec

from controlplane.commands import Result, Stored
from controlplane.store.state import State

KEPT: Final = 2
FRAME_BYTES: Final = 128 * 1024  # encoding one holds the interpreter for well under 1 ms

COMPRESSED_LEVEL: Final = 2
"""The cluster level (`controlplane.level`) from which on snapshots are compressed: a replica installs those of others."""

_MAGIC: Final = b"TIMSNAP"
_PLAIN: Final = 1  # format, the byte after the magic number
_COMPRESSED: Final = 2
_EFFORT: Final = 1  # of zlib: twice as fast as the default, and nine tenths as good with objects that are alike
_HEADER: Final = struct.Struct(">II")
_NAME: Final = re.compile(r"(\d{20})-(\d{20})\.snapshot")
_FRAME_LIMIT_BYTES: Final = 64 * 1024 * 1024

T = TypeVar("T")


class CorruptSnapshot(Exception):
    """The file cannot be trusted; the message names it, what is wrong and the remedy."""

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(
            f"snapshot {path} is damaged ({detail}): move it away and start the replica again, "
            "it then takes the state from the older snapshot or from the other replicas"
        )
        self.path = path


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """The state after applying `index` of `term`."""

    index: int
    term: int
    path: Path


class _Head(msgspec.Struct, array_like=True, tag=1):
    index: int
    term: int
    revision: int
    oldest_revision: int
    incarnation: int
    time_ms: int
    epoch: int
    epoch_holder: str
    level: int
    transaction_count: int
    digest: bytes
    settings: dict[str, bytes]
    attestations: dict[str, tuple[int, bytes]]
    recent_revision: int
    recent_time_ms: int
    remembered_revision: int


class _Objects(msgspec.Struct, array_like=True, tag=2):
    resource: str
    objects: list[Stored]


class _Claims(msgspec.Struct, array_like=True, tag=3):
    claims: list[tuple[str, str, str]]


class _Ledgers(msgspec.Struct, array_like=True, tag=4):
    ledgers: list[tuple[str, dict[str, int]]]


class _Recent(msgspec.Struct, array_like=True, tag=5):
    before: bool
    results: list[tuple[bytes, Result]]


class _End(msgspec.Struct, array_like=True, tag=6):
    frames: int


_Frame = _Head | _Objects | _Claims | _Ledgers | _Recent | _End
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[_Frame] = msgspec.msgpack.Decoder(_Frame)


class _Contents:
    """What the frames read so far hold; `whole` once the last one said that none is missing."""

    def __init__(self) -> None:
        self.state = State()
        self.objects: dict[str, list[Stored]] = {}
        self.claims: list[tuple[str, str, str]] = []
        self.ledgers: list[tuple[str, dict[str, int]]] = []
        self.whole = False
        self._frames = 0

    def take(self, frame: _Frame) -> None:
        match frame:
            case _Head():
                self._take_head(frame)
            case _Objects(resource, objects):
                self.objects.setdefault(resource, []).extend(objects)
            case _Claims(claims):
                self.claims.extend(claims)
            case _Ledgers(ledgers):
                self.ledgers.extend(ledgers)
            case _Recent(before, results):
                (self.state.recent_before if before else self.state.recent).update(results)
            case _End():
                pass
        self.whole = isinstance(frame, _End) and frame.frames == self._frames
        self._frames += 1

    def _take_head(self, head: _Head) -> None:
        state = self.state
        state.applied_index = head.index
        state.applied_term = head.term
        state.revision = head.revision
        state.oldest_revision = head.oldest_revision
        state.incarnation = head.incarnation
        state.time_ms = head.time_ms
        state.epoch = head.epoch
        state.epoch_holder = head.epoch_holder
        state.level = head.level
        state.transaction_count = head.transaction_count
        state.digest = head.digest
        state.settings = head.settings
        state.attestations = head.attestations
        state.recent_revision = head.recent_revision
        state.recent_time_ms = head.recent_time_ms
        state.remembered_revision = head.remembered_revision


def write(state: State, folder: Path) -> SnapshotFile:
    """Write a state that nobody changes (a clone), durably, and read it back before it counts.

    Keeps the newest two files. Raises OSError (disk full) or CorruptSnapshot (the disk does not return what was
    written); the snapshots before are untouched then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{state.applied_index:020d}-{state.applied_term:020d}.snapshot"
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            for chunk in _framed(_frames(state), _COMPRESSED if state.level >= COMPRESSED_LEVEL else _PLAIN):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # read back from the disk, not from memory
        verify(temporary)
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(folder)
    prune(folder)
    return SnapshotFile(state.applied_index, state.applied_term, path)


def listed(folder: Path) -> list[SnapshotFile]:
    """Return the snapshots of a folder by their names, newest first."""
    found = []
    for path in folder.glob("*.snapshot"):
        match = _NAME.fullmatch(path.name)
        if match:
            found.append(SnapshotFile(int(match[1]), int(match[2]), path))
    return sorted(found, key=lambda each: (each.index, each.term), reverse=True)


def verify(path: Path) -> None:
    """Check every frame's sum and that none is missing; raises CorruptSnapshot."""
    with path.open("rb") as file:
        version = _version(file, path)
        count, last = 0, b""
        for data in _stored_frames(file, path):
            count, last = count + 1, data
    end = _decode(_plain(last, version, path), path)
    if not isinstance(end, _End) or end.frames != count - 1:
        raise CorruptSnapshot(path, "the end is missing")


def load(path: Path, expected: tuple[int, int] | None = None) -> State:
    """Return the state that a file holds, of the `expected` (index, term) if given; raises CorruptSnapshot, OSError."""
    contents = _Contents()
    with path.open("rb") as file:
        for data in _read_frames(file, path):
            contents.take(_decode(data, path))
    state = contents.state
    if not contents.whole:
        raise CorruptSnapshot(path, "the end is missing")
    if expected not in {None, (state.applied_index, state.applied_term)}:
        raise CorruptSnapshot(path, f"it holds index {state.applied_index} of term {state.applied_term}")
    try:
        state.restore(contents.objects, contents.claims, contents.ledgers)
    except ValueError as error:
        raise CorruptSnapshot(path, str(error)) from error
    return state


def load_newest(folder: Path) -> tuple[State | None, list[CorruptSnapshot]]:
    """Load the newest snapshot that is whole, and say which newer ones are not; None if the folder has none.

    Raises the newest one's CorruptSnapshot if there are snapshots but all of them are damaged.
    """
    damaged: list[CorruptSnapshot] = []
    for left in folder.glob("*.tmp"):
        if _NAME.fullmatch(left.with_suffix(".snapshot").name):
            left.unlink(missing_ok=True)  # half-written when this replica ended
    for each in listed(folder):
        try:
            return load(each.path), damaged
        except CorruptSnapshot as error:
            damaged.append(error)
    if damaged:
        raise damaged[0]
    return None, []


def adopt(path: Path, folder: Path, index: int, term: int) -> SnapshotFile:
    """Make an installed file the newest of the folder, durably; it stays where it was as well."""
    folder.mkdir(parents=True, exist_ok=True)
    own = folder / f"{index:020d}-{term:020d}.snapshot"
    if path.resolve() != own.resolve():
        temporary = own.with_suffix(".tmp")
        temporary.unlink(missing_ok=True)
        try:
            temporary.hardlink_to(path)
        except OSError:  # another file system, or one without hard links
            shutil.copyfile(path, temporary)
            sync(temporary)
        temporary.replace(own)
        sync(folder)
    prune(folder)
    return SnapshotFile(index, term, own)


def prune(folder: Path) -> None:
    """Remove all but the newest snapshots."""
    for old in listed(folder)[KEPT:]:
        old.path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _frames(state: State) -> Iterator[_Frame]:
    yield _Head(
        index=state.applied_index,
        term=state.applied_term,
        revision=state.revision,
        oldest_revision=state.oldest_revision,
        incarnation=state.incarnation,
        time_ms=state.time_ms,
        epoch=state.epoch,
        epoch_holder=state.epoch_holder,
        level=state.level,
        transaction_count=state.transaction_count,
        digest=state.digest,
        settings=state.settings,
        attestations=state.attestations,
        recent_revision=state.recent_revision,
        recent_time_ms=state.recent_time_ms,
        remembered_revision=state.remembered_revision,
    )
    for resource in state.resources():
        batch: list[Stored] = []
        size = 0
        for stored in state.each(resource):
            batch.append(stored)
            size += len(stored.body) + 200
            if size >= FRAME_BYTES:
                yield _Objects(resource, batch)
                batch, size = [], 0
        if batch:
            yield _Objects(resource, batch)
    for claims in _batches((*held, owner) for held, owner in state.all_claims()):
        yield _Claims(claims)
    for ledgers in _batches((name, dict(amounts)) for name, amounts in state.all_ledgers()):
        yield _Ledgers(ledgers)
    for before, recent in ((True, state.recent_before), (False, state.recent)):
        for results in _batches(recent.items()):
            yield _Recent(before, results)


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, 1_000)):
        yield batch


def _framed(frames: Iterable[_Frame], version: int) -> Iterator[bytes]:
    yield _MAGIC + bytes([version])
    count = 0
    for frame in frames:
        yield from _chunks(frame, version)
        count += 1
    yield from _chunks(_End(count), version)


def _chunks(frame: _Frame, version: int) -> Iterator[bytes]:
    data = _encoder.encode(frame)
    if version == _COMPRESSED:
        data = zlib.compress(data, _EFFORT)
    yield _HEADER.pack(len(data), zlib.crc32(data))
    yield data


def _read_frames(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """What the frames of a file of either format hold."""
    version = _version(file, path)
    for data in _stored_frames(file, path):
        yield _plain(data, version, path)


def _version(file: BinaryIO, path: Path) -> int:
    """The format of a file, of which nothing was read yet."""
    magic = file.read(len(_MAGIC) + 1)
    if magic[:-1] != _MAGIC:
        raise CorruptSnapshot(path, "it does not begin like a snapshot")
    if magic[-1] > _COMPRESSED:
        raise CorruptSnapshot(path, f"it has format {magic[-1]}, this program reads up to {_COMPRESSED}")
    return magic[-1]


def _stored_frames(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """The frames as they are in the file, each once its sum was found right."""
    while header := file.read(_HEADER.size):
        if len(header) < _HEADER.size:
            raise CorruptSnapshot(path, "a frame is cut off")
        length, checksum = _HEADER.unpack(header)
        data = file.read(length) if length <= _FRAME_LIMIT_BYTES else b""
        if len(data) < length or zlib.crc32(data) != checksum:
            raise CorruptSnapshot(path, f"the frame that ends at byte {file.tell()} has a wrong sum")
        yield data


def _plain(data: bytes, version: int, path: Path) -> bytes:
    """What a frame holds."""
    return data if version == _PLAIN else _decompressed(data, path)


def _decompressed(data: bytes, path: Path) -> bytes:
    decompressor = zlib.decompressobj()
    try:
        plain = decompressor.decompress(data, _FRAME_LIMIT_BYTES)
    except zlib.error as error:
        raise CorruptSnapshot(path, str(error)) from error
    if not decompressor.eof or decompressor.unused_data:
        raise CorruptSnapshot(path, "a frame is not what was compressed")
    return plain


def _decode(data: bytes, path: Path) -> _Frame:
    try:
        return _decoder.decode(data)
    except ValueError as error:
        raise CorruptSnapshot(path, str(error)) from error
