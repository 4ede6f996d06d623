"""The bytes of one log segment: encoding of records, and what a crash or a bad disk may have left of them.

Pure: bytes in, records or a verdict out. It must not know files or what an entry means.

A segment starts with a SEGMENT record; after it come batches, each opened by a BATCH record that says up to which
offset the segment had been synced when the batch was written. So a bad record is a torn write if no later batch
covers it, and damage if one does.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

FORMAT_VERSION = 1

_HEADER = struct.Struct("<IIB")  # payload length, CRC-32 of type and payload, type
_SEGMENT = struct.Struct("<IQQ8s")  # format version, sequence, end of the segment before, salt
_BATCH = struct.Struct("<8sQ")  # salt, offset synced before
_POSITION = struct.Struct("<QQ")  # index, term
_NUMBER = struct.Struct("<Q")
_LONGEST_NAME_BYTES = 255  # of a replica


class Kind(IntEnum):
    """What a record says."""

    SEGMENT = 1
    BATCH = 2
    VOTE = 3
    BASE = 4  # the log starts anew after a snapshot of (index, term)
    ENTRY = 5
    TRUNCATE = 6  # everything from this index on is gone


class DamagedError(Exception):
    """Bytes that had been synced are not readable any more, or do not fit together."""


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """The first record of a segment. `previous_end` is the length of valid bytes in the segment before it."""

    sequence: int
    previous_end: int
    salt: bytes


@dataclass(frozen=True, slots=True)
class Scan:
    """The valid records of a segment in order, and where they end; `torn` when something unreadable follows."""

    header: SegmentHeader | None
    records: list[tuple[Kind, bytes]]
    end: int
    torn: bool


def encode(kind: Kind, payload: bytes) -> bytes:
    """One record."""
    return _HEADER.pack(len(payload), zlib.crc32(payload, kind), kind) + payload


def encode_segment(header: SegmentHeader) -> bytes:
    """The record that opens a segment."""
    return encode(Kind.SEGMENT, _SEGMENT.pack(FORMAT_VERSION, header.sequence, header.previous_end, header.salt))


def encode_batch(salt: bytes, synced: int) -> bytes:
    """The record that opens a batch; everything before offset `synced` of the segment is durable."""
    return encode(Kind.BATCH, _BATCH.pack(salt, synced))


def encode_entry(data: bytes, index: int, term: int) -> bytes:
    """One log entry."""
    return encode(Kind.ENTRY, _POSITION.pack(index, term) + data)


def encode_base(index: int, term: int) -> bytes:
    """The log starts anew after a snapshot."""
    return encode(Kind.BASE, _POSITION.pack(index, term))


def encode_truncate(index: int) -> bytes:
    """Entries from `index` on are gone."""
    return encode(Kind.TRUNCATE, _NUMBER.pack(index))


def encode_vote(term: int, vote: str | None) -> bytes:
    """The current term and who got this replica's vote in it."""
    return encode(Kind.VOTE, _NUMBER.pack(term) + (vote or "").encode())


def decode_entry(payload: bytes) -> tuple[bytes, int, int]:
    """Return (data, index, term) of an ENTRY, or (b"", index, term) of a BASE."""
    index, term = _POSITION.unpack_from(payload)
    return payload[_POSITION.size :], index, term


def decode_truncate(payload: bytes) -> int:
    """The index of a TRUNCATE record."""
    return int(_NUMBER.unpack(payload)[0])


def decode_vote(payload: bytes) -> tuple[int, str | None]:
    """Return (term, vote) of a VOTE record."""
    return int(_NUMBER.unpack_from(payload)[0]), payload[_NUMBER.size :].decode() or None


def scan(content: bytes) -> Scan:
    """Read a segment up to its first unreadable record.

    Raises DamagedError when bytes beyond that point prove that it had been synced.
    """
    header, offset = _scan_header(content)
    records: list[tuple[Kind, bytes]] = []
    if header is None:
        return Scan(None, records, 0, torn=any(content))
    while (record := _record_at(content, offset)) is not None:
        kind, payload = record
        offset += _HEADER.size + len(payload)
        if kind is not Kind.BATCH:
            records.append(record)
    synced = _highest_synced(content, offset, header.salt)
    if synced > offset:
        raise DamagedError(f"unreadable at byte {offset}, although bytes up to {synced} had been synced")
    return Scan(header, records, offset, torn=any(content[offset:]))


def _scan_header(content: bytes) -> tuple[SegmentHeader | None, int]:
    record = _record_at(content, 0)
    if record is None:
        # Written and synced before anything else: if more was written, the header was once good.
        if any(content[_opening_end(content) :]):
            raise DamagedError("unreadable at byte 0, although more was written after it")
        return None, 0
    kind, payload = record
    if kind is not Kind.SEGMENT or len(payload) != _SEGMENT.size:
        raise DamagedError("does not start with a segment record")
    version, sequence, previous_end, salt = _SEGMENT.unpack(payload)
    if version != FORMAT_VERSION:
        raise DamagedError(f"has log format {version}; this program reads format {FORMAT_VERSION}")
    return SegmentHeader(sequence, previous_end, salt), _HEADER.size + _SEGMENT.size


def _opening_end(content: bytes) -> int:
    """Where the first batch begins, at the latest, in a segment whose header is unreadable: after the first vote."""
    start = _HEADER.size + _SEGMENT.size
    record = _record_at(content, start)
    if record is not None and record[0] is Kind.VOTE:
        return start + _HEADER.size + len(record[1])
    return start + _HEADER.size + _NUMBER.size + _LONGEST_NAME_BYTES


def _record_at(content: bytes, offset: int) -> tuple[Kind, bytes] | None:
    """Return the valid record at `offset`, or None at the end or at anything unreadable."""
    if offset + _HEADER.size > len(content):
        return None
    length, checksum, number = _HEADER.unpack_from(content, offset)
    if number == 0 or offset + _HEADER.size + length > len(content):
        return None
    payload = content[offset + _HEADER.size : offset + _HEADER.size + length]
    if zlib.crc32(payload, number) != checksum:
        return None
    try:
        return Kind(number), payload
    except ValueError:
        raise DamagedError(f"has a record of unknown type {number} at byte {offset}") from None


def _highest_synced(content: bytes, start: int, salt: bytes) -> int:
    """The largest synced offset claimed by any valid BATCH record after `start`."""
    highest = 0
    hit = content.find(salt, start)
    while hit >= 0:
        offset = hit - _HEADER.size
        length, checksum, number = _HEADER.unpack_from(content, offset)
        payload = content[hit : hit + _BATCH.size]
        if number == Kind.BATCH and length == _BATCH.size and zlib.crc32(payload, number) == checksum:
            highest = max(highest, int(_BATCH.unpack(payload)[1]))
        hit = content.find(salt, hit + 1)
    return highest
