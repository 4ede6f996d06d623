"""Binds what a subPath names inside a volume to a place that containers cannot change. Blocking.

A container may put symlinks into its volumes and swap them at any moment. So the path is resolved, every part of it is
opened without following symlinks, and what was opened is bound, not what the name means a moment later.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from agent.environment import ConfigError
from agent.mounts import bind, mounts_below, unmount


def bind_sub_path(root: Path, sub_path: str, target: Path, volume: str, *, make: bool) -> None:
    """Bind `sub_path` of the volume at `root` to `target`, anew if something is bound there.

    With `make` missing folders are made with the mode of the volume's own. Raises ConfigError when the path leaves
    the volume or does not exist, and OSError.
    """
    if sub_path.startswith("/") or ".." in sub_path.split("/"):
        raise ConfigError(f"subPath {sub_path!r} must be relative and must not contain '..'")
    base = root.resolve()
    resolved = (base / sub_path).resolve()
    if not resolved.is_relative_to(base):
        raise ConfigError(f"subPath {sub_path!r} leads out of volume {volume!r}")
    if not make and not resolved.exists():
        raise ConfigError(f"subPath {sub_path!r} does not exist in volume {volume!r}")
    opened = _open_below(base, resolved.relative_to(base).parts, f"subPath {sub_path!r} of volume {volume!r}")
    try:
        _make_target(target, folder=stat.S_ISDIR(os.fstat(opened).st_mode))
        bind(opened, target)
    finally:
        os.close(opened)


def _open_below(base: Path, parts: tuple[str, ...], what: str) -> int:
    """An O_PATH descriptor of the last part; missing folders are made."""
    opened = os.open(base, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    mode = stat.S_IMODE(os.fstat(opened).st_mode)
    for part in parts:
        parent = opened
        try:
            opened = _open_part(parent, part, mode)
        finally:
            os.close(parent)
        if stat.S_ISLNK(os.fstat(opened).st_mode):
            os.close(opened)
            raise ConfigError(f"{what} was changed while it was looked at")
    return opened


def _open_part(parent: int, part: str, mode: int) -> int:
    flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(part, flags, dir_fd=parent)
    except FileNotFoundError:
        os.mkdir(part, mode, dir_fd=parent)
    opened = os.open(part, flags, dir_fd=parent)
    if stat.S_ISDIR(os.fstat(opened).st_mode):
        Path(f"/proc/self/fd/{opened}").chmod(mode)  # mkdir heeds the umask
    return opened


def _make_target(target: Path, *, folder: bool) -> None:
    """A place of the right kind, with nothing bound to it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    while target.resolve() in mounts_below(target.parent):
        unmount(target)
    if target.exists() and target.is_dir() != folder:
        target.rmdir() if target.is_dir() else target.unlink()
    target.mkdir(exist_ok=True) if folder else target.touch()
