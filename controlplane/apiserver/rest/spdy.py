"""Frames of SPDY/3.1 (the draft "SPDY Protocol - Draft 3.1"), as far as kubectl needs them. Pure.

Priorities, settings and windows are not honoured: the library on the other side of every kubectl has none of them either, and
would neither widen a window nor wait for one. What bounds memory is the connection below. It must not know what the
streams are for.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

VERSION: Final = 3
SYN_STREAM, SYN_REPLY, RST_STREAM, PING, GOAWAY = 1, 2, 3, 6, 7
FIN: Final = 1
REFUSED_STREAM: Final = 3  # a status of RST_STREAM
HEAD_BYTES: Final = 8
DATA_LIMIT_BYTES: Final = 1 << 20
CONTROL_LIMIT_BYTES: Final = 16 << 10
HEADERS_LIMIT_BYTES: Final = 64 << 10  # unpacked

_WORDS: Final = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie "
    "keep-alive origin"
)
_TEXT: Final = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _counted(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


DICTIONARY: Final = b"".join(_counted(word.replace("_", " ").encode()) for word in _WORDS.split()) + _TEXT.encode()
"""What both sides compress header blocks with (section 2.6.10.1)."""


class Broken(Exception):
    """What came is not SPDY/3.1, or more than is taken at once."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The other side opened a stream; header names are in lower case. `fin`: it will say nothing in it."""

    stream: int
    headers: Mapping[str, str]
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes in a stream; `fin`: the last ones."""

    stream: int
    data: bytes
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """The other side will neither send nor take anything in a stream any more."""

    stream: int


@dataclass(frozen=True, slots=True)
class Ping:
    """To be sent back as it came."""

    number: int


@dataclass(frozen=True, slots=True)
class GoAway:
    """The other side opens no more streams."""


Frame = Opened | Data | Reset | Ping | GoAway


class Reader:
    """Cuts what arrives in pieces of any size into frames."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)

    def feed(self, piece: bytes) -> Iterator[Frame]:
        """Yield the frames that are complete; others wait for more. Broken."""
        self._rest += piece
        while len(self._rest) >= HEAD_BYTES:
            control = bool(self._rest[0] & 0x80)
            size = int.from_bytes(self._rest[5:HEAD_BYTES], "big")
            if size > (CONTROL_LIMIT_BYTES if control else DATA_LIMIT_BYTES):
                raise Broken(f"a frame of {size} bytes")
            if len(self._rest) < HEAD_BYTES + size:
                return
            head, body = bytes(self._rest[:HEAD_BYTES]), bytes(self._rest[HEAD_BYTES : HEAD_BYTES + size])
            del self._rest[: HEAD_BYTES + size]
            fin = bool(head[4] & FIN)
            if not control:
                yield Data(int.from_bytes(head[:4], "big"), body, fin)
            elif (frame := self._control(head, body, fin=fin)) is not None:
                yield frame

    def _control(self, head: bytes, body: bytes, *, fin: bool) -> Frame | None:
        version, kind = int.from_bytes(head[:2], "big") & 0x7FFF, int.from_bytes(head[2:4], "big")
        if version != VERSION:
            raise Broken(f"SPDY of version {version}")
        if len(body) < {SYN_STREAM: 10, RST_STREAM: 8, PING: 4, GOAWAY: 8}.get(kind, 0):
            raise Broken(f"a frame of type {kind} is cut off")
        number = int.from_bytes(body[:4], "big")
        match kind:
            case 1:
                return Opened(number & 0x7FFFFFFF, self._headers(body[10:]), fin)
            case 3:
                return Reset(number & 0x7FFFFFFF)
            case 6:
                return Ping(number)
            case 7:
                return GoAway()
            case 2 | 8:  # of streams that this side would have opened, or further headers, which nobody here sends
                raise Broken(f"an unexpected frame of type {kind}")
        return None  # settings and windows

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._inflate.decompress(block, HEADERS_LIMIT_BYTES)
        except zlib.error as error:
            raise Broken(f"headers: {error}") from None
        if self._inflate.unconsumed_tail:
            raise Broken("headers that are too long")
        texts = _texts(plain)
        return dict(zip(texts[::2], texts[1::2], strict=True))


class Writer:
    """Makes frames; those with headers must be sent in the order in which they were made."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def reply(self, stream: int) -> bytes:
        """Accept a stream, with no headers."""
        block = self._deflate.compress(bytes(4)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return _control(SYN_REPLY, stream.to_bytes(4, "big") + block)

    def open(self, stream: int, headers: Mapping[str, str]) -> bytes:
        """Open a stream."""
        pairs = b"".join(_counted(name.encode()) + _counted(value.encode()) for name, value in headers.items())
        block = self._deflate.compress(len(headers).to_bytes(4, "big") + pairs)
        block += self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return _control(SYN_STREAM, stream.to_bytes(4, "big") + bytes(6) + block)


def data(stream: int, piece: bytes, *, fin: bool = False) -> bytes:
    """Bytes in a stream."""
    return stream.to_bytes(4, "big") + bytes((FIN if fin else 0,)) + len(piece).to_bytes(3, "big") + piece


def refuse(stream: int) -> bytes:
    """Reject a stream."""
    return _control(RST_STREAM, stream.to_bytes(4, "big") + REFUSED_STREAM.to_bytes(4, "big"))


def ping(number: int) -> bytes:
    """Answer a ping."""
    return _control(PING, number.to_bytes(4, "big"))


def _control(kind: int, body: bytes) -> bytes:
    return (0x8000 | VERSION).to_bytes(2, "big") + kind.to_bytes(2, "big") + len(body).to_bytes(4, "big") + body


def _texts(block: bytes) -> list[str]:
    """The names and values of a header block, in turn. Broken."""
    at, texts = 4, []
    for _ in range(2 * min(int.from_bytes(block[:4], "big"), len(block))):
        size = int.from_bytes(block[at : at + 4], "big")
        if at + 4 + size > len(block):
            raise Broken("headers that are cut off")
        texts.append(block[at + 4 : at + 4 + size].decode(errors="replace"))
        at += 4 + size
    return texts
