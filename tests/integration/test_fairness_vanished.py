"""Peers behind a cut cable, real TCP between two network namespaces: let go; one who only pauses is not."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from controlplane.apiserver.fairness.doors import Doors
from controlplane.apiserver.fairness.vanished import Patience, Watchman
from tests.netns_fixture import Fabric
from tests.waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.slow]


class Flood(asyncio.Protocol):
    """Says as much as its client takes, or nothing."""

    def __init__(self, connections, *, silent):
        self._connections, self._silent = connections, silent

    def connection_made(self, transport):
        self.stalled, self.lost = False, False
        self._connections.append(self)
        if not self._silent:
            transport.write(bytes(64 << 20))

    def pause_writing(self):
        self.stalled = True

    def connection_lost(self, exc):
        self.lost = True


@contextlib.asynccontextmanager
async def serving(space, watchman, *, silent):
    connections = []
    listener = space.inside(lambda: socket.create_server((space.address, 0)))
    doors = Doors(lambda: Flood(connections, silent=silent), 9, watchman)
    server = await asyncio.get_running_loop().create_server(doors, sock=listener)
    watching = asyncio.ensure_future(watchman.run())
    try:
        yield listener.getsockname(), connections
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        server.close()
        for transport in list(watchman._open):
            transport.abort()


async def test_a_peer_that_vanished_is_let_go_and_a_reader_who_pauses_is_not():
    with contextlib.closing(Fabric()) as fabric:
        here, there, near = fabric.host(), fabric.host(), fabric.host()
        quick = Watchman(Patience(idle_seconds=2, unanswered_seconds=2.0), sweep_seconds=0.05)
        async with (
            serving(here, quick, silent=False) as (flooding, busy),
            serving(here, quick, silent=True) as (quiet, idle),
            serving(here, Watchman(sweep_seconds=0.05), silent=False) as (patient, paused),
        ):
            with contextlib.ExitStack() as stack:
                for space, address in ((there, flooding), (there, quiet), (near, patient)):
                    client = space.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
                    stack.enter_context(client)
                    await asyncio.to_thread(client.connect, address)
                await eventually(lambda: busy and busy[0].stalled)
                await eventually(lambda: idle and paused and paused[0].stalled)
                assert not idle[0].lost
                there.run("ip", "link", "set", "eth0", "down")
                await eventually(lambda: busy[0].lost, 60)
                await eventually(lambda: idle[0].lost, 60)
                assert not paused[0].lost
