"""The bytes of the file beside each snapshot: who took part at its index, under a checksum.

A replica that took a damaged membership for the right one would elect and commit with the wrong majorities. Pure; it
must not know files, or how a membership is encoded.
"""

from __future__ import annotations

import struct
import zlib

FORMAT_VERSION = 1

_MAGIC = b"TIMMEM"
_HEADER = struct.Struct("<6sHI")  # magic, format version, CRC-32 of the version and everything after it
_POSITION = struct.Struct("<QQ")  # index and term of the snapshot
_VERSION = struct.Struct("<H")


class DamagedMembership(Exception):
    """The bytes are not what was written for this snapshot; the message says how that shows."""


def encode(index: int, term: int, membership: bytes) -> bytes:
    """The file for the snapshot at (index, term). Empty `membership` stands for the first one, which the files give."""
    body = _POSITION.pack(index, term) + membership
    return _HEADER.pack(_MAGIC, FORMAT_VERSION, _checksum(FORMAT_VERSION, body)) + body


def decode(content: bytes, index: int, term: int) -> bytes:
    """The membership that was encoded for exactly this snapshot; DamagedMembership."""
    if len(content) < _HEADER.size + _POSITION.size:
        raise DamagedMembership("is cut")
    magic, version, checksum = _HEADER.unpack_from(content)
    body = content[_HEADER.size :]
    if magic != _MAGIC or checksum != _checksum(version, body):
        raise DamagedMembership("has a wrong checksum")
    if version != FORMAT_VERSION:
        raise DamagedMembership(f"is of format {version}, which only a newer version knows")
    if _POSITION.unpack_from(body) != (index, term):
        raise DamagedMembership("belongs to another snapshot")
    return body[_POSITION.size :]


def _checksum(version: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(_VERSION.pack(version)))
