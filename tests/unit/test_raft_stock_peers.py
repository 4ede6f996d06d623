"""What the stock library believes of its peers, its disk and itself, where ours must not; see `test_raft_stock_holes`."""

import os
import socket
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import SimpleNamespace

import pytest
from pysyncobj import SyncObjConf, tcp_connection
from pysyncobj.config import FAIL_REASON, SERIALIZER_STATE
from pysyncobj.node import Node, TCPNode
from pysyncobj.serializer import Serializer
from pysyncobj.tcp_connection import TcpConnection
from pysyncobj.transport import TCPTransport

from controlplane.raft.transport import MAX_BACKLOG_BYTES
from tests.unit.test_raft_stock_holes import (
    FakeTransport,
    Stock,
    alone,
    elect,
    isolate,
    last_index,
    leaves_files_open,
    nodes,
    open_journal,
    settle,
)

__all__ = ["nodes", "open_journal"]  # fixtures

MESSAGE_BYTES = 12 << 20
NEVER_SECONDS = 1e6  # the library gives a silent peer up after ten; a slow machine needs as long for these bytes


class HandPoller:
    """Calls back when the test says that a socket is readable."""

    READ = 1

    def subscribe(self, descriptor, callback, _events):
        self.readable = lambda: callback(descriptor, self.READ)

    def unsubscribe(self, _descriptor):
        pass


@pytest.fixture
def connect(monkeypatch):
    """Makes a client of the library's port, and the library's end of the connection; no name was asked for, no key."""
    monkeypatch.setattr(tcp_connection, "monotonicTime", time.monotonic)
    made = []

    def connect():
        client, server = socket.socketpair()
        server.setblocking(False)
        poller = HandPoller()
        connection = TcpConnection(poller, socket=server, timeout=NEVER_SECONDS)
        connection.readable = poller.readable
        made.append((client, connection))
        return client, connection

    yield connect
    for client, connection in made:
        connection.disconnect()
        client.close()


class Instruction:
    """What runs in the process that reads it."""

    def __init__(self, folder):
        self._folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self._folder),)


def test_stock_hole_10_whoever_connects_runs_what_they_like(connect, tmp_path):
    client, connection = connect()
    stranger = TcpConnection(HandPoller(), socket=client)
    stranger.send(Instruction(tmp_path / "made by a stranger"))
    connection.readable()
    assert (tmp_path / "made by a stranger").is_dir()


@pytest.mark.slow
def test_stock_hole_20_a_peer_that_reads_nothing_fills_the_memory(connect):
    _, connection = connect()
    sizes = [0]
    while sizes[-1] <= MAX_BACKLOG_BYTES:
        connection.send(os.urandom(MESSAGE_BYTES))
        sizes.append(connection.getSendBufferSize())
    assert sizes == sorted(sizes)


def test_stock_hole_17_a_peer_is_heard_in_two_sessions_and_out_of_order(connect):
    library = SimpleNamespace(
        conf=SyncObjConf(), encryptor=None, _poller=HandPoller(), addOnTickCallback=lambda _: None
    )
    transport = TCPTransport(library, TCPNode("127.0.0.1:1"), [TCPNode("127.0.0.1:2")])
    received = []
    transport.setOnMessageReceivedCallback(lambda node, message: received.append((node.id, message)))

    def session():
        client, connection = connect()
        transport._onNewIncomingConnection(connection)
        peer = TcpConnection(HandPoller(), socket=client)
        peer.send("127.0.0.1:2")  # its name
        connection.readable()
        return peer, connection

    peer, connection = session()
    peer.send("older")
    peer, newer_connection = session()
    peer.send("newer")
    newer_connection.readable()
    connection.readable()
    assert received == [("127.0.0.1:2", "newer"), ("127.0.0.1:2", "older")]


class Guarded:
    """State behind a lock, as a program with threads has it; the test says when it may be taken."""

    def __init__(self):
        self.lock = threading.Lock()
        self.may_take, self.say = os.pipe()

    def __reduce__(self):
        os.read(self.may_take, 1)
        if not self.lock.acquire(blocking=False):
            raise BlockingIOError("nobody holds it any more who could release it")
        return int, ()


def dumped(path, held):
    """How a dump ends that began while another thread held the lock of the state, if `held`."""
    guarded, holding, release = Guarded(), threading.Event(), threading.Event()

    def hold():
        with guarded.lock:
            holding.set()
            release.wait()

    holder = threading.Thread(target=hold)
    if held:
        holder.start()
        holding.wait()
    dumps = Serializer(path, 1 << 16, True, None, None, None)
    dumps.serialize(guarded, 1)
    release.set()
    if held:
        holder.join()
    os.write(guarded.say, b"!")
    os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
    return dumps.checkSerializing()[0]


@pytest.mark.slow
def test_stock_hole_16_a_lock_that_a_thread_holds_at_a_fork_stays_locked_in_the_dump(tmp_path):
    with ProcessPoolExecutor(1, get_context("spawn")) as apart:  # nothing forks this process and its threads
        states = list(apart.map(dumped, [str(tmp_path / "dump")] * 2, [False, True]))
    assert states == [SERIALIZER_STATE.SUCCESS, SERIALIZER_STATE.FAILED]


