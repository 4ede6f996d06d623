"""Entering network namespaces by thread. The only module that calls setns; it knows nothing of links or rules.

A namespace belongs to a thread, not to a process: whoever wants a call to happen elsewhere runs it in a thread that
went there and never came back (setns(2)).
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from typing import TypeVar

CLONE_NEWNET = 0x40000000

T = TypeVar("T")


def enter(path: str) -> None:
    """Move the calling thread into the network namespace pinned at `path`. OSError names the path."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # os.setns is Python 3.12's; use_errno makes errno this thread's own.
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(fd, CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"setns: {os.strerror(number)}", path)
    finally:
        os.close(fd)


def run_inside(path: str, function: Callable[[], T]) -> T:
    """Return `function()` called inside the namespace at `path`, by a thread made for it; passes on what it raises."""
    results: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            enter(path)
            results.append(function())
        except BaseException as error:  # noqa: BLE001 - carried over to the calling thread, all of it
            errors.append(error)

    thread = threading.Thread(target=body, name="netns")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
