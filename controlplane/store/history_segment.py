"""One segment of history on disk: the changes of a run of revisions, by resource and name, compressed and checked.

A file is a magic number, a head, and blocks that the head lists; every part has a length and a CRC-32. It is written
whole beside its place and renamed, and never changed afterwards. What a change replaced is kept; what it wrote is in
the next change of the same object, and only the last one of each object has both, so that a segment can be read
forwards by itself. Everything here blocks and belongs in a thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from controlplane.commands import ADDED, DELETED, Change, Stored
from controlplane.store.snapshot import sync

BLOCK_BYTES: Final = 128 * 1024  # before compression: decoding one holds the interpreter for about 1 ms
SUFFIX: Final = ".history"

_MAGIC: Final = b"TIMHIST\x02"
_HEADER: Final = struct.Struct(">II")
_LIMIT_BYTES: Final = 64 * 1024 * 1024
_LEVEL: Final = 1  # of zlib: three times as fast as the default, and versions of one object stand side by side

Name = tuple[str, str]
"""Namespace and name."""


class CorruptSegment(Exception):
    """A segment cannot be trusted; the message names it and what is wrong."""

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(f"history segment {path} is damaged: {detail}")
        self.path = path


class Moment(msgspec.Struct, array_like=True, frozen=True):
    """A point of the log: the state's revision, time (milliseconds since the epoch) and digest there."""

    revision: int
    time_ms: int
    digest: bytes


