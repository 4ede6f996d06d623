"""The loops that keep a virtual machine's cores awake while a benchmark runs: at idle priority, and gone afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import awake
from bench.processes import children

STARTED_SECONDS = 60.0
HOLDER = """
import signal
from bench import awake
awake.virtual = lambda: True
with awake.awake_cores():
    signal.pause()
"""


def eventually(condition):
    end = time.monotonic() + STARTED_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def at_idle_priority(pids):
    return bool(pids) and all(os.sched_getscheduler(pid) == os.SCHED_IDLE for pid in pids)


def test_every_core_has_a_loop_at_idle_priority_until_the_end(monkeypatch):
    monkeypatch.setattr(awake, "virtual", lambda: True)
    before = set(children(os.getpid()))
    with awake.awake_cores() as count:
        loops = set(children(os.getpid())) - before
        assert len(loops) == count == len(os.sched_getaffinity(0))
        eventually(lambda: at_idle_priority(loops))
        assert set().union(*map(os.sched_getaffinity, loops)) == os.sched_getaffinity(0)
    assert not loops & set(children(os.getpid()))


def test_a_machine_of_its_own_is_left_alone(monkeypatch):
    monkeypatch.setattr(awake, "virtual", lambda: False)
    before = children(os.getpid())
    with awake.awake_cores() as count:
        assert (count, children(os.getpid())) == (0, before)


def test_the_loops_end_with_a_benchmark_that_is_killed():
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen([sys.executable, "-c", HOLDER], cwd=root) as holder:
        try:
            eventually(lambda: at_idle_priority(children(holder.pid)))
            loops = children(holder.pid)
        finally:
            holder.send_signal(signal.SIGKILL)
    eventually(lambda: not any(_runs(pid) for pid in loops))


def _runs(pid):
    try:
        return b"SCHED_IDLE" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@pytest.mark.parametrize(("flags", "found"), [("fpu hypervisor lahf_lm", True), ("fpu lahf_lm", False)])
def test_the_processor_tells_whether_there_is_a_hypervisor(monkeypatch, flags, found):
    text = f"processor : 0\nmodel name : no hypervisor here\nflags : {flags}\n"
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: text)
    assert awake.virtual() is found
