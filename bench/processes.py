"""What processes use, read from /proc: CPU time and resident memory; and CPU time that the machine was not given."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Memory:
    """Megabytes (2**20). PSS divides shared pages by their users, RSS counts them whole, private is nobody else's."""

    pss: float
    rss: float
    private: float

    def __add__(self, other: Memory) -> Memory:
        return Memory(self.pss + other.pss, self.rss + other.rss, self.private + other.private)


def memory(pid: int) -> Memory:
    """Of one process; ProcessLookupError or FileNotFoundError when it is gone."""
    fields = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
        name, value = line.split(":")
        fields[name] = int(value.split()[0]) / 1024
    return Memory(fields["Pss"], fields["Rss"], fields["Private_Clean"] + fields["Private_Dirty"])


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time that these processes have used so far, in steps of a clock tick (10 ms)."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * _TICK_SECONDS


@dataclass(frozen=True, slots=True)
class CpuTime:
    """Of all cores since the machine started, in clock ticks; `stolen` went to others of the same host (proc_stat(5))."""

    total: int
    stolen: int

    def stolen_since(self, before: CpuTime) -> float:
        """The share, 0 to 1, of the time since `before` in which a virtual machine's cores were not given to it."""
        return (self.stolen - before.stolen) / max(self.total - before.total, 1)

    def stolen_seconds_since(self, before: CpuTime) -> float:
        """Of all cores together, in steps of a clock tick (10 ms)."""
        return (self.stolen - before.stolen) * _TICK_SECONDS


def cpu_time() -> CpuTime:
    """Until now."""
    with Path("/proc/stat").open(encoding="ascii") as file:
        ticks = [int(each) for each in file.readline().split()[1:9]]  # user to steal; guests are in user already
    return CpuTime(sum(ticks), ticks[7])


def children(parent: int) -> list[int]:
    """The direct children of a process."""
    found = []
    for task in Path(f"/proc/{parent}/task").iterdir():
        found += [int(pid) for pid in (task / "children").read_text(encoding="ascii").split()]
    return found


def count(name: str, pids: Iterable[int]) -> list[int]:
    """Those of the processes whose program has this name."""
    found = []
    for pid in pids:
        try:
            if Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() == name:
                found.append(pid)
        except OSError:
            continue
    return found
