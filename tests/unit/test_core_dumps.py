"""Processes that hold keys leave no core files."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