class Record(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One change: `type` as in `Change`, and the object it replaced (None if there was none).

    `outcome` is the object after it, kept for the last change of an object in a segment only; None if it is gone.
    """

    namespace: str
    name: str
    revision: int
    type: int
    previous: Stored | None
    outcome: Stored | None = None

    @property
    def place(self) -> Name:
        """Whose change it is, within its resource."""
        return self.namespace, self.name


class Mark(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The last revision of one transaction, when it was committed, and who asked for it ("" when not known)."""

    revision: int
    time_ms: int
    actor: str = ""


class _Block(msgspec.Struct, array_like=True, frozen=True):
    resource: str
    first: Name
    last: Name
    offset: int  # from the end of the head
    length: int
    checksum: int


class _Head(msgspec.Struct, array_like=True, frozen=True):
    start: Moment
    end: Moment
    marks: _Block
    blocks: list[_Block]


_encode = msgspec.msgpack.Encoder().encode
_decode_head = msgspec.msgpack.Decoder(_Head).decode
_decode_records = msgspec.msgpack.Decoder(list[Record]).decode
_decode_marks = msgspec.msgpack.Decoder(list[Mark]).decode


@dataclass(frozen=True, slots=True)
class Segment:
    """All changes after `start` up to and including `end`."""

    path: Path
    start: Moment
    end: Moment
    size_bytes: int

    def records(self, resource: str, only: Name | None = None) -> Iterator[Record]:
        """Yield the changes of a resource, or of one object, by name and then oldest first. CorruptSegment, OSError."""
        with _opened(self.path) as file:
            head, offset = _read_head(file, self.path)
            for block in head.blocks:
                if block.resource != resource or (only is not None and not block.first <= only <= block.last):
                    continue
                records = _decode_records(_read_block(file, offset, block, self.path))
                yield from (record for record in records if only is None or record.place == only)

    def changes(self, resource: str) -> Iterator[Change]:
        """Yield the changes of a resource whole, by name and then oldest first. CorruptSegment, OSError."""
        before: Record | None = None
        for record in self.records(resource):
            if before is not None:
                followed = before.place == record.place
                yield self._change(before, record.previous if followed else before.outcome)
            before = record
        if before is not None:
            yield self._change(before, before.outcome)

    def _change(self, record: Record, outcome: Stored | None) -> Change:
        previous = record.previous
        after = previous if record.type == DELETED else outcome
        if after is None or (previous is None) != (record.type == ADDED):
            raise CorruptSegment(self.path, f"the change of revision {record.revision} is not whole")
        if previous is None:
            return Change(record.revision, record.type, after.envelope, after.body)
        before = previous.envelope, previous.body, previous.revision, previous.created_revision
        return Change(record.revision, record.type, after.envelope, after.body, *before)

    def marks(self) -> Sequence[Mark]:
        """The transactions, oldest first. CorruptSegment, OSError."""
        with _opened(self.path) as file:
            head, offset = _read_head(file, self.path)
            return _decode_marks(_read_block(file, offset, head.marks, self.path))


def write(folder: Path, start: Moment, end: Moment, marks: Sequence[Mark], records: dict[str, list[Record]]) -> Segment:
    """Write a segment durably; `records` by resource, each list ordered by name, then revision. OSError (disk full)."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    blocks: list[_Block] = []
    parts: list[bytes] = []
    offset = 0

    def pack(resource: str, first: Name, last: Name, data: bytes) -> _Block:
        nonlocal offset
        packed = zlib.compress(data, _LEVEL)
        parts.append(packed)
        block = _Block(resource, first, last, offset, len(packed), zlib.crc32(packed))
        offset += len(packed)
        return block

    marks_block = pack("", ("", ""), ("", ""), _encode(marks))
    for resource, listed in records.items():
        blocks.extend(pack(resource, run[0].place, run[-1].place, _encode(run)) for run in _runs(listed))
    head = _encode(_Head(start, end, marks_block, blocks))
    data = b"".join([_MAGIC, _HEADER.pack(len(head), zlib.crc32(head)), head, *parts])
    path = folder / f"{end.revision:020d}-{end.digest.hex()}{SUFFIX}"
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(folder)
    return Segment(path, start, end, len(data))


def listed(folder: Path) -> tuple[list[Segment], list[CorruptSegment]]:
    """Return the segments of a folder whose heads are whole, and what is wrong with the others.

    Removes what was being written when the process ended.
    """
    found: list[Segment] = []
    damaged: list[CorruptSegment] = []
    for left in folder.glob("*.tmp"):
        with contextlib.suppress(OSError):
            left.unlink()
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            found.append(_segment(path))
        except CorruptSegment as error:
            damaged.append(error)
        except OSError as error:
            damaged.append(CorruptSegment(path, str(error)))
    return found, damaged


def _segment(path: Path) -> Segment:
    with _opened(path) as file:
        head, offset = _read_head(file, path)
        size_bytes = os.fstat(file.fileno()).st_size
        wanted_bytes = offset + sum(block.length for block in (head.marks, *head.blocks))
        if size_bytes != wanted_bytes:
            raise CorruptSegment(path, f"it has {size_bytes} bytes, not {wanted_bytes}")
        return Segment(path, head.start, head.end, size_bytes)


def _runs(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Cut into blocks."""
    run: list[Record] = []
    size_bytes = 0
    for record in records:
        run.append(record)
        size_bytes += 100 + sum(len(stored.body) for stored in (record.previous, record.outcome) if stored)
        if size_bytes >= BLOCK_BYTES:
            yield run
            run, size_bytes = [], 0
    if run:
        yield run


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Whatever is wrong with the file itself is CorruptSegment; OSError is for what may pass (no more open files)."""
    try:
        with path.open("rb") as file:
            yield file
    except (ValueError, zlib.error) as error:
        raise CorruptSegment(path, str(error)) from error
    except FileNotFoundError as error:
        raise CorruptSegment(path, "it is gone") from error
    except OSError as error:
        if error.errno in {errno.EIO, errno.EINVAL, errno.EISDIR}:
            raise CorruptSegment(path, str(error)) from error
        raise


def _read_head(file: BinaryIO, path: Path) -> tuple[_Head, int]:
    """The head, and where the blocks begin."""
    begin = file.read(len(_MAGIC) + _HEADER.size)
    if not begin.startswith(_MAGIC) or len(begin) < len(_MAGIC) + _HEADER.size:
        raise CorruptSegment(path, "it does not begin like a segment of this version")
    length, checksum = _HEADER.unpack(begin[len(_MAGIC) :])
    data = file.read(length) if length <= _LIMIT_BYTES else b""
    if len(data) < length or zlib.crc32(data) != checksum:
        raise CorruptSegment(path, "its head has a wrong sum")
    return _decode_head(data), len(begin) + length


def _read_block(file: BinaryIO, offset: int, block: _Block, path: Path) -> bytes:
    file.seek(offset + block.offset)
    packed = file.read(block.length)
    if len(packed) < block.length or zlib.crc32(packed) != block.checksum:
        raise CorruptSegment(path, f"the block at byte {offset + block.offset} has a wrong sum")
    return zlib.decompress(packed)
