"""Makes sure that images are on the node, by their pull policy; one pull per image at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from agent.runtime.protocol import ContainerRuntime, Image, RuntimeFailure
from component.env import Env

PULLS_AT_ONCE = 3


@dataclass(frozen=True, slots=True)
class Ensured:
    """An image that is here. `took_seconds` is None when it was here already."""

    image: Image
    took_seconds: float | None


class Images:
    """Waiters for an image that is being fetched share the one pull."""

    def __init__(self, runtime: ContainerRuntime, env: Env) -> None:
        self._runtime = runtime
        self._env = env
        self._locks: dict[str, asyncio.Lock] = {}
        self._waiting: Counter[str] = Counter()
        self._slots = asyncio.Semaphore(PULLS_AT_ONCE)

    async def ensure(self, reference: str, policy: str, pulling: Callable[[], None]) -> Ensured:
        """Return the image; `policy` is Always, IfNotPresent or Never. `pulling` is called when it must be fetched.

        Raises RuntimeFailure with reason ErrImageNeverPull, ErrImagePull or InvalidImageName.
        """
        if policy != "Always":
            found = await self._runtime.image(reference)
            if found is not None:
                return Ensured(found, None)
            if policy == "Never":
                message = f'Container image "{reference}" is not present with pull policy of Never'
                raise RuntimeFailure(message, reason="ErrImageNeverPull")
        pulling()
        lock = self._locks.setdefault(reference, asyncio.Lock())
        waited = self._waiting[reference] > 0
        self._waiting[reference] += 1
        try:
            async with lock:
                # Whoever waited here for another's pull of the same image has what that brought.
                found = await self._runtime.image(reference) if waited else None
                return Ensured(found, None) if found is not None else await self._pull(reference)
        finally:
            self._waiting[reference] -= 1
            if not self._waiting[reference]:
                del self._waiting[reference], self._locks[reference]

    async def _pull(self, reference: str) -> Ensured:
        async with self._slots:
            began = self._env.monotonic()
            image = await self._runtime.pull(reference)
            return Ensured(image, self._env.monotonic() - began)
