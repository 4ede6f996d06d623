"""Keeping the cores of a virtual machine from sleeping while something is measured.

A core with nothing to do is handed back to the host, which lets a minute of 10,000 short waits become one of long ones: the
core comes back when the host finds the time, and finds its caches filled by others. A loop that runs only when nothing
else wants the core prevents that, as `idle=poll` on the kernel's command line would. It holds for a peer in the same
run as for us. On a machine of its own nothing is gained, so nothing is done there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOP = """
import os, sys
core, parent = int(sys.argv[1]), int(sys.argv[2])
os.sched_setaffinity(0, {core})
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""


def virtual() -> bool:
    """Whether a hypervisor runs this machine: CPUID says so to its kernel."""
    lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    return any("hypervisor" in line.split() for line in lines if line.startswith("flags"))


@contextmanager
def awake_cores() -> Iterator[int]:
    """Keep every core that this process may use awake, if the machine is a virtual one; yields how many.

    The loops run at idle priority (SCHED_IDLE): whoever is ready takes the core from them at once. They end with this
    process, however it ends.
    """
    cores = sorted(os.sched_getaffinity(0)) if virtual() else []
    command = [sys.executable, "-I", "-S", "-c", _LOOP]
    loops = [subprocess.Popen([*command, str(core), str(os.getpid())]) for core in cores]
    try:
        yield len(loops)
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
