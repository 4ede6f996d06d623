"""What it costs to start `tim` and to look at something: CPU and wall time beside Python itself and kubectl, in one run.

Both ask the same lab of one replica and one node, `tim` over gRPC and kubectl over HTTPS: for its pods, and for 2,000
ConfigMaps of 1 KB.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from bench.labs import running_lab
from bench.report import Report, run_part
from component.env import system_env
from lab import cluster
from lab.layout import Lab

TIM = str(Path(sys.executable).parent / "tim")
HEAVY = ("numpy", "cryptography", "aiohttp", "structlog", "controlplane", "agent", "netplugin", "pyroute2")
RUNS = 15
AIM_MS = 150
MANY, AT_ONCE, VALUE_BYTES = 2_000, 16, 1024
ASKED = ("get", "pods"), ("get", "configmaps", "--namespace", "many")
PYTHON = [sys.executable, "-c", "pass"]


def bench(report: Report, quick: bool) -> None:
    runs = 5 if quick else RUNS
    report.setting(f"{runs} runs each after one that does not count, medians; byte code is cached, as pip leaves it")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    commands = {"python -c pass": PYTHON}
    for words in (["--help"], ["get", "--help"], ["create", "ns", "x", "--dry-run=client"]):
        commands["tim " + " ".join(words)] = [TIM, *words]
    rows = [(title, *measured(command, runs, environment)) for title, command in commands.items()]
    clients = {"tim": TIM} | ({"kubectl": found} if (found := shutil.which("kubectl")) else {})
    with running_lab(replicas=1, nodes=1) as lab, tempfile.TemporaryDirectory() as home:
        asyncio.run(fill(lab))
        environment |= {"TIMCONFIG": str(lab.admin_conf), "KUBECONFIG": str(lab.admin_conf), "HOME": home}
        for words in ASKED:
            asked = {name: measured([path, *words], runs, environment) for name, path in clients.items()}
            rows += [(f"{name} {' '.join(words)}", *times) for name, times in asked.items()]
            what = "tim get pods, wall" if words == ASKED[0] else f"tim get of {MANY:,} ConfigMaps, wall"
            peer = {"peer": asked["kubectl"][2], "peer_name": "kubectl"} if "kubectl" in asked else {}
            report.figure(what, asked["tim"][2], "ms", aim=AIM_MS if words == ASKED[0] else None, **peer)
    report.table(("command", "CPU ms", "least", "wall ms", "least"), rows)
    for words in (["--help"], ["get", "--help"], ["get", "pods"]):
        report.say(f"  heavy modules in `tim {' '.join(words)}`: {' '.join(heavy_modules(words)) or 'none'}")


async def fill(lab: Lab) -> None:
    """The objects of the long list."""
    async with cluster.client_of(lab, system_env()) as client:
        await client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "many"}})
        for first in range(0, MANY, AT_ONCE):
            await asyncio.gather(*(client.create(config_map(number)) for number in range(first, first + AT_ONCE)))


def config_map(number: int) -> dict[str, object]:
    """One of them."""
    metadata = {"name": f"c{number}", "namespace": "many"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"value": "x" * VALUE_BYTES}}


def measured(command: list[str], runs: int, environment: Mapping[str, str]) -> tuple[float, float, float, float]:
    """CPU and wall milliseconds: median and least of each."""
    once(command, environment)  # files into the cache
    walls, cpus = zip(*(once(command, environment) for _ in range(runs)), strict=True)
    return statistics.median(cpus), min(cpus), statistics.median(walls), min(walls)


def once(command: list[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """(wall, CPU) milliseconds of one run."""
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"bench: {' '.join(command)} failed with {process.returncode}")
    return wall * 1e3, (usage.ru_utime + usage.ru_stime) * 1e3


def heavy_modules(words: list[str]) -> list[str]:
    """Which of the modules that a start must not load are loaded by it."""
    code = (
        f"import sys; sys.argv = {['tim', *words]!r}\nfrom cli.main import main\ntry: main()\nexcept SystemExit: pass\n"
    )
    code += f"print(*(each for each in {HEAVY!r} if each in sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
    )
    return done.stderr.splitlines()[-1].split()


if __name__ == "__main__":
    run_part("cli_start", __doc__, bench)
