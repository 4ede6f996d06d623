"""Log files that conmon writes: told to begin a new one, and removed with their container."""

from __future__ import annotations

import glob
import os
from pathlib import Path

_REOPEN = b"2 0 0\n"  # conmon's REOPEN_LOGS_EVENT on its control FIFO


def reopen(static_dir: str) -> None:
    """Let the conmon whose files are in `static_dir` open its log anew; no line is lost. Raises OSError."""
    control = os.open(f"{static_dir}/ctl", os.O_WRONLY | os.O_NONBLOCK)
    try:
        os.write(control, _REOPEN)
    finally:
        os.close(control)


def remove(path: str) -> None:
    """Remove a log and what it was renamed to at rotations (PATH.*)."""
    for file in [path, *glob.glob(f"{glob.escape(path)}.*")]:  # noqa: PTH207 - paths are strings in the port
        Path(file).unlink(missing_ok=True)
