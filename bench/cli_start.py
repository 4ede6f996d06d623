"""What it costs to start `tim`: CPU and wall time of a few commands, beside Python itself and kubectl, in one run.

    python bench/cli_start.py [--runs 15]

A real `tim get pods` is measured when a client configuration is found (TIMCONFIG).
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

TIM = str(Path(sys.executable).parent / "tim")
HEAVY = ("numpy", "cryptography", "aiohttp", "structlog", "controlplane", "agent", "netplugin", "pyroute2")


def once(command: list[str]) -> tuple[float, float]:
    """(wall, CPU) seconds of one run."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime


def measure(title: str, command: list[str], runs: int) -> None:
    once(command)  # files into the cache
    walls, cpus = zip(*(once(command) for _ in range(runs)), strict=True)
    print(
        f"{title:<28} CPU {min(cpus) * 1000:5.0f} ms least {statistics.median(cpus) * 1000:5.0f} ms median"
        f"   wall {min(walls) * 1000:5.0f} ms least {statistics.median(walls) * 1000:5.0f} ms median"
    )


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


def main() -> None:
    parser = argparse.ArgumentParser(description="Start-up of the command line")
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    one, five, _ = os.getloadavg()
    print(
        f"{os.cpu_count()} cores, load {one:.1f} (1 min) {five:.1f} (5 min), Python {sys.version.split()[0]}, {runs} runs each"
    )
    measure("python -c pass", [sys.executable, "-c", "pass"], runs)
    for words in (["--help"], ["get", "--help"], ["create", "ns", "x", "--dry-run=client"]):
        measure("tim " + " ".join(words), [TIM, *words], runs)
    if os.environ.get("TIMCONFIG"):
        measure("tim get pods", [TIM, "get", "pods"], runs)
    kubectl = shutil.which("kubectl")
    if kubectl:
        measure("kubectl version --client", [kubectl, "version", "--client"], runs)
    for words in (["--help"], ["get", "--help"], ["get", "pods"]):
        print(f"heavy modules in `tim {' '.join(words)}`: {' '.join(heavy_modules(words)) or 'none'}")


if __name__ == "__main__":
    main()
