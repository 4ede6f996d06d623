"""Keeps the kernel's network equal to the newest inputs; one sync at a time, the newest inputs win."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from agent.backoff import doubled
from component.env import Env
from netplugin.protocol import NetworkFailure, NetworkInputs, PodNetwork

log = structlog.get_logger()

RETRY_FIRST_SECONDS = 0.2
RETRY_MAX_SECONDS = 10.0


class NetworkSync:
    """`synced_revision` is the newest revision of inputs whose network is in the kernel, -1 before the first."""

    def __init__(self, network: PodNetwork, synced: Callable[[], None], env: Env) -> None:
        self.synced_revision = -1
        self.problem = ""
        self._network = network
        self._synced = synced
        self._env = env
        self._wanted: NetworkInputs | None = None
        self._newest_revision = -1
        self._wake = asyncio.Event()

    def submit(self, inputs: NetworkInputs) -> None:
        """Make the network so."""
        self._wanted = inputs
        self._newest_revision = inputs.revision
        self._wake.set()

    def unchanged(self, revision: int) -> None:
        """A newer revision with the same network."""
        self._newest_revision = revision
        if self._wanted is None and self.synced_revision >= 0:
            self._advance(revision)

    async def run(self) -> None:
        """Sync until cancelled; a failure is tried again, with the newest inputs."""
        delay = 0.0
        while True:
            await self._wake.wait()
            self._wake.clear()
            wanted = self._wanted
            if wanted is None:
                continue
            problem = await self._try(wanted)
            if problem:
                delay = doubled(delay, RETRY_FIRST_SECONDS, RETRY_MAX_SECONDS)
                self.problem = f"the node's network could not be set up: {problem}"
                log.warning("network_sync_failed", error=problem, retry_seconds=delay)
                await self._pause(delay)
                self._wake.set()
                continue
            delay, self.problem = 0.0, ""
            if self._wanted is wanted:
                self._wanted = None
                self._advance(max(wanted.revision, self._newest_revision))
            else:
                self._advance(wanted.revision)

    async def _try(self, wanted: NetworkInputs) -> str:
        """Sync once; returns what went wrong, "" when nothing did."""
        try:
            await self._network.sync(wanted)
        except (NetworkFailure, OSError, TimeoutError) as error:
            return str(error) or type(error).__name__
        except Exception as error:  # the outermost frame of a sync: inputs from elsewhere must not end the agent
            log.exception("network_sync_crashed", revision=wanted.revision)
            return f"{type(error).__name__}: {error}"
        return ""

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    def _advance(self, revision: int) -> None:
        self.synced_revision = revision
        self._synced()
