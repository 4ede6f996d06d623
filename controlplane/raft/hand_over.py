"""Giving up leadership without waiting for anybody's timer: section 3.10 of Ongaro's dissertation."""

from __future__ import annotations

import structlog

from api.v1 import raft_pb2
from component.env import Env
from controlplane.raft.config import NodeSettings
from controlplane.raft.core import RaftCore
from controlplane.raft.leading import Leading

log = structlog.get_logger()

ASK_SECONDS = 0.005
"""How often peers are asked whether they can lead by now; what they said with the last entries is out of date."""


class HandOver:
    """At most one under way; it ends with the leadership."""

    def __init__(self, settings: NodeSettings, core: RaftCore, leading: Leading, env: Env) -> None:
        self._settings = settings
        self._core = core
        self._leading = leading
        self._env = env
        self._deadline: float | None = None
        self._to = ""
        self._sent = False
        self._ask_time = 0.0

    @property
    def under_way(self) -> bool:
        """Whether this leader is about to stop: it takes nothing new."""
        return self._deadline is not None

    def begin(self, reason: str, to: str = "") -> None:
        """Give up leadership: to a caught-up peer if there is one, else to nobody. Harmless on a follower.

        With `to` only that voter will do: if it is not caught up in time, nothing changes.
        """
        if self._core.leads and self._deadline is None:
            self._deadline = self._env.monotonic() + self._settings.election_min_seconds
            self._sent = False
            self._ask_time = self._env.monotonic()
            self._to = to
            log.info("leadership_handed_over", reason=reason, term=self._core.term)

    def turn(self) -> None:
        """Tell the best caught-up peer to campaign now; tried every turn until one is caught up or time is over."""
        if self._deadline is None or not self._core.leads:
            return
        now = self._env.monotonic()
        ready = [peer for peer in self._leading.caught_up() if self._to in {"", peer}]
        if ready and not self._sent:
            self._sent = self._core.send(ready[0], raft_pb2.RaftMessage(timeout_now=raft_pb2.TimeoutNow()))
        elif not self._sent and now >= self._ask_time:
            self._ask_time = now + ASK_SECONDS
            self._leading.due = True
        late = now >= self._deadline
        if late and self._to and not self._sent:
            self.end()
        elif late or not self._core.voters:
            self._core.step_down()
            self._core.election_deadline = now + self._settings.election_max_seconds

    def end(self) -> None:
        """Leadership began or is over."""
        self._deadline = None
