"""What the stock library does where ours must not: the reason for `controlplane.raft`, shown on pysyncobj itself.

If one of these fails after an upgrade, the library closed the hole; docs/adr/0001 tells what to look at then.
"""

import collections
import contextlib
import copy
import random
import time

import pytest
from pysyncobj import SyncObj, SyncObjConf, replicated, syncobj
from pysyncobj.journal import FileJournal, MemoryJournal
from pysyncobj.node import Node
from pysyncobj.transport import Transport

from controlplane.raft import core

leaves_files_open = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)


class Network:
    """Messages between nodes of one process; links can be cut."""

    def __init__(self):
        self.queue = collections.deque()
        self.transports = {}
        self.cut = set()

    def pump(self):
        while self.queue:
            source, target, message = self.queue.popleft()
            if (source, target) not in self.cut:
                self.transports[target]._onMessageReceived(Node(source), message)


class FakeTransport(Transport):
    network = None

    def __init__(self, sync_obj, me, others):
        super().__init__(sync_obj, me, others)
        self._me = me
        self.network.transports[me.id] = self

    ready = True

    def send(self, node, message):
        self.network.queue.append((self._me.id, node.id, copy.deepcopy(message)))
        return True


class NoPoller:
    def subscribe(self, *_arguments):
        pass

    def unsubscribe(self, *_arguments):
        pass

    def poll(self, _timeout):
        pass


class Stock(SyncObj):
    def __init__(self, me, others, journal=None, **settings):
        conf = SyncObjConf(
            autoTick=False,
            raftMinTimeout=1000,
            raftMaxTimeout=2000,
            connectionTimeout=3000,
            leaderFallbackTimeout=10**6,
            appendEntriesPeriod=0.0001,
            useFork=False,
            # `controlplane.raft.core` replaces the library's factories by ones that hand objects through.
            journalFile=MemoryJournal() if journal is None else journal,
            pollerType=NoPoller(),
            **settings,
        )
        super().__init__(me, others, conf, nodeClass=Node, transportClass=FakeTransport)
        self.values = {}

    @replicated
    def put(self, key, value):
        self.values[key] = value

    @replicated
    def count(self, key):
        self.values[key] = self.values.get(key, 0) + 1

    @replicated
    def fail(self):
        raise Killed


@pytest.fixture
def nodes():
    return cluster()


def cluster(**settings):
    assert core.VERSION == "0.3.17"
    # Every node of ours sets both to its own environment; these want the library's.
    syncobj.monotonicTime, syncobj.random = time.monotonic, random
    network = FakeTransport.network = Network()
    nodes = {name: Stock(name, [other for other in "abc" if other != name], **settings) for name in "abc"}
    for name in nodes:
        for other in nodes:
            if other != name:
                network.transports[name]._onNodeConnected(Node(other))
    elect(nodes, "a")
    settle(nodes)
    assert nodes["a"]._isLeader()
    return nodes


def alone(**settings):
    """A cluster of one, which leads."""
    syncobj.monotonicTime, syncobj.random = time.monotonic, random
    FakeTransport.network = Network()
    nodes = {"a": Stock("a", [], **settings)}
    elect(nodes, "a")
    return nodes


def elect(nodes, name):
    nodes[name]._SyncObj__raftElectionDeadline = 0
    nodes[name]._onTick(0)
    FakeTransport.network.pump()


def settle(nodes, names="abc", ticks=30):
    for _ in range(ticks):
        for name in names:
            nodes[name]._SyncObj__newAppendEntriesTime = 0
            nodes[name]._onTick(0)
            FakeTransport.network.pump()


def isolate(name):
    FakeTransport.network.cut = {
        (left, right) for left in "abc" for right in "abc" if left != right and name in {left, right}
    }


def last_index(node):
    return node._SyncObj__raftLog[-1][1]


def test_stock_hole_1_a_late_append_truncates_acknowledged_entries(nodes):
    for number in range(3):
        nodes["a"].put(number, number)
    settle(nodes)
    acknowledged = last_index(nodes["b"])
    late = {
        "type": "append_entries",
        "term": nodes["a"].raftCurrentTerm,
        "commit_index": 2,
        "entries": [],
        "prevLogIdx": 2,
        "prevLogTerm": nodes["a"].raftCurrentTerm,
    }
    FakeTransport.network.transports["b"]._onMessageReceived(Node("a"), late)
    assert last_index(nodes["b"]) < acknowledged


def test_stock_hole_7_an_acknowledgement_without_a_term_commits_what_only_the_leader_has(nodes):
    isolate("a")
    results = []
    nodes["a"].put("key", "value", callback=lambda _result, error: results.append(error))
    settle(nodes, "a", ticks=2)
    stale = {"type": "next_node_idx", "next_node_idx": 99, "reset": False, "success": True}
    FakeTransport.network.transports["a"]._onMessageReceived(Node("b"), stale)
    settle(nodes, "a", ticks=2)
    assert results == [0]  # success
    assert "key" not in nodes["b"].values


def test_stock_hole_8_a_deposed_leader_goes_on_answering(nodes):
    nodes["a"].put("key", "old")
    settle(nodes)
    isolate("a")
    elect(nodes, "b")
    settle(nodes, "bc")
    nodes["b"].put("key", "new")
    settle(nodes, "bc")
    settle(nodes, "a", ticks=5)
    assert (nodes["a"]._isLeader(), nodes["a"].values["key"]) == (True, "old")
    assert nodes["b"].values["key"] == "new"


