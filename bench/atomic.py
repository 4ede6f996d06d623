"""A hundred objects as one transaction, beside the same hundred one by one: time, CPU of the replicas, revisions seen.

Three replicas on loopback, fsync and mutual TLS on. Both sides use the same client; one by one is what `tim apply`
does, sixteen at once what an impatient client would do. They take turns; medians.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from api.errors import ApiError
from bench.processes import cpu_seconds
from bench.replicas import Replicas, leader_of
from bench.report import Report, fsync_ms, run_part, until
from component.client import Write

OBJECTS = 100
ROUNDS = 7
START_SECONDS = 60.0


def objects_of(round_name):
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"{round_name}-{number:03d}", "namespace": "default"},
            "data": {"key": "v" * 1024},
        }
        for number in range(OBJECTS)
    ]


async def atomic(client, trees):
    done = await client.transaction([Write("apply", tree) for tree in trees])
    assert done.committed


async def one_by_one(client, trees):
    for tree in trees:
        await client.apply(tree)


async def sixteen_at_once(client, trees):
    waiting = iter(trees)

    async def work():
        for tree in waiting:
            await client.apply(tree)

    await asyncio.gather(*(work() for _ in range(16)))


SIDES = {"one transaction": atomic, "one by one": one_by_one, "16 at once": sixteen_at_once}


async def bench(report: Report, quick: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        report.setting(f"{OBJECTS} ConfigMaps of 1 KB, fsync {fsync_ms(Path(folder)):.2f} ms, medians of {ROUNDS}")
        replicas = Replicas(Path(folder))
        replicas.start()
        try:
            async with replicas.client() as client:
                await until(lambda: _ready(client), START_SECONDS, "three replicas are ready")
                await _rounds(report, replicas, client, 2 if quick else ROUNDS)
        finally:
            replicas.stop()


async def _ready(client):
    try:
        return await leader_of(client) and await client.get("namespaces", "", "default")
    except ApiError:
        return None


async def _rounds(report, replicas, client, rounds):
    taken = {side: [] for side in SIDES}
    cpu = {side: [] for side in SIDES}
    for number in range(rounds + 1):
        for place, (side, work) in enumerate(SIDES.items()):
            trees = objects_of(f"r{number}-{place}")
            before, began = cpu_seconds(replicas.pids()), time.perf_counter()
            await work(client, trees)
            if number:  # the first round warms up
                taken[side].append((time.perf_counter() - began) * 1e3)
                cpu[side].append((cpu_seconds(replicas.pids()) - before) * 1e3)
    baseline = statistics.median(taken["one by one"])
    for side in SIDES:
        report.figure(side, statistics.median(taken[side]), "ms", peer=baseline, peer_name="one by one")
        report.figure("  CPU of the replicas", statistics.median(cpu[side]), "ms")


if __name__ == "__main__":
    run_part("atomic", __doc__, bench)
