"""A short run of `make chaos` on a lab of its own: real processes under random faults, the whole history checked."""

from __future__ import annotations

import random
from pathlib import Path

from tests.chaos.run import Plan, run
from tests.e2e.cluster import tell

SECONDS = 40.0
LEAST_FAULTS = 5
LEAST_WRITES = 500  # a quiet machine acknowledges ten times as many
MOST_UNKNOWN_PERCENT = 5.0


def test_a_lab_under_random_faults_keeps_every_promise(tmp_path: Path):
    plan = Plan(SECONDS, random.SystemRandom().randrange(10**6), pause_seconds=1.0, least_faults=LEAST_FAULTS)
    tell(f"chaos for {SECONDS:g} s, seed {plan.seed}")
    story: list[str] = []
    verdict = run(plan, story.append, tmp_path)
    for line in verdict.lines():
        tell(f"  {line}")
    assert not verdict.problems, f"seed {plan.seed}, logs in {tmp_path}: {story}"
    assert verdict.figures["faults"] >= LEAST_FAULTS
    assert verdict.figures["writes acknowledged"] >= LEAST_WRITES
    assert verdict.figures["writes unknown, percent"] <= MOST_UNKNOWN_PERCENT