def test_stock_hole_9_a_deaf_replica_deposes_a_healthy_leader(nodes):
    FakeTransport.network.cut = {("a", "c")}
    elect(nodes, "c")
    assert not nodes["a"]._isLeader()


class Killed(Exception):
    """The process ends here."""


def crash(*_arguments):
    raise Killed


@pytest.fixture
def open_journal(tmp_path):
    """Opens the same journal again and again, as a restarted process does; all are closed in the end."""
    opened = []

    def reopen():
        opened.append(FileJournal(str(tmp_path / "journal")))
        return opened[-1]

    yield reopen
    for journal in opened:
        with contextlib.suppress(ValueError):  # closed already, with its node
            journal._destroy()


@leaves_files_open
def test_stock_hole_2_a_crash_between_dump_and_compaction_drops_what_came_after(tmp_path, open_journal):
    held = []

    def start():
        journal = open_journal()
        held.append(len(journal))
        return alone(journal=journal, fullDumpFile=str(tmp_path / "dump")), journal

    nodes, journal = start()
    journal.deleteEntriesTo = lambda _position: None  # the crash comes before it
    for number in range(5):
        nodes["a"].put(number, number)
    settle(nodes, "a")
    nodes["a"].forceLogCompaction()
    settle(nodes, "a")
    acknowledged = []
    nodes["a"].put("after", 1, callback=lambda _result, error: acknowledged.append(error))
    settle(nodes, "a")
    assert acknowledged == [0]  # success
    nodes["a"].destroy()
    nodes, _ = start()
    settle(nodes, "a")
    assert nodes["a"].values[4] == 4
    assert held[-1] > 0, "the journal was there"
    assert "after" not in nodes["a"].values


@leaves_files_open
def test_stock_hole_3_a_crash_inside_a_compaction_loses_the_tail(open_journal):
    journal = open_journal()
    for index in range(1, 11):
        journal.add(b"entry", index, 1)
    journal.add = crash  # when the first kept entry is written again
    with pytest.raises(Killed):
        journal.deleteEntriesTo(5)
    assert len(open_journal()) == 0


def test_stock_hole_4_a_piece_of_a_snapshot_commits_what_nobody_else_has(nodes):
    isolate("a")
    results = []
    nodes["a"].put("lost", 1, callback=lambda _result, error: results.append(error))
    settle(nodes, "a", ticks=2)
    elect(nodes, "b")
    settle(nodes, "bc")
    for number in range(5):
        nodes["b"].put(number, number)
    settle(nodes, "bc")
    piece = {
        "type": "append_entries",
        "term": nodes["b"].raftCurrentTerm,
        "commit_index": last_index(nodes["b"]),
        "serialized": (b"", True, False),
    }
    FakeTransport.network.transports["a"]._onMessageReceived(Node("b"), piece)
    settle(nodes, "a", ticks=2)
    assert results == [0]  # success
    assert "lost" not in nodes["b"].values


def test_stock_hole_5_an_older_snapshot_is_installed_over_newer_state(nodes):
    nodes["a"].put("key", "old")
    settle(nodes)
    nodes["a"].forceLogCompaction()
    settle(nodes, "a", ticks=3)
    serializer, pieces = nodes["a"]._SyncObj__serializer, []
    while not pieces or not pieces[-1][2]:
        pieces.append(serializer.getTransmissionData("test"))
    nodes["a"].put("key", "new")
    settle(nodes)
    assert nodes["c"].values["key"] == "new"
    for piece in pieces:
        message = {
            "type": "append_entries",
            "term": nodes["a"].raftCurrentTerm,
            "commit_index": 2,
            "serialized": piece,
        }
        FakeTransport.network.transports["c"]._onMessageReceived(Node("a"), message)
    assert nodes["c"].values["key"] == "old"


def test_stock_hole_6_an_unreadable_dump_leaves_an_empty_replica_that_may_lead(tmp_path):
    (tmp_path / "dump").write_bytes(b"not a dump")
    nodes = alone(fullDumpFile=str(tmp_path / "dump"))
    settle(nodes, "a", ticks=3)
    assert nodes["a"]._isLeader()
    assert nodes["a"].values == {}


def test_stock_hole_14_a_command_that_fails_is_tried_for_ever_and_blocks_the_rest():
    nodes = alone()
    settle(nodes, "a")
    nodes["a"].fail()
    nodes["a"].put("after", 1)
    for _ in range(5):
        with pytest.raises(Killed):
            settle(nodes, "a")
    assert "after" not in nodes["a"].values


def test_stock_hole_15_a_long_entry_ends_twice():
    nodes = cluster(appendEntriesBatchSizeBytes=100)
    sent = []
    network = FakeTransport.network
    network.pump = lambda: sent.extend(message for _, _, message in network.queue) or network.queue.clear()
    nodes["a"].put("key", "x" * 120)
    for _ in range(3):
        nodes["a"]._SyncObj__newAppendEntriesTime = 0
        nodes["a"]._onTick(0)
        network.pump()
    parts = [message["transmission"] for message in sent if "transmission" in message]
    assert parts.count("finish") > parts.count("start")
