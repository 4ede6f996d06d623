"""Sessions between peers over real sockets, in one process and one poller."""

import random
import socket
import ssl
import time

import pytest
from cryptography import x509

from api.v1 import raft_pb2
from component import pki
from component.env import Env
from component.files import write_private
from controlplane.raft import frames
from controlplane.raft.membership import Member, Membership
from controlplane.raft.poller import Poller
from controlplane.raft.tls import TlsContexts, TlsFiles
from controlplane.raft.transport import MAX_BACKLOG_BYTES, TlsTransport
from tests.waiting import DEADLINE_SECONDS

NAMES = ("r1", "r2")


class Peers:
    """Two transports that share a poller; `heard` collects (receiver, sender, message)."""

    def __init__(self, folder, *, tls, timeout_seconds=DEADLINE_SECONDS):
        self.poller = Poller()
        self.env = Env(time.monotonic, time.time, random.Random(1), lambda: "uid")
        self.heard = []
        self.events = []
        self.folder = folder
        self.ca = pki.make_ca("raft-ca", time.time())
        listeners = {name: self._listener() for name in NAMES}
        self.addresses = {name: listener.getsockname() for name, listener in listeners.items()}
        self.transports = {}
        for name, listener in listeners.items():
            first = Membership(tuple(Member(peer, address=f"{at[0]}:{at[1]}") for peer, at in self.addresses.items()))
            contexts = self.contexts(name) if tls else None
            transport = TlsTransport(
                name,
                "test",
                first,
                listener,
                contexts,
                self.poller,
                self.env,
                retry_seconds=1.0,  # the lower one dials after three: on a slow machine both would, and one session replace the other
                timeout_seconds=timeout_seconds,
            )
            transport.on_message = lambda peer, message, name=name: self.heard.append((name, peer, message))
            transport.on_connected = lambda peer, name=name: self.events.append((name, "connected", peer))
            transport.on_disconnected = lambda peer, name=name: self.events.append((name, "disconnected", peer))
            self.transports[name] = transport

    def _listener(self):
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        return listener

    def contexts(self, name):
        pair = pki.issue(self.ca, f"raft:{name}", time.time(), dns_names=["x"])
        files = TlsFiles(self.folder / f"{name}.crt", self.folder / f"{name}.key", self.folder / "ca.crt")
        files.cert.write_bytes(pair.cert_pem)
        files.key.write_bytes(pair.key_pem)
        files.ca.write_bytes(self.ca.cert_pem)
        return TlsContexts(files)

    def until(self, condition, seconds=DEADLINE_SECONDS):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "the condition did not come true in time"
            for transport in self.transports.values():
                transport.tick()
                transport.flush()
            self.poller.poll(0.005)

    def connected(self):
        return all(self.transports[name].connected(peer) for name, peer in (NAMES, NAMES[::-1]))

    def shown(self, name):
        """The serial number of what a new connection to this transport is shown."""
        other = NAMES[1 - NAMES.index(name)]
        context = ssl.create_default_context(cadata=self.ca.cert_pem.decode())
        context.load_cert_chain(self.folder / f"{other}.crt", self.folder / f"{other}.key")
        with socket.create_connection(self.addresses[name]) as connection:
            connection.setblocking(False)
            tls = context.wrap_socket(connection, server_hostname="x", do_handshake_on_connect=False)
            with tls:
                self.until(lambda: shaken(tls))
                return x509.load_der_x509_certificate(tls.getpeercert(True)).serial_number

    def close(self):
        for transport in self.transports.values():
            transport.close()
        self.poller.close()


def shaken(tls) -> bool:
    """One step of a handshake; whether it was the last."""
    try:
        tls.do_handshake()
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return False
    return True


@pytest.fixture(params=[True, False], ids=["tls", "plain"])
def peers(request, tmp_path):
    peers = Peers(tmp_path, tls=request.param)
    yield peers
    peers.close()


@pytest.fixture
def plain(request, tmp_path):
    """Without TLS; a parameter is the time-out in seconds."""
    peers = Peers(tmp_path, tls=False, timeout_seconds=getattr(request, "param", DEADLINE_SECONDS))
    yield peers
    peers.close()


def append(number, size=0):
    entry = raft_pb2.RaftEntry(index=number, term=1, data=bytes(size))
    return raft_pb2.RaftMessage(term=number, append_entries=raft_pb2.AppendEntries(entries=[entry]))


def test_messages_arrive_in_order_in_both_directions(peers):
    peers.until(peers.connected)
    for number in range(50):
        for name, peer in (NAMES, NAMES[::-1]):
            assert peers.transports[name].send(peer, append(number, size=20_000))
    peers.until(lambda: len(peers.heard) == 100)
    for receiver in NAMES:
        assert [message.term for name, _, message in peers.heard if name == receiver] == list(range(50))


def test_a_message_without_a_session_is_not_queued(peers):
    assert not peers.transports["r1"].send("r2", append(1))


