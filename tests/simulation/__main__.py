"""`python -m tests.simulation`: seeds one after the other, one of them again with its whole trace, or the mutants."""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections import Counter

from tests.simulation.faults import EFFECTS
from tests.simulation.mutants import MUTANTS
from tests.simulation.run import run
from tests.simulation.variant import PRODUCT, Variant

MUTANT_SEEDS = 200


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="how many")
    parser.add_argument("--first", type=int, default=None, help="the first seed; new ones by default")
    parser.add_argument("--seed", help="repeat this one")
    parser.add_argument("--trace", action="store_true", help="print every event of the run")
    parser.add_argument("--mutant", default="", help="plant the mistake whose name contains this")
    parser.add_argument(
        "--mutants", action="store_true", help=f"try all mistakes, each with up to {MUTANT_SEEDS} seeds"
    )
    arguments = parser.parse_args()
    first = arguments.first if arguments.first is not None else secrets.randbelow(10**9)
    if arguments.mutants:
        return _find_mutants(first, arguments.mutant)
    seeds = [str(number) for number in range(first, first + arguments.seeds)]
    variant = next((each for each in MUTANTS if arguments.mutant and arguments.mutant in each.name), PRODUCT)
    return _simulate([arguments.seed] if arguments.seed is not None else seeds, variant, trace=arguments.trace)


def _simulate(seeds: list[str], variant: Variant, *, trace: bool) -> int:
    started = time.perf_counter(), time.process_time()
    failed = []
    brought_about: Counter[str] = Counter()
    for seed in seeds:
        report = run(seed, variant, log=_say if trace else None)
        brought_about.update({effect: report.counts[effect] for effect in EFFECTS})
        _say(report.line())
        for problem in (*report.violations[:10], *report.thin):
            _say(f"  FAILED {problem[:2000]}")
        if report.failed:
            failed.append(seed)
    minutes, processor_minutes = (time.perf_counter() - started[0]) / 60, (time.process_time() - started[1]) / 60
    speed = (
        f"{len(seeds) / minutes:.0f} seeds a minute, {len(seeds) / processor_minutes:.0f} a minute of processor time"
    )
    _say(", ".join(f"{count} {effect}" for effect, count in brought_about.items()))
    _say(f"{len(seeds)} seeds, {speed}, {len(failed)} failed: {' '.join(failed)}")
    return 1 if failed else 0


def _find_mutants(first: int, wanted: str) -> int:
    missed = 0
    for mutant in MUTANTS:
        if wanted not in mutant.name:
            continue
        for number in range(MUTANT_SEEDS):
            report = run(str(first + number), mutant)
            if report.violations:
                _say(f"{mutant.name}: found by seed {number + 1}, {report.seed}: {report.violations[0][:200]}")
                break
        else:
            missed += 1
            _say(f"{mutant.name}: NOT FOUND by the {MUTANT_SEEDS} seeds from {first}")
    return 1 if missed else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
