"""Connections that are let in and refused, without sockets."""

from __future__ import annotations

import asyncio

from controlplane.apiserver.fairness.doors import Doors


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


class Wire(asyncio.Transport):
    def __init__(self, address):
        super().__init__({"peername": (address, 4711)})
        self.written, self.closed = b"", False

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

    doors = Doors(make, 1)
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
    doors = Doors(Told, 1)
    first, _ = opened(doors)
    second, refused = opened(doors)
    assert refused.closed
    second.connection_lost(None)
    assert opened(doors)[1].closed
    first.connection_lost(None)
    assert not opened(doors)[1].closed
