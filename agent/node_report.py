"""Keeps the node's status up to date: looks at machine and runtime every few seconds, tells when something changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from agent.machine import read_load
from agent.node_status import Load, Machine, NetworkHealth, Offer, node_status
from agent.runtime.protocol import ContainerRuntime, RuntimeFailure
from api.object import Tree, canonical
from component.env import Env

log = structlog.get_logger()

LOOK_SECONDS = 5.0
RUNTIME_SECONDS = 10.0


class NodeReport:
    """The newest status. `changed` is called when the runtime came or went, so that the news need not wait."""

    def __init__(
        self,
        machine: Machine,
        load: Load,
        offer: Offer,
        *,
        runtime: ContainerRuntime,
        data_dir: Path,
        network: Callable[[], NetworkHealth],
        changed: Callable[[], None],
        env: Env,
    ) -> None:
        self.machine = machine
        self.runtime_problem = "the container runtime has not answered yet"
        self._load = load
        self._offer = offer
        self._runtime = runtime
        self._runtime_version = ""
        self._data_dir = data_dir
        self._network = network
        self._changed = changed
        self._env = env
        self._previous: Tree = {}

    def status(self) -> Tree:
        """The node's status now."""
        offer = self._offer
        self._previous = node_status(
            self.machine,
            self._load,
            offer,
            runtime_version=self._runtime_version.replace("podman ", "podman://"),
            runtime_problem=self.runtime_problem,
            network=self._network(),
            previous=self._previous,
            now=self._env.now(),
        )
        return self._previous

    def json(self) -> str:
        """The same as canonical JSON."""
        return canonical(self.status()).decode()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS if not self.runtime_problem else 1.0)

    async def look(self) -> None:
        """Look once."""
        self._load = await asyncio.to_thread(read_load, self._data_dir)
        try:
            async with asyncio.timeout(RUNTIME_SECONDS):
                self._runtime_version, problem = await self._runtime.version(), ""
        except RuntimeFailure as error:
            problem = str(error)
        except TimeoutError:
            problem = f"the container runtime did not answer within {RUNTIME_SECONDS:.0f} s"
        if problem != self.runtime_problem:
            self.runtime_problem = problem
            if problem:
                log.warning("runtime_lost", error=problem)
            else:
                log.info("runtime_found", version=self._runtime_version)
            self._changed()
