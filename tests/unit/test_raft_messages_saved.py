"""Messages a leader does without: each wakes a process elsewhere, whose answer wakes the leader again."""

import pytest

from controlplane.raft.leading import COMMIT_PATIENCE_SECONDS, ROUND_PATIENCE_SECONDS
from tests.simulation.raft_cluster import Cluster

TRIP_SECONDS = 0.007  # there and back at the slowest, with a turn at both ends


class ListenedCluster(Cluster):
    """Remembers what goes over the network."""

    def __init__(self, folder, seed):
        self.posted = []  # (source, target, message)
        super().__init__(folder, seed)

    def post(self, source, target, message):
        self.posted.append((source, target, message))
        super().post(source, target, message)


@pytest.fixture
def cluster(tmp_path):
    cluster = ListenedCluster(tmp_path, seed=1)
    yield cluster
    cluster.close()


def quiet_leader(cluster):
    """A leader that has just given its sign of life: for a while it has no reason to send anything."""
    leader = cluster.leader()
    cluster.run(0.5)
    cluster.posted.clear()
    cluster.run_until(lambda: any(source == leader.name for source, _, _ in cluster.posted))
    cluster.run(TRIP_SECONDS)
    cluster.posted.clear()
    return leader


def asked(cluster, leader):
    return [target for source, target, _ in cluster.posted if source == leader.name]


def read(cluster, leader):
    answers = []
    leader.node.read_index(answers.append)
    cluster.run_until(lambda: answers)
    return answers


def test_a_read_asks_a_bare_majority(cluster):
    leader = quiet_leader(cluster)
    assert read(cluster, leader) == [leader.node.status().commit_index]
    assert len(asked(cluster, leader)) == 1


def test_a_read_asks_everybody_when_the_one_asked_first_is_silent(cluster):
    leader = quiet_leader(cluster)
    read(cluster, leader)
    (silent,) = asked(cluster, leader)
    cluster.run(TRIP_SECONDS)
    cluster.posted.clear()
    cluster.cut |= {(leader.name, silent), (silent, leader.name)}
    began = cluster.now
    assert read(cluster, leader) == [leader.node.status().commit_index]
    assert cluster.now - began < ROUND_PATIENCE_SECONDS + TRIP_SECONDS
    assert set(asked(cluster, leader)) == {name for name in cluster.names if name != leader.name}


def test_the_one_who_answered_last_is_asked_first(cluster):
    leader = quiet_leader(cluster)
    read(cluster, leader)
    (silent,) = asked(cluster, leader)
    cluster.cut |= {(leader.name, silent), (silent, leader.name)}
    read(cluster, leader)
    cluster.run(TRIP_SECONDS)
    cluster.posted.clear()
    read(cluster, leader)
    assert asked(cluster, leader)[0] != silent


def test_followers_learn_a_commit_with_the_next_entry(cluster):
    """No append is without entries while one write follows the other."""
    leader = quiet_leader(cluster)
    for number in range(3):
        cluster.put(b"%d" % number, leader)
    appends = [message.append_entries for source, _, message in cluster.posted if source == leader.name]
    assert all(append.entries for append in appends)
    assert max(append.commit_index for append in appends) == leader.node.status().commit_index - 1


def test_followers_learn_a_commit_soon_when_nothing_follows(cluster):
    leader = quiet_leader(cluster)
    index = cluster.put(b"one", leader)
    cluster.run(COMMIT_PATIENCE_SECONDS + TRIP_SECONDS)
    assert all(member.node.deliverable_index() == index for member in cluster.members.values())


def test_followers_learn_at_once_of_a_commit_that_one_of_them_waits_for(cluster):
    leader = quiet_leader(cluster)
    cluster.posted.clear()
    index = cluster.put(b"forwarded", leader, awaited_elsewhere=True)
    committed = cluster.now
    cluster.run_until(lambda: all(member.node.deliverable_index() == index for member in cluster.members.values()))
    assert cluster.now - committed < COMMIT_PATIENCE_SECONDS
    appends = [message for source, _, message in cluster.posted if source == leader.name]
    assert len(appends) == 4  # the entry and its commit, to two each


def test_who_waits_elsewhere_makes_later_commits_no_more_urgent(cluster):
    leader = quiet_leader(cluster)
    cluster.put(b"forwarded", leader, awaited_elsewhere=True)
    cluster.run(TRIP_SECONDS)
    cluster.posted.clear()
    cluster.put(b"own", leader)  # returns in the turn in which the other one's commit left
    appends = [message.append_entries for source, _, message in cluster.posted if source == leader.name]
    assert all(append.entries for append in appends)


def test_a_read_tells_everybody_a_commit_that_they_do_not_know_yet(cluster):
    """A follower that asks for the read index needs it at once."""
    leader = quiet_leader(cluster)
    index = cluster.put(b"one", leader)
    cluster.posted.clear()
    assert read(cluster, leader) == [index]
    told = [target for source, target, message in cluster.posted if message.append_entries.commit_index == index]
    assert set(told) == {name for name in cluster.names if name != leader.name}
