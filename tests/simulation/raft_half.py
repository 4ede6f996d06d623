"""The Raft process of a simulated replica: production node, log, snapshots and link on a simulated disk and network.

One turn is what the production loop does between two sleeps: step, appends out, one sync (which takes its time),
everything else out, deliver. A crash may come at any point of it.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api.v1 import raft_pb2
from component.env import Env
from controlplane.raft.append_rules import ConflictBelowCommit
from controlplane.raft.config import NodeSettings
from controlplane.raft.frames import FrameError
from controlplane.raft.log import LogFailure, SafetyViolation
from controlplane.raft.membership import Member, Membership
from controlplane.raft.recovery import align
from controlplane.raft.serve import LinkServer
from controlplane.raft.snapshots import SnapshotFolder
from tests.simulation.disk import SimDisk
from tests.simulation.loop import ProcessLoop
from tests.simulation.sockets import READ, Listener, SimPoller

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster, Host

TURN_SECONDS = 0.1
SEGMENT_BYTES = 1 << 16
SLOW_MESSAGES = 1 / 300
"""How many of all messages between peers need up to `SLOW_SECONDS` on the way, in parts that show that they come."""
SLOW_SECONDS = 2.0
PART_SECONDS = 0.1


@dataclass(frozen=True)
class Sizes:
    """Limits that production has larger: small ones make segments, batches and tails end often."""

    segment_bytes: int = SEGMENT_BYTES
    tail_bytes: int = 4000
    append_batch_bytes: int = 1 << 20
    snapshot_piece_bytes: int = 1 << 14


class Links:
    """Sessions between the Raft processes; one pair has at most one, made anew some time after it broke."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._rng = cluster.simulator.rng("links")
        self._sessions: dict[tuple[str, str], int] = {}
        self._arrivals: dict[tuple[str, str], float] = {}
        self._number = 0
        self._dialling: set[tuple[str, str]] = set()
        self._broken: set[tuple[str, str]] = set()

    def session(self, left: str, right: str) -> int | None:
        return self._sessions.get(_pair(left, right))

    def dial_all(self) -> None:
        names = list(self._cluster.hosts)
        for left in names:
            for right in names:
                if left < right:
                    self._dial((left, right))

    def _dial(self, pair: tuple[str, str]) -> None:
        if pair in self._sessions or pair in self._dialling:
            return
        self._dialling.add(pair)
        self._cluster.simulator.world.call_later(self._rng.uniform(0.01, 0.15), self._connect, pair)

    def _connect(self, pair: tuple[str, str]) -> None:
        self._dialling.discard(pair)
        left, right = (self._cluster.hosts[name].raft for name in pair)
        if left is None or right is None:
            return  # whoever starts dials
        network = self._cluster.network
        if not (network.passes(*pair) and network.passes(*reversed(pair))):
            self._dial(pair)
            return
        self._number += 1
        self._sessions[pair] = self._number
        self._cluster.counts["reconnects"] += pair in self._broken
        left.input("connected", pair[1], b"")
        right.input("connected", pair[0], b"")

    def send(self, source: str, target: str, content: bytes) -> None:
        """Post on the pair's session, in order."""
        number = self.session(source, target)
        if number is None:
            return
        simulator = self._cluster.simulator
        link = (source, target)
        due = max(simulator.now + self._cluster.network.delay(*link), self._arrivals.get(link, 0.0))
        if self._rng.random() < SLOW_MESSAGES:
            self._cluster.counts["slow messages"] += 1
            whole_due = due + self._rng.uniform(0.0, SLOW_SECONDS)
            while due < whole_due - PART_SECONDS:
                due += PART_SECONDS
                simulator.world.call_at(due, self._arrive, number, source, target, "part", b"")
            due = whole_due
        self._arrivals[link] = due
        simulator.world.call_at(due, self._arrive, number, source, target, "message", content)

    def _arrive(self, number: int, source: str, target: str, kind: str, content: bytes) -> None:
        if not self._cluster.network.passes(source, target):
            self._cluster.network.post(source, target, self._arrive, number, source, target, kind, content)
            return
        raft = self._cluster.hosts[target].raft
        if self.session(source, target) == number and raft is not None:
            raft.input(kind, source, content)
        else:
            self._cluster.counts["messages dropped"] += 1

    def break_session(self, left: str, right: str) -> None:
        """As a reset: what is under way is lost, both ends learn of it."""
        pair = _pair(left, right)
        if self._sessions.pop(pair, None) is None:
            return
        self._broken.add(pair)
        for name, other in (pair, pair[::-1]):
            raft = self._cluster.hosts[name].raft
            if raft is not None:
                raft.input("disconnected", other, b"")
        self._dial(pair)

    def host_gone(self, name: str) -> None:
        for pair in list(self._sessions):
            if name in pair:
                self.break_session(*pair)


