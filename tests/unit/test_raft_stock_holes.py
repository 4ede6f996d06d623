"""What the stock library does where ours must not: the reason for `controlplane.raft`, shown on pysyncobj itself.

If one of these fails after an upgrade, the library closed the hole; docs/adr/0001 tells what to look at then.
"""

import collections
import copy
import random
import time

import pytest
from pysyncobj import SyncObj, SyncObjConf, replicated, syncobj
from pysyncobj.journal import MemoryJournal
from pysyncobj.node import Node
from pysyncobj.transport import Transport

from controlplane.raft import core


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
    def __init__(self, me, others):
        conf = SyncObjConf(
            autoTick=False,
            raftMinTimeout=1000,
            raftMaxTimeout=2000,
            connectionTimeout=3000,
            leaderFallbackTimeout=10**6,
            appendEntriesPeriod=0.0001,
            # `controlplane.raft.core` replaces the library's factories by ones that hand objects through.
            journalFile=MemoryJournal(),
            pollerType=NoPoller(),
        )
        super().__init__(me, others, conf, nodeClass=Node, transportClass=FakeTransport)
        self.values = {}

    @replicated
    def put(self, key, value):
        self.values[key] = value


@pytest.fixture
def nodes():
    assert core.VERSION == "0.3.17"
    # Every node of ours sets both to its own environment; these want the library's.
    syncobj.monotonicTime, syncobj.random = time.monotonic, random
    network = FakeTransport.network = Network()
    nodes = {name: Stock(name, [other for other in "abc" if other != name]) for name in "abc"}
    for name in nodes:
        for other in nodes:
            if other != name:
                network.transports[name]._onNodeConnected(Node(other))
    elect(nodes, "a")
    settle(nodes)
    assert nodes["a"]._isLeader()
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
