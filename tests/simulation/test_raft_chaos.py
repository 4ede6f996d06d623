"""Random crashes, torn tails, partitions, dead API processes and snapshots; the test's name holds the seed."""

import os

import pytest

from tests.simulation.raft_cluster import Cluster
from tests.simulation.raft_workload import Workload

ROUNDS = 20
SEEDS = int(os.environ.get("RAFT_SEEDS", "8"))


@pytest.fixture(params=range(SEEDS), ids=lambda seed: f"seed{seed}")
def cluster(request, tmp_path):
    cluster = Cluster(tmp_path, seed=request.param)
    yield cluster
    cluster.close()


@pytest.mark.slow
def test_no_acknowledged_write_is_lost(cluster):
    workload = Workload(cluster)
    for _ in range(ROUNDS):
        workload.write(cluster.rng.uniform(0.1, 0.6))
        workload.fault()
    cluster.put(b"last", cluster.leader(20))
    cluster.run_until(lambda: len({member.cursor for member in cluster.members.values()}) == 1, seconds=20)
    # The cluster compared every delivery with every other; here: what was acknowledged is what was agreed.
    for write in workload.acknowledged:
        assert cluster.agreed[write.index] == (write.term, b"\0" + write.data)
    assert len(workload.acknowledged) > 100, "too little happened"
    assert len(workload.terms) >= 5, "too few elections"


def test_a_seed_gives_the_same_run_twice(tmp_path):
    runs = []
    for attempt in ("first", "second"):
        cluster = Cluster(tmp_path / attempt, seed=42)
        workload = Workload(cluster)
        for _ in range(3):
            workload.write(0.2)
            workload.fault()
        runs.append((cluster.now, cluster.messages, cluster.agreed))
        cluster.close()
    assert runs[0] == runs[1]
