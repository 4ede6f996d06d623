"""What a node says about a control plane that it cannot reach: each trouble once, not with every attempt."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
import structlog

from agent.events import EventRecorder
from agent.reports import ReportBook
from agent.session import MAX_TOLD, Session
from component.env import system_env
from tests.waiting import eventually

pytestmark = pytest.mark.slow


class Side:
    """A node that never gets a session."""

    def __init__(self) -> None:
        self.status_changed = asyncio.Event()
        self.attempts = 0

    def endpoints(self):
        return ["10.0.0.1:7443", "10.0.0.2:7443", "10.0.0.3:7443"]

    def disconnected(self, reason, *, refused):
        self.attempts += 1


async def log_of(reason, attempts):
    """What is logged until so many attempts have failed, each with `reason(number)`."""
    side = Side()

    def connect(_endpoint):
        raise OSError(reason(side.attempts))

    session = Session(side, ReportBook(EventRecorder("n1", system_env())), connect, system_env())
    with structlog.testing.capture_logs() as logs:
        task = asyncio.ensure_future(session.run())
        await eventually(lambda: side.attempts >= attempts)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    return logs


async def test_the_same_trouble_with_the_same_replica_is_told_once():
    logs = await log_of(lambda _number: "Socket closed", attempts=9)
    assert sorted(entry["endpoint"] for entry in logs) == ["10.0.0.1:7443", "10.0.0.2:7443", "10.0.0.3:7443"]


async def test_another_trouble_is_told():
    logs = await log_of(lambda number: "Socket closed" if number < 6 else "certificate expired", attempts=9)
    assert [entry["error"] for entry in logs] == ["Socket closed"] * 3 + ["certificate expired"] * 3
    assert len(logs) < MAX_TOLD
