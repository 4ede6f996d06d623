"""Replaces all files of a volume at once, so that a reader sees the old set or the new one, never a mixture.

Kubernetes' layout: `..<stamp>/` holds the files, `..data` is a symlink to it that is swapped by a rename, and every
top-level name is a symlink through `..data`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from agent.volume_content import File, Payload

_DATA = "..data"
_NEW_DATA = "..data_tmp"
FOLDER_MODE = 0o755


def write_files(target: Path, payload: Payload, group: int | None = None) -> bool:
    """Make the folder hold exactly `payload`; False when it did already. Safe to repeat after a crash.

    With `group` the files belong to it and it may read them.
    """
    target.mkdir(parents=True, exist_ok=True)
    current = _current(target)
    if current is not None and _same(current, payload, group):
        _tidy(target, current, payload)
        return False
    fresh = Path(tempfile.mkdtemp(prefix="..", dir=target))
    fresh.chmod(FOLDER_MODE)
    for name, file in payload.items():
        _write(fresh, name, file, group)
    link = target / _NEW_DATA
    link.unlink(missing_ok=True)
    link.symlink_to(fresh.name)
    link.rename(target / _DATA)
    _tidy(target, fresh, payload)
    return True


def _current(target: Path) -> Path | None:
    try:
        current = target / (target / _DATA).readlink()
    except OSError:
        return None
    return current if current.is_dir() else None


def _mode(file: File, group: int | None) -> int:
    return file.mode | 0o440 if group is not None else file.mode


def _same(current: Path, payload: Payload, group: int | None) -> bool:
    found = {str(path.relative_to(current)) for path in current.rglob("*") if path.is_file()}
    if found != payload.keys():
        return False
    for name, file in payload.items():
        path = current / name
        status = path.stat()
        wrong_group = group is not None and status.st_gid != group
        if wrong_group or status.st_mode & 0o7777 != _mode(file, group) or path.read_bytes() != file.content:
            return False
    return True


def _write(folder: Path, name: str, file: File, group: int | None) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
    path.write_bytes(file.content)
    if group is not None:
        os.chown(path, -1, group)
    path.chmod(_mode(file, group))


def _tidy(target: Path, current: Path, payload: Payload) -> None:
    """Link every top-level name through `..data`; drop what belongs to no current file."""
    wanted = {name.split("/", 1)[0] for name in payload}
    for name in wanted:
        link = target / name
        if not link.is_symlink():
            link.symlink_to(f"{_DATA}/{name}")
    for entry in target.iterdir():
        if entry.name in wanted or entry.name in {_DATA, current.name}:
            continue
        if entry.is_symlink() or not entry.is_dir():
            entry.unlink()
        else:
            shutil.rmtree(entry)
