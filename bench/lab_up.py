"""How long a lab of three replicas and three nodes takes until every node is Ready, step by step, and to remove.

Its floor in the same run is importing what the slowest program imports: no process can be up before.
"""

from __future__ import annotations

import subprocess
import sys
import time

from bench.labs import NODES, REPLICAS, running_lab
from bench.report import Report, percentile, run_part

AIM_SECONDS = 15
IMPORTS = ("controlplane.raft.main", "controlplane.server", "agent.node_agent")


def bench(report: Report, quick: bool) -> None:
    rounds = 1 if quick else 3
    report.setting(
        f"{REPLICAS} replicas and {NODES} nodes, no egress; images built from nothing each time; {rounds} rounds"
    )
    ups, downs = [], []
    for _ in range(rounds):
        steps: list[tuple[float, str]] = []
        began = time.time()
        with running_lab(steps):
            ups.append(time.time() - began)
            removal_time = time.time()
            lasted = [
                (line, until - since) for (since, line), until in zip(steps, _ends(steps, removal_time), strict=True)
            ]
        downs.append(time.time() - removal_time)
    report.table(("last round", "seconds"), lasted)
    floor = sum(_import_seconds(module) for module in IMPORTS)
    report.figure(
        f"lab of {REPLICAS}+{NODES} ready",
        percentile(ups, 0.5),
        "s",
        peer=floor * 3 / 2,
        peer_name="importing alone (CPU of 9 processes on 2 cores)",
        aim=AIM_SECONDS,
    )
    report.figure("lab removed", percentile(downs, 0.5), "s")


def _ends(steps: list[tuple[float, str]], last: float) -> list[float]:
    return [when for when, _ in steps[1:]] + [last]


def _import_seconds(module: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
    return time.perf_counter() - began


def main() -> None:
    run_part("lab_up", __doc__ or "", bench)


if __name__ == "__main__":
    main()
