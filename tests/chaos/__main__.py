"""Chaos on real processes, as root: `python -m tests.chaos --minutes 30`, or `make chaos MINUTES=30`.

Exits with 1 when a promise was broken, or too little happened to say that none was; the seed is printed first.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from pathlib import Path

from tests.chaos.run import Plan, run


def tell(line: str) -> None:
    """Print at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run, print, and tell by the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--rate", type=float, default=220.0, help="requests a second of all clients together")
    parser.add_argument("--clients", type=int, default=6, help="of each replica, and as many that roam")
    parser.add_argument("--pause", type=float, default=4.0, help="seconds between faults, on average")
    parser.add_argument("--keep", type=Path, default=Path("build/chaos"), help="for logs when something is found")
    given = parser.parse_args()
    plan = Plan(given.minutes * 60, given.seed, given.clients, given.rate, given.pause)
    tell(f"seed {plan.seed}, {given.minutes:g} minutes, load {os.getloadavg()[0]:.1f}")
    verdict = run(plan, tell, given.keep / str(plan.seed))
    for line in verdict.lines():
        tell(line)
    tell(f"load at the end: {os.getloadavg()[0]:.1f}")
    return 1 if verdict.problems else 0


if __name__ == "__main__":
    sys.exit(main())
