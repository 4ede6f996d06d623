"""From `apply` of one pod to the first line of its log, beside `podman run` of the same image in the same lab host.

Both lines get their time from conmon, so nobody polls for it. A pod has its own network and goes through API, log,
scheduler and agent; `podman run` has no network here and no one to ask. Images are present. Rounds alternate.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from pathlib import Path
from typing import Self

import uvloop

from api.errors import NotFound
from api.object import Object, Tree
from bench.labs import PodmanRun, first_line_time, nodes, running_lab
from bench.report import Report, percentile, run_part, until, version_of
from component.env import system_env
from component.rpc_client import RpcClient
from lab import cluster
from lab.images import BUSYBOX
from lab.layout import Lab

COMMAND = ["sh", "-c", "trap 'exit 0' TERM; echo up; while :; do sleep 1000 & wait $!; done"]
WAIT_SECONDS = 30.0
PAUSE_SECONDS = 0.3
KUBERNETES_P50_MS = 1_097


def bench(report: Report, quick: bool) -> None:
    rounds = 5 if quick else 30
    report.setting(
        f"{version_of('podman', '--version')}, crun; lab of 3 replicas and 3 nodes, idle but for this; image {BUSYBOX}, "
        f"present; {rounds} pods, one after the other"
    )
    with running_lab() as lab, tempfile.TemporaryDirectory(prefix="timonier-bench-") as logs:
        pods, runs = uvloop.run(_alternate(lab, rounds, Path(logs)))
    columns = ("ms since apply", "p50", "p95", "min", "max")
    report.table(
        columns,
        [(step, *(percentile([pod[step] for pod in pods], each) for each in (0.5, 0.95, 0, 1))) for step in pods[0]]
        + [("podman run", *(percentile(runs, each) for each in (0.5, 0.95, 0, 1)))],
    )
    lines = [pod[LOGGED] for pod in pods]
    for name, fraction, aim in (("p50", 0.5, 250), ("p95", 0.95, None)):
        report.figure(
            f"pod, apply to first line of log, {name}",
            percentile(lines, fraction),
            "ms",
            peer=percentile(runs, fraction),
            peer_name="podman run",
            aim=aim,
        )
    report.say(
        f"  reference, measured elsewhere: Kubernetes 1.20 with containerd, one pod to Running {KUBERNETES_P50_MS:,} ms (p50)"
    )


LOGGED = "first line of its log"


async def _alternate(lab: Lab, rounds: int, logs: Path) -> tuple[list[dict[str, float]], list[float]]:
    pods, runs = [], []
    podman = PodmanRun(lab, nodes(lab)[0], logs)
    async with cluster.client_of(lab, system_env()) as client, Watcher(client) as watcher:
        for number in range(rounds + 1):
            pod = await _pod(lab, client, watcher, f"p{number}")
            run = await asyncio.to_thread(_podman_run, podman, f"run{number}")
            if number:  # the first round warms caches
                pods.append(pod)
                runs.append(run)
    return pods, runs


def tree_of(name: str) -> Tree:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "terminationGracePeriodSeconds": 5,
            "containers": [{"name": "main", "image": BUSYBOX, "command": COMMAND}],
        },
    }


async def _pod(lab: Lab, client: RpcClient, watcher: Watcher, name: str) -> dict[str, float]:
    await asyncio.sleep(PAUSE_SECONDS)
    began = time.time()
    await client.apply(tree_of(name))
    steps = {"answer to apply": time.time()}
    running = await watcher.until(name, lambda pod: pod["status"].get("phase") == "Running")
    pod = running.tree()
    host, uid = lab.host(pod["spec"]["nodeName"]), pod["metadata"]["uid"]
    steps["bound, seen by a watch"] = watcher.first_time(name, lambda pod: pod["spec"].get("nodeName"))
    sandbox = host.run_dir / "agent" / "sandboxes" / uid
    steps["sandbox: namespaces pinned"] = sandbox.stat().st_mtime
    path = host.state_dir / "agent" / "pods" / uid / "logs" / "main" / "0.log"
    steps["container being created (its log folder)"] = path.parent.stat().st_mtime
    steps[LOGGED] = await asyncio.to_thread(first_line_time, path)
    steps["Running, seen by a watch"] = watcher.first_time(name, lambda pod: pod["status"].get("phase") == "Running")
    await client.delete("pods", "default", name)

    async def gone() -> bool:
        with contextlib.suppress(NotFound):
            await client.get("pods", "default", name)
            return False
        return True

    await until(gone, WAIT_SECONDS, f"pod {name} gone")
    return {step: (when - began) * 1e3 for step, when in steps.items()}


def _podman_run(podman: PodmanRun, name: str) -> float:
    time.sleep(PAUSE_SECONDS)
    began = time.time()
    started = podman.start(name, BUSYBOX, COMMAND)
    line_time = podman.first_line_time(name)
    if started.wait():
        raise SystemExit("bench: podman run failed")
    podman.remove(name).wait()
    return (line_time - began) * 1e3


class Watcher:
    """Remembers every state of every pod it saw, and when."""

    def __init__(self, client: RpcClient) -> None:
        self._client = client
        self._seen: dict[str, list[tuple[float, Object]]] = {}
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._task = asyncio.ensure_future(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def until(self, name: str, test) -> Object:
        """The first state of the pod that passes."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                for _, each in self._seen.get(name, ()):
                    if test(each.tree()):
                        return each
                self._changed.clear()
                await self._changed.wait()

    def first_time(self, name: str, test) -> float:
        """When the first state that passes was seen."""
        return next(when for when, each in self._seen[name] if test(each.tree()))

    async def _watch(self) -> None:
        async for batch in self._client.watch("pods", "default"):
            now = time.time()
            for event in batch:
                if event.object is not None and event.type != "DELETED":
                    self._seen.setdefault(event.object.name, []).append((now, event.object))
            self._changed.set()


def main() -> None:
    run_part("pod_start", __doc__ or "", bench)


if __name__ == "__main__":
    main()