def _pair(left: str, right: str) -> tuple[str, str]:
    return (left, right) if left < right else (right, left)


class SimTransport:
    """`PeerTransport` over `Links`; queued until flushed, as production does."""

    on_message: Any
    on_part: Any
    on_connected: Any
    on_disconnected: Any

    def __init__(self, links: Links, name: str) -> None:
        self._links = links
        self._name = name
        self._queues: dict[str, list[tuple[bool, bytes]]] = {}
        self.peers: set[str] = set()  # with a session, as far as this process has noticed

    def send(self, peer: str, message: raft_pb2.RaftMessage) -> bool:
        if peer not in self.peers:
            return False
        append = message.WhichOneof("message") == "append_entries"
        self._queues.setdefault(peer, []).append((append, message.SerializeToString()))
        return True

    def connected(self, peer: str) -> bool:
        return peer in self.peers

    def backlog_bytes(self, peer: str) -> int:
        return 0

    def set_membership(self, latest: Membership, committed: Membership) -> None:
        """It does not change here: `test_raft_membership_chaos` does that."""

    def flush(self, *, appends_only: bool = False) -> None:
        for peer in sorted(self._queues):
            queue = self._queues[peer]
            while queue and (queue[0][0] or not appends_only):
                self._links.send(self._name, peer, queue.pop(0)[1])

    def lost(self, peer: str) -> None:
        self.peers.discard(peer)
        self._queues.pop(peer, None)


class Killed(Exception):
    """SIGKILL in the middle of a turn."""


