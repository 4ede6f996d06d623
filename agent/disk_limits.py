"""Ends pods whose scratch volumes on disk outgrew their limits. Volumes in memory are limited by the kernel itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from agent.file_trees import used_bytes
from agent.observed import Verdict
from agent.paths import Paths
from agent.worker import PodWorker
from api import quantity
from api.core import Pod

LOOK_SECONDS = 30.0


def disk_limits(pod: Pod) -> dict[str, int]:
    """The limits in bytes of the pod's emptyDir volumes on disk, by volume; 0 is none, as in Kubernetes."""
    limits = {
        volume.name: quantity.whole(volume.empty_dir.size_limit)
        for volume in pod.spec.volumes
        if volume.empty_dir is not None and volume.empty_dir.medium != "Memory" and volume.empty_dir.size_limit
    }
    return {name: limit for name, limit in limits.items() if limit}


class DiskLimits:
    """Measures now and then, as the kubelet does."""

    def __init__(self, workers: Callable[[], Iterable[PodWorker]], paths: Paths) -> None:
        self._workers = workers
        self._paths = paths

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.enforce()

    async def enforce(self) -> None:
        """Measure every limited volume once and end the pods that are over."""
        for worker in list(self._workers()):
            pod = worker.pod
            if pod is None or not worker.observed.volumes_made:
                continue
            for name, limit in disk_limits(pod).items():
                used = await asyncio.to_thread(used_bytes, self._paths.volume(worker.uid, name))
                if used > limit:
                    written = next(v.empty_dir for v in pod.spec.volumes if v.name == name)
                    shown = written.size_limit if written is not None else limit
                    message = f'Usage of EmptyDir volume "{name}" exceeds the limit "{shown}". '
                    worker.give_up(Verdict("Evicted", message))
                    break
