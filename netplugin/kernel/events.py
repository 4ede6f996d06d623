"""Sockets that wake us when somebody changed links, routes or rules.

An event only says "look again", what changed is read to leave out our own doing only. A socket filter in the kernel lets through what may have
taken something of ours away, so that our own work does not flood us: adding 40,000 map elements is one event.
"""

from __future__ import annotations

import ctypes
import re
import socket
import struct
import sys

from netplugin.kernel.messages import attributes, split

_NETLINK_NETFILTER = 12
_LINKS, _ADDRESSES, _ROUTES = 0x1, 0x10, 0x40  # RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE
_NFTABLES = 1 << 6  # NFNLGRP_NFTABLES
_NEWLINK, _DELLINK, _DELADDR, _DELROUTE = 16, 17, 21, 25
_NEWGEN = 10 << 8 | 15  # NFNL_SUBSYS_NFTABLES, NFT_MSG_NEWGEN: the end of every transaction
_SO_ATTACH_FILTER = 26
_LOAD_HALF, _LOAD_BYTE, _JUMP_EQUAL, _JUMP_SET, _RETURN = 0x28, 0x30, 0x15, 0x45, 0x06
_TYPE_OFFSET = 4  # of nlmsg_type
_FLAGS_OFFSET = 24 if sys.byteorder == "little" else 27  # lowest byte of ifi_flags, behind nlmsghdr
_UP = 1  # IFF_UP
_IFINFOMSG_BYTES = 16
_IFLA_IFNAME = 3
_RECEIVE_BYTES = 1 << 16

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


def open_events() -> tuple[socket.socket, socket.socket]:
    """Return non-blocking sockets of the calling thread's namespace; see Kernel.open_events."""
    routes = [
        (_LOAD_HALF, 0, 0, _TYPE_OFFSET),
        (_JUMP_EQUAL, 5, 0, _swapped(_DELLINK)),
        (_JUMP_EQUAL, 4, 0, _swapped(_DELADDR)),
        (_JUMP_EQUAL, 3, 0, _swapped(_DELROUTE)),
        (_JUMP_EQUAL, 0, 3, _swapped(_NEWLINK)),
        (_LOAD_BYTE, 0, 0, _FLAGS_OFFSET),
        (_JUMP_SET, 1, 0, _UP),  # a link that goes down loses its routes without a word
        (_RETURN, 0, 0, 0xFFFFFFFF),
        (_RETURN, 0, 0, 0),
    ]
    rules = [
        (_LOAD_HALF, 0, 0, _TYPE_OFFSET),
        (_JUMP_EQUAL, 0, 1, _swapped(_NEWGEN)),
        (_RETURN, 0, 0, 0xFFFFFFFF),
        (_RETURN, 0, 0, 0),
    ]
    links = _listen(socket.NETLINK_ROUTE, _LINKS | _ADDRESSES | _ROUTES, routes)
    try:
        return links, _listen(_NETLINK_NETFILTER, _NFTABLES, rules)
    except OSError:
        links.close()
        raise


def drain(events: socket.socket, own: re.Pattern[str]) -> bool:
    """Read away whatever waits, and return whether any of it is about more than the links that `own` matches.

    Those come and go by our own hand. A full buffer is an event like any other.
    """
    others = False
    while True:
        try:
            datagram = events.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return others
        except OSError:  # ENOBUFS: some were lost, which reading has reset
            others = True
            continue
        for kind, body in split(datagram):
            name = _link_name(body) if kind in {_NEWLINK, _DELLINK} else ""
            others = others or not own.fullmatch(name)


def _link_name(body: bytes) -> str:
    for number, raw in attributes(body[_IFINFOMSG_BYTES:]):
        if number == _IFLA_IFNAME:
            return raw[4:].split(b"\0")[0].decode(errors="replace")
    return ""


def _listen(family: int, groups: int, program: list[Instruction]) -> socket.socket:
    events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, family)
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    try:
        events.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(program), ctypes.addressof(buffer))
        )
        events.bind((0, groups))
    except OSError:
        events.close()
        raise
    return events


def _swapped(number: int) -> int:
    """Return a 16-bit number of the host as a socket filter, which reads in network order, will see it."""
    return int.from_bytes(struct.pack("=H", number), "big")
