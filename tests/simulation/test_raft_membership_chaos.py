"""Replicas come and go at random while others crash and links break; the test's name holds the seed."""

import os

import pytest

from controlplane.raft.membership import ChangeRefused, Member
from tests.simulation.raft_cluster import Cluster
from tests.simulation.raft_workload import Workload

ROUNDS = 25
SEEDS = int(os.environ.get("RAFT_SEEDS", "8"))
MOST_MEMBERS = 5


class Changes:
    """Adds, replaces and removes members at whoever believes to lead, with a fault in the middle of some changes."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.workload = Workload(cluster)
        self.lives = 0
        self.appended = 0

    def round(self):
        self.workload.write(self.cluster.rng.uniform(0.1, 0.5))
        change = self.cluster.rng.choice([self.add, self.add, self.replace, self.remove])
        for leader in self.cluster.leaders():
            try:
                change(leader)
            except ChangeRefused:
                continue
            self.appended += 1
        if self.cluster.rng.random() < 0.6:
            self.workload.fault()

    def add(self, leader, name=None):
        known = leader.node.membership
        if len(known.members) >= MOST_MEMBERS:
            raise ChangeRefused
        self.lives += 1
        name = name or f"r{3 + self.lives}"
        newcomer = Member(name, uid=f"life-{self.lives}")
        leader.node.add_learner(newcomer)
        self.cluster.join(name, newcomer.uid, known)

    def remove(self, leader, name=None):
        name = name or self.cluster.rng.choice(sorted(each.replica for each in leader.node.membership.members))
        if len(leader.node.membership.voters - {name}) < 2:
            raise ChangeRefused
        leader.node.remove_member(name)
        return name

    def replace(self, leader):
        """Its machine is lost first; the next one has the same name and an empty disk."""
        name = self.remove(leader)
        index = leader.node.membership.index
        self.workload.write(0.3)
        if leader.running and leader.node.leads() and leader.cursor >= index and self.cluster.members[name].running:
            self.cluster.crash(name)
            self.add(leader, name)


@pytest.fixture(params=range(SEEDS), ids=lambda seed: f"seed{seed}")
def cluster(request, tmp_path):
    cluster = Cluster(tmp_path, seed=request.param)
    yield cluster
    cluster.close()


@pytest.mark.slow
def test_no_acknowledged_write_is_lost_while_members_come_and_go(cluster):
    changes = Changes(cluster)
    for _ in range(ROUNDS):
        changes.round()
    leader = cluster.leader(30)
    cluster.put(b"last", leader)
    members = [cluster.members[each.replica] for each in cluster.leader(30).node.membership.members]
    cluster.run_until(lambda: len({member.cursor for member in members}) == 1, seconds=30)
    # The cluster compared every delivery with every other; here: what was acknowledged is what was agreed.
    for write in changes.workload.acknowledged:
        assert cluster.agreed[write.index] == (write.term, b"\0" + write.data)
    assert len(changes.workload.acknowledged) > 100, "too little happened"
    assert changes.appended >= 5, "too few changes"
    assert leader.node.membership.index > 0
