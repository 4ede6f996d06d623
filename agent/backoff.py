"""When to try again: pure schedules for restarts, image pulls and failed steps. Knows nothing of what is retried."""

from __future__ import annotations

from dataclasses import dataclass

RESTART_FIRST_SECONDS = 10.0
RESTART_MAX_SECONDS = 300.0
RESTART_RESET_SECONDS = 600.0
"""A container that ran this long since its last restart starts over (Kubernetes: twice the longest delay)."""

PULL_FIRST_SECONDS = 10.0
PULL_MAX_SECONDS = 300.0
STEP_FIRST_SECONDS = 0.5
STEP_MAX_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long the next restart has to wait, and when this was decided (seconds since the epoch)."""

    delay_seconds: float
    decided_time: float


def expired(backoff: Backoff, finished_time: float) -> bool:
    """Whether the container ran so long that its earlier failures no longer count."""
    return finished_time - backoff.decided_time > RESTART_RESET_SECONDS


def restart_time(backoff: Backoff | None, finished_time: float) -> float:
    """When a container that ended at `finished_time` may start again; the first restart is at once."""
    if backoff is None or expired(backoff, finished_time):
        return finished_time
    return finished_time + backoff.delay_seconds


def next_backoff(backoff: Backoff | None, finished_time: float, now: float) -> Backoff:
    """The state after a restart at `now`: 10 s, doubling to 300 s, as Kubernetes."""
    if backoff is None or expired(backoff, finished_time):
        return Backoff(RESTART_FIRST_SECONDS, now)
    return Backoff(min(2 * backoff.delay_seconds, RESTART_MAX_SECONDS), now)


def doubled(delay_seconds: float, first_seconds: float, max_seconds: float) -> float:
    """The delay after `delay_seconds`; 0 means there was none yet."""
    return min(max(2 * delay_seconds, first_seconds), max_seconds)