@leaves_files_open
def test_stock_hole_11_an_acknowledged_write_was_not_synced_and_damage_is_taken_for_data(tmp_path, open_journal):
    path, synced, acknowledged = tmp_path / "journal", [], []
    journal = open_journal()
    journal.flush = lambda: synced.append(True)
    cluster = alone(journal=journal)
    cluster["a"].put("key", "value", callback=lambda _result, error: acknowledged.append(error))
    settle(cluster, "a")
    assert (acknowledged, synced) == ([FAIL_REASON.SUCCESS], [])
    path.write_bytes(path.read_bytes().replace(b"value", b"fable"))
    again = open_journal()
    assert b"fable" in again[len(again) - 1][0]


def answer_lost(nodes, write, *arguments):
    """A write of b that a and c did, and whose answer was lost with a, the leader; what b is told of it."""
    FakeTransport.network.cut = {("a", "b")}
    results = []
    write(*arguments, callback=lambda _result, error: results.append(error))
    settle(nodes, "b", ticks=1)
    settle(nodes, "ac")
    assert nodes["a"].values == nodes["c"].values != {}
    isolate("a")
    elect(nodes, "c")
    settle(nodes, "bc")
    return results


def test_stock_hole_12_a_write_that_happened_is_called_not_committed(nodes):
    results = answer_lost(nodes, nodes["b"].put, "key", "value")
    assert results == [FAIL_REASON.LEADER_CHANGED]  # "without command commit", its documentation says
    assert nodes["b"].values == {"key": "value"}


def test_stock_hole_21_a_write_that_is_repeated_happens_twice(nodes):
    assert answer_lost(nodes, nodes["b"].count, "key") == [FAIL_REASON.LEADER_CHANGED]
    nodes["b"].count("key")
    settle(nodes, "bc")
    assert nodes["b"].values == nodes["c"].values == {"key": 2}


def test_stock_hole_13_the_answer_to_an_earlier_life_is_taken_for_ones_own(nodes):
    network, late = FakeTransport.network, []
    nodes["b"].put("old", 1, callback=lambda _result, _error: None)
    settle(nodes, "b", ticks=1)
    nodes["a"]._onTick(0)
    late += [message for _, target, message in network.queue if target == "b" and "request_id" in message]
    network.queue.clear()
    (late,) = late

    nodes["b"] = Stock("b", ["a", "c"])
    for other in "ac":
        network.transports["b"]._onNodeConnected(Node(other))
    nodes["a"]._SyncObj__newAppendEntriesTime = 0
    network.cut = {("b", "a"), ("b", "c")}
    network.transports["b"]._onMessageReceived(Node("a"), heartbeat(nodes["a"]))
    results = []
    nodes["b"].put("new", 1, callback=lambda _result, error: results.append(error))
    settle(nodes, "b", ticks=1)  # it never arrives
    network.transports["b"]._onMessageReceived(Node("a"), late)
    network.cut = set()
    settle(nodes)
    assert results == [FAIL_REASON.SUCCESS]
    assert nodes["a"].values == nodes["b"].values == {"old": 1}


def heartbeat(leader):
    """What tells a replica who leads, and nothing else."""
    return {
        "type": "append_entries",
        "term": leader.raftCurrentTerm,
        "commit_index": 1,
        "entries": [],
        "prevLogIdx": 1,
        "prevLogTerm": 0,
    }


def test_stock_hole_18_a_replica_is_led_back_one_entry_at_a_time(nodes):
    isolate("a")
    for number in range(10):
        nodes["a"].put(number, "lost")
    settle(nodes, "a", ticks=2)
    elect(nodes, "b")
    for number in range(10):
        nodes["b"].put(number, "kept")
    settle(nodes, "bc")
    network = FakeTransport.network
    network.cut = set()
    deliver, refusals = network.transports["b"]._onMessageReceived, []

    def count(node, message):
        if message["type"] == "next_node_idx" and not message["success"]:
            refusals.append(message["next_node_idx"])
        deliver(node, message)

    network.transports["b"]._onMessageReceived = count
    settle(nodes)
    assert nodes["a"].values == nodes["b"].values
    assert len(refusals) >= 10
    assert last_index(nodes["a"]) == last_index(nodes["b"])


def test_stock_hole_19_a_replica_that_lacks_two_entries_is_sent_the_whole_state(nodes):
    isolate("c")
    nodes["a"].put("key", "old")
    nodes["a"].put("key", "new")
    settle(nodes, "ab")
    assert last_index(nodes["a"]) == last_index(nodes["c"]) + 2
    nodes["a"].forceLogCompaction()
    settle(nodes, "a", ticks=3)
    network = FakeTransport.network
    network.cut = set()
    deliver, pieces = network.transports["c"]._onMessageReceived, []

    def count(node, message):
        pieces.append(message.get("serialized"))
        deliver(node, message)

    network.transports["c"]._onMessageReceived = count
    settle(nodes)
    assert nodes["c"].values == {"key": "new"}
    assert any(pieces)
