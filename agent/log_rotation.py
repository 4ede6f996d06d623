"""Keeps container logs small: renames a full one and lets conmon open a new one. One earlier part is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import structlog

from agent.logs import rotated
from agent.paths import Paths
from agent.runtime.protocol import Container, ContainerRuntime, RuntimeFailure

log = structlog.get_logger()

MAX_LOG_BYTES = 10 << 20
LOOK_SECONDS = 10.0


class LogRotation:
    """Looks at the logs of running containers every ten seconds, as the kubelet does."""

    def __init__(
        self,
        containers: Callable[[], Iterable[Container]],
        runtime: ContainerRuntime,
        paths: Paths,
        max_bytes: int = MAX_LOG_BYTES,
    ) -> None:
        self._containers = containers
        self._runtime = runtime
        self._paths = paths
        self._max_bytes = max_bytes

    async def run(self) -> None:
        """Rotate until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.rotate_full()

    async def rotate_full(self) -> None:
        """Rotate every log that is full now."""
        for container in list(self._containers()):
            path = self._paths.log(container.pod_uid, container.name, container.attempt)
            try:
                if container.state == "running" and path.stat().st_size >= self._max_bytes:
                    path.replace(rotated(path))
                    await self._runtime.reopen_log(container.id)
            except FileNotFoundError:
                continue
            except (OSError, RuntimeFailure) as error:
                log.warning("log_not_rotated", container=container.name, pod_uid=container.pod_uid, error=str(error))
