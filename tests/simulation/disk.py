"""The disk under a simulated log: real files, of which a power cut takes what was written and not synced.

It keeps to what a device may do: unsynced sectors are lost, kept or, the last one, torn, each by itself; what a
sync returned for stays. It must not know what is in the files.
"""

from __future__ import annotations

import errno
import os
import random
from dataclasses import dataclass, field
from pathlib import Path

from controlplane.raft.log import DurableLog

SECTOR_BYTES = 512


@dataclass
class Write:
    path: Path
    offset: int
    size_bytes: int


@dataclass
class SimDisk:
    """What one host's log wrote. `sync_seconds` is how long the next sync takes; `failing` makes it fail, `full` any write."""

    rng: random.Random
    quick_seconds: tuple[float, float] = (0.0002, 0.003)
    slow_seconds: tuple[float, float] = (0.03, 0.5)
    slow: bool = False
    failing: bool = False
    full: bool = False
    holding: bool = False  # the sync of a turn is under way: what it covers is at risk until it returns
    unsynced: list[Write] = field(default_factory=list)
    syncing: list[Write] = field(default_factory=list)

    def sync_seconds(self) -> float:
        return self.rng.uniform(*(self.slow_seconds if self.slow else self.quick_seconds))

    def wrote(self, path: Path, offset: int, size_bytes: int) -> None:
        self.unsynced.append(Write(path, offset, size_bytes))

    def sync(self) -> None:
        if self.failing:
            raise OSError(errno.EIO, "Input/output error")
        if self.holding:
            self.syncing += self.unsynced
            self.unsynced = []
        else:
            self.settle()

    def settle(self) -> None:
        """Everything synced so far has reached the device."""
        self.syncing.clear()
        self.unsynced.clear()

    def returned(self) -> None:
        """The turn's sync returned."""
        self.syncing.clear()

    def power_cut(self) -> int:
        """Lose or tear what was at risk; returns how many bytes were."""
        lost = [*self.syncing, *self.unsynced]
        self.syncing, self.unsynced = [], []
        mode = self.rng.choice(("all", "prefix", "sectors"))
        for write in lost:
            if write.path.exists():
                self._damage(write, mode)
        return sum(write.size_bytes for write in lost)

    def _damage(self, write: Write, mode: str) -> None:
        with write.path.open("r+b") as file:
            file.seek(write.offset)
            content = bytearray(file.read(write.size_bytes))
            if mode == "all":
                content = bytearray(len(content))
            elif mode == "prefix":
                kept = self.rng.randrange(len(content) + 1)
                content[kept:] = bytes(len(content) - kept)
            else:
                for start in range(-(write.offset % SECTOR_BYTES), len(content), SECTOR_BYTES):
                    if self.rng.random() < 0.5:
                        first, end = max(0, start), min(len(content), start + SECTOR_BYTES)
                        content[first:end] = bytes(end - first)
            file.seek(write.offset)
            file.write(content)


class SimLog(DurableLog):
    """The production log; every write and sync is told to the disk."""

    def __init__(self, folder: Path, disk: SimDisk, **limits: int) -> None:
        self._disk = disk
        super().__init__(folder, datasync=lambda _descriptor: disk.sync(), **limits)

    def _write(self, content: bytes, offset: int) -> None:
        size_bytes = self._disk.rng.randrange(len(content)) if self._disk.full else len(content)
        super()._write(content[:size_bytes], offset)
        path = Path(f"/proc/self/fd/{self._descriptor}").readlink()
        self._disk.wrote(path, offset, size_bytes)
        if self._disk.full:
            raise OSError(errno.ENOSPC, "No space left on device")

    def _open_segment(self, descriptor: int, header) -> None:
        if self._disk.full:  # nothing can be allocated for it
            os.close(descriptor)
            raise OSError(errno.ENOSPC, "No space left on device")
        super()._open_segment(descriptor, header)
        self._disk.settle()  # a new segment is synced before anything goes on, and so is the one before it

    def abandon(self) -> None:
        """The process is gone: what it had not written goes with it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
