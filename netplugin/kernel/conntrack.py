"""Deleting entries of the connection tracking table, by netlink, with the kernel doing the search.

The messages are packed here (linux/netfilter/nfnetlink_conntrack.h): reading a table of 100,000 entries through a
general decoder takes seconds. Which entries are stale is decided elsewhere.
"""

from __future__ import annotations

import errno
import socket
import struct

from netplugin.kernel.messages import NESTED, Connection, attribute, attributes
from netplugin.kernel.protocol import Connections
from netplugin.protocol import NetworkFailure

_NETLINK_NETFILTER = 12
_CT_GET = 1 << 8 | 1  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET
_CT_DELETE = 1 << 8 | 2
_TUPLE_ORIG, _TUPLE_REPLY, _STATUS, _ID, _ZONE, _FILTER = 1, 2, 3, 12, 18, 25
_SEEN_REPLY = 1 << 1  # IPS_SEEN_REPLY
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_IP_SOURCE, _IP_DESTINATION = 1, 2
_PROTO_NUMBER, _PROTO_SOURCE_PORT, _PROTO_DESTINATION_PORT = 1, 2, 3
_FILTER_ORIG, _FILTER_REPLY = 1, 2
_MATCH_SOURCE, _MATCH_DESTINATION, _MATCH_NUMBER, _MATCH_SOURCE_PORT, _MATCH_DESTINATION_PORT = 1, 2, 8, 16, 32
_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}


def forget(which: Connections) -> int:
    """Delete the entries of the calling thread's namespace that match, and return how many.

    An entry that goes by itself in between is not counted. NetworkFailure if the kernel refuses.
    """
    family = struct.pack("=BBH", socket.AF_INET, 0, 0)  # nfgenmsg
    try:
        with Connection(_NETLINK_NETFILTER) as connection:
            listed = connection.dump(_CT_GET, family + _filter(which))
            entries = [_name(answer) for answer in listed if _wanted(which, answer)]
            return sum(_delete(connection, family + entry) for entry in entries)
    except OSError as error:
        raise NetworkFailure(f"could not delete connection tracking entries: {error}") from error


def _name(answer: bytes) -> bytes:
    """Return the attributes that name an entry, without its nfgenmsg."""
    return b"".join(raw for number, raw in attributes(answer[4:]) if number in {_TUPLE_ORIG, _ID, _ZONE})


def _wanted(which: Connections, answer: bytes) -> bool:
    """What the kernel's filter cannot say: whether nothing came back, and whether it is one of several backends."""
    if which.unanswered and _answered(answer):
        return False
    return not which.backends or _backend(answer) in which.backends


def _backend(answer: bytes) -> tuple[str, int]:
    """Address and port of the side that is to answer."""
    address, port = "", 0
    for number, raw in attributes(answer[4:]):
        if number == _TUPLE_REPLY:
            parts = dict(attributes(raw[4:]))
            source = dict(attributes(parts.get(_TUPLE_IP, b"")[4:])).get(_IP_SOURCE, b"")
            ports = dict(attributes(parts.get(_TUPLE_PROTO, b"")[4:])).get(_PROTO_SOURCE_PORT, b"")
            if len(source) >= 8:
                address = socket.inet_ntoa(source[4:8])
            if len(ports) >= 6:
                port = struct.unpack_from("!H", ports, 4)[0]
    return address, port


def _answered(answer: bytes) -> bool:
    """Whether the entry has seen a packet from the other side."""
    return any(
        number == _STATUS and struct.unpack_from("!I", raw, 4)[0] & _SEEN_REPLY
        for number, raw in attributes(answer[4:])
    )


def _delete(connection: Connection, entry: bytes) -> int:
    try:
        connection.do(_CT_DELETE, entry)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return 0
        raise
    return 1


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
        flags += attribute(_FILTER_ORIG, struct.pack("=I", orig_flags))
    if reply_flags:
        flags += attribute(_FILTER_REPLY, struct.pack("=I", reply_flags))
    if not flags:
        raise NetworkFailure("refusing to delete every connection tracking entry")
    return orig + reply + attribute(_FILTER | NESTED, flags)


def _tuple(kind: int, *, protocol: int, source: tuple[str, int], destination: tuple[str, int]) -> tuple[bytes, int]:
    """Return a tuple attribute and the flags that say which of its parts count; empty parts do not."""
    addresses, ports, flags = b"", b"", 0
    if source[0]:
        addresses += attribute(_IP_SOURCE, socket.inet_aton(source[0]))
        flags |= _MATCH_SOURCE
    if destination[0]:
        addresses += attribute(_IP_DESTINATION, socket.inet_aton(destination[0]))
        flags |= _MATCH_DESTINATION
    if protocol:
        ports += attribute(_PROTO_NUMBER, struct.pack("=B", protocol))
        flags |= _MATCH_NUMBER
    if source[1]:
        ports += attribute(_PROTO_SOURCE_PORT, struct.pack("!H", source[1]))
        flags |= _MATCH_SOURCE_PORT
    if destination[1]:
        ports += attribute(_PROTO_DESTINATION_PORT, struct.pack("!H", destination[1]))
        flags |= _MATCH_DESTINATION_PORT
    if not flags:
        return b"", 0
    body = attribute(_TUPLE_IP | NESTED, addresses) if addresses else b""
    body += attribute(_TUPLE_PROTO | NESTED, ports) if ports else b""
    return attribute(kind | NESTED, body), flags
