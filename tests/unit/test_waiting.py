"""Deadlines of tests: what the host of a virtual machine takes is not counted, and nothing else moves them."""

from __future__ import annotations

import pytest

from bench.processes import CpuTime
from tests import waiting


@pytest.mark.parametrize(("stolen", "seconds"), [(0, 10), (50, 20), (90, 100)])
def test_a_deadline_is_as_much_later_as_the_machine_was_kept_from_running(monkeypatch, stolen, seconds):
    now = 1_000.0
    monkeypatch.setattr(waiting.time, "monotonic", lambda: now)
    monkeypatch.setattr(waiting, "cpu_time", lambda: CpuTime(int((now - 900) * 100), int((now - 900) * stolen)))
    deadline = waiting.Deadline(10.0)
    now += seconds - 0.5
    assert not deadline.over()
    now += 1.0
    assert deadline.over()
