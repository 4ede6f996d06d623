"""Reads container logs where conmon writes them: tail, since, previous attempts, following across rotations.

Reads the files directly, because Podman's API cuts the timestamps; in pieces, so that no log is ever held whole.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent.log_format import Record, parse_record, stamp_seconds

CHUNK_BYTES = 64 << 10
RECORD_HEAD_BYTES = 64  # at most, of time, stream and tag
FOLLOW_FIRST_SECONDS = 0.01
FOLLOW_MAX_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What is wanted: `tail_lines` None means all, `since_time` is seconds since the epoch, 0 means all."""

    follow: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since_time: float = 0.0
    limit_bytes: int | None = None
    stream: Literal["", "stdout", "stderr"] = ""  # only this one


def rotated(path: Path) -> Path:
    """Where the part of a log before its last rotation stands."""
    return path.with_name(f"{path.name}.1")


async def read_log(path: Path, options: LogOptions, ended: Callable[[], bool]) -> AsyncIterator[bytes]:
    """Yield the log's text in pieces; with `follow` until `ended()` and everything written was read.

    A file that is not there (yet) reads as empty.
    """
    formatter = _Formatter(options)
    pieces = _limited(_existing(path, options, formatter), formatter)
    # To find the last lines a whole log may have to be read: not on the loop.
    while piece := await asyncio.to_thread(next, pieces, b""):
        yield piece
    if not options.follow:
        return
    async for piece in _follow(path, formatter, ended):
        yield piece


class _Formatter:
    """Turns records into text; remembers where reading stopped."""

    def __init__(self, options: LogOptions) -> None:
        self.inode = 0
        self.offset = 0
        self.room = options.limit_bytes
        self._options = options
        self._line_open = {"stdout": False, "stderr": False}

    def text(self, record: Record) -> bytes:
        if self._options.stream not in {"", record.stream}:
            return b""
        if self._options.since_time and stamp_seconds(record.stamp) < self._options.since_time:
            return b""
        head = b""
        if self._options.timestamps and not self._line_open[record.stream]:
            head = record.stamp.replace(b"+00:00", b"Z") + b" "  # UTC as Kubernetes writes it, and Go
        self._line_open[record.stream] = record.partial
        return head + record.text + (b"" if record.partial else b"\n")

    def cut(self, text: bytes) -> bytes:
        if self.room is None:
            return text
        text = text[: self.room]
        self.room -= len(text)
        return text

    @property
    def full(self) -> bool:
        return self.room is not None and self.room <= 0


def _limited(pieces: Iterator[bytes], formatter: _Formatter) -> Iterator[bytes]:
    for piece in pieces:
        text = formatter.cut(piece)
        if text:
            yield text
        if formatter.full:
            return


def _existing(path: Path, options: LogOptions, formatter: _Formatter) -> Iterator[bytes]:
    """What stands in the rotated and the current file now."""
    files = [(old, old.stat().st_size) for old in (rotated(path),) if old.is_file()]
    try:
        status = path.stat()
    except FileNotFoundError:
        pass
    else:
        formatter.inode = status.st_ino
        files.append((path, status.st_size))
    starts = _tail_starts(files, options.tail_lines)
    for (file, size), start in zip(files, starts, strict=True):
        if file == path:
            formatter.offset = start  # also when nothing of it is wanted
        for lines, end in _whole_lines(file, start, size):
            if file == path:
                formatter.offset = end
            yield b"".join(formatter.text(record) for line in lines if (record := parse_record(line)) is not None)


def _tail_starts(files: list[tuple[Path, int]], tail: int | None) -> list[int]:
    """The offset in each file from which the last `tail` lines are."""
    starts = []
    left = tail
    for file, size in reversed(files):
        if left is None:
            starts.append(0)
            continue
        start, found = _tail_offset(file, size, left)
        starts.append(start)
        left -= found
    return starts[::-1]


def _tail_offset(file: Path, size: int, count: int) -> tuple[int, int]:
    """Where the last `count` lines of the file's first `size` bytes start, and how many there are.

    A line is a record that ends one: the pieces of a long line count once.
    """
    if count <= 0:
        return size, 0
    found, end, start = 0, size, size
    carried = b""
    with file.open("rb") as handle:
        while end > 0:
            begin = max(0, end - CHUNK_BYTES)
            handle.seek(begin)
            block = handle.read(end - begin) + carried
            first = block.find(b"\n") + 1 if begin else 0
            lines = block[first:].split(b"\n")
            tail_bytes = len(lines.pop())
            position = begin + len(block) - tail_bytes
            for line in reversed(lines):
                record = parse_record(line)
                if record is not None and not record.partial:
                    if found == count:
                        return start, found
                    found += 1
                position -= len(line) + 1
                start = position
            carried = block[:first]
            end = begin
            if tail_bytes and found == 0 and start == size:
                start = position
    return 0, found


def _whole_lines(file: Path, start: int, size: int) -> Iterator[tuple[list[bytes], int]]:
    """Pieces of whole lines between two offsets, each with the offset behind it."""
    offset, rest = start, b""
    with file.open("rb") as handle:
        handle.seek(start)
        while offset < size:
            block = handle.read(min(CHUNK_BYTES, size - offset))
            if not block:
                return
            offset += len(block)
            *lines, rest = (rest + block).split(b"\n")
            if lines:
                yield lines, offset - len(rest)


async def _follow(path: Path, formatter: _Formatter, ended: Callable[[], bool]) -> AsyncIterator[bytes]:
    """Yield what is written from now on. The file is known by its inode, so a rename under us loses nothing."""
    pause = FOLLOW_FIRST_SECONDS
    while not formatter.full:
        over = ended()  # asked before the read, so that what was written before the end is read
        current = _current_file(path, formatter.inode)
        got = False
        if current is not None:
            size = current.stat().st_size
            for lines, end in _whole_lines(current, formatter.offset, size):
                formatter.offset = end
                text = formatter.cut(b"".join(formatter.text(r) for line in lines if (r := parse_record(line))))
                if text:
                    got = True
                    yield text
        moved = _moved_on(path, formatter.inode)
        if moved and not got:
            formatter.inode, formatter.offset = os.stat(path).st_ino, 0  # noqa: PTH116 - symmetric with the inode
            continue
        if over and not got:
            return
        pause = FOLLOW_FIRST_SECONDS if got else min(2 * pause, FOLLOW_MAX_SECONDS)
        await asyncio.sleep(pause)


def _current_file(path: Path, inode: int) -> Path | None:
    """The file with the inode: the log, or the one it was rotated to."""
    for candidate in (path, rotated(path)):
        try:
            if candidate.stat().st_ino == inode:
                return candidate
        except FileNotFoundError:
            continue
    return None


def _moved_on(path: Path, inode: int) -> bool:
    """Whether the log is another file now than the one being read."""
    try:
        return path.stat().st_ino != inode
    except FileNotFoundError:
        return False


def last_lines(path: Path, max_bytes: int, max_lines: int) -> str:
    """The end of a log as text, for a container that left no message."""
    try:
        size = path.stat().st_size
        start, _ = _tail_offset(path, size, max_lines)
        records = [
            record
            for lines, _ in _whole_lines(path, max(start, size - max_bytes - RECORD_HEAD_BYTES * max_lines), size)
            for line in lines
            if (record := parse_record(line)) is not None
        ]
    except OSError:
        return ""
    text = b"".join(record.text + (b"" if record.partial else b"\n") for record in records)
    return text[-max_bytes:].decode(errors="replace")
