"""Keeping what a process holds in memory, keys and Secrets, out of core files and away from debuggers of other users."""

from __future__ import annotations

import ctypes
import os
import resource
from typing import Final

_PR_SET_DUMPABLE: Final = 4
_NOT_DUMPABLE: Final = 0


def forbid_core_dumps() -> None:
    """Never leave a core file of this process, nor give one to a program named by core_pattern. OSError.

    The limit counts for what it starts, too; a pipe in core_pattern ignores it, so the process is also made not dumpable
    (prctl(2), core(5)), which ends with the next exec.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, _NOT_DUMPABLE, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
