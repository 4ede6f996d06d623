"""The table of holes in docs/adr/0001: what it names must be there."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
RECORD = TESTS.parent / "docs" / "adr" / "0001-raft-on-pysyncobj.md"


def test_every_hole_is_held_by_tests_that_exist():
    there = {
        name
        for path in TESTS.rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)\(", path.read_text(encoding="utf-8"))
    }
    rows = [line for line in RECORD.read_text(encoding="utf-8").splitlines() if re.match(r"\| \d", line)]
    assert len(rows) == 20
    for row in rows:
        number, _, _, held_by = (cell.strip() for cell in row.strip("|").split("|"))
        named = set(re.findall(r"`(test_\w+)`", held_by))
        assert named, row
        assert named <= there, named - there
        for reproduced in re.findall(r"(\d+)\*", number):
            assert any(name.startswith(f"test_stock_hole_{reproduced}_") for name in there), number
