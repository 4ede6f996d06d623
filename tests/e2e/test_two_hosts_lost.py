"""Two of five nodes lost at the same time, one cut off and one without power: their pods run elsewhere in time."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from lab import cluster as labs
from lab import network
from tests.e2e.cluster import EXAMPLES, Space, eventually
from tests.e2e.labs import running_lab
from tests.e2e.test_nodes import lose
from tests.e2e.test_rollouts import client

NODES = 5


@pytest.fixture
def five() -> Iterator[Space]:
    """A lab of its own with a web pod on each of five nodes, and a client on the first."""
    with running_lab(f"five-{os.getpid()}", "--replicas", "1", "--nodes", str(NODES)) as cluster:
        space = Space(cluster, "default")
        space.apply((EXAMPLES / "web.yaml").read_text().replace("replicas: 3", f"replicas: {NODES}"))
        space.apply(client("n1"))
        space.wait_ready("client")
        pods = space.wait_pods("app=web", NODES)
        assert len({pod["spec"]["nodeName"] for pod in pods}) == NODES
        for source in ("n1", space.pod("client")):
            space.wait_answers(source, "web", answers=NODES)
        yield space


def test_a_host_is_cut_off_and_another_dies_and_the_pods_of_both_run_elsewhere(five):
    lab = five.cluster.lab

    def cut() -> None:
        network.cut_link(lab, lab.host("n4"), up=False)
        labs.kill_host(lab, lab.host("n5"))

    lose(five, {"n4", "n5"}, "of five nodes one cut off and one without power", cut)
    eventually("two nodes are lost", lambda: five.cluster.ready_nodes() == {"n1", "n2", "n3"})
