"""How long a pod's containers take to start through our runtime, beside `podman run` and the bare OCI runtime.

Each round starts one container in each of the three ways, one after the other, so that they see the same machine:

- ours: sandbox (net, ipc, uts, shm), create and start through Podman's API; returns when the process runs
- podman run: `podman run --detach --network none` of the same image on the same storage
- crun: overlay mount and `crun run --detach` with new namespaces and a cgroup: no engine, no log, nobody waiting

Needs root. Uses a Podman service, storage and cgroup of its own and removes them.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from pathlib import Path

from agent.runtime import kernel
from agent.runtime.podman import PodmanRuntime
from agent.runtime.protocol import ContainerSpec
from bench.report import Report, percentile, run_part, version_of
from component.env import system_env
from lab.images import BUSYBOX, build_images
from lab.podman import PrivatePodman

COMMAND = ("sh", "-c", "echo up; exec sleep 1000")
ROUNDS = 30


async def measure(podman, rounds):
    runtime = PodmanRuntime(podman.socket_path, podman.run_dir, podman.data_dir, system_env())
    took = defaultdict(list)
    floor = Floor(podman)
    exits = runtime.exits()
    try:
        for number in range(rounds + 1):
            measured = took if number else defaultdict(list)  # the first round warms caches
            await ours(runtime, podman, exits, number, measured)
            await asyncio.to_thread(podman_run, podman, number, measured)
            measured["crun"].append(await asyncio.to_thread(floor.run))
    finally:
        floor.close()
        await exits.aclose()
        await runtime.close()
    return took


async def ours(runtime, podman, exits, number, took):
    uid = f"bench-{number}"
    begin = time.perf_counter()
    sandbox = await runtime.make_sandbox(uid, "bench", shm_bytes=64 << 20, host_network=False, host_ipc=False)
    pinned = time.perf_counter()
    spec = ContainerSpec(
        pod_uid=uid,
        pod_namespace="default",
        pod_name=uid,
        name="main",
        attempt=0,
        spec_hash="1",
        image=BUSYBOX,
        sandbox=sandbox,
        log_path=str(podman.root / "logs" / f"{uid}.log"),
        cgroup_parent=f"{podman.cgroup_root}/pod{uid}",
        command=COMMAND,
    )
    container = await runtime.create(spec)
    created = time.perf_counter()
    await runtime.start(container.id)
    started = time.perf_counter()
    took["ours"].append(started - begin)
    took["  sandbox"].append(pinned - begin)
    took["  create"].append(created - pinned)
    took["  start"].append(started - created)
    begin = time.perf_counter()
    await runtime.exec_sync(container.id, ["true"], 10)
    took["exec of a probe"].append(time.perf_counter() - begin)
    begin = time.perf_counter()
    await runtime.signal(container.id, 9)
    await anext(exits)
    took["SIGKILL to exit event"].append(time.perf_counter() - begin)
    begin = time.perf_counter()
    await runtime.remove(container.id)
    await runtime.remove_sandbox(uid)
    took["removal of an ended pod"].append(time.perf_counter() - begin)


def podman_run(podman, number, took):
    flags = podman.host.command()
    flags = flags[: flags.index("system")]
    environment = {**os.environ, **podman.host.environment()}
    name = f"run-{number}"
    parent = f"--cgroup-parent={podman.cgroup_root}/run"
    run = [
        *podman.enter_command(),
        *flags,
        "run",
        "--detach",
        "--network=none",
        parent,
        "--name",
        name,
        BUSYBOX,
        *COMMAND,
    ]
    begin = time.perf_counter()
    subprocess.run(run, env=environment, check=True, capture_output=True)
    took["podman run"].append(time.perf_counter() - begin)
    remove = [*podman.enter_command(), *flags, "rm", "--force", "--time", "0", name]
    subprocess.run(remove, env=environment, check=True, capture_output=True)


class Floor:
    """A child in the service's mount namespace that starts one container per line of input."""

    def __init__(self, podman):
        self.folder = podman.root / "floor"
        self.folder.mkdir()
        layers = podman.host.image_store / "overlay"
        layer = next(path for path in layers.iterdir() if (path / "diff" / "bin" / "busybox").exists())
        command = [
            *podman.enter_command(),
            sys.executable,
            "-m",
            "bench.pod_start_floor",
            "--floor",
            str(self.folder),
            str(layer / "diff"),
        ]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        self.child = subprocess.Popen(
            [*command, podman.cgroup_root], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self):
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        return float(self.child.stdout.readline())

    def close(self):
        self.child.stdin.close()
        self.child.wait()
        self.child.stdout.close()


def serve_floor(folder, layer, cgroup_root):
    base = json.loads(subprocess.run(["crun", "spec", "-f", "/dev/stdout"], check=True, capture_output=True).stdout)
    base["process"] |= {"args": list(COMMAND), "terminal": False}
    base["process"].pop("rlimits", None)
    base["root"] = {"path": "rootfs", "readonly": False}
    for number, _ in enumerate(sys.stdin):
        bundle = Path(folder, str(number))
        for name in ("rootfs", "upper", "work"):
            (bundle / name).mkdir(parents=True)
        identity = f"{Path(cgroup_root).name}-floor-{number}"
        base["linux"]["cgroupsPath"] = f"{cgroup_root}/floor/{identity}"
        begin = time.perf_counter()
        options = f"lowerdir={layer},upperdir={bundle}/upper,workdir={bundle}/work"
        kernel.mount("overlay", str(bundle / "rootfs"), "overlay", 0, options)
        (bundle / "config.json").write_text(json.dumps(base))
        subprocess.run(
            ["crun", "run", "--detach", "--bundle", str(bundle), identity],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        print(time.perf_counter() - begin, flush=True)
        subprocess.run(["crun", "delete", "--force", identity], check=True)
        kernel.unmount(str(bundle / "rootfs"))


def bench(report: Report, quick: bool) -> None:
    rounds = 5 if quick else ROUNDS
    name = f"timonier-bench-{uuid.uuid4().hex[:8]}"
    images = Path(tempfile.mkdtemp(prefix="timonier-images-"))
    podman = PrivatePodman(Path(tempfile.gettempdir(), name), None, images / "store", name)
    try:
        build_images(images / "store")
        podman.start()
        report.setting(
            f"{version_of('podman', '--version')}, crun, overlay on disk; {rounds} rounds, one container at a time"
        )
        took = asyncio.run(measure(podman, rounds))
    finally:
        podman.stop()
        shutil.rmtree(images, ignore_errors=True)
    rows = [(key, *(percentile(seconds, each) * 1e3 for each in (0.5, 0.95, 0))) for key, seconds in took.items()]
    report.table(("ms", "p50", "p95", "min"), rows)
    ours, run, crun = (percentile(took[key], 0.5) * 1e3 for key in ("ours", "podman run", "crun"))
    report.figure("runtime alone: container started, p50", ours, "ms", peer=run, peer_name="podman run")
    report.figure("runtime alone: container started, p50", ours, "ms", peer=crun, peer_name="crun")


def main() -> None:
    if sys.argv[1:2] == ["--floor"]:
        serve_floor(*sys.argv[2:])
        return
    run_part("pod_start_floor", __doc__ or "", bench)


if __name__ == "__main__":
    main()
