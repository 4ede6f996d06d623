"""Calls that last: they end when the certificate that they came with is revoked."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from api import errors
from component.env import Env
from component.pki import Subject
from controlplane.replica import Replica
from controlplane.revocations import Revocations, expired

LOOK_SECONDS: Final = 0.2
FORGET_SECONDS: Final = 600.0

log = structlog.get_logger()


class OpenCalls:
    """The tasks of calls under way, each with the certificate that its caller showed."""

    def __init__(self, revocations: Revocations) -> None:
        self._revocations = revocations
        self._open: dict[asyncio.Task[object], Subject] = {}

    def follow(self, subject: Subject) -> None:
        """End the task that asks for this when `subject` is revoked before it is done."""
        task = asyncio.current_task()
        assert task is not None, "a call is served in a task"
        if task not in self._open:
            task.add_done_callback(lambda done: self._open.pop(done, None))
        self._open[task] = subject

    def end_revoked(self) -> None:
        """Cancel every call whose certificate counts no more."""
        for task, subject in list(self._open.items()):
            try:
                self._revocations.check(subject)
            except errors.Unauthenticated as error:
                log.info("call_ended", user=subject.common_name, reason=str(error))
                task.cancel(error)  # which its client is told, over gRPC


class RevocationLoop:
    """Ends what is revoked, on every replica; on the leader, forgets revocations that are about nothing any more."""

    def __init__(self, replica: Replica, revocations: Revocations, calls: OpenCalls, env: Env) -> None:
        self._replica = replica
        self._revocations = revocations
        self._calls = calls
        self._env = env

    async def run(self) -> None:
        """Until cancelled."""
        seen, forget_time = self._revocations.point, self._env.monotonic()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._revocations.point != seen:
                seen = self._revocations.point
                self._calls.end_revoked()
            if self._env.monotonic() >= forget_time:
                forget_time = self._env.monotonic() + FORGET_SECONDS
                await self._forget()

    async def _forget(self) -> None:
        ops = expired(self._replica.state, self._env.now()) if self._replica.status.leading else ()
        if not ops:
            return
        try:
            await self._replica.commit(ops)
        except errors.ApiError as error:
            log.info("revocations_not_forgotten", reason=str(error))
