"""One line of a container's log as conmon writes it: pure.

`2025-01-15T08:30:00.123456789+00:00 stdout F text`; P instead of F marks a piece of a line that goes on in the next
record of the same stream (the CRI log format).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from api.errors import Invalid
from component.env import parse_time


@dataclass(frozen=True, slots=True)
class Record:
    """One record; `stamp` is the timestamp as written, `partial` says that the line goes on."""

    stamp: bytes
    stream: Literal["stdout", "stderr"]
    partial: bool
    text: bytes


def parse_record(line: bytes) -> Record | None:
    """Read a record (without its line feed); None for what is none."""
    parts = line.split(b" ", 3)
    if len(parts) < 3 or parts[1] not in {b"stdout", b"stderr"} or parts[2][:1] not in {b"F", b"P"}:
        return None
    return Record(
        parts[0],
        "stdout" if parts[1] == b"stdout" else "stderr",
        parts[2][:1] == b"P",
        parts[3] if len(parts) > 3 else b"",
    )


def stamp_seconds(stamp: bytes) -> float:
    """Seconds since the epoch of a record's timestamp, 0 when it is none."""
    try:
        return parse_time(stamp.decode("ascii", "replace"))
    except ValueError:
        return 0.0


def since_bound(since_seconds: float | None, since_time: str | None, now: float) -> float:
    """The oldest instant wanted, 0 for all; raises Invalid for a bad time or number."""
    if since_time:
        try:
            return parse_time(since_time)
        except ValueError:
            raise Invalid(f"sinceTime {since_time!r} is not an RFC 3339 time, such as 2025-01-15T08:30:00Z") from None
    if since_seconds is None:
        return 0.0
    if not math.isfinite(since_seconds):
        raise Invalid("sinceSeconds must be a number of seconds")
    return now - since_seconds
