"""A file of records of which every damage is noticed. Blocking; knows nothing of what the records say.

Layout: MAGIC, then per record MARK, length, CRC-32 of length and payload, payload. A rewrite replaces the file by a
rename, an append is synced before it returns. A crash can only tear the last append; damage with whole records after
it is something else, and then nothing in the file is trusted.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"TIMJRNL1"
MARK = b"\xf1REC"
_HEAD = struct.Struct("<II")
MAX_RECORD_BYTES = 256 << 20


class JournalDamage(Exception):
    """The file is there but cannot be trusted; the message says where it broke."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The records of a journal; `torn` says that an append at its end was cut off (or damaged) and left out."""

    records: tuple[bytes, ...]
    torn: bool


def _frame(payload: bytes) -> bytes:
    length = len(payload)
    crc = zlib.crc32(payload, zlib.crc32(length.to_bytes(4, "little")))
    return MARK + _HEAD.pack(length, crc) + payload


def _read(content: bytes, offset: int) -> bytes | None:
    """The record at `offset`, None when there is no whole one."""
    start = offset + len(MARK) + _HEAD.size
    if content[offset : offset + len(MARK)] != MARK or start > len(content):
        return None
    length, crc = _HEAD.unpack_from(content, offset + len(MARK))
    payload = content[start : start + length]
    if length > MAX_RECORD_BYTES or len(payload) != length:
        return None
    return payload if zlib.crc32(payload, zlib.crc32(length.to_bytes(4, "little"))) == crc else None


def decode(content: bytes) -> Loaded:
    """Return the records of a journal's bytes. Raises JournalDamage."""
    if content[: len(MAGIC)] != MAGIC:
        raise JournalDamage("it does not start as a journal does")
    offset = len(MAGIC)
    records: list[bytes] = []
    while offset < len(content):
        payload = _read(content, offset)
        if payload is None:
            _refuse_damage_before_records(content, offset)
            return Loaded(tuple(records), torn=True)
        records.append(payload)
        offset += len(MARK) + _HEAD.size + len(payload)
    return Loaded(tuple(records), torn=False)


def _refuse_damage_before_records(content: bytes, offset: int) -> None:
    following = content.find(MARK, offset + 1)
    while following != -1:
        if _read(content, following) is not None:
            raise JournalDamage(f"the record at byte {offset} is damaged")
        following = content.find(MARK, following + 1)


class Journal:
    """One journal file; `synced` is off for files on a tmpfs."""

    def __init__(self, path: Path, *, synced: bool) -> None:
        self._path = path
        self._synced = synced
        self.size_bytes = 0

    def load(self) -> Loaded | None:
        """The records, None when there is no file. Raises JournalDamage."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return None
        loaded = decode(content)
        self.size_bytes = len(content)
        return loaded

    def rewrite(self, records: Sequence[bytes]) -> None:
        """Replace the whole file, all or nothing. Raises OSError."""
        content = MAGIC + b"".join(_frame(record) for record in records)
        fresh = self._path.with_name(f"{self._path.name}.new")
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with fresh.open("wb") as file:
                fresh.chmod(0o600)
                file.write(content)
                file.flush()
                if self._synced:
                    os.fsync(file.fileno())
            fresh.replace(self._path)
        except OSError:
            fresh.unlink(missing_ok=True)  # the disk may be full
            raise
        if self._synced:
            _sync_folder(self._path.parent)
        self.size_bytes = len(content)

    def append(self, record: bytes, *, synced: bool = True) -> None:
        """Add a record after the last whole one; durable when it returns, unless `synced` is off. Raises OSError."""
        frame = _frame(record)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            # Not O_APPEND: what a failed append left behind must be overwritten.
            os.ftruncate(descriptor, self.size_bytes)
            _write_at(descriptor, frame, self.size_bytes)
            if self._synced and synced:
                os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        self.size_bytes += len(frame)


def _write_at(descriptor: int, content: bytes, offset: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
