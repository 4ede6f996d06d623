"""Which replica holds the session of which node, and when each node was last heard.

Kept in memory on every replica: its own sessions at first hand, the others' from the reports that replicas send
each other. Never part of the replicated state: a heartbeat costs no log entry.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from component.env import Env


@dataclass(frozen=True, slots=True)
class HeldSession:
    """One node's session: where it is, its replicated epoch, and when the node was last heard (monotonic)."""

    replica: str
    epoch: int
    last_seen: float


class SessionDirectory:
    """Sessions by node. Of two claims for one node the higher epoch wins, then the fresher one."""

    def __init__(self, replica: str, env: Env) -> None:
        self.replica = replica
        self._env = env
        self._own: dict[str, HeldSession] = {}
        self._others: dict[str, dict[str, HeldSession]] = {}
        self._changed = asyncio.Event()  # what is held here
        self._learned = asyncio.Event()  # what is held anywhere

    @property
    def changed(self) -> asyncio.Event:
        """Set when a session next begins or ends here, counted from now."""
        return self._changed

    def opened(self, node: str, epoch: int) -> None:
        """A session begins here."""
        self._own[node] = HeldSession(self.replica, epoch, self._env.monotonic())
        self._tell()

    def heard(self, node: str, epoch: int) -> None:
        """The node of a session held here spoke."""
        if self._own.get(node, HeldSession("", epoch, 0)).epoch == epoch:
            self._own[node] = HeldSession(self.replica, epoch, self._env.monotonic())

    def closed(self, node: str, epoch: int) -> None:
        """A session held here ended; one opened later for the same node stays."""
        held = self._own.get(node)
        if held is not None and held.epoch == epoch:
            del self._own[node]
            self._tell()

    def report(self) -> Sequence[tuple[str, int, float]]:
        """(node, epoch, age in seconds) of every session held here, for the other replicas."""
        now = self._env.monotonic()
        return [(node, held.epoch, now - held.last_seen) for node, held in self._own.items()]

    def learn(self, replica: str, sessions: Sequence[tuple[str, int, float]]) -> None:
        """Replace what is known of another replica's sessions by its latest report."""
        now = self._env.monotonic()
        self._others[replica] = {node: HeldSession(replica, epoch, now - age) for node, epoch, age in sessions}
        self._wake()

    def find(self, node: str) -> HeldSession | None:
        """The session to reach a node through, or None."""
        claims = [held[node] for held in (self._own, *self._others.values()) if node in held]
        return max(claims, key=lambda held: (held.epoch, held.last_seen), default=None)

    async def found(self, node: str, seconds: float) -> HeldSession | None:
        """As `find`; of a node that nobody holds, word may come within so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.find(node) is None:
                    await self._learned.wait()
        return self.find(node)

    def ages(self) -> Mapping[str, float]:
        """Seconds since each known node was last heard by any replica."""
        now = self._env.monotonic()
        seen: dict[str, float] = {}
        for held in (self._own, *self._others.values()):
            for node, session in held.items():
                seen[node] = max(seen.get(node, session.last_seen), session.last_seen)
        return {node: now - last for node, last in seen.items()}

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
        self._wake()

    def _wake(self) -> None:
        self._learned.set()
        self._learned = asyncio.Event()
