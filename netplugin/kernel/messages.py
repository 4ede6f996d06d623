"""Netlink messages by hand, for the few requests where a general library is too slow or bound to one thread.

Layouts: netlink(7), linux/netlink.h. Every call opens a socket of its own in the calling thread's namespace.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from typing import Self

REQUEST, ACK, DUMP = 1, 4, 0x300
NESTED = 0x8000
ERROR, DONE = 2, 3
_HEADER = struct.Struct("=IHHII")
_TYPE_MASK = 0x3FFF
_RECEIVE_BYTES = 1 << 17
_DEADLINE_SECONDS = 10.0


class Connection:
    """A netlink socket with a deadline on every answer. Raises OSError with the kernel's error number."""

    def __init__(self, family: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
        self._socket.settimeout(_DEADLINE_SECONDS)
        self._socket.bind((0, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def dump(self, kind: int, body: bytes) -> Iterator[bytes]:
        """Yield the body of every message of a listing."""
        self._socket.send(_message(kind, REQUEST | DUMP, body))
        while True:
            for got, answer in self._answers():
                if got == DONE:
                    return
                yield answer

    def ask(self, kind: int, body: bytes) -> bytes:
        """Return the body of the one message a request is answered with."""
        self._socket.send(_message(kind, REQUEST, body))
        return next(answer for _, answer in self._answers())

    def do(self, kind: int, body: bytes) -> None:
        """Make a change and wait until the kernel has made it."""
        self._socket.send(_message(kind, REQUEST | ACK, body))
        for _ in self._answers():
            pass

    def _answers(self) -> Iterator[tuple[int, bytes]]:
        for kind, answer in split(self._socket.recv(_RECEIVE_BYTES)):
            if kind == ERROR:
                number = -struct.unpack_from("=i", answer)[0]
                if number:
                    raise OSError(number, os.strerror(number))
            yield kind, answer


def attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute, padded."""
    return struct.pack("=HH", len(value) + 4, kind) + value + bytes(-len(value) % 4)


def attributes(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the number of each attribute and the whole of it, as it stands."""
    offset = 0
    while offset + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, offset)
        end = offset + ((length + 3) & ~3)
        yield kind & _TYPE_MASK, body[offset:end]
        offset = end


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return _HEADER.pack(len(body) + _HEADER.size, kind, flags, 1, 0) + body


def split(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the type and the body of each message of a datagram."""
    offset = 0
    while offset + _HEADER.size <= len(datagram):
        length, kind = struct.unpack_from("=IH", datagram, offset)
        yield kind, datagram[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3