class RaftHalf:
    """One life of a Raft process. Raises LogFailure from the constructor when the disk's content is refused."""

    def __init__(self, cluster: Cluster, host: Host, loop: ProcessLoop, env: Env, disk: SimDisk, folder: Path) -> None:
        self._cluster = cluster
        self._host = host
        self.loop = loop
        self.disk = disk
        sizes = cluster.sizes
        variant = cluster.variant
        self.snapshots = SnapshotFolder(folder / "raft" / "snapshot")
        self.log = variant.log_type(
            folder / "raft" / "log", disk, segment_bytes=sizes.segment_bytes, tail_bytes=sizes.tail_bytes
        )
        align(self.log, self.snapshots.latest)
        self.transport = SimTransport(cluster.links, host.name)
        self.poller = SimPoller()
        self.poller.before_sleep = self._before_sleep
        self._inputs: list[tuple[str, Any, bytes]] = []
        self._turn: Any = None
        self._syncing = False
        first = Membership(tuple(Member(name) for name in cluster.hosts))
        self.node = variant.node_type(
            NodeSettings(host.name, first), self.log, self.snapshots, self.transport, self.poller, env
        )
        self.listener = Listener(cluster.next_descriptor(), self._readable, cluster.simulator.rng("socket"), loop)
        self.link = LinkServer(
            folder / "socket",
            host.name,
            self.node,
            self.log,
            self.snapshots,
            self.poller,
            lambda: (0.0, 0.0),
            listen=lambda _path: self.listener,
        )
        self._led_term = 0
        self._commit_index = 0
        self._voted = self.log.term, self.log.vote
        self._schedule(0.0)

    # Inputs

    def input(self, kind: str, what: Any, content: bytes) -> None:
        """Something for the next turn; it wakes a sleeping process, a syncing one looks when it is done."""
        self._inputs.append((kind, what, content))
        if not self._syncing:
            self._schedule(0.0)

    def _readable(self, descriptor: int) -> None:
        self.input("ready", descriptor, b"")

    def _schedule(self, seconds: float) -> None:
        due = self._cluster.simulator.now + seconds
        if self._turn is not None:
            if not self._turn.cancelled() and self._turn.when() <= due:
                return
            self._turn.cancel()
        self._turn = self.loop.call_at(due, self._take_turn)

    # Turns

    def _take_turn(self) -> None:
        self._turn = None
        if self._syncing:
            return
        try:
            self._take_inputs()
            self.node.step(TURN_SECONDS)
        except (LogFailure, SafetyViolation, ConflictBelowCommit) as error:
            self._host.raft_failed(error)
        except Killed:
            self._host.kill_raft_in_turn()

    def _take_inputs(self) -> None:
        inputs, self._inputs = self._inputs, []
        for kind, what, content in inputs:
            match kind:
                case "message":
                    self._receive(what, content)
                case "part":
                    if what in self.transport.peers:
                        self.transport.on_part(what)
                case "connected":
                    self.transport.peers.add(what)
                    self.transport.on_connected(what)
                case "disconnected":
                    self.transport.lost(what)
                    self.transport.on_disconnected(what)
                case "ready":
                    ready = self.poller.ready.get(what)
                    if ready is not None:
                        ready(READ)

    def _receive(self, peer: str, content: bytes) -> None:
        if peer not in self.transport.peers:
            return
        try:
            self.transport.on_message(peer, raft_pb2.RaftMessage.FromString(content))
        except FrameError as error:
            self._cluster.simulator.trace("frame error", self._host.name, peer, str(error))
            self._cluster.counts["frame_errors"] += 1
            self._cluster.links.break_session(self._host.name, peer)

    def _before_sleep(self, timeout_seconds: float) -> None:
        """The hook of the production poller, in two parts: the sync takes time, and a crash may come meanwhile."""
        self.transport.flush(appends_only=True)
        self._cluster.variant.before_sync(self)
        if self._host.armed and self.log.last_index > self.log.durable_index:
            self._host.armed = False
            raise Killed
        self.disk.holding = True
        try:
            wrote = self.log.sync()
        finally:
            self.disk.holding = False
        self._watch()
        if not wrote:
            self._after_sync(timeout_seconds)
            return
        self._syncing = True
        seconds = self.disk.sync_seconds()
        self._cluster.counts["slow syncs"] += self.disk.slow
        self.loop.call_later(seconds, self._synced, timeout_seconds)

    def _synced(self, timeout_seconds: float) -> None:
        self._syncing = False
        self.disk.returned()
        self._after_sync(timeout_seconds)

    def _after_sync(self, timeout_seconds: float) -> None:
        self._cluster.recorder.rules.synced(self._host.name, *self._voted)
        self.transport.flush()
        self.link.pump()
        self._schedule(0.0 if self._inputs else timeout_seconds)

    def _watch(self) -> None:
        """Tell the checkers what only this process knows."""
        status = self.node.status()
        leading = status.term if status.role == "leader" else 0
        if status.commit_index < self._commit_index:
            self._cluster.violation(f"{self._host.name}: commit index fell to {status.commit_index}")
        if leading and leading != self._led_term:
            self._cluster.elected(self._host.name, leading, self.log)
        elif leading and status.commit_index > self._commit_index:
            entry_term = self.log.term_at(status.commit_index)
            self._cluster.committed(self._host.name, leading, status.commit_index, entry_term)
        self._led_term = leading or self._led_term
        self._commit_index = status.commit_index
        if (self.log.term, self.log.vote) != self._voted:
            self._voted = self.log.term, self.log.vote
            if self.log.vote not in {None, self._host.name}:
                self._cluster.on_voted(self._host)

    # The end

    def kill(self) -> None:
        """As SIGKILL: what is in memory is gone, what was written stays, and the kernel closes its sockets."""
        self.loop.kill()
        self.log.abandon()
        with contextlib.suppress(OSError):
            self.node.close()
        self.snapshots.close()
        self.listener.raft_died()
