"""The few system calls Python has no function for: mounts, namespaces, file system types."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from typing import Any

CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWNET = 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_SHARED = 0x2, 0x4, 0x8, 0x1000, 1 << 20
NSFS_MAGIC = 0x6E736673
_MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, filesystem: str, flags: int, options: str = "") -> None:
    """Attach a file system, as the system call of that name does. Raises OSError naming the target."""
    result = _libc.mount(
        source.encode(), target.encode(), filesystem.encode(), ctypes.c_ulong(flags), options.encode() or None
    )
    _check(result, target)


def unmount(target: str) -> None:
    """Detach the topmost mount at `target` (umount2 with MNT_DETACH). Raises OSError."""
    _check(_libc.umount2(target.encode(), _MNT_DETACH), target)


def unshare(flags: int) -> None:
    """Move the calling thread into new namespaces: only ever in a thread that then ends. Raises OSError."""
    _check(_libc.unshare(flags), "unshare")


def filesystem_type(path: str) -> int:
    """The magic number of the file system at `path` (statfs f_type). Raises OSError."""
    buffer = ctypes.create_string_buffer(256)  # struct statfs is 120 bytes on 64-bit Linux
    _check(_libc.statfs(path.encode(), buffer), path)
    return ctypes.c_long.from_buffer(buffer).value


def in_own_thread(work: Callable[[], None]) -> None:
    """Run `work` in a new thread, wait for it and raise what it raised. Namespace changes end with that thread."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - carried to the caller whatever it is
            raised.append(error)

    thread = threading.Thread(target=run, name="namespace")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def _check(result: Any, subject: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), subject)
