"""The file of the audit log: appended to, rotated by size, readable by its owner only.

It must not know what a line says.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

MODE: Final = 0o600
FOLDER_MODE: Final = 0o700


class RotatingFile:
    """Appends whole lines. Full files move to PATH.1, PATH.2 and so on, the oldest last; `kept` of them stay.

    Opened by the first append; one that somebody else moved away is begun anew. For one thread.
    """

    def __init__(self, path: Path, limit_bytes: int, kept: int) -> None:
        self._path = path
        self._limit_bytes = limit_bytes
        self._kept = kept
        self._descriptor = -1
        self._size = 0

    def append(self, data: bytes) -> None:
        """Write `data`, whole lines, all of it or nothing. OSError."""
        self._settle()
        if self._size and self._size + len(data) > self._limit_bytes:
            self.close()
            self._rotate()
            self._open()
        try:
            self._write(data)
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)

    def close(self) -> None:
        """Close the file; the next append opens it again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self._descriptor, left) :]

    def _settle(self) -> None:
        """Have the file open that the path names now."""
        if self._descriptor >= 0:
            try:
                found = self._path.stat()
            except FileNotFoundError:
                self.close()
            else:
                if found.st_ino != os.fstat(self._descriptor).st_ino:
                    self.close()
        if self._descriptor < 0:
            self._open()

    def _open(self) -> None:
        self._path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, MODE)
        os.fchmod(self._descriptor, MODE)
        self._size = os.fstat(self._descriptor).st_size
        if self._size and os.pread(self._descriptor, 1, self._size - 1) != b"\n":
            self._write(b"\n")  # a line that a crash cut off ends here
            self._size += 1

    def _rotate(self) -> None:
        """Move every file one further; the oldest is overwritten."""
        if not self._kept:
            self._path.unlink(missing_ok=True)
            return
        for number in range(self._kept, 0, -1):
            older = self._numbered(number - 1) if number > 1 else self._path
            if older.exists():
                older.replace(self._numbered(number))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
