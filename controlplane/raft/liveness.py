"""Is this replica of use as a leader: its API process alive, and done with what is committed?"""

from __future__ import annotations

from component.env import Env


class ApiLiveness:
    """What the link saw of the API process. Silence for `silence_seconds` counts as gone."""

    def __init__(self, env: Env, silence_seconds: float) -> None:
        self._env = env
        self._silence_seconds = silence_seconds
        self._connected = False
        self._seen_time = 0.0
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
        """The API process is gone."""
        self._connected = False

    def alive(self) -> bool:
        """Whether it was heard of lately."""
        return self._connected and self._env.monotonic() - self._seen_time < self._silence_seconds

    def electable(self, commit_index: int) -> bool:
        """Whether leadership here would serve at once: alive, and everything committed is applied."""
        return self.alive() and self._applied_index >= commit_index

    def why_dead(self) -> str:
        """The reason to log when leadership moves on."""
        return "api process silent" if self._connected else "api process gone"
