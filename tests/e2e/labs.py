"""Labs of a test's own, for what no other test could live beside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from lab import cluster as labs
from tests.e2e.cluster import TIM, Cluster, run

UP_SECONDS = 120.0


@contextmanager
def running_lab(name: str, *options: str) -> Iterator[Cluster]:
    """What `tim lab up` makes with these options and without egress, removed afterwards whatever happens."""
    try:
        made = run([TIM, "lab", "up", "--name", name, *options, "--no-egress"], seconds=UP_SECONDS)
        assert made.code == 0, made.out + made.err
        connected = Cluster(labs.load(name))
        try:
            yield connected
        finally:
            connected.close()
    finally:
        run([TIM, "lab", "down", "--name", name], seconds=UP_SECONDS)


@contextmanager
def small_lab(letter: str) -> Iterator[Cluster]:
    """One replica and one node, named after the letter and this process."""
    with running_lab(f"e2e-{letter}-{os.getpid()}", "--replicas", "1", "--nodes", "1") as cluster:
        yield cluster
