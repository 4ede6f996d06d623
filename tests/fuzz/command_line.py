"""What both fuzzers are told on their command lines, and how they begin."""

from __future__ import annotations

import argparse
import os
import random
import signal
from pathlib import Path

from tests.fuzz.findings import tell


def begin(description: str | None, keep: Path) -> argparse.Namespace:
    """Return what was asked for, with the `folder` of this seed; this process and what it starts step back behind others."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--cores", type=float, default=1.0, help="of processor time for all of it, on average")
    parser.add_argument("--keep", type=Path, default=keep, help="for what is found")
    parser.add_argument("--again", type=Path, help="a finding to repeat, on a new lab")
    given = parser.parse_args()
    given.folder = given.keep / str(given.seed)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # judged as it stands
    os.nice(5)  # the replicas, too: they would take the machine from whoever works on it
    tell(f"seed {given.seed}, {given.minutes:g} minutes, load {os.getloadavg()[0]:.1f}")
    return given
