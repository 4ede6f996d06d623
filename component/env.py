"""Everything a process takes from the outside world besides its I/O ports."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from random import Random
from typing import Final

from component.entropy import Entropy

_ENTROPY: Final = Entropy()


@dataclass(frozen=True)
class Env:
    """The sources of non-determinism, passed to every constructor that needs one.

    Production builds it once with `system_env()`; a simulation builds one per replica from its seed, so that the
    same seed gives the same run.
    """

    monotonic: Callable[[], float]  # seconds, arbitrary origin, never goes back
    now: Callable[[], float]  # seconds since the Unix epoch, UTC
    rng: Random
    new_uid: Callable[[], str]

    def timestamp(self) -> str:
        """Now as an RFC 3339 string in whole seconds, as object metadata carries it."""
        return rfc3339(self.now())


def rfc3339(seconds: float) -> str:
    """Format seconds since the epoch as "2025-01-15T08:30:00Z"."""
    return _whole_second(int(seconds))


@lru_cache(maxsize=64)  # many objects are written in the same second
def _whole_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> float:
    """Return the seconds since the epoch of an RFC 3339 string; raises ValueError."""
    return datetime.fromisoformat(text).timestamp()


def system_env() -> Env:
    """The machine's clock, entropy and random uids."""
    return Env(time.monotonic, time.time, _ENTROPY, _ENTROPY.uid)
