"""Labs for parts that need hosts, agents and containers: made under a name of their own and removed whatever happens."""

from __future__ import annotations

import re
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from bench.processes import Memory, children, count, memory
from component.env import system_env
from lab import cluster, machine
from lab.layout import Host, Lab
from lab.podman_remains import remove_cgroup

REPLICAS = 3
NODES = 3
GRACE_SECONDS = 30.0


@contextmanager
def running_lab(
    steps: list[tuple[float, str]] | None = None, *, replicas: int = REPLICAS, nodes: int = NODES
) -> Iterator[Lab]:
    """A lab whose nodes are Ready. `steps` receives when (seconds since the epoch) which step began."""
    name = f"bench-{uuid.uuid4().hex[:6]}"

    def tell(line: str) -> None:
        if steps is not None:
            steps.append((time.time(), line))

    try:
        yield cluster.up(name, replicas, nodes, system_env(), tell, egress=False)
    finally:
        cluster.down(name, tell=tell)
        remove_cgroup(_podman_cgroup(name))


def nodes(lab: Lab) -> list[Host]:
    return [host for host in lab.hosts if host.role == "node"]


def process_memory(lab: Lab) -> dict[tuple[str, str], Memory]:
    """Memory of every process of the lab by (host, program); conmon's of a host are one row."""
    found = {}
    for row in cluster.status(lab):
        listed = {name: each["pid"] for name, each in row["processes"].items()} | {"holder (lab only)": row["pid"]}
        for name, pid in listed.items():
            found[row["host"], name] = memory(pid)
        if row["role"] == "node":
            inside = machine.processes([row["pid"]])
            monitors = count("conmon", inside)
            if monitors:
                found[row["host"], f"{len(monitors)} x conmon"] = sum(map(memory, monitors), Memory(0, 0, 0))
            assert children(row["pid"]), f"holder of {row['host']} has no children"
    return found


class PodmanRun:
    """`podman run` in a host of the lab: its own mount namespace, storage and image store; no network."""

    def __init__(self, lab: Lab, host: Host, logs: Path) -> None:
        podman = cluster.podman_of(lab, host)
        flags = podman.command()
        self._podman = machine.enter(host, flags[: flags.index("system")])
        self._environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **podman.environment()}
        self._host = host
        self._logs = logs

    def start(self, name: str, image: str, command: list[str]) -> subprocess.Popen[bytes]:
        """Start `podman run --detach`; the log is a file as the agent's are."""
        options = ["--detach", "--network=none", "--name", name, "--log-driver=k8s-file"]
        options += ["--log-opt", f"path={self._log(name)}", f"--cgroup-parent={_podman_cgroup(self._host.lab)}"]
        return self._spawn(["run", *options, image, *command])

    def first_line_time(self, name: str, seconds: float = 30.0) -> float:
        """When the container's first line reached its log, seconds since the epoch."""
        return first_line_time(self._log(name), seconds)

    def remove(self, *names: str) -> subprocess.Popen[bytes]:
        return self._spawn(["rm", "--force", "--time", "5", *names])

    def _log(self, name: str) -> Path:
        return self._logs / f"{self._host.name}-{name}.log"

    def _spawn(self, words: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*self._podman, *words], env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )


def _podman_cgroup(lab: str) -> str:
    return f"/timonier-{lab}"


def first_line_time(path: Path, seconds: float = 30.0) -> float:
    """When the first line of a log in CRI format was printed, seconds since the epoch, as conmon noted it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            line = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            line = ""
        if "\n" in line:
            return epoch(line.split(" ", 1)[0])
        time.sleep(0.002)
    raise SystemExit(f"bench: nothing was printed to {path}")


def epoch(stamp: str) -> float:
    """RFC 3339 with nanoseconds to seconds since the epoch."""
    whole, fraction, zone = re.fullmatch(r"(.*?)(\.\d+)?(Z|[+-]\d\d:\d\d)", stamp).groups()
    return datetime.fromisoformat(whole + zone.replace("Z", "+00:00")).timestamp() + float(fraction or 0)
