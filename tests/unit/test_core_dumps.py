"""Processes that hold keys leave no core files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = str(Path(__file__).parents[2])
PROGRAM = """
import ctypes, resource
from component.core_dumps import forbid_core_dumps
forbid_core_dumps()
forbid_core_dumps()
PR_GET_DUMPABLE = 3
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0))
"""


@pytest.mark.slow
def test_a_process_that_forbids_core_dumps_has_no_room_for_them_and_is_not_dumpable():
    told = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.split("\n")[0] == "(0, 0) 0"


ABORTS = "import os; from component.core_dumps import forbid_core_dumps; forbid_core_dumps(); os.abort()"


@pytest.mark.slow
def test_a_process_that_forbids_core_dumps_leaves_none_when_it_is_aborted(tmp_path):
    """As the kernel tells it, also where core_pattern names a program, and in the folder that it ran in."""
    line = 'ulimit -c unlimited 2>/dev/null; exec "$0" -c "$1"'
    process = subprocess.Popen(["/bin/sh", "-c", line, sys.executable, ABORTS], cwd=tmp_path, env={"PYTHONPATH": ROOT})
    _, status = os.waitpid(process.pid, 0)
    process.returncode = status
    assert os.WTERMSIG(status) == signal.SIGABRT
    assert not os.WCOREDUMP(status)
    assert list(tmp_path.iterdir()) == []
