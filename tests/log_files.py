"""Logs of programs that go on writing them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def events_of(path: Path) -> list[dict[str, Any]]:
    """The events in a log that is being written: a line that is not whole yet does not count."""
    lines = path.read_text().rpartition("\n")[0].splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]
