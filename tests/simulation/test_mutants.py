"""The simulation finds what is wrong with the product when something is: one planted mistake after the other.

Here those that a few seeds find; `make mutants` tries all of them, with up to 200 new seeds each.
"""

import re
import secrets
from pathlib import Path

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.run import draw, run

QUICK = (
    "skip the fsync",
    "truncate a matching suffix",
    "lose the watch events between list and watch",
    "take a repeated request for a new one",
)
TABLE = Path(__file__).parents[2] / "docs" / "testing.md"
SEEDS = 150  # the rarest of them is found by one seed in ten


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_a_mutant_is_found(name):
    mutant = next(each for each in MUTANTS if each.name == name)
    first = secrets.randbelow(10**9)
    seeds = [str(number) for number in range(first, first + SEEDS) if not draw(str(number))[0].controllers]
    assert any(run(seed, mutant).violations for seed in seeds), f"not found by seeds {first} to {first + SEEDS - 1}"


def test_the_documentation_names_every_planted_mistake():
    rows = TABLE.read_text(encoding="utf-8").partition("| Mistake |")[2].partition("\n\n")[0].splitlines()
    assert [row.split("|")[1].strip() for row in rows if re.search(r"\d", row)] == [each.name for each in MUTANTS]
