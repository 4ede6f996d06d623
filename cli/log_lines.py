"""Lines of several logs that arrive in pieces. Pure: bytes in, whole lines out."""

from __future__ import annotations


class LogLines:
    """One log among several: gives out whole lines only, each with a mark in front, so that no two are mixed."""

    def __init__(self, mark: str = "") -> None:
        self._mark = mark.encode()
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """The lines that are complete by now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return b"".join(self._mark + line + b"\n" for line in lines)

    def end(self) -> bytes:
        """What was left without an end of line."""
        rest, self._rest = self._rest, b""
        return self._mark + rest + b"\n" if rest else b""
