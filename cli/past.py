"""Points in history as people write them: a revision, a time, or so long ago."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cli.connect import system_time
from cli.mistakes import Misused
from component.env import parse_time

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient


REVISION_DIGITS = 19  # the most that always fit into 64 bits


@dataclass(frozen=True, slots=True)
class Moment:
    """A revision at which everything is shown, and what time ages count to (seconds since the epoch)."""

    revision: int
    time_seconds: float


async def moment(client: RpcClient, at: str, ago_seconds: float | None) -> Moment | None:
    """The point that `--at` and `--ago` name together, None for now. Misused for what cannot be read; Expired."""
    if at and ago_seconds is not None:
        raise Misused("give --at or --ago, not both")
    if at.isascii() and at.isdigit():
        if len(at) > REVISION_DIGITS:
            raise Misused(f"there is no revision {at[:REVISION_DIGITS]}...: it has more than {REVISION_DIGITS} digits")
        found = await client.moment(revision=int(at))
        return Moment(found.revision, parse_time(found.time) if found.time else system_time())
    if not at and ago_seconds is None:
        return None
    wanted = max(0.0, system_time() - ago_seconds) if ago_seconds is not None else seconds_of(at, system_time())
    found = await client.moment(time=_written(wanted))
    return Moment(found.revision, wanted)


def seconds_of(text: str, now: float) -> float:
    """Read a time of day or an RFC 3339 time, in the local zone unless it names one. Misused."""
    try:
        if len(text) <= len("10:00:00") and ":" in text:
            text = f"{datetime.fromtimestamp(now).astimezone().date()}T{text}"
        return datetime.fromisoformat(text).astimezone().timestamp()
    except ValueError:
        message = f"{text!r} is neither a revision nor a time: write 1234, 2026-11-21T10:00:00Z or 10:00"
        raise Misused(message) from None


def _written(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
