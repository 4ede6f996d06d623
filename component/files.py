"""Files that must never be half-written or readable by others."""

from __future__ import annotations

import os
from pathlib import Path


def write_private(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Replace a file in one step, readable by its owner only; makes the folders above it.

    With `durable` it is on the disk when this returns; otherwise a crash of the machine may undo it, or leave it empty.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        if durable:
            stream.flush()
            os.fsync(descriptor)
    fresh.replace(path)
    if durable:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
