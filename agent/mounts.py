"""The mount calls that volumes need, straight from the C library. The only module of the agent that mounts."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC = 2, 4, 4096, 16384
_MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


def mount_tmpfs(target: Path, size_bytes: int) -> None:
    """Mount a tmpfs on a folder; `size_bytes` 0 means half of the machine's memory. Raises OSError."""
    options = "mode=0777" + (f",size={size_bytes}" if size_bytes else "")
    result = _libc.mount(b"tmpfs", os.fsencode(target), b"tmpfs", _MS_NOSUID | _MS_NODEV, options.encode())
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


def bind(opened: int, target: Path) -> None:
    """Bind what a descriptor has open, with all that is mounted below it, to an existing place. Raises OSError."""
    source = f"/proc/self/fd/{opened}".encode()
    if _libc.mount(source, os.fsencode(target), None, _MS_BIND | _MS_REC, None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


def unmount(target: Path) -> None:
    """Unmount, even while somebody still has files open there. Raises OSError."""
    if _libc.umount2(os.fsencode(target), _MNT_DETACH) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


def mounts_below(folder: Path) -> list[Path]:
    """Everything mounted below `folder` in this mount namespace, deepest and latest first."""
    prefix = f"{folder.resolve()}/"
    found = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        path = line.split(" ", 5)[4].encode("utf-8", "surrogateescape").decode("unicode_escape")
        if path.startswith(prefix):
            found.append(Path(path))
    return found[::-1]
