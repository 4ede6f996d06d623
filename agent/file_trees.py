"""Measures and deletes what pods wrote: trees of any depth, with names that are not ours. Blocking; follows no links.

Python's own `os.walk` and `shutil.rmtree` recurse, so a pod that nests a thousand folders would crash its agent.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def used_bytes(folder: Path) -> int:
    """What a folder takes on disk.

    Files that vanish meanwhile, and what lies so deep that its path is over the kernel's limit, count as nothing.
    """
    total = 0
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += _blocks_bytes(entry)
        except OSError:
            continue
    return total


def remove_tree(folder: Path) -> None:
    """Delete a folder with all that is in it; one that is not there is no error. Raises OSError.

    Folders inside are lifted to the top before they are emptied, so that depth costs neither stack nor descriptors.
    """
    try:
        top = os.open(folder, _OPEN)
    except FileNotFoundError:
        return
    try:
        numbers = count()
        while names := os.listdir(top):  # noqa: PTH208 - a descriptor, no path
            fresh = (f"{number}" for number in numbers if f"{number}" not in names)
            for name in names:
                _empty(top, name, fresh)
    finally:
        os.close(top)
    folder.rmdir()


def _blocks_bytes(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_blocks * 512
    except OSError:
        return 0


def _empty(top: int, name: str, fresh: Iterator[str]) -> None:
    """Delete one entry of the folder `top`; the folders in it become entries of `top`."""
    try:
        inner = os.open(name, _OPEN, dir_fd=top)
    except OSError:
        os.unlink(name, dir_fd=top)  # no folder
        return
    try:
        with os.scandir(inner) as entries:
            for entry in list(entries):
                if entry.is_dir(follow_symlinks=False):
                    os.rename(entry.name, next(fresh), src_dir_fd=inner, dst_dir_fd=top)
                else:
                    os.unlink(entry.name, dir_fd=inner)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=top)
