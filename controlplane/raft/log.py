"""The durable Raft log of one replica: entries, current term and vote, in append-only segments.

Everything written between two calls of `sync` becomes durable in one write and one fdatasync. The log knows the
Raft paper's persistent state (section 5.1, figure 2) and nothing of elections, peers or the meaning of entries.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import overload

from controlplane.raft import log_records as records
from controlplane.raft.log_records import DamagedError, Kind, Scan, SegmentHeader

LogEntry = tuple[bytes, int, int]  # data, index, term

SEGMENT_BYTES = 16 << 20
ZEROS_BYTES = 256 << 10  # written ahead at once
TAIL_BYTES = 4 << 20  # kept in memory by every replica; two seconds of the fastest writing
_ENTRY_OVERHEAD_BYTES = 100  # of a tuple, two integers and the bytes object

_REMEDY = (
    "the disk lost data that this replica had promised to keep; do not start it on this folder again: "
    "keep the folder for inspection, remove the replica from the cluster and join it anew"
)


class LogFailure(Exception):
    """The log cannot keep its promises (damage, disk error). The process must end; the text says why and what next."""


def disk_failure(what: str, folder: Path, error: OSError) -> LogFailure:
    """The LogFailure for an error of the disk below `folder`, with its remedy. `what` could not be done."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        remedy = "free space on its disk and start again, nothing acknowledged is lost"
    else:
        remedy = "look at its disk (dmesg) before you start again; if it is broken, replace this replica"
    return LogFailure(f"cannot {what} in {folder}: {error.strerror or error}; {remedy}")


class SafetyViolation(Exception):
    """Going on would undo an acknowledged write. The process must end."""


