"""How long a cluster has nobody to acknowledge a write, over many seeds of virtual time.

What the machine and the processes add is measured in the lab (`bench.chaos_control_plane`); here it is only the
algorithm, so the limits are tight: a split vote or an election in step with another one shows.
"""

from __future__ import annotations

import pytest

from tests.simulation.raft_cluster import Cluster

pytestmark = pytest.mark.slow

SEEDS = 40


def another_leader(cluster, old):
    cluster.run_until(lambda: any(member is not old for member in cluster.leaders()))
    return next(member for member in cluster.leaders() if member is not old)


def pauses(folder, disturb, repair, last_write=None):
    """Seconds from each loss of a leader to the next commit, two losses for each seed.

    `last_write` is proposed shortly before, so that nobody has applied it yet.
    """
    found = []
    for seed in range(SEEDS):
        cluster = Cluster(folder / str(seed), seed=seed)
        for _ in range(2):
            old = cluster.leader()
            cluster.put(b"before", old)
            cluster.run(cluster.rng.uniform(0.2, 0.3))
            if last_write is not None:
                old.node.propose(last_write, old.node.status().term)
                cluster.run(cluster.rng.uniform(0.0, 0.01))
            began = cluster.now
            disturb(cluster, old.name)
            cluster.put(b"after", another_leader(cluster, old))
            found.append(cluster.now - began)
            repair(cluster, old.name)
            cluster.run(1)
        cluster.close()
    return sorted(found)


def test_the_death_of_a_leader_is_noticed_by_its_socket(tmp_path):
    found = pauses(tmp_path, Cluster.crash, Cluster.restart)
    assert found[len(found) // 2] < 0.05
    assert found[-1] < 0.1


def test_a_leader_that_falls_silent_is_replaced_after_one_election_time(tmp_path):
    found = pauses(tmp_path, Cluster.isolate, lambda cluster, _name: cluster.heal())
    assert found[len(found) // 2] < 0.45
    assert found[-1] < 0.7


def stop(cluster, name):
    """As the process does at SIGTERM: it is gone when another one leads."""
    old = cluster.members[name]
    old.node.hand_over("test")
    old.wake_time = cluster.now  # a signal ends the process's sleep
    cluster.run_until(lambda: not old.node.leads())
    cluster.crash(name)


def test_a_planned_stop_amid_writes_takes_no_longer_than_telling_somebody_to_lead(tmp_path):
    found = pauses(tmp_path, stop, Cluster.restart, b"under way")
    assert found[len(found) // 2] < 0.02
    assert found[-1] < 0.03
