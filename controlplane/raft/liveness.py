"""Is this replica of use as a leader: its API process alive, and done with what is committed?"""

from __future__ import annotations

from component.env import Env

_STALL_SECONDS = 0.2  # a turn of the Raft loop takes a quarter of it at most, unless the disk or the machine hangs


class ApiLiveness:
    """What the link saw of the API process. Silence for `silence_seconds` counts as gone."""

    def __init__(self, env: Env, silence_seconds: float) -> None:
        self._env = env
        self._silence_seconds = silence_seconds
        self._connected = False
        self._interrupted = False
        self._seen_time = 0.0
        self._asked_time = env.monotonic()
        self._applied_index = 0

    def connected(self, applied_index: int) -> None:
        """An API process is there."""
        self._connected = True
        self.seen(applied_index)

    def seen(self, applied_index: int) -> None:
        """The API process showed that it is alive and how far it is."""
        self._seen_time = self._env.monotonic()
        self._applied_index = applied_index

    def lost(self) -> None:
        """The API process is gone, or its connection: what was under way between the two is unknown."""
        self._connected = False
        self._interrupted = True

    def alive(self) -> bool:
        """Whether it was heard of lately."""
        return self._connected and self._env.monotonic() - self._seen_time < self._silence_seconds

    def electable(self, commit_index: int) -> bool:
        """Whether leadership here would serve at once: alive, and everything committed is applied."""
        return self.alive() and self._applied_index >= commit_index

    def interruption(self) -> str:
        """Why a leadership must end since the last call, or "".

        A connection lost and made again at once counts too: only the end of the term tells the API process that
        what it had sent before will never commit. Called every turn: time in which this process itself stood still
        (a slow sync, a paused machine) is not held against the API process, whose ticks wait in the socket.
        """
        now = self._env.monotonic()
        stall_seconds, self._asked_time = now - self._asked_time, now
        if stall_seconds > _STALL_SECONDS:
            self._seen_time += stall_seconds
        interrupted, self._interrupted = self._interrupted, False
        if interrupted or not self._connected:
            return "api process gone"
        return "" if self.alive() else "api process silent"
