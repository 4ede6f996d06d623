"""Reading what a user gives: whole files and standard input, within bounds, and so that Ctrl-C ends it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from api.errors import Invalid

LARGEST_MEBIBYTES: Final = 64
"""More than a cluster takes at once; what has no end (/dev/zero) must not take all memory."""


def standard_input() -> bytes:
    """All of it; Invalid when it is too much."""
    with _interruptible():
        return _whole(sys.stdin.buffer, "standard input")


def file(path: Path) -> bytes:
    """All of a file; Invalid when it is too much or cannot be read."""
    try:
        with _interruptible(), path.open("rb") as stream:
            return _whole(stream, str(path))
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}") from error


def _whole(stream: BinaryIO, name: str) -> bytes:
    content = stream.read((LARGEST_MEBIBYTES << 20) + 1)
    if len(content) > LARGEST_MEBIBYTES << 20:
        raise Invalid(f"{name}: more than {LARGEST_MEBIBYTES} MiB")
    return content


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt at once: asyncio would wait for the loop, which stands still meanwhile."""
    before = signal.getsignal(signal.SIGINT)
    if not callable(before):  # somebody wants it ignored
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
