"""Writes and faults for a simulated Raft cluster, and what may be concluded from them afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.simulation.raft_cluster import Cluster, Member

WRITE_PERIOD_SECONDS = 0.01
MAX_PENDING = 8


@dataclass
class Write:
    member: Member
    index: int
    term: int
    data: bytes


@dataclass
class Workload:
    """Writes at whoever believes to lead; a write counts as acknowledged when its replica delivered it."""

    cluster: Cluster
    acknowledged: list[Write] = field(default_factory=list)
    terms: set[int] = field(default_factory=set)
    proposed: int = 0
    _pending: list[Write] = field(default_factory=list)

    def write(self, seconds: float) -> None:
        end = self.cluster.now + seconds
        next_write = self.cluster.now
        while self.cluster.now < end:
            if self.cluster.now >= next_write:
                next_write = self.cluster.now + WRITE_PERIOD_SECONDS
                for leader in self.cluster.leaders():
                    self._propose(leader)
                self._settle()
            self.cluster.step()

    def _propose(self, leader: Member) -> None:
        term = leader.node.status().term
        self.terms.add(term)
        if len(self._pending) >= MAX_PENDING:
            return
        self.proposed += 1
        data = b"write %d " % self.proposed * 10
        index = leader.node.propose(data, term)
        if index is not None:
            self._pending.append(Write(leader, index, term, data))

    def _settle(self) -> None:
        for write in list(self._pending):
            if (write.index, write.term, write.data) in write.member.delivered[-50:]:
                self.acknowledged.append(write)
                self._pending.remove(write)
            elif not write.member.running or write.member.node.status().term != write.term:
                self._pending.remove(write)  # unknown

    def fault(self) -> None:
        """One random fault, writes going on, and its end."""
        rng = self.cluster.rng
        leaders = self.cluster.leaders()
        victim = leaders[0].name if leaders and rng.random() < 0.6 else rng.choice(self.cluster.names)
        faults = [self._crash, self._crash_all, self._isolate, self._cut_one_way, self._kill_api, self._snapshot]
        rng.choice(faults)(victim)

    def _torn(self) -> bytes:
        return self.cluster.rng.randbytes(self.cluster.rng.randrange(2000))

    def _crash(self, victim: str) -> None:
        self.cluster.crash(victim, torn=self._torn())
        self.write(self.cluster.rng.uniform(0.1, 1.0))
        self.cluster.restart(victim)

    def _crash_all(self, _victim: str) -> None:
        for name in self.cluster.names:
            self.cluster.crash(name, torn=self._torn())
        for name in self.cluster.names:
            self.cluster.restart(name)

    def _isolate(self, victim: str) -> None:
        self.cluster.isolate(victim)
        self.write(self.cluster.rng.uniform(0.1, 2.0))
        self.cluster.heal()

    def _cut_one_way(self, victim: str) -> None:
        self.cluster.cut |= {(victim, other) for other in self.cluster.names if other != victim}
        self.write(self.cluster.rng.uniform(0.1, 2.0))
        self.cluster.heal()

    def _kill_api(self, victim: str) -> None:
        member = self.cluster.members[victim]
        member.kill_api()
        self.write(self.cluster.rng.uniform(0.1, 0.5))
        member.api_alive = True
        member.node.api.connected(member.cursor)

    def _snapshot(self, _victim: str) -> None:
        for member in self.cluster.members.values():
            if member.cursor >= member.log.first_held_index and self.cluster.rng.random() < 0.8:
                member.snapshot()
