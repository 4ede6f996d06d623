"""A Deployment of ten: from `apply` to ten ready replicas, and from its deletion to no pod left, beside `podman run`.

The peer starts and removes the same ten containers on the same hosts, all at once, without network, scheduler or
anyone to tell. Images are present; the containers have no probe and end at TERM.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import uvloop

from api.object import Tree
from bench.labs import PodmanRun, nodes, running_lab
from bench.pod_start import COMMAND
from bench.report import Report, percentile, run_part
from component.env import system_env
from component.rpc_client import RpcClient
from lab import cluster
from lab.images import BUSYBOX
from lab.layout import Lab

REPLICAS = 10
WAIT_SECONDS = 60.0
KUBERNETES = "Kubernetes 1.20 with containerd, ten ready in 6,600-8,400 ms, gone in 8,200 ms"


def bench(report: Report, quick: bool) -> None:
    rounds = 2 if quick else 6
    report.setting(
        f"lab of 3 replicas and 3 nodes, nothing else on it; image {BUSYBOX}, present; {rounds} rounds in turns"
    )
    with running_lab() as lab, tempfile.TemporaryDirectory(prefix="timonier-bench-") as logs:
        ours, theirs = uvloop.run(_alternate(lab, rounds, Path(logs)))
    for index, (name, aim) in enumerate((("ten ready", 2_000), ("ten gone", None))):
        for label, fraction in (("p50", 0.5), ("max", 1)):
            report.figure(
                f"Deployment, {name}, {label}",
                percentile([each[index] for each in ours], fraction),
                "ms",
                peer=percentile([each[index] for each in theirs], fraction),
                peer_name="10 x podman",
                aim=aim,
            )
    report.say(f"  reference, measured elsewhere: {KUBERNETES}")


def tree_of(name: str, replicas: int) -> Tree:
    labels = {"app": name}
    container = {"name": "main", "image": BUSYBOX, "command": COMMAND}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"terminationGracePeriodSeconds": 5, "containers": [container]},
            },
        },
    }


async def ready(client: RpcClient, name: str, replicas: int) -> None:
    """Return once so many replicas are ready."""
    async with asyncio.timeout(WAIT_SECONDS):
        async for batch in client.watch("deployments.apps", "default", field_selector=f"metadata.name={name}"):
            for event in batch:
                status = event.object.tree().get("status", {}) if event.object is not None else {}
                if status.get("readyReplicas") == replicas:
                    return


async def gone(client: RpcClient, name: str) -> None:
    """Return once no pod of it is left."""
    left: set[str] = set()
    async with asyncio.timeout(WAIT_SECONDS):
        async for batch in client.watch("pods", "default", label_selector=f"app={name}"):
            for event in batch:
                if event.type == "DELETED" and event.object is not None:
                    left.discard(event.object.name)
                elif event.object is not None:
                    left.add(event.object.name)
            if not left:
                return


async def _alternate(lab: Lab, rounds: int, logs: Path) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    ours, theirs = [], []
    hosts = [PodmanRun(lab, host, logs) for host in nodes(lab)]
    async with cluster.client_of(lab, system_env()) as client:
        for number in range(rounds + 1):
            mine, others = await _deployment(client, f"d{number}"), await asyncio.to_thread(_podman, hosts, number)
            if number:  # the first round warms caches
                ours.append(mine)
                theirs.append(others)
    return ours, theirs


async def _deployment(client: RpcClient, name: str) -> tuple[float, float]:
    began = time.perf_counter()
    await client.apply(tree_of(name, REPLICAS))
    await ready(client, name, REPLICAS)
    ready_time = time.perf_counter()
    await client.delete("deployments.apps", "default", name)
    await gone(client, name)
    return (ready_time - began) * 1e3, (time.perf_counter() - ready_time) * 1e3


def _podman(hosts: list[PodmanRun], number: int) -> tuple[float, float]:
    names = {f"run{number}-{each}": hosts[each % len(hosts)] for each in range(REPLICAS)}
    began = time.time()
    started = [host.start(name, BUSYBOX, COMMAND) for name, host in names.items()]
    line_time = max(host.first_line_time(name) for name, host in names.items())
    for process in started:
        process.wait()
    removed_time = time.perf_counter()
    removals = [host.remove(*(name for name, each in names.items() if each is host)) for host in hosts]
    for process in removals:
        process.wait()
    return (line_time - began) * 1e3, (time.perf_counter() - removed_time) * 1e3


def main() -> None:
    run_part("deployment", __doc__ or "", bench)


if __name__ == "__main__":
    main()
