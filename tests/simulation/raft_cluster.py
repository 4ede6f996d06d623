"""Raft nodes in one process on virtual time: real node and log code, simulated clock, network and API processes.

The same seed gives the same run. Files are real, but never synced to the device: a crash here drops what was not
written by `sync`.
"""

from __future__ import annotations

import heapq
import os
import random
import uuid
from collections.abc import Callable
from pathlib import Path

from api.v1 import raft_pb2
from component.env import Env
from controlplane.raft import messages
from controlplane.raft.config import NodeSettings
from controlplane.raft.door import Door
from controlplane.raft.log import DurableLog
from controlplane.raft.membership import Member as RaftMember
from controlplane.raft.membership import Membership
from controlplane.raft.node import RaftNode
from controlplane.raft.protocol import Snapshot
from controlplane.raft.recovery import align
from controlplane.raft.snapshots import SnapshotFolder

DIAL_SECONDS = 0.1


class SimPoller:
    """Runs the hook and remembers when the node wants to wake."""

    def __init__(self, member: Member) -> None:
        self._member = member

    def poll(self, timeout_seconds: float) -> None:
        self._member.before_sleep()
        self._member.wake_time = self._member.cluster.now + timeout_seconds


class SimTransport:
    """`PeerTransport` of one member; a message arrives after a delay, unless the link is cut."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._queue: list[tuple[str, raft_pb2.RaftMessage]] = []
        self.door = Door(member.name, "simulation", member.first)
        self.on_message: Callable[[str, raft_pb2.RaftMessage], None]
        self.on_part: Callable[[str], None]
        self.on_connected: Callable[[str], None]
        self.on_disconnected: Callable[[str], None]

    def send(self, peer: str, message: raft_pb2.RaftMessage) -> bool:
        if not self.connected(peer):
            return False
        copied = raft_pb2.RaftMessage()
        copied.CopyFrom(message)
        self._queue.append((peer, copied))
        return True

    def connected(self, peer: str) -> bool:
        return self._member.cluster.sessions.get(frozenset((self._member.name, peer))) is not None

    def backlog_bytes(self, peer: str) -> int:
        return 0

    def set_membership(self, latest: Membership, committed: Membership) -> None:
        before = self.door.welcome
        self.door.set_membership(latest, committed)
        gone = {replica for replica, _ in before - self.door.welcome}
        self._member.cluster.dial_soon(self._member.name, gone)

    def flush(self) -> None:
        for peer, message in self._queue:
            self._member.cluster.post(self._member.name, peer, message)
        self._queue.clear()


class Member:
    """One replica; `delivered` is what its API process applied, over all its lives."""

    def __init__(self, cluster: Cluster, name: str, folder: Path, first: Membership) -> None:
        self.cluster = cluster
        self.name = name
        self.first = first
        self.folder = folder
        self.delivered: list[tuple[int, int, bytes]] = []
        self.api_alive = True
        self.installed: list[int] = []
        self.start()

    def start(self) -> None:
        self.running = True
        self.snapshots = SnapshotFolder(self.folder / "snapshot")
        self.log = DurableLog(self.folder / "log", segment_bytes=1 << 16, tail_bytes=2000, datasync=lambda _fd: None)
        align(self.log, self.snapshots.latest)
        self.transport = SimTransport(self)
        self.wake_time = self.cluster.now
        self.node = RaftNode(
            NodeSettings(self.name, self.first),
            self.log,
            self.snapshots,
            self.transport,
            SimPoller(self),
            self.cluster.env,
        )
        self.cursor = 0
        if self.api_alive:
            self.node.api.connected(0)

    def before_sleep(self) -> None:
        self.log.sync()
        self.transport.flush()
        if self.api_alive:
            self._deliver()
            self.node.api.seen(self.cursor)

    def _deliver(self) -> None:
        if self.cursor + 1 < self.log.first_held_index:
            self.cursor = self.snapshots.latest.index
            self.installed.append(self.cursor)
        for index in range(self.cursor + 1, self.node.deliverable_index() + 1):
            data, found, term = self.log[index - self.log.first_index]
            assert found == index
            self.delivered.append((index, term, messages.command_in(data)))
            self.cluster.check_agreement(self.name, index, term, data)
            self.cursor = index

    def snapshot(self) -> None:
        """What the API process does: write a file, tell Raft, which compacts."""
        path = self.folder / "state"
        path.write_bytes(b"state up to %d" % self.cursor * 1000)
        self.snapshots.adopt(
            Snapshot(self.cursor, self.log.term_at(self.cursor), path), self.node.membership_at(self.cursor)
        )
        self.log.compact(self.cursor)
        self.node.snapshot_kept(self.cursor)

    def kill_api(self) -> None:
        self.api_alive = False
        self.node.api.lost()

    def crash(self, torn: bytes = b"") -> None:
        """Lose everything that was not synced; `torn` is what a half-done write left behind the end."""
        self.running = False
        if torn:
            os.pwrite(self.log._descriptor, torn, self.log._position)
        os.close(self.log._descriptor)
        self.node.close()
        self.snapshots.close()


class Cluster:
    """Members r1..rN, a clock and a network."""

    def __init__(self, folder: Path, seed: int = 0, count: int = 3) -> None:
        self.now = 100.0
        self.rng = random.Random(seed)
        self.env = Env(
            lambda: self.now, lambda: self.now, self.rng, lambda: str(uuid.UUID(int=self.rng.getrandbits(128)))
        )
        self.names = [f"r{number}" for number in range(1, count + 1)]
        self.sessions: dict[frozenset[str], int] = {}
        self.cut: set[tuple[str, str]] = set()
        self.agreed: dict[int, tuple[int, bytes]] = {}
        self.messages = 0
        self._queue: list[tuple[float, int, int, str, str, raft_pb2.RaftMessage]] = []
        self._last_arrival: dict[tuple[str, str], float] = {}
        self._session_number = 0
        self._dial_time = self.now
        self._hung_up: list[tuple[str, str]] = []
        self._folder = folder
        first = Membership(tuple(RaftMember(name) for name in self.names))
        self.members = {name: Member(self, name, folder / name, first) for name in self.names}
        self._connect_all()

    def check_agreement(self, name: str, index: int, term: int, data: bytes) -> None:
        """State machine safety (Raft paper, figure 3): one entry per index, everywhere and for ever."""
        known = self.agreed.setdefault(index, (term, data))
        assert known == (term, data), f"{name} delivered {term, data} at {index}, another replica {known}"

    def post(self, source: str, target: str, message: raft_pb2.RaftMessage) -> None:
        session = self.sessions.get(frozenset((source, target)))
        if session is None or (source, target) in self.cut:
            return
        # One TCP session keeps its order.
        arrival = max(self.now + self.rng.uniform(0.0005, 0.003), self._last_arrival.get((source, target), 0.0))
        self._last_arrival[source, target] = arrival
        self.messages += 1
        heapq.heappush(self._queue, (arrival, self.messages, session, source, target, message))

    def deliver(self, source: str, target: str, message: raft_pb2.RaftMessage) -> None:
        """Hand over one message now, past the network."""
        self.members[target].transport.on_message(source, message)

    def dial_soon(self, name: str, gone: set[str]) -> None:
        """A replica knows another membership: sessions that it does not want any more end, others may begin."""
        self._hung_up += [(name, other) for other in gone]
        self._dial_time = min(self._dial_time, self.now + DIAL_SECONDS)

    def step(self) -> None:
        """Do whatever is due first: a message or a node's turn."""
        while self._hung_up:
            self._disconnect(*self._hung_up.pop())
        if self.now >= self._dial_time:
            self._dial_time = self.now + DIAL_SECONDS
            self._connect_all()
        running = [member for member in self.members.values() if member.running]
        member = min(running, key=lambda member: member.wake_time)
        if self._queue and self._queue[0][0] <= member.wake_time:
            arrival, _, session, source, target, message = heapq.heappop(self._queue)
            self.now = max(self.now, arrival)
            receiver = self.members[target]
            same = self.sessions.get(frozenset((source, target))) == session
            if not (receiver.running and same and (source, target) not in self.cut):
                return
            receiver.transport.on_message(source, message)
            member = receiver
        else:
            self.now = max(self.now, member.wake_time)
        member.node.step(0.05)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.step()

    def run_until(self, condition: Callable[[], object], seconds: float = 10.0) -> None:
        end = self.now + seconds
        while not condition():
            assert self.now < end, "the condition did not come true in time"
            self.step()

    def leaders(self) -> list[Member]:
        return [member for member in self.members.values() if member.running and member.node.leads()]

    def leader(self, seconds: float = 10.0) -> Member:
        """Wait for a leader whose no-op is committed and whom a majority follows."""

        def settled() -> Member | None:
            for member in self.leaders():
                status = member.node.status()
                following = sum(
                    other.node.status().leader == member.name
                    for other in self.members.values()
                    if other.running and other.name in member.node.membership.voters
                )
                if (
                    2 * following > len(member.node.membership.voters)
                    and status.commit_index >= member.node.no_op_index()
                ):
                    return member
            return None

        self.run_until(settled, seconds)
        found = settled()
        assert found is not None
        return found

    def join(self, name: str, uid: str = "", known: Membership | None = None) -> Member:
        """A new machine with an empty disk that waits to be let in; adding it is the caller's part."""
        known = known or self.leader().node.membership
        others = (each for each in known.members if each.replica != name)
        first = Membership((*others, RaftMember(name, uid, voter=False)), known.incarnation)
        lives = sum(path.name.startswith(f"{name}-") for path in self._folder.iterdir())
        self.members[name] = Member(self, name, self._folder / f"{name}-{lives + 1}", first)
        if name not in self.names:
            self.names.append(name)
        self._connect_all()
        return self.members[name]

    def put(self, data: bytes, leader: Member | None = None, *, awaited_elsewhere: bool = False) -> int:
        """Propose and wait until it is committed at the leader."""
        leader = leader or self.leader()
        index = leader.node.propose(data, leader.node.status().term, awaited_elsewhere=awaited_elsewhere)
        assert index is not None
        self.run_until(lambda: leader.node.deliverable_index() >= index)
        return index

    def isolate(self, name: str) -> None:
        """Cut both directions of every link of a member, sessions stay up: as when packets vanish."""
        for other in self.names:
            if other != name:
                self.cut |= {(name, other), (other, name)}

    def heal(self) -> None:
        """Let packets through again; TCP would have kept the sessions or made new ones: they are new."""
        self.cut.clear()
        for pair in list(self.sessions):
            self._disconnect(*sorted(pair))
        self._connect_all()

    def crash(self, name: str, torn: bytes = b"") -> None:
        self.members[name].crash(torn)
        for other in self.names:
            if other != name:
                self._disconnect(name, other)

    def restart(self, name: str) -> None:
        self.members[name].start()
        self._connect_all()

    def close(self) -> None:
        for member in self.members.values():
            if member.running:
                member.crash()

    def _connect_all(self) -> None:
        for left in self.names:
            for right in self.names:
                pair = frozenset((left, right))
                if (
                    left < right
                    and pair not in self.sessions
                    and not {(left, right), (right, left)} & self.cut
                    and self.members[left].running
                    and self.members[right].running
                    and self._know_each_other(left, right)
                ):
                    self._session_number += 1
                    self.sessions[pair] = self._session_number
                    self.members[left].transport.on_connected(right)
                    self.members[right].transport.on_connected(left)
                    self.members[left].wake_time = self.members[right].wake_time = self.now

    def _know_each_other(self, left: str, right: str) -> bool:
        """Whether one would dial, and both would let the other in."""
        doors = self.members[left].transport.door, self.members[right].transport.door
        dials = right in doors[0].peers or left in doors[1].peers
        return dials and not any(one.objection(other.hello()) for one, other in (doors, reversed(doors)))

    def _disconnect(self, left: str, right: str) -> None:
        if self.sessions.pop(frozenset((left, right)), None) is not None:
            for name, other in ((left, right), (right, left)):
                if self.members[name].running:
                    self.members[name].transport.on_disconnected(other)
                    self.members[name].wake_time = self.now
