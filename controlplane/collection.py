"""When the garbage collector looks at what, so that its pauses do not grow with what the process holds.

Whatever survived a full collection is put out of the collector's sight (`gc.freeze`), and the next one looks only at
what came since. Reference counts still free nearly everything; cycles among what was frozen go in a whole collection,
at a quiet moment. It must not know what the process does.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Final

import structlog

from component.env import Env

THRESHOLDS: Final = (700, 6, 4)  # a full collection sees at most 25,000 new containers, the one before it 5,000
OLDEST: Final = 2  # generation
LOOK_SECONDS: Final = 10.0
QUIET_CHANGES: Final = 20  # since the last look
QUIET_SECONDS: Final = 600.0  # between whole collections at quiet moments
LONGEST_SECONDS: Final = 6 * 3600.0  # without a quiet moment: memory must stay bounded

log = structlog.get_logger()


class Collection:
    """Runs the collector of this process from `start` to `close`; `changes` counts what the process has done so far."""

    def __init__(self, env: Env, changes: Callable[[], int], *, look_seconds: float = LOOK_SECONDS) -> None:
        self._env = env
        self._changes = changes
        self._look_seconds = look_seconds
        self._thresholds = gc.get_threshold()

    def start(self) -> None:
        """Freeze what there is: imported code, and the state that was loaded."""
        gc.set_threshold(*THRESHOLDS)
        gc.freeze()
        gc.callbacks.append(_freeze_survivors)

    def close(self) -> None:
        """Leave the collector as it was."""
        gc.callbacks.remove(_freeze_survivors)
        gc.set_threshold(*self._thresholds)
        gc.unfreeze()

    async def run(self) -> None:
        """Collect everything at quiet moments; ends by cancellation."""
        whole_time, seen = self._env.monotonic(), self._changes()
        while True:
            await asyncio.sleep(self._look_seconds)
            before, seen = seen, self._changes()
            since = self._env.monotonic() - whole_time
            quiet = seen - before <= QUIET_CHANGES
            if since >= LONGEST_SECONDS or (quiet and since >= QUIET_SECONDS):
                began = self._env.monotonic()
                gc.unfreeze()
                found = gc.collect()
                whole_time = self._env.monotonic()
                log.info("everything_collected", unreachable=found, took_seconds=round(whole_time - began, 3))


def _freeze_survivors(phase: str, facts: dict[str, int]) -> None:
    if phase == "stop" and facts["generation"] == OLDEST:
        gc.freeze()
