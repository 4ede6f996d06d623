"""What it costs to start `tim`: CPU and wall time of a few commands, beside Python itself and kubectl, in one run.

`tim get pods` asks a running lab of one replica and one node. kubectl cannot (the cluster speaks gRPC), so its peer
is what kubectl needs to start without asking anybody.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from bench.labs import running_lab
from bench.report import Report, run_part

TIM = str(Path(sys.executable).parent / "tim")
HEAVY = ("numpy", "cryptography", "aiohttp", "structlog", "controlplane", "agent", "netplugin", "pyroute2")
RUNS = 15
AIM_MS = 150
PYTHON = [sys.executable, "-c", "pass"]


def bench(report: Report, quick: bool) -> None:
    runs = 5 if quick else RUNS
    report.setting(f"{runs} runs each after one that does not count, medians; byte code is cached, as pip leaves it")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    commands = {"python -c pass": PYTHON}
    for words in (["--help"], ["get", "--help"], ["create", "ns", "x", "--dry-run=client"]):
        commands["tim " + " ".join(words)] = [TIM, *words]
    kubectl = shutil.which("kubectl")
    if kubectl:
        commands["kubectl version --client"] = [kubectl, "version", "--client"]
    rows = [(title, *measured(command, runs, environment)) for title, command in commands.items()]
    with running_lab(replicas=1, nodes=1) as lab:
        environment["TIMCONFIG"] = str(lab.admin_conf)
        asked = measured([TIM, "get", "pods"], runs, environment)
        rows.append(("tim get pods", *asked))
    report.table(("command", "CPU ms", "least", "wall ms", "least"), rows)
    walls = {row[0]: row[3] for row in rows}
    peer = {"peer": walls["kubectl version --client"], "peer_name": "kubectl version --client"} if kubectl else {}
    report.figure("tim get pods, wall", asked[2], "ms", aim=AIM_MS, **peer)
    for words in (["--help"], ["get", "--help"], ["get", "pods"]):
        report.say(f"  heavy modules in `tim {' '.join(words)}`: {' '.join(heavy_modules(words)) or 'none'}")


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
