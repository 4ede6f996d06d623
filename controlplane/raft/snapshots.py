"""The snapshot files of one replica: at most one that counts, named by the index and term it stands for.

Contents are opaque. A file counts once it is complete, synced and carries its final name; until then it is removed
at the next start. The log compacts only below a file that counts.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import zlib
from pathlib import Path
from typing import BinaryIO

from controlplane.raft.log import LogFailure, disk_failure
from controlplane.raft.protocol import Snapshot
from controlplane.raft.snapshot_membership import DamagedMembership, decode, encode

_NAME = re.compile(r"snapshot-(\d{20})-(\d{20})")
_SYNC_EVERY_BYTES = 8 << 20  # so that the last sync of a large file does not hold the loop


class SnapshotFolder:
    """Files in one folder of the Raft process. Every disk error is a LogFailure: the process must end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming: IncomingSnapshot | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path in folder.glob("*.partial"):
                path.unlink()
            for path in folder.glob("*.membership"):
                if not path.with_suffix("").exists():
                    path.unlink()
        except OSError as error:
            raise _failure(folder, error) from error
        self._older = True
        self.latest = max(self._complete(), key=lambda snapshot: snapshot.index, default=None)

    def _complete(self) -> list[Snapshot]:
        matches = ((_NAME.fullmatch(path.name), path) for path in self._folder.iterdir())
        return [Snapshot(int(match[1]), int(match[2]), path) for match, path in matches if match]

    def adopt(self, snapshot: Snapshot, membership: bytes) -> Snapshot:
        """Take over a file written by the API process, as a hard link, so that both may remove theirs.

        The file must never be written again; a new snapshot is a new file. `membership` is what was in force at its
        index, b"" for the first one. Raises FileNotFoundError or ValueError when there is no such file or it is empty.
        """
        if snapshot.path.stat().st_size == 0:
            raise ValueError(f"the snapshot file {snapshot.path} is empty")
        partial = self._folder / "adopted.partial"
        try:
            partial.unlink(missing_ok=True)
            try:
                partial.hardlink_to(snapshot.path)
            except OSError:  # another file system, or one without hard links
                shutil.copyfile(snapshot.path, partial)
            return self._publish(partial, snapshot.index, snapshot.term, membership)
        except OSError as error:
            raise _failure(self._folder, error) from error

    def receive(self, index: int, term: int, offset: int, data: bytes) -> bool:
        """Take a piece of a snapshot from the leader; False when it does not continue what came before."""
        try:
            if offset == 0:
                self._drop_incoming()
                self._incoming = IncomingSnapshot(self._folder / "received.partial", index, term)
            incoming = self._incoming
            if incoming is None or (incoming.index, incoming.term, incoming.size_bytes) != (index, term, offset):
                return False
            incoming.write(data)
        except OSError as error:
            raise _failure(self._folder, error) from error
        return True

    def finish(self, size_bytes: int, crc32: int, membership: bytes) -> Snapshot | None:
        """Make the received snapshot the one that counts; None when it is not what the leader sent."""
        incoming, self._incoming = self._incoming, None
        if incoming is None:
            return None
        try:
            incoming.close()
            if (incoming.size_bytes, incoming.crc32) != (size_bytes, crc32):
                incoming.path.unlink()
                return None
            return self._publish(incoming.path, incoming.index, incoming.term, membership)
        except OSError as error:
            raise _failure(self._folder, error) from error

    def remove_older(self) -> None:
        """Remove every complete file but the latest."""
        if not self._older:
            return
        self._older = False
        for snapshot in self._complete():
            if self.latest is not None and snapshot.path != self.latest.path:
                with contextlib.suppress(OSError):  # tried again with the next one
                    snapshot.path.unlink()
                    _membership_path(snapshot.path).unlink(missing_ok=True)

    def close(self) -> None:
        """Give up what is half received."""
        self._drop_incoming()

    def _drop_incoming(self) -> None:
        if self._incoming is not None:
            self._incoming.close()
            self._incoming = None

    def membership(self) -> bytes:
        """The membership in force at the latest snapshot; b"" for the first one. LogFailure when it is damaged."""
        latest = self.latest
        if latest is None:
            return b""
        path = _membership_path(latest.path)
        try:
            return decode(path.read_bytes(), latest.index, latest.term)
        except FileNotFoundError:
            complaint = "is missing"
        except DamagedMembership as damage:
            complaint = str(damage)
        except OSError as error:
            raise _failure(self._folder, error) from error
        raise LogFailure(
            f"the membership beside the snapshot at index {latest.index} {complaint}: {path}; put the file back as it "
            "was, or remove this replica from the cluster and join it anew"
        )

    def _publish(self, partial: Path, index: int, term: int, membership: bytes) -> Snapshot:
        self.latest = publish(partial, self._folder, index, term, membership)
        self._older = True
        return self.latest


class IncomingSnapshot:
    """A snapshot being received; knows how much and which bytes arrived."""

    def __init__(self, path: Path, index: int, term: int) -> None:
        self.path = path
        self.index = index
        self.term = term
        self.size_bytes = 0
        self.crc32 = 0
        self._synced_bytes = 0
        self._file = path.open("wb", buffering=0)

    def write(self, data: bytes) -> None:
        """Append a piece."""
        self._file.write(data)
        self.crc32 = zlib.crc32(data, self.crc32)
        self.size_bytes += len(data)
        if self.size_bytes - self._synced_bytes >= _SYNC_EVERY_BYTES:
            os.fdatasync(self._file.fileno())
            self._synced_bytes = self.size_bytes

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class OutgoingSnapshot:
    """A snapshot being sent to one peer, piece by piece."""

    def __init__(self, snapshot: Snapshot, membership: bytes) -> None:
        self.snapshot = snapshot
        self.membership = membership
        self.offset = 0
        self.crc32 = 0
        self.complete = False
        self._file: BinaryIO = snapshot.path.open("rb")
        self.size_bytes = os.fstat(self._file.fileno()).st_size

    def read(self, size_bytes: int) -> tuple[int, bytes]:
        """Return (offset, data) of the next piece; `complete` is true once the last one was returned."""
        offset, data = self.offset, self._file.read(size_bytes)
        self.offset += len(data)
        self.crc32 = zlib.crc32(data, self.crc32)
        self.complete = self.offset >= self.size_bytes or not data
        return offset, data

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def publish(partial: Path, folder: Path, index: int, term: int, membership: bytes) -> Snapshot:
    """Give a complete file its final name, durably; `membership` is b"" for the first one. OSError.

    The membership and its name are durable before the snapshot counts, so that none ever counts without its own.
    """
    sync_path(partial)
    path = folder / f"snapshot-{index:020d}-{term:020d}"
    beside = _membership_path(path)
    beside.write_bytes(encode(index, term, membership))
    sync_path(beside)
    sync_path(folder)
    partial.replace(path)
    sync_path(folder)
    return Snapshot(index, term, path)


def sync_path(path: Path) -> None:
    """Make a file, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _membership_path(snapshot: Path) -> Path:
    return snapshot.with_suffix(".membership")


def _failure(folder: Path, error: OSError) -> LogFailure:
    return disk_failure("keep snapshots", folder, error)
