"""The simulation finds what is wrong with the product when something is: one planted mistake after the other.

Here those that a few seeds find; `make mutants` tries all of them, with up to 200 new seeds each.
"""

import secrets

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.run import draw, run

QUICK = (
    "skip the fsync",
    "truncate a matching suffix",
    "lose the watch events between list and watch",
    "take a repeated request for a new one",
)
SEEDS = 150  # the rarest of them is found by one seed in ten


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_a_mutant_is_found(name):
    mutant = next(each for each in MUTANTS if each.name == name)
    first = secrets.randbelow(10**9)
    seeds = [str(number) for number in range(first, first + SEEDS) if not draw(str(number))[0].controllers]
    assert any(run(seed, mutant).violations for seed in seeds), f"not found by seeds {first} to {first + SEEDS - 1}"
