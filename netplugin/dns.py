"""DNS messages as bytes. Pure: packets in, queries and responses out, no socket and no names of ours.

Messages as in RFC 1035, EDNS as in RFC 6891.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

TTL_SECONDS = 5
UDP_LIMIT_BYTES = 512  # without EDNS
EDNS_LIMIT_BYTES = 1232  # DNS flag day 2020: fits every path without fragments
A, NS, SOA, PTR, TXT, AAAA, SRV, OPT, ANY = 1, 2, 6, 12, 16, 28, 33, 41, 255
NO_ERROR, FORMAT_ERROR, SERVER_FAILURE, NO_SUCH_NAME, NOT_IMPLEMENTED, REFUSED = 0, 1, 2, 3, 4, 5
IN = 1
QUESTION_NAME = b"\xc0\x0c"  # a pointer to the name in the question
_RESPONSE, _AUTHORITATIVE, _TRUNCATED, _RECURSION_DESIRED, _RECURSION_AVAILABLE = 0x8000, 0x400, 0x200, 0x100, 0x80
OPCODE = 0x7800
_NAME_LIMIT_BYTES = 255


class Malformed(ValueError):
    """A query that cannot be read."""


@dataclass(frozen=True, slots=True)
class Query:
    """The parts of a query that matter. `name` is in wire format and lower case; `question` as it was sent."""

    identifier: int
    flags: int
    name: bytes
    kind: int
    klass: int
    question: bytes
    edns_bytes: int | None  # the client's limit; None without EDNS

    @property
    def limit_bytes(self) -> int:
        """The largest datagram the client takes and we send."""
        return min(max(self.edns_bytes or 0, UDP_LIMIT_BYTES), EDNS_LIMIT_BYTES)


def parse(packet: bytes) -> Query | None:
    """Return the query in a packet, None if it deserves no response (too short, or a response itself).

    Malformed when there is not exactly one readable question.
    """
    if len(packet) < 12:
        return None
    identifier, flags, questions, answers, authorities, additionals = struct.unpack_from("!6H", packet)
    if flags & _RESPONSE:
        return None
    if questions != 1:
        raise Malformed("not exactly one question")
    end = _skip_name(packet, 12)
    if end + 4 > len(packet):
        raise Malformed("the question ends early")
    kind, klass = struct.unpack_from("!HH", packet, end)
    edns_bytes = None
    if additionals and not answers and not authorities:
        edns_bytes = _edns(packet, end + 4)
    return Query(identifier, flags, packet[12:end].lower(), kind, klass, packet[12 : end + 4], edns_bytes)


def respond(
    query: Query, code: int, count: int = 0, answers: bytes = b"", *, authority: bytes = b"", truncated: bool = False
) -> bytes:
    """Return a response with packed answers, or with one packed record of authority."""
    flags = _RESPONSE | _RECURSION_AVAILABLE | (query.flags & (_RECURSION_DESIRED | OPCODE)) | code
    if count or authority or truncated:
        flags |= _AUTHORITATIVE
    if truncated:
        flags |= _TRUNCATED
    edns = b"" if query.edns_bytes is None else b"\0" + struct.pack("!HHIH", OPT, EDNS_LIMIT_BYTES, 0, 0)
    header = struct.pack("!6H", query.identifier, flags, 1, count, 1 if authority else 0, 1 if edns else 0)
    return header + query.question + answers + authority + edns


def refuse_malformed(packet: bytes) -> bytes:
    """Return the response to a packet that `parse` found Malformed."""
    return packet[:2] + struct.pack("!5H", _RESPONSE | FORMAT_ERROR, 0, 0, 0, 0)


def to_wire(name: str) -> bytes:
    """Return a name in wire format and lower case; ValueError for what is not a name."""
    labels = name.lower().rstrip(".").encode("ascii").split(b".")
    if labels == [b""]:
        return b"\0"
    if any(not 0 < len(label) < 64 for label in labels):
        raise ValueError(f"{name!r} is not a domain name")
    wire = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    if len(wire) > _NAME_LIMIT_BYTES:
        raise ValueError(f"{name!r} is longer than a domain name may be")
    return wire


def to_text(name: bytes) -> str:
    """Return a name in wire format as text, without a final dot."""
    labels, offset = [], 0
    while name[offset]:
        labels.append(name[offset + 1 : offset + 1 + name[offset]].decode("ascii", "backslashreplace"))
        offset += 1 + name[offset]
    return ".".join(labels)


def record(name: bytes, kind: int, value: bytes) -> bytes:
    """Return one packed record."""
    return name + struct.pack("!HHIH", kind, IN, TTL_SECONDS, len(value)) + value


def _skip_name(packet: bytes, offset: int) -> int:
    """Return the offset behind a name without compression, which a question never has."""
    start = offset
    while offset < len(packet):
        length = packet[offset]
        if length == 0:
            return offset + 1
        if length > 63 or offset - start + length + 2 > _NAME_LIMIT_BYTES:
            raise Malformed("bad name")
        offset += 1 + length
    raise Malformed("the name ends early")


def _edns(packet: bytes, offset: int) -> int | None:
    """Return the size of an OPT record at `offset`, where queries have it; None if there is another record."""
    if len(packet) < offset + 11 or packet[offset] != 0:
        return None
    kind, size = struct.unpack_from("!HH", packet, offset + 1)
    return int(size) if kind == OPT else None
