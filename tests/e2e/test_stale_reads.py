"""A replica that is cut off from the others answers whoever allows it, and no longer than they allow."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from component import kubeconfig
from tests.e2e.cluster import TIM, Cluster, Done, Space, eventually, run


@pytest.fixture
def cut_off(cluster: Cluster) -> Iterator[str]:
    """The replica that led, without the others; the partition is healed afterwards."""
    cluster.wait_healthy()
    victim = eventually("a replica leads", cluster.leader)
    others = [each.name for each in cluster.lab.hosts if each.role == "replica" and each.name != victim]
    name = ("--name", cluster.lab.name)
    cluster.tim("lab", "partition", *name, victim, ",".join(others))
    try:
        yield victim
    finally:
        cluster.tim("lab", "heal", *name, "--all")
        cluster.wait_healthy()


def speaking_to(cluster: Cluster, replica: str, folder: Path) -> Callable[..., Done]:
    """`tim` with a configuration that names this replica only."""
    whole = kubeconfig.read(cluster.lab.admin_conf)
    address = f"{cluster.lab.host(replica).address}:7443"
    alone = kubeconfig.with_endpoints(whole, cluster.lab.admin_conf, "", [address])
    assert alone is not None
    kubeconfig.write(alone, folder / "alone.conf")
    environment = {**os.environ, "TIMCONFIG": str(folder / "alone.conf")}
    return lambda *words: run([TIM, *words], environment=environment)


def test_a_cut_off_replica_shows_what_it_knew_for_as_long_as_the_reader_allows(
    cluster: Cluster, space: Space, cut_off: str, tmp_path: Path
) -> None:
    at_victim = speaking_to(cluster, cut_off, tmp_path)
    get = ("get", "secrets", "-n", space.name, "-o", "name")
    space.apply("{apiVersion: v1, kind: Secret, metadata: {name: written-elsewhere}}")
    at_once = at_victim(*get)
    assert at_once.code == 1, (
        f"a linearizable read needs a leader, and was answered with what was before: {at_once.out!r}"
    )
    stale = at_victim(*get, "--stale=10m")
    assert (stale.code, stale.out) == (0, ""), stale.err  # the namespace is older than the cut, the object is not
    assert at_victim("get", "namespace", space.name, "--stale=10m").code == 0

    def refused() -> bool:
        done = at_victim(*get, "--stale=1s")
        return done.code == 1 and f"replica {cut_off} last knew its state to be the newest" in done.err

    eventually("a state that is too old is refused", refused)
    assert "more than the 1 s allowed" in at_victim(*get, "--stale=1s").error_line
    assert space.tim("get secrets", "--stale", "-o", "name").out == "secret/written-elsewhere\n"
    cluster.tim("lab", "heal", "--name", cluster.lab.name, "--all")
    eventually("it has caught up", lambda: at_victim(*get, "--stale=1s").out == "secret/written-elsewhere\n")
