"""Faults end: whatever they were at when they were stopped, everything runs again soon and nothing falls later."""

import pytest

from tests.simulation.clients import ADMIN, config_map
from tests.simulation.cluster import Cluster, Plan
from tests.simulation.faults import KINDS, Faults

CALM_SECONDS = 20.0
SEEDS = 3
MORE_SEEDS = {"kill_raft": 24}  # it ends in several ways


class Writing:
    """One write after the other, so that every turn of a Raft process may have something to sync."""

    def __init__(self, cluster):
        self._cluster = cluster
        self._count = 0

    def write(self):
        self._cluster.simulator.world.call_later(0.05, self.write)
        leader = self._cluster.leader()
        if leader is not None and leader.api is not None and leader.api.ready:
            self._count += 1
            tree = config_map(f"k{self._count}", "")
            loop, core = leader.api_loop, leader.api.core
            loop.call_soon(lambda: loop.create_task(core.create(ADMIN, tree)).add_done_callback(_take))


def _take(task):
    if not task.cancelled():
        task.exception()


def _all_serve(cluster):
    hosts = cluster.hosts.values()
    states = [host.api.replica for host in hosts if host.up and host.api.replica.ready]
    return len(states) == len(hosts) and len({replica.state.applied_index for replica in states}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_that_is_stopped_at_any_point_leaves_every_replica_running(kind):
    for seed in range(MORE_SEEDS.get(kind, SEEDS)):
        cluster = Cluster(f"{kind} {seed}", Plan())
        try:
            _stop_in_the_middle(cluster, kind)
        finally:
            cluster.close()


def _stop_in_the_middle(cluster, kind):
    simulator, rng = cluster.simulator, cluster.simulator.rng("stop")
    cluster.start()
    assert simulator.run_until(lambda: _all_serve(cluster), CALM_SECONDS)
    simulator.world.call_soon(Writing(cluster).write)
    faults = Faults(cluster, [kind], (0.01, 0.3))
    work = simulator.world.create_task(getattr(faults, f"_{kind}")(rng.choice(list(cluster.hosts.values()))))
    simulator.run_until(lambda: False, rng.uniform(0.0, 0.5))
    faults.stop()
    simulator.run_until(work.done, CALM_SECONDS)
    quiet_time = simulator.now + 1.0
    settled = simulator.run_until(lambda: simulator.now > quiet_time and _all_serve(cluster), CALM_SECONDS)
    assert settled, f"{cluster.simulator.seed}: {[(host.name, host.up) for host in cluster.hosts.values()]}"
    assert not cluster.violations
