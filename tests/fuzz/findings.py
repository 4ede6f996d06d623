"""What fuzzing found: each kind of finding once, with the first request that led to it, in a file that repeats it."""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any


def tell(line: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stdout.flush()


class Findings:
    """Counts cases and answers; keeps one file for every kind of finding in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self.cases = 0
        self.answers: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()

    def answered(self, code: object) -> None:
        """One more case, and how it ended."""
        self.cases += 1
        self.answers[str(code)] += 1

    def add(self, what: str, message: str, request: dict[str, Any]) -> None:
        """Something that is not as promised. `what` is the check and the operation."""
        kind = f"{what}: {re.sub(r'[0-9a-f]{8,}|[0-9]+', '#', message)[:120]}"
        self.kinds[kind] += 1
        if self.kinds[kind] == 1:
            path = self._folder / f"{len(self.kinds):03}.json"
            path.write_text(json.dumps({"what": what, "message": message, **request}, indent=1), encoding="utf-8")
            tell(f"FOUND {path.name} {what}: {message[:300]}")

    def lines(self) -> list[str]:
        """The sum, for people."""
        answers = ", ".join(f"{code}: {count}" for code, count in sorted(self.answers.items()))
        return [f"{self.cases} cases ({answers})", *(f"{count} x {kind}" for kind, count in self.kinds.most_common())]
