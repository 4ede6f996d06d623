"""What of a replica's data still needs which key of Secrets: the state, its log and snapshots, its history."""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from controlplane.replica import Replica
from controlplane.sealing import SEALED_RESOURCES, beginning_of, keys_needed, sealed_with
from controlplane.store.history import Part

SECRETS: Final = "Secrets"
FILES: Final = "log and snapshots"
HISTORY: Final = "history"


async def key_uses(replica: Replica, folders: Sequence[Path], keys: Collection[str]) -> Mapping[str, Sequence[str]]:
    """What needs each of these keys here. OSError; Expired when history was cut short at this moment."""
    found = {
        SECRETS: keys_needed(replica.state),
        HISTORY: await replica.history.read_after(replica.history.beginning.revision, _in_history),
        FILES: await asyncio.to_thread(_in_files, folders, keys),
    }
    return {key: [place for place, needed in found.items() if key in needed] for key in keys}


def _in_history(parts: Sequence[Part]) -> frozenset[str]:
    bodies = (
        body
        for part in parts
        for resource in SEALED_RESOURCES
        for change in part.changes(resource)
        for body in (change.body, change.previous_body)
    )
    return frozenset(sealed_with(body) for body in bodies if body is not None)


def _in_files(folders: Iterable[Path], keys: Collection[str]) -> frozenset[str]:
    """The keys that name themselves in a file. Neither log nor snapshots are compressed."""
    left, found = set(keys), set[str]()
    for folder in folders:
        for path in folder.rglob("*"):
            here = {key for key in left if _holds(path, beginning_of(key))}
            found |= here
            left -= here
    return frozenset(found)


def _holds(path: Path, content: bytes) -> bool:
    """Whether a file holds these bytes; not so of one that is empty or was removed meanwhile."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return mapped.find(content) >= 0
    except (FileNotFoundError, IsADirectoryError, ValueError):
        return False
