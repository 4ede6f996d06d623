"""Deleting entries of the connection tracking table, by netlink, with the kernel doing the search.

The messages are packed here (linux/netfilter/nfnetlink_conntrack.h): reading a table of 100,000 entries through a
general decoder takes seconds. Which entries are stale is decided elsewhere.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator

from netplugin.kernel.protocol import Connections
from netplugin.protocol import NetworkFailure

_NETLINK_NETFILTER = 12
_CT_GET = 1 << 8 | 1  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET
_CT_DELETE = 1 << 8 | 2
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_REQUEST, _ACK, _DUMP = 1, 4, 0x300
_NESTED = 0x8000
_TYPE_MASK = 0x3FFF
_TUPLE_ORIG, _TUPLE_REPLY, _ID, _ZONE, _FILTER = 1, 2, 12, 18, 25
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_IP_SOURCE, _IP_DESTINATION = 1, 2
_PROTO_NUMBER, _PROTO_SOURCE_PORT, _PROTO_DESTINATION_PORT = 1, 2, 3
_FILTER_ORIG, _FILTER_REPLY = 1, 2
_MATCH_SOURCE, _MATCH_DESTINATION, _MATCH_NUMBER, _MATCH_SOURCE_PORT, _MATCH_DESTINATION_PORT = 1, 2, 8, 16, 32
_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_RECEIVE_BYTES = 1 << 17
_DEADLINE_SECONDS = 10.0


def forget(which: Connections) -> int:
    """Delete the entries of the calling thread's namespace that match, and return how many.

    An entry that goes by itself in between is not counted. NetworkFailure if the kernel refuses.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as connection:
        connection.settimeout(_DEADLINE_SECONDS)
        try:
            connection.bind((0, 0))
            entries = list(_dump(connection, _filter(which)))
            return sum(_delete(connection, entry) for entry in entries)
        except OSError as error:
            raise NetworkFailure(f"could not delete connection tracking entries: {error}") from error


def _filter(which: Connections) -> bytes:
    orig, orig_flags = _tuple(
        _TUPLE_ORIG,
        protocol=_PROTOCOLS.get(which.protocol, 0),
        source=(which.client, 0),
        destination=which.destination or ("", 0),
    )
    reply, reply_flags = _tuple(_TUPLE_REPLY, protocol=0, source=which.backend or ("", 0), destination=("", 0))
    if which.backend and which.backend[1]:
        # A port is only compared together with its protocol.
        reply, reply_flags = _tuple(
            _TUPLE_REPLY, protocol=_PROTOCOLS[which.protocol], source=which.backend, destination=("", 0)
        )
    flags = b""
    if orig_flags:
        flags += _attribute(_FILTER_ORIG, struct.pack("=I", orig_flags))
    if reply_flags:
        flags += _attribute(_FILTER_REPLY, struct.pack("=I", reply_flags))
    if not flags:
        raise NetworkFailure("refusing to delete every connection tracking entry")
    return orig + reply + _attribute(_FILTER | _NESTED, flags)


def _tuple(kind: int, *, protocol: int, source: tuple[str, int], destination: tuple[str, int]) -> tuple[bytes, int]:
    """Return a tuple attribute and the flags that say which of its parts count; empty parts do not."""
    addresses, ports, flags = b"", b"", 0
    if source[0]:
        addresses += _attribute(_IP_SOURCE, socket.inet_aton(source[0]))
        flags |= _MATCH_SOURCE
    if destination[0]:
        addresses += _attribute(_IP_DESTINATION, socket.inet_aton(destination[0]))
        flags |= _MATCH_DESTINATION
    if protocol:
        ports += _attribute(_PROTO_NUMBER, struct.pack("=B", protocol))
        flags |= _MATCH_NUMBER
    if source[1]:
        ports += _attribute(_PROTO_SOURCE_PORT, struct.pack("!H", source[1]))
        flags |= _MATCH_SOURCE_PORT
    if destination[1]:
        ports += _attribute(_PROTO_DESTINATION_PORT, struct.pack("!H", destination[1]))
        flags |= _MATCH_DESTINATION_PORT
    if not flags:
        return b"", 0
    body = _attribute(_TUPLE_IP | _NESTED, addresses) if addresses else b""
    body += _attribute(_TUPLE_PROTO | _NESTED, ports) if ports else b""
    return _attribute(kind | _NESTED, body), flags


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", len(value) + 4, kind) + value + bytes(-len(value) % 4)


def _message(kind: int, flags: int, attributes: bytes) -> bytes:
    body = struct.pack("=BBH", socket.AF_INET, 0, 0) + attributes
    return struct.pack("=IHHII", len(body) + 16, kind, flags, 1, 0) + body


def _dump(connection: socket.socket, attributes: bytes) -> Iterator[bytes]:
    """Yield for each matching entry the attributes that name it."""
    connection.send(_message(_CT_GET, _REQUEST | _DUMP, attributes))
    while True:
        for kind, body in _messages(connection.recv(_RECEIVE_BYTES)):
            if kind == _NLMSG_DONE:
                return
            if kind == _NLMSG_ERROR:
                number = -struct.unpack_from("=i", body)[0]
                raise OSError(number, os.strerror(number))
            yield b"".join(raw for number, raw in _attributes(body[4:]) if number in {_TUPLE_ORIG, _ID, _ZONE})


def _delete(connection: socket.socket, entry: bytes) -> int:
    connection.send(_message(_CT_DELETE, _REQUEST | _ACK, entry))
    for kind, body in _messages(connection.recv(_RECEIVE_BYTES)):
        if kind == _NLMSG_ERROR:
            number = -struct.unpack_from("=i", body)[0]
            if number == errno.ENOENT:
                return 0
            if number:
                raise OSError(number, os.strerror(number))
    return 1


def _messages(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + 16 <= len(datagram):
        length, kind = struct.unpack_from("=IH", datagram, offset)
        yield kind, datagram[offset + 16 : offset + length]
        offset += (length + 3) & ~3


def _attributes(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (number, whole attribute as it stands)."""
    offset = 0
    while offset + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, offset)
        end = offset + ((length + 3) & ~3)
        yield kind & _TYPE_MASK, body[offset:end]
        offset = end
