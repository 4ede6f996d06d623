"""Connections to ports of pods: sockets in a real network namespace, and the agent's side of a session."""

from __future__ import annotations

import asyncio
import secrets
import socket
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.forwarding import carry_connection, connect
from api import errors
from api.v1 import apiserver_pb2
from netplugin.kernel.namespace import run_inside
from tests.agent_rig import agent_rig, pod_tree
from tests.netns_fixture import Space, ip
from tests.waiting import DEADLINE_SECONDS

pytestmark = pytest.mark.slow

Frame = apiserver_pb2.StreamFrame
NAMESPACE = Path("/proc/thread-self/ns/net")


@contextmanager
def listening(path=""):
    """A listener of loopback, in a namespace or in the machine's own."""

    def make():
        return socket.create_server(("127.0.0.1", 0))

    with run_inside(path, make) if path else make() as listener:
        listener.settimeout(DEADLINE_SECONDS)
        yield listener, listener.getsockname()[1]


@contextmanager
def answering(listener, reply):
    """Serve one connection in a thread."""

    def serve():
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(DEADLINE_SECONDS)
            reply(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def read_all(connection):
    return b"".join(iter(lambda: connection.recv(65536), b""))


class Client:
    """A client's frames, and what was written to it."""

    def __init__(self, *frames):
        self.frames = asyncio.Queue()
        for frame in frames:
            self.frames.put_nowait(frame)
        self.got = []

    async def get(self):
        return await self.frames.get()

    async def write(self, frame):
        self.got.append(frame)

    async def carry(self, connection):
        with connection:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await carry_connection(self, self, connection)

    @property
    def kinds(self):
        return [frame.WhichOneof("frame") for frame in self.got if not frame.stdout]

    @property
    def text(self):
        return b"".join(frame.stdout for frame in self.got)


@pytest.fixture
def space():
    made = Space(f"fw-{secrets.token_hex(4)}")
    try:
        yield made
    finally:
        ip("netns", "del", made.name)


@pytest.mark.root
async def test_a_socket_is_made_inside_the_namespace_and_no_thread_here_moves(space):
    before = NAMESPACE.readlink()
    with listening(space.path) as (listener, port):
        client = Client(Frame(stdin=b"question"), Frame(stdin_closed=True))
        with answering(listener, lambda connection: connection.sendall(read_all(connection).upper())):
            await client.carry(await connect(space.path, port, "web"))
    assert client.text == b"QUESTION"
    assert client.kinds == ["stdout_closed", "ended"]
    assert NAMESPACE.readlink() == before


@pytest.mark.root
async def test_a_port_where_nothing_listens_is_refused_in_one_line(space):
    with pytest.raises(errors.Unavailable) as caught:
        await connect(space.path, 81, "web")
    assert str(caught.value) == "error forwarding port 81 to pod web: connect to localhost:81: connection refused"


async def test_a_namespace_that_is_gone_is_a_pod_that_does_not_run(tmp_path):
    with pytest.raises(errors.NotReady, match="pod web is not running"):
        await connect(str(tmp_path / "net"), 80, "web")


async def test_megabytes_pass_both_ways_at_once():
    size = 3 << 20
    with listening() as (listener, port):

        def echo(connection):
            while data := connection.recv(65536):
                connection.sendall(data)

        pieces = [Frame(stdin=bytes((number,)) * 65536) for number in range(size >> 16)]
        client = Client(*pieces, Frame(stdin_closed=True))
        with answering(listener, echo):
            await client.carry(await connect("", port, "web"))
    assert client.text == b"".join(piece.stdin for piece in pieces)


async def test_a_pod_that_ends_first_is_told_and_still_hears_the_client():
    heard = []
    with listening() as (listener, port):

        def reply(connection):
            connection.sendall(b"bye")
            connection.shutdown(socket.SHUT_WR)
            heard.append(read_all(connection))

        client = Client()

        async def write(frame):
            client.got.append(frame)
            if frame.stdout_closed:
                client.frames.put_nowait(Frame(stdin=b"late"))
                client.frames.put_nowait(Frame(stdin_closed=True))

        client.write = write
        with answering(listener, reply):
            await client.carry(await connect("", port, "web"))
    assert (client.text, heard, client.kinds) == (b"bye", [b"late"], ["stdout_closed", "ended"])


async def test_a_client_that_goes_ends_the_connection():
    heard = []
    with listening() as (listener, port):
        client = Client(Frame(stdin=b"half"), None)
        with answering(listener, lambda connection: heard.append(read_all(connection))):
            await client.carry(await connect("", port, "web"))
    assert heard == [b"half"]
    assert client.kinds == []


async def test_the_agent_dials_back_and_carries_a_connection(tmp_path):
    async with agent_rig(tmp_path) as rig:
        rig.plane.put(pod_tree(hostNetwork=True))
        await rig.until_ready()
        with listening() as (listener, port):
            start = apiserver_pb2.ForwardStart(namespace="default", pod="web", port=port)
            with answering(listener, lambda connection: connection.sendall(b"<" + read_all(connection) + b">")):
                rig.plane.open("s1", forward=start)
                rig.plane.to_agent["s1"].put_nowait(Frame(stdin=b"x"))
                rig.plane.to_agent["s1"].put_nowait(Frame(stdin_closed=True))
                frames = await rig.plane.frames("s1")
        assert b"".join(frame.stdout for frame in frames) == b"<x>"
        assert frames[-1].ended
        rig.plane.open("s2", forward=apiserver_pb2.ForwardStart(namespace="default", pod="other", port=1))
        (frame,) = await rig.plane.frames("s2")
        assert frame.error.reason == "NotFound"
