"""A client that writes in a loop and remembers what was acknowledged."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from typing import Self

from api.errors import AlreadyExists, ApiError
from component.env import system_env
from lab import cluster as labs
from tests.e2e.cluster import Cluster, eventually


class Writer:
    """Creates one ConfigMap after the other, with a client of its own, and notes what was acknowledged and when."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._write()), name="e2e-writer", daemon=True)
        self.acknowledged: dict[str, float] = {}
        self.problems: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        eventually("the first write", lambda: self.acknowledged)
        return self

    def __exit__(self, *_raised: object) -> None:
        self._stop.set()
        self._thread.join()

    async def _write(self) -> None:
        client = labs.client_of(self._cluster.lab, system_env())
        number = 0
        while not self._stop.is_set():
            name = f"write-{number}"
            tree = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": self._namespace}}
            try:
                await client.create(tree)
            except AlreadyExists:  # of an attempt whose outcome was unknown
                pass
            except ApiError as error:
                self.problems.append(f"{error.reason}: {error}")
                continue
            self.acknowledged[name] = time.monotonic()
            number += 1
        await client.close()

    def wait_for_another(self) -> None:
        """Return once a write that began after now is acknowledged."""
        count = len(self.acknowledged) + 1  # one may be on its way
        eventually("writes go on", lambda: len(self.acknowledged) > count, 60)

    def outage_seconds(self, instant: float) -> float:
        """From an instant, just after a kill, until the first write that began after it was acknowledged.

        Writes follow each other: the first one acknowledged after the instant had begun before it, and its answer
        may have been on its way already.
        """
        times = sorted(self.acknowledged.values())
        return [each for each in times if each > instant][1] - instant

    def longest_pause_seconds(self, instant: float) -> float:
        """The longest time between two acknowledgements since an instant: also of what comes after the first write."""
        times = sorted(self.acknowledged.values())
        return max(after - before for before, after in itertools.pairwise(times) if after > instant)

    def missing(self) -> set[str]:
        """Acknowledged writes that are not there."""
        found = {each["metadata"]["name"] for each in self._cluster.list("configmaps", self._namespace)}
        return self.acknowledged.keys() - found
