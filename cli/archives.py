"""Trees of files to and from tar archives, as streams. What comes out of a container is not trusted.

Nothing is written outside of where it was asked for: names that would are refused, and links that lead outside are not made.
"""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from api.errors import Invalid

_MODE: Final = 0o777  # a container gives nobody a program that runs as its owner

_REST_BYTES: Final = 64 << 10


def pack(source: Path, name: str, sink: IO[bytes]) -> None:
    """Write a file or a tree as `name` into an archive and close it. OSError, BrokenPipeError when nobody reads it."""
    with sink, tarfile.open(fileobj=sink, mode="w|", format=tarfile.GNU_FORMAT) as archive:
        archive.add(source, arcname=name, filter=_nobodys)


def _nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Users of this machine mean nothing in a container."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


class Unpacking:
    """Reads an archive whose members are `name` or below it, and makes them `target` and what is below."""

    def __init__(self, target: Path, name: str, tell: Callable[[str], None]) -> None:
        self.left_out = 0
        self._target = target
        self._name = name
        self._tell = tell
        self._modes: list[tuple[Path, int]] = []
        self._links: list[tuple[Path, str, str]] = []

    def run(self, source: IO[bytes]) -> None:
        """Read the whole archive and close it. Invalid for a name outside, or for what is no archive; OSError."""
        with source:
            try:
                with tarfile.open(fileobj=source, mode="r|") as archive:
                    for member in archive:
                        self._take(archive, member)
            except tarfile.TarError as error:
                raise Invalid(f"what came is no tar archive, or is cut off: {error}") from error
            while source.read(_REST_BYTES):  # who writes must not be cut off before it tells how it went
                pass
        self._make_links()
        for path, mode in reversed(self._modes):  # a folder may forbid writing, once it is full
            path.chmod(mode)

    def _take(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        path = self._place(member.name)
        if member.isdir():
            if not path.is_dir():
                path.mkdir(parents=True)
            self._modes.append((path, member.mode & _MODE))
            path.chmod(member.mode & _MODE | stat.S_IRWXU)
        elif member.isfile():
            path.parent.mkdir(parents=True, exist_ok=True)
            _make_room(path)
            content = archive.extractfile(member)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
                if content is not None:
                    shutil.copyfileobj(content, file)
            path.chmod(member.mode & _MODE)
        elif member.issym():
            self._links.append((path, member.linkname, member.name))
        elif member.islnk():
            path.parent.mkdir(parents=True, exist_ok=True)
            first = self._place(member.linkname)
            _make_room(path)
            os.link(first, path, follow_symlinks=False)
        else:
            self._leave_out(member.name, "it is neither a file nor a folder nor a link")

    def _place(self, name: str) -> Path:
        """Where a member goes. Invalid when that is not below the target, seen through every link that is there."""
        parts = [part for part in name.split("/") if part not in {"", "."}]
        wanted = [] if self._name == "." else [self._name]
        if name.startswith("/") or ".." in parts or parts[: len(wanted)] != wanted:
            raise Invalid(f"the archive has {name!r}, which is outside of what was asked for: nothing more is copied")
        path = self._target.joinpath(*parts[len(wanted) :])
        if path != self._target and not _within(path.parent, self._target):
            raise Invalid(f"the archive has {name!r} behind a link that leads out: nothing more is copied")
        return path

    def _make_links(self) -> None:
        """Last, so that nothing is written through one; all, before it is looked where each leads, through others too."""
        for path, text, _ in self._links:
            path.parent.mkdir(parents=True, exist_ok=True)
            _make_room(path)
            path.symlink_to(text)
        for path, text, name in self._links:
            root = self._target if path != self._target else path.parent
            if path.is_symlink() and not _within(path, root):
                path.unlink()
                self._leave_out(name, f"it is a link to {text}, which is outside")

    def _leave_out(self, name: str, why: str) -> None:
        self.left_out += 1
        self._tell(f"left out {name}: {why}")


def _within(path: Path, root: Path) -> bool:
    """Whether a path, through all links, is a root or below it; in loops it is not."""
    try:
        return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))
    except (OSError, RuntimeError):
        return False


def _make_room(path: Path) -> None:
    """Remove a file or link that stands where another one is to be made. OSError for a folder."""
    if path.is_symlink() or path.exists():
        path.unlink()