def test_appends_may_leave_before_the_rest_but_nothing_overtakes(peers):
    peers.until(peers.connected)
    sender = peers.transports["r1"]
    vote = raft_pb2.RaftMessage(term=2, vote_request=raft_pb2.VoteRequest())
    for message in (append(1), vote, append(3)):
        sender.send("r2", message)
    sender.flush(appends_only=True)
    end = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < end and not peers.heard:
        peers.poller.poll(0.01)
    peers.poller.poll(0.01)
    assert [message.term for _, _, message in peers.heard] == [1]
    peers.until(lambda: len(peers.heard) == 3)
    assert [message.term for _, _, message in peers.heard] == [1, 2, 3]


def test_a_newer_session_replaces_the_older_one(plain):
    """ADR 1, hole 17: two sessions of one peer never interleave."""
    plain.until(plain.connected)
    plain.events.clear()
    hello = raft_pb2.RaftMessage(hello=raft_pb2.Hello(replica="r2", cluster_uid="test"))
    with socket.create_connection(plain.addresses["r1"]) as second:
        second.sendall(frames.encode(hello) + frames.encode(append(7)))
        plain.until(lambda: plain.heard)
        assert plain.events[:2] == [("r1", "disconnected", "r2"), ("r1", "connected", "r2")]
        assert plain.heard[0][2].term == 7


def test_only_what_comes_of_a_frame_is_told_as_a_part_of_it(plain):
    """A peer that stands still amid a frame gives no sign of life by taking what is sent to it."""
    plain.transports.pop("r2").close()
    told = []
    plain.transports["r1"].on_part = told.append
    hello = raft_pb2.RaftMessage(hello=raft_pb2.Hello(replica="r2", cluster_uid="test"))
    frame = frames.encode(append(7, size=100_000))
    with socket.create_connection(plain.addresses["r1"]) as peer:
        peer.sendall(frames.encode(hello))
        plain.until(lambda: plain.events)
        peer.sendall(frame[:50_000])
        plain.until(lambda: told)
        peer.setblocking(False)
        plain.until(lambda: not _taken(peer))
        told.clear()
        assert plain.transports["r1"].send("r2", append(1, size=4 << 20))
        taken = 0

        def all_taken():
            nonlocal taken
            taken += _taken(peer)
            return taken > 4 << 20

        plain.until(all_taken)
        assert not told
        peer.sendall(frame[50_000:90_000])
        plain.until(lambda: told)
        peer.sendall(frame[90_000:])
        plain.until(lambda: plain.heard)
    assert plain.heard[0][2].term == 7


def _taken(connection):
    """How many bytes came of what the other side sent."""
    try:
        return len(connection.recv(1 << 20))
    except BlockingIOError:
        return 0


@pytest.mark.parametrize(
    "content",
    [
        b"GET / HTTP/1.1\r\n\r\n" * 5,
        b"\xff\xff\xff\xff",
        frames.encode(append(1)),
        frames.encode(raft_pb2.RaftMessage(hello=raft_pb2.Hello(replica="r9", cluster_uid="test"))),
        frames.encode(raft_pb2.RaftMessage(hello=raft_pb2.Hello(replica="r2", cluster_uid="other"))),
    ],
    ids=["http", "length", "no hello", "no member", "other cluster"],
)
def test_strangers_are_turned_away_and_members_do_not_notice(plain, content):
    plain.until(plain.connected)
    plain.events.clear()
    with socket.create_connection(plain.addresses["r1"]) as stranger:
        stranger.sendall(content)
        stranger.setblocking(False)
        answers = []

        def closed():
            try:
                answers.append(stranger.recv(100))
            except BlockingIOError:
                return False
            except ConnectionResetError:
                answers.append(b"")
            return True

        plain.until(closed)
    assert answers == [b""]
    assert not plain.events


@pytest.mark.parametrize("plain", [1.0], indirect=True)
def test_silent_connections_are_dropped_and_keep_nobody_out(plain):
    strangers = [socket.create_connection(plain.addresses["r1"]) for _ in range(40)]
    try:
        plain.until(plain.connected)
        for stranger in strangers:
            stranger.setblocking(False)
        plain.until(lambda: all(_is_closed(stranger) for stranger in strangers))
    finally:
        for stranger in strangers:
            stranger.close()


def _is_closed(connection):
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_a_peer_that_takes_nothing_loses_its_session(plain):
    """ADR 1, hole 20."""
    plain.until(plain.connected)
    sender = plain.transports["r1"]
    while sender.connected("r2"):
        sender.send("r2", append(1, size=4 << 20))
        sender.flush()
        assert sender.backlog_bytes("r2") <= MAX_BACKLOG_BYTES + (8 << 20)
    assert ("r1", "disconnected", "r2") in plain.events
    plain.until(plain.connected)


def test_a_session_goes_on_when_the_certificate_is_renewed_and_the_next_one_shows_the_new_one(tmp_path):
    peers = Peers(tmp_path, tls=True)
    try:
        peers.until(peers.connected)
        before = {name: peers.shown(name) for name in NAMES}
        peers.events.clear()
        for name in NAMES:
            cert, key = tmp_path / f"{name}.crt", tmp_path / f"{name}.key"
            write_private(cert, pki.reissue(peers.ca, cert.read_bytes(), key.read_bytes(), time.time()))
        assert peers.transports["r1"].send("r2", append(1))
        peers.until(lambda: peers.heard)
        assert not peers.events, "the session lives on"
        assert not set(before.values()) & {peers.shown(name) for name in NAMES}
    finally:
        peers.close()
