"""Files of hosts, searched for a known value while whoever owns them goes on writing and removing."""

from __future__ import annotations

import base64
import mmap
import os
from collections.abc import Iterable
from pathlib import Path


def files_with(folders: Iterable[Path], value: str) -> list[str]:
    """The files below these folders that show a value: as it is, in base64 or in hex."""
    # os.walk passes over a folder that is removed meanwhile; Path.rglob fails on it.
    paths = (Path(place, name) for folder in folders for place, _, names in os.walk(folder) for name in names)
    return [str(path) for path in paths if path.is_file() and not path.is_symlink() and shows(path, value)]


def shows(path: Path, value: str) -> bool:
    """Whether a file shows a value in one of these forms; not so of one that is empty or was removed meanwhile."""
    forms = value.encode(), base64.b64encode(value.encode()), value.encode().hex().encode()
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return any(mapped.find(form) >= 0 for form in forms)
    except (FileNotFoundError, ValueError):
        return False
