"""Time, chance and uids that a test decides."""

from __future__ import annotations

import itertools
import random

from component.env import Env


class FakeClock:
    """A clock that stands still until it is told to move; starts in 2025."""

    def __init__(self, start_time: float = 1_750_000_000.0) -> None:
        self.seconds = start_time

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


def fake_env(clock: FakeClock | None = None, seed: int = 0) -> Env:
    """An Env with a still clock, seeded random numbers and counted uids."""
    clock = clock or FakeClock()
    counter = itertools.count(1)
    return Env(clock, clock, random.Random(seed), lambda: f"uid-{next(counter)}")
