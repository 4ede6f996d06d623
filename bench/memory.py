"""Resident memory of every process of a lab, idle and after a load, and how large the load was.

PSS divides pages that several processes share (the interpreter, libraries); on a machine of its own a process costs
between its PSS here and its RSS. Aims are held against PSS. The peer is etcd, which stores but does not serve objects.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
import uuid
from pathlib import Path

import uvloop

from bench import etcd as peer
from bench.api_calls import VALUE_BYTES
from bench.deployment import ready, tree_of
from bench.labs import process_memory, running_lab
from bench.processes import Memory, memory
from bench.report import Report, run_part
from component import rpc
from component.env import system_env
from lab import cluster
from lab.layout import Lab

SETTLE_SECONDS = 5.0
PODS = 30
WRITERS = 16
REPLICA_AIM, AGENT_AIM = 140, 90


def bench(report: Report, quick: bool) -> None:
    objects = 1_000 if quick else 10_000
    report.setting(
        f"lab of 3 replicas and 3 nodes; load: {objects} ConfigMaps of {VALUE_BYTES} bytes by {WRITERS} writers, every second one "
        f"deleted again, {PODS} pods running; read {SETTLE_SECONDS:g} s later"
    )
    with running_lab() as lab:
        time.sleep(SETTLE_SECONDS)
        idle = process_memory(lab)
        stored = uvloop.run(_load(lab, objects))
        time.sleep(SETTLE_SECONDS)
        after = process_memory(lab)
    report.say(f"  objects stored after the load: {', '.join(f'{count} {kind}' for kind, count in stored.items())}")
    nothing = Memory(0, 0, 0)
    rows = []
    for key in sorted(idle.keys() | after.keys()):
        before, then = idle.get(key, nothing), after.get(key, nothing)
        rows.append((" ".join(key), before.pss, before.rss, then.pss, then.rss, then.private))
    report.table(("MB", "idle PSS", "idle RSS", "PSS after load", "RSS after load", "private"), rows)
    etcd = uvloop.run(_etcd(objects))
    for state, listed, other in (("idle", idle, etcd[0]), ("after load", after, etcd[1])):
        replica = max(
            (listed[host, "raft"] + listed[host, "api"] for host in ("r1", "r2", "r3")), key=lambda each: each.pss
        )
        agent = max((listed[host, "agent"] for host in ("n1", "n2", "n3")), key=lambda each: each.pss)
        report.figure(
            f"largest replica, both processes, {state}",
            replica.pss,
            "MB PSS",
            peer=other.pss,
            peer_name="etcd member",
            aim=REPLICA_AIM,
        )
        report.figure(f"largest agent, {state}", agent.pss, "MB PSS", aim=AGENT_AIM)


async def _load(lab: Lab, objects: int) -> dict[str, int]:
    async with cluster.client_of(lab, system_env()) as client:
        await client.apply(tree_of("load", PODS))
        await ready(client, "load", PODS)
        kinds = ("pods", "events", "configmaps")

        async def write(first: int) -> None:
            for number in range(first, objects, WRITERS):
                name, uid = f"c{number}", str(uuid.UUID(int=number, version=4))
                metadata = {"name": name, "namespace": "default", "uid": uid}
                await client.create(
                    {
                        "apiVersion": "v1",
                        "kind": "ConfigMap",
                        "metadata": metadata,
                        "data": {"value": "x" * VALUE_BYTES},
                    }
                )
                if number % 2:
                    await client.delete("configmaps", "default", name, uid=uid)

        await asyncio.gather(*(write(first) for first in range(WRITERS)))
        return {kind: len((await client.list(kind)).items) for kind in kinds}


async def _etcd(objects: int) -> tuple[Memory, Memory]:
    """The largest member, idle and after as many keys."""
    folder = Path(tempfile.mkdtemp(prefix="timonier-bench-"))
    etcd = peer.Etcd(folder / "etcd", time.time())
    try:
        etcd.start()
        channel = rpc.channel(etcd.endpoints[await etcd.leader()], etcd.tls)
        put = channel.unary_unary(peer.PUT)
        await asyncio.sleep(SETTLE_SECONDS)
        idle = _largest(etcd)

        async def write(first: int) -> None:
            for number in range(first, objects, WRITERS):
                await put(peer.put(b"c%d" % number, b"x" * VALUE_BYTES), timeout=30)

        await asyncio.gather(*(write(first) for first in range(WRITERS)))
        await channel.close()
        await asyncio.sleep(SETTLE_SECONDS)
        return idle, _largest(etcd)
    finally:
        etcd.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _largest(etcd: peer.Etcd) -> Memory:
    return max(map(memory, etcd.pids), key=lambda each: each.pss)


def main() -> None:
    run_part("memory", __doc__ or "", bench)


if __name__ == "__main__":
    main()
