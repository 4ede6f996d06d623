"""A lab's replicas killed or stopped again and again while a client writes: how long writes pause, and that none is lost.

    python -m bench.chaos_control_plane [--kills 10]

The leader's Raft process, its API process and both are stopped as planned (SIGTERM) and killed with signal 9, then all
replicas at once are killed, so many times each; all are well again before the next time. The time is from the kill
until the first write that began after it is acknowledged, by one client that writes without a pause. Beside it: the
longest pause between two writes until all is well again, which shows whether what was killed disturbs by coming back;
and, where all replicas are killed, the time since a majority's health endpoints said "ready" (0: before that was
noticed), without the supervisor's pauses before it starts a program again. It exits with 1 when an acknowledged write
is missing at the end.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from component.env import system_env
from lab import cluster as labs
from tests.e2e.cluster import Cluster, eventually
from tests.e2e.writer import Writer

NAMESPACE = "chaos"
PROCESSES = ("raft", "api")
SERIES: dict[str, tuple[tuple[str, ...], bool, signal.Signals]] = {
    "stop of raft of the leader": (("raft",), False, signal.SIGTERM),
    "stop of api of the leader": (("api",), False, signal.SIGTERM),
    "stop of both of the leader": (PROCESSES, False, signal.SIGTERM),
    "kill -9 of raft of the leader": (("raft",), False, signal.SIGKILL),
    "kill -9 of api of the leader": (("api",), False, signal.SIGKILL),
    "kill -9 of both of the leader": (PROCESSES, False, signal.SIGKILL),
    "kill -9 of all replicas": (PROCESSES, True, signal.SIGKILL),
}


class Pause(NamedTuple):
    """Seconds without a write: from the kill on, the longest until all was well, and since a majority was ready."""

    next_write: float
    longest: float
    ready: float | None  # where all replicas were killed


def main() -> None:
    """Make a lab, kill, print, remove the lab."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="of each kind")
    kills = parser.parse_args().kills
    name = f"chaos-{os.getpid()}"
    try:
        labs.up(name, 3, 1, system_env(), lambda _line: None, egress=False)
        cluster = Cluster(labs.load(name))
        try:
            missing = run(cluster, kills)
        finally:
            cluster.close()
    finally:
        labs.down(name, tell=lambda _line: None)
    sys.exit(1 if missing else 0)


def run(cluster: Cluster, kills: int) -> int:
    """Kill and print; returns how many acknowledged writes are missing."""
    cluster.apply(f"{{apiVersion: v1, kind: Namespace, metadata: {{name: {NAMESPACE}}}}}")
    with Writer(cluster, NAMESPACE) as writer:
        for title, (processes, everywhere, number) in SERIES.items():
            pauses = [pause(cluster, writer, processes, number, everywhere=everywhere) for _ in range(kills)]
            show(title, pauses)
    missing = len(writer.missing())
    print(f"{len(writer.acknowledged)} writes acknowledged, {missing} missing, {len(writer.problems)} told as failed")
    return missing


def pause(
    cluster: Cluster, writer: Writer, processes: Sequence[str], number: signal.Signals, *, everywhere: bool
) -> Pause:
    """Kill once, and wait until all is well again."""
    cluster.wait_healthy()
    leader = eventually("a replica leads", cluster.leader)
    hosts = [host.name for host in cluster.lab.hosts if host.role == "replica"] if everywhere else [leader]
    killed = [(host, process, cluster.kill(host, process, number)) for host in hosts for process in processes]
    instant = time.monotonic()
    ready = None
    if everywhere:
        eventually("a majority is ready", lambda: cluster.ready_replicas() > len(hosts) // 2)
        ready = time.monotonic() - instant
    cluster.wait_restarted(killed)
    writer.wait_for_another()
    outage = writer.outage_seconds(instant)
    since_ready = None if ready is None else max(0.0, outage - ready)
    return Pause(outage, writer.longest_pause_seconds(instant), since_ready)


def show(title: str, pauses: Sequence[Pause]) -> None:
    """The distributions in milliseconds, and the load of the machine, without which they say little."""
    for what, found in {
        "next write after": [each.next_write for each in pauses],
        "longest pause": [each.longest for each in pauses],
        "next write after a majority was ready": [each.ready for each in pauses if each.ready is not None],
    }.items():
        if found:
            ordered = " ".join(f"{seconds * 1000:.0f}" for seconds in sorted(found))
            print(f"{title}: {what}: p50 {statistics.median(found) * 1000:.0f} ms, all: {ordered}")
    print(f"  load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors", flush=True)


if __name__ == "__main__":
    main()
