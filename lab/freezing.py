"""Hosts and processes that stand still: SIGSTOP and SIGCONT, as a paused virtual machine looks to the others."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Sequence
from typing import Final

from lab import machine
from lab.layout import Host, LabProblem

STOP_POLLS: Final = 2_000  # a process that waits for a disk stops when that answers
POLL_SECONDS: Final = 0.001


def freeze(host: Host, process: str = "") -> None:
    """Stop one program of a host, or all processes of it, containers included. LabProblem when it does not run."""
    if process:
        _stop([_pid_of(host, process)])
        return
    stopped: set[int] = set()
    holder = _holder(host)
    while found := machine.processes([holder]) - stopped:  # again until nothing was started meanwhile
        _stop(sorted(found, key=lambda pid: pid != holder))
        stopped |= found


def thaw(host: Host, process: str = "") -> None:
    """Let one program of a host, or all of it, go on. Nothing happens to what is not frozen."""
    if process:
        _signal([_pid_of(host, process)], signal.SIGCONT)
        return
    holder = _holder(host)
    _signal(sorted(machine.processes([holder]), key=lambda pid: pid == holder), signal.SIGCONT)


def _holder(host: Host) -> int:
    pid = machine.holder_pid(host)
    if not pid:
        raise LabProblem(f"host {host.name} is down: start it with `tim lab start {host.name}`")
    return pid


def _pid_of(host: Host, process: str) -> int:
    running = machine.ask(host, {"do": "status"})["processes"]
    if process not in running:
        raise LabProblem(f"host {host.name} runs no {process!r}; it runs: {', '.join(running)}")
    if not running[process]["pid"]:
        raise LabProblem(f"{process} on host {host.name} does not run just now: try again")
    return int(running[process]["pid"])


def _stop(pids: Sequence[int]) -> None:
    """Stop processes, and return once they stand still: until then each may start another one."""
    _signal(pids, signal.SIGSTOP)
    for _ in range(STOP_POLLS):
        if all(map(machine.stands_still, pids)):
            return
        time.sleep(POLL_SECONDS)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
