"""What quotas and limit ranges cost the creation of a pod: none in the namespace, none but elsewhere, one, three.

One replica over a log without disk or peers, in one process: CPU time of everything but client and wire. Compare ratios.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from bench.report import Report, run_part
from tests.admission_rig import limit_range, quota
from tests.api_server import ADMIN, pod, running_core

CLIENTS = 16
PLENTY = 1_000_000
BOUNDS = {"pods": PLENTY, "requests__cpu": PLENTY, "limits__memory": "1Pi"}


def sized(name, namespace):
    tree = pod(name, metadata={"namespace": namespace})
    tree["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "1", "memory": "1Mi"}}
    return tree


async def space(cluster, name, quotas, ranges):
    await cluster.local.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    for number in range(quotas):
        tree = quota(f"q{number}", **BOUNDS)
        tree["metadata"]["namespace"] = name
        await cluster.local.create(tree)
    for number in range(ranges):
        tree = limit_range({"type": "Container", "max": {"cpu": "2", "memory": "1Gi"}}, name=f"l{number}")
        tree["metadata"]["namespace"] = name
        await cluster.local.create(tree)


async def creating_us(cluster, namespace, creates):
    """CPU time of one creation."""

    async def work(client):
        for number in range(creates // CLIENTS):
            await cluster.core.create(ADMIN, sized(f"p{client}-{number}", namespace))

    cpu = time.process_time()
    await asyncio.gather(*(work(client) for client in range(CLIENTS)))
    return (time.process_time() - cpu) / (creates // CLIENTS * CLIENTS) * 1e6


SPACES = {
    "no quota anywhere": {},
    "quotas in another namespace only": {"elsewhere": (3, 1)},
    "one quota in the namespace": {"measured": (1, 0)},
    "three quotas in the namespace": {"measured": (3, 0)},
    "one limit range in the namespace": {"measured": (0, 1)},
}
"""What there is of quotas and limit ranges, by namespace, in each row: every one has a cluster of its own."""


async def measured(spaces, creates):
    with tempfile.TemporaryDirectory() as folder:
        async with running_core(Path(folder)) as cluster:
            for name, (quotas, ranges) in {"measured": (0, 0), **spaces}.items():
                await space(cluster, name, quotas, ranges)
            await creating_us(cluster, "default", creates // 4)
            return await creating_us(cluster, "measured", creates)


async def bench(report: Report, quick: bool) -> None:
    creates = 640 if quick else 2_560
    report.setting(f"{creates} pods each by {CLIENTS} tasks; quotas of pods, requests.cpu and limits.memory")
    rows = [(label, await measured(spaces, creates)) for label, spaces in SPACES.items()]
    report.table(("", "CPU us/create"), rows)
    us, plain = dict(rows), rows[0][1]
    for label, row in (("with one quota", "one quota in the namespace"), ("beside other quotas", rows[1][0])):
        report.figure(f"create {label}, CPU", us[row], "us", peer=plain, peer_name="no quota")


def main() -> None:
    run_part("quota", __doc__ or "", bench)


if __name__ == "__main__":
    main()
