"""A closed loop of clients on gRPC, and what their calls cost: latencies, CPU time of every process, their own.

Both sides of a comparison are driven by this code: generic calls on the same number of connections, bytes packed
beforehand. It must not know whose server it talks to.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc.aio

from bench.processes import cpu_seconds
from bench.report import own_cpu_seconds, percentile
from component import rpc
from component.rpc import Tls

CHANNELS = 4
CALL_SECONDS = 30.0

Call = Callable[[int, grpc.aio.Channel], Awaitable[None]]
"""Makes the call of a number that no other call has, on a channel."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A number of clients calling one after the other for a while. Times in seconds, CPU in seconds for each call."""

    calls: int
    per_second: float
    p50: float
    p99: float
    own_cpu: float
    cpu: Mapping[str, float] = field(default_factory=dict)  # by the name of the process

    @property
    def servers_cpu(self) -> float:
        return sum(self.cpu.values())


class Side:
    """One system under test: connections to its leader, and its processes by name."""

    def __init__(self, name: str, address: str, tls: Tls | None, processes: Mapping[str, list[int]]) -> None:
        self.name = name
        self.channels = [rpc.channel(address, tls) for _ in range(CHANNELS)]
        self._processes = processes

    async def close(self) -> None:
        for channel in self.channels:
            await channel.close()

    async def load(self, clients: int, seconds: float, call: Call, numbers: range) -> Measured:
        """So many clients work for so long, or until the numbers are used up. Numbers go out in order."""
        latencies: list[float] = []
        left = iter(numbers)

        async def client(channel: grpc.aio.Channel) -> None:
            while time.perf_counter() < end and (number := next(left, None)) is not None:
                began = time.perf_counter()
                await call(number, channel)
                latencies.append(time.perf_counter() - began)

        before, own, began = self._cpu(), own_cpu_seconds(), time.perf_counter()
        end = began + seconds
        await asyncio.gather(*(client(self.channels[each % CHANNELS]) for each in range(clients)))
        wall, count = time.perf_counter() - began, max(len(latencies), 1)
        return Measured(
            len(latencies),
            len(latencies) / wall,
            percentile(latencies or [0.0], 0.5),
            percentile(latencies or [0.0], 0.99),
            (own_cpu_seconds() - own) / count,
            {name: (used - before[name]) / count for name, used in self._cpu().items()},
        )

    def _cpu(self) -> dict[str, float]:
        return {name: cpu_seconds(pids) for name, pids in self._processes.items()}


def unary(method: str, request: Callable[[int], bytes]) -> Call:
    """Calls of one method whose answers nobody looks at."""
    known: dict[grpc.aio.Channel, Any] = {}

    async def call(number: int, channel: grpc.aio.Channel) -> None:
        ready = known.get(channel) or known.setdefault(channel, channel.unary_unary(method))
        await ready(request(number), timeout=CALL_SECONDS)

    return call
