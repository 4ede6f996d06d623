"""The tail of a log is what a naive reader would show, wherever chunks and rotations fall."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import logs
from agent.logs import LogOptions, read_log, rotated

pytestmark = pytest.mark.slow

RECORDS = st.lists(st.tuples(st.sampled_from("FFP"), st.text("ab ", max_size=12)), max_size=40)


def encoded(records):
    return [f"2025-01-15T08:30:00+00:00 stdout {tag} {text}\n".encode() for tag, text in records]


def naive(records, tail):
    """All lines joined, then the last `tail` of them; an unfinished one at the end belongs to the tail."""
    lines, current, complete = [], "", True
    for tag, text in records:
        current, complete = current + text, tag == "F"
        if complete:
            lines.append(current + "\n")
            current = ""
    shown = lines[max(0, len(lines) - tail) :] if tail else []
    return "".join(shown) + (current if tail else "")


@given(records=RECORDS, tail=st.integers(0, 45), cut=st.integers(0, 40), chunk=st.integers(40, 300))
def test_the_tail_is_the_last_lines(records, tail, cut, chunk):
    if records[:cut] and records[:cut][-1][0] == "P":
        cut = 0  # conmon finishes no line before a rotation, but the reader shows its pieces anyway
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "0.log")
        pieces = encoded(records)
        rotated(path).write_bytes(b"".join(pieces[:cut]))
        path.write_bytes(b"".join(pieces[cut:]))
        before, logs.CHUNK_BYTES = logs.CHUNK_BYTES, chunk
        try:
            found = asyncio.run(_read(path, tail))
        finally:
            logs.CHUNK_BYTES = before
    assert found.decode() == naive(records, tail)


async def _read(path, tail):
    options = LogOptions(tail_lines=tail)
    return b"".join([piece async for piece in read_log(path, options, lambda: True)])