class DurableLog:
    """The log in memory and on disk.

    `log[0]` is the base: what follows it can be sent to a peer. After `reset` it stands for a snapshot and is empty. `durable_index` is the last index that survives a crash; `commit_index` guards truncation.
    """

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        tail_bytes: int = TAIL_BYTES,
        datasync: Callable[[int], None] = os.fdatasync,
    ) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._tail_bytes = tail_bytes
        self._datasync = datasync
        self._entries: list[LogEntry] = []
        self.term = 0
        self.vote: str | None = None
        self.commit_index = 0
        self.durable_index = 0
        self.torn_bytes_dropped = False
        self._buffer: list[bytes] = []
        self._segments: list[list[int]] = []  # [sequence, highest index ever written into it]
        self._descriptor = -1
        self._position = 0
        self._zeroed_end = 0  # of the bytes in the segment that were ever written since it was opened
        self._salt = b""
        folder.mkdir(parents=True, exist_ok=True)
        self._recover()
        self.durable_index = self.last_index

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, position: int) -> LogEntry: ...
    @overload
    def __getitem__(self, position: slice) -> list[LogEntry]: ...
    def __getitem__(self, position: int | slice) -> LogEntry | list[LogEntry]:
        return self._entries[position]

    @property
    def first_index(self) -> int:
        """The index of the base, 0 in an empty log."""
        return self._entries[0][1] if self._entries else 0

    @property
    def first_held_index(self) -> int:
        """The first index whose data is here: the base itself, unless it only stands for a snapshot."""
        return self.first_index if self._entries and self._entries[0][0] else self.first_index + 1

    @property
    def last_index(self) -> int:
        """The index of the last entry, durable or not; 0 in an empty log."""
        return self._entries[-1][1] if self._entries else 0

    def term_at(self, index: int) -> int:
        """The term of the entry at `index`, which must lie between base and last."""
        return self._entries[index - self.first_index][2]

    def add(self, data: bytes, index: int, term: int) -> None:
        """Append one entry; it is durable after the next `sync`."""
        assert not self._entries or index == self.last_index + 1, "a gap in the log"
        self._entries.append((data, index, term))
        self._buffer.append(records.encode_entry(data, index, term))

    def delete_from(self, position: int) -> None:
        """Drop the entries from list position `position` on; SafetyViolation if one of them is committed."""
        if position >= len(self._entries):
            return
        index = self._entries[position][1]
        if index <= self.commit_index:
            raise SafetyViolation(f"truncation from index {index} asked for, but {self.commit_index} is committed")
        self._buffer.append(records.encode_truncate(index))
        del self._entries[position:]
        self.durable_index = min(self.durable_index, index - 1)

    def reset(self, index: int, term: int) -> None:
        """Start anew after a snapshot of (index, term): every entry goes. Durable at return."""
        self._buffer.append(records.encode_base(index, term))
        self._entries = [(b"", index, term)]
        self.commit_index = max(self.commit_index, index)
        self.sync()
        self._start_segment()
        for segment in self._segments[:-1]:
            segment[1] = 0
        self._buffer.append(records.encode_base(index, term))
        self.sync()
        self._unlink_below(1)

    def set_term(self, term: int, vote: str | None) -> None:
        """Remember the current term and the vote given in it; durable after the next `sync`."""
        if (term, vote) == (self.term, self.vote):
            return
        self.term, self.vote = term, vote
        self._buffer.append(records.encode_vote(term, vote))

    def sync(self) -> bool:
        """Make everything added durable in one write; False if there was nothing. LogFailure on any disk error."""
        if not self._buffer:
            return False
        batch = b"".join((records.encode_batch(self._salt, self._position), *self._buffer))
        self._buffer = []
        try:
            self._write(batch + self._zeros_after(self._position + len(batch)), self._position)
            self._datasync(self._descriptor)
            self._position += len(batch)
            self._segments[-1][1] = max(self._segments[-1][1], self.last_index)
            self.durable_index = self.last_index
            if self._position >= self._segment_bytes:
                self._start_segment()
        except OSError as error:
            # After a failed sync the kernel may have dropped the pages: nothing can be promised any more.
            raise disk_failure("write the log", self._folder, error) from error
        return True

    def compact(self, index: int) -> None:
        """Forget what a durable snapshot at `index` covers, except a tail of bounded size for lagging peers."""
        position = min(index, self.last_index) - self.first_index
        kept_bytes = 0
        while position > 0:
            kept_bytes += len(self._entries[position][0]) + _ENTRY_OVERHEAD_BYTES
            if kept_bytes > self._tail_bytes:
                break
            position -= 1
        if position <= 0:
            return
        del self._entries[:position]
        self._unlink_below(self.first_index)

    def close(self) -> None:
        """Sync and close the files."""
        if self._descriptor >= 0:
            self.sync()
            os.close(self._descriptor)
            self._descriptor = -1

    # Segments -------------------------------------------------------------------------------------------------

    def _path(self, sequence: int) -> Path:
        return self._folder / f"{sequence:016d}.log"

    def _write(self, content: bytes, offset: int) -> None:
        view = memoryview(content)
        while view:
            written = os.pwrite(self._descriptor, view, offset)
            view, offset = view[written:], offset + written

    def _zeros_after(self, end: int) -> bytes:
        """What to write behind a batch that ends at `end`: mostly nothing, now and then zeros for batches to come.

        Writing an allocated block for the first time changes the file system's metadata, which a sync then has to
        commit as well: over bytes that were written before it takes 0.13 ms instead of 0.23 (ext4).
        """
        if end <= self._zeroed_end:
            return b""
        self._zeroed_end = max(end, min(end + ZEROS_BYTES, self._segment_bytes))
        return bytes(self._zeroed_end - end)

    def _start_segment(self) -> None:
        """Open the next segment with term and vote already durable in it, so that older ones may go."""
        sequence = self._segments[-1][0] + 1 if self._segments else 1
        descriptor = os.open(self._path(sequence), os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._open_segment(descriptor, SegmentHeader(sequence, self._position, secrets.token_bytes(8)))
        self._segments.append([sequence, 0])

    def _open_segment(self, descriptor: int, header: SegmentHeader) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._salt = descriptor, header.salt
        opening = records.encode_segment(header) + records.encode_vote(self.term, self.vote)
        os.ftruncate(descriptor, 0)
        os.posix_fallocate(descriptor, 0, self._segment_bytes)
        self._write(opening, 0)
        os.fsync(descriptor)
        _sync_folder(self._folder)
        self._position = self._zeroed_end = len(opening)

    def _unlink_below(self, index: int) -> None:
        """Unlink leading segments without any entry at or above `index`; in order, so that no gap can appear."""
        while len(self._segments) > 1 and self._segments[0][1] < index:
            sequence, _ = self._segments.pop(0)
            try:
                self._path(sequence).unlink()
                _sync_folder(self._folder)
            except OSError as error:
                raise disk_failure("remove an old segment", self._folder, error) from error

    # Recovery -------------------------------------------------------------------------------------------------

    def _recover(self) -> None:
        names = sorted(path.name for path in self._folder.iterdir() if re.fullmatch(r"\d{16}\.log", path.name))
        try:
            for position, name in enumerate(names):
                self._recover_segment(name, last=position == len(names) - 1)
            if not names:
                self._start_segment()
        except DamagedError as error:
            raise LogFailure(f"the log in {self._folder} is damaged: {error}; {_REMEDY}") from error
        except OSError as error:
            raise disk_failure("open the log", self._folder, error) from error

    def _recover_segment(self, name: str, *, last: bool) -> None:
        sequence = int(name[:16])
        if self._segments and sequence != self._segments[-1][0] + 1:
            raise DamagedError(f"segment {self._segments[-1][0] + 1:016d} is missing")
        content = (self._folder / name).read_bytes()
        try:
            found = records.scan(content)
        except DamagedError as error:
            raise DamagedError(f"segment {name} {error}") from None
        if found.header is not None and self._segments and found.header.previous_end != self._position:
            raise DamagedError(
                f"the segment before {name} ends at byte {self._position} of {found.header.previous_end}"
            )
        if not last and (found.torn or found.header is None):
            raise DamagedError(f"segment {name} is unreadable at byte {found.end}, although a later segment exists")
        highest = self._replay(found, name)
        if last:
            self._continue_segment(name, found, content)
        else:
            self._position = found.end
        self._segments.append([sequence, highest])

    def _replay(self, found: Scan, name: str) -> int:
        """Apply the records to memory; returns the highest index written in this segment."""
        highest = 0
        for kind, payload in found.records:
            match kind:
                case Kind.ENTRY:
                    entry = records.decode_entry(payload)
                    if self._entries and entry[1] != self.last_index + 1:
                        raise DamagedError(f"segment {name} goes from index {self.last_index} to {entry[1]}")
                    self._entries.append(entry)
                    highest = max(highest, entry[1])
                case Kind.TRUNCATE:
                    del self._entries[max(0, records.decode_truncate(payload) - self.first_index) :]
                case Kind.VOTE:
                    self.term, self.vote = records.decode_vote(payload)
                case Kind.BASE:
                    self._entries = [records.decode_entry(payload)]
                    highest = max(highest, self.last_index)
                case _:
                    raise DamagedError(f"segment {name} contains a {kind.name} record inside")
        return highest

    def _continue_segment(self, name: str, found: Scan, content: bytes) -> None:
        """Open the last segment for appending; a torn tail is wiped so that its bytes never come back."""
        if any(content) and len(content) < self._segment_bytes:
            raise DamagedError(f"segment {name} is cut off at byte {len(content)}; it was made with its full size")
        descriptor = os.open(self._folder / name, os.O_RDWR | os.O_CLOEXEC)
        self.torn_bytes_dropped = found.torn
        if found.header is None:
            self._open_segment(descriptor, SegmentHeader(int(name[:16]), self._position, secrets.token_bytes(8)))
            return
        self._descriptor, self._salt = descriptor, found.header.salt
        self._position = self._zeroed_end = found.end
        if found.torn:  # never cut off: a file that is too short is damage
            self._write(bytes(len(content.rstrip(b"\0")) - found.end), found.end)
        os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
