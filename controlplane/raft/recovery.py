"""Opening a replica's folder: one process at a time, and a log that fits the snapshot beside it.

A crash may fall between writing a snapshot and compacting the log, or between installing one and starting the log
anew; both are finished here, and nothing acknowledged is dropped.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from controlplane.raft.log import DurableLog, LogFailure, disk_failure
from controlplane.raft.protocol import Snapshot
from controlplane.raft.snapshots import SnapshotFolder


@dataclass(frozen=True, slots=True)
class Storage:
    """What a replica keeps on disk, locked against a second process until `close`."""

    log: DurableLog
    snapshots: SnapshotFolder
    lock_descriptor: int

    def close(self) -> None:
        """Sync, close and unlock."""
        self.log.close()
        self.snapshots.close()
        os.close(self.lock_descriptor)


def open_storage(folder: Path) -> Storage:
    """Open log and snapshots below `folder`; LogFailure with one line and a remedy when they cannot be used."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise disk_failure("lock the data", folder, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise LogFailure(f"another process uses {folder}; stop it, or give this replica its own data folder") from None
    try:
        snapshots = SnapshotFolder(folder / "snapshot")
        log = DurableLog(folder / "log")
        align(log, snapshots.latest)
    except LogFailure:
        os.close(descriptor)
        raise
    return Storage(log, snapshots, descriptor)


def align(log: DurableLog, snapshot: Snapshot | None) -> None:
    """Make the log continue the snapshot, keeping every entry after it that belongs to the same history."""
    if snapshot is None:
        if log.first_index > 1:
            raise LogFailure(
                f"the log starts at index {log.first_index} and there is no snapshot of what came before; "
                "put the snapshot file back, or remove this replica from the cluster and join it anew"
            )
        return
    if log.first_index > snapshot.index:
        raise LogFailure(
            f"the log starts at index {log.first_index}, after the snapshot at {snapshot.index}; "
            "put the newer snapshot file back, or remove this replica from the cluster and join it anew"
        )
    if log.last_index < snapshot.index or log.term_at(snapshot.index) != snapshot.term:
        log.reset(snapshot.index, snapshot.term)  # installed from the leader, but the log had not started anew yet
        return
    log.commit_index = snapshot.index
    log.compact(snapshot.index)
