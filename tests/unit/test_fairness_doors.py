"""Connections that are let in and refused, without sockets."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from controlplane.apiserver.fairness.doors import Doors
from controlplane.apiserver.fairness.vanished import Watchman
from tests.waiting import eventually


class Told(asyncio.Protocol):
    """What an HTTP server's own protocol is told."""

    def __init__(self):
        self.events = []

    def connection_made(self, transport):
        self.events.append("made")

    def data_received(self, data):
        self.events.append(data)

    def connection_lost(self, exc):
        self.events.append("lost")


class Socket:
    """What a kernel tells of a connection: probes without answer, segments on their way, and the last acknowledgement."""

    def __init__(self):
        self.options, self.probes, self.unacked, self.silent_ms = {}, 0, 0, 0

    def setsockopt(self, _level, option, value):
        self.options[option] = value

    def getsockopt(self, _level, _option, size):
        if self.silent_ms < 0:
            raise OSError("closed")
        return struct.pack(
            "=8B12I", 1, 0, 0, self.probes, 0, 0, 0, 0, *(7,) * 4, self.unacked, *(7,) * 6, self.silent_ms
        )[:size]


class Wire:
    """As uvloop's: no asyncio.Transport by descent."""

    def __init__(self, address):
        self.socket = Socket()
        self.extra = {"peername": (address, 4711), "socket": self.socket}
        self.written, self.closed, self.aborted = b"", False, False

    def get_extra_info(self, name):
        return self.extra.get(name)

    def abort(self):
        self.aborted = True

    def write(self, data):
        self.written += data

    def close(self):
        self.closed = True


def opened(doors, address="10.0.0.1"):
    connection, wire = doors(), Wire(address)
    connection.connection_made(wire)
    return connection, wire


def test_each_address_has_so_many_and_who_is_refused_is_told_and_never_heard():
    inner = []

    def make():
        inner.append(Told())
        return inner[-1]

    doors = Doors(make, 1, Watchman())
    first, wire = opened(doors)
    second, refused = opened(doors)
    _, other = opened(doors, "10.0.0.2")
    for connection in (first, second):
        connection.data_received(b"x")
    assert [told.events for told in inner] == [["made", b"x"], [], ["made"]]
    assert (wire.closed, refused.closed, other.closed) == (False, True, False)
    assert refused.written.startswith(b"HTTP/1.1 429 ")
    assert refused.written.endswith(b"this address has 1 connections open here, which is the limit: close some\n")


def test_a_closed_connection_makes_room_and_a_refused_one_does_not():
    doors = Doors(Told, 1, Watchman())
    first, _ = opened(doors)
    second, refused = opened(doors)
    assert refused.closed
    second.connection_lost(None)
    assert opened(doors)[1].closed
    first.connection_lost(None)
    assert not opened(doors)[1].closed


@pytest.mark.parametrize(
    ("probes", "unacked", "silent_seconds", "gone"),
    [
        (0, 0, 9_999, False),  # nothing waits: the kernel's keepalive looks after it
        (0, 3, 299, False),
        (1, 0, 299, False),
        (0, 3, 301, True),
        (3, 0, 301, True),  # a reader who paused, and whose machine answers no more
        (1, 0, 120, False),  # one whose machine does
    ],
)
async def test_only_peers_that_leave_something_unanswered_for_long_are_cut(probes, unacked, silent_seconds, gone):
    watchman = Watchman(sweep_seconds=0.001)
    doors = Doors(Told, 9, watchman)
    (_, wire), (_, closing), (_, other) = opened(doors), opened(doors), opened(doors)
    wire.socket.probes, wire.socket.unacked = probes, unacked
    wire.socket.silent_ms, closing.socket.silent_ms = silent_seconds * 1000, -1
    other.socket.unacked, other.socket.silent_ms = 1, 301_000
    watching = asyncio.ensure_future(watchman.run())
    await eventually(lambda: other.aborted)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert (wire.aborted, closing.aborted) == (gone, False)
    assert wire.socket.options[socket.TCP_KEEPIDLE] == 30


async def test_a_closed_connection_is_not_looked_at():
    watchman = Watchman(sweep_seconds=0.001)
    doors = Doors(Told, 9, watchman)
    (connection, wire), (_, other) = opened(doors), opened(doors)
    connection.connection_lost(None)
    for each in (wire, other):
        each.socket.unacked, each.socket.silent_ms = 1, 301_000
    watching = asyncio.ensure_future(watchman.run())
    await eventually(lambda: other.aborted)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert not wire.aborted
