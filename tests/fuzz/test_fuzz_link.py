"""A real Raft process gets broken frames and wrong messages on its local socket and on its peers' port."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
from pathlib import Path

import pytest

from api.v1 import raft_pb2
from controlplane.raft.frames import encode
from tests.fuzz.messages import MessageFuzzer
from tests.integration.raft_processes import RaftProcesses, Reader, put

pytestmark = pytest.mark.slow

SESSIONS = 60
MESSAGES = 12
SECONDS = 0.02  # to read what comes, before the next session replaces this one
KINDS = [field.name for field in raft_pb2.LinkMessage.DESCRIPTOR.oneofs[0].fields]
PEER_KINDS = [field.name for field in raft_pb2.RaftMessage.DESCRIPTOR.oneofs[0].fields]


@pytest.fixture
def one(tmp_path):
    cluster = RaftProcesses(tmp_path, 1)
    cluster.start()
    yield cluster
    cluster.close()


async def stored(cluster: RaftProcesses) -> tuple[Reader, list[bytes]]:
    """An API process that stored something, and all that it was given."""
    api = cluster.api("r1")
    await api.connect()
    for number in range(5):
        await put([api], b"before %d" % number)
    return api, api.data


def exchange(connection: socket.socket, stream: bytes) -> None:
    """Send and read a little; the other side may hang up at any time."""
    connection.settimeout(SECONDS)
    with contextlib.suppress(OSError):
        connection.sendall(stream)
        while connection.recv(65536):
            pass


def wrong_stream(rng: random.Random, fuzzer: MessageFuzzer, kinds: list[str], message_class: type) -> bytes:
    stream = b""
    for _ in range(MESSAGES):
        message = message_class()
        kind = rng.choice(kinds)
        getattr(message, kind).SetInParent()
        fuzzer.fill(getattr(message, kind))
        stream += encode((fuzzer.mutated(message) if rng.random() < 0.2 else None) or message)
    if rng.random() < 0.3:
        stream = stream[: rng.randrange(len(stream))] + rng.randbytes(rng.randrange(1, 60))
    return stream


async def test_whatever_an_api_process_says_the_raft_process_goes_on(one):
    rng = random.Random(9)
    api, before = await stored(one)
    applied = api.applied
    await api.log.close()
    fuzzer = MessageFuzzer(rng, [*applied, 7], ["r1", "/nowhere/at/all", str(Path(__file__))])
    for _ in range(SESSIONS):
        hello = raft_pb2.LinkHello(
            replica="r1", applied_index=applied[0], applied_term=applied[1], credit_bytes=1 << 20
        )
        start = b"" if rng.random() < 0.2 else encode(raft_pb2.LinkMessage(hello=hello))
        kinds = [kind for kind in KINDS if kind != "snapshot_saved"]  # which is believed: it is the state itself
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(one.socket_path("r1")))
            exchange(connection, start + wrong_stream(rng, fuzzer, kinds, raft_pb2.LinkMessage))
        assert one.running["r1"].poll() is None, "the Raft process ended"
    again = one.api("r1")
    await again.connect()
    await put([again], b"after")
    assert again.data[: len(before)] == before
    assert again.data[-1] == b"after"
    await again.log.close()


@pytest.mark.parametrize("known", [True, False], ids=["a peer's certificate", "no certificate"])
async def test_whoever_knocks_at_the_peers_port_the_raft_process_goes_on(one, known):
    rng = random.Random(10)
    api, before = await stored(one)
    home = one.home("r1")
    context = ssl.create_default_context(cafile=str(home / "ca.crt"))
    context.check_hostname = False
    if known:  # its own: no other member exists, and it must not talk to itself
        context.load_cert_chain(str(home / "raft.crt"), str(home / "raft.key"))
    host, port = one.addresses["r1"].split(":")
    fuzzer = MessageFuzzer(rng, [2, 7], ["r1", "r2", "test"])
    for number in range(SESSIONS):
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=5) as plain:
            if number % 3 == 0:
                exchange(plain, rng.randbytes(rng.choice((1, 20, 5000))))
            else:
                with context.wrap_socket(plain, server_hostname="x") as connection:
                    name = rng.choice(("r1", "r2", ""))
                    hello = raft_pb2.RaftMessage(hello=raft_pb2.Hello(replica=name, cluster_uid="test"))
                    exchange(connection, encode(hello) + wrong_stream(rng, fuzzer, PEER_KINDS, raft_pb2.RaftMessage))
        assert one.running["r1"].poll() is None, "the Raft process ended"
    await put([api], b"after")
    assert api.data == [*before, b"after"]
    await api.log.close()
