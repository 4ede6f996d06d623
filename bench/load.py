"""A closed loop of clients, and what their calls cost: latencies, CPU time of every process, their own.

All sides of a comparison are driven by this code. It must not know whose server it talks to, nor in which protocol.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from api.errors import RETRY_SECONDS
from bench.processes import cpu_seconds, cpu_time
from bench.report import own_cpu_seconds, percentile
from component import rpc
from component.rpc import Tls

CHANNELS = 4
CALL_SECONDS = 30.0

Call = Callable[[int, Any], Awaitable[None]]
"""Makes the call of a number that no other call has, on one of its side's channels."""


class ComeAgain(Exception):
    """Raised by a call whose server has too much waiting already and asks to come again after so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"come again in {seconds:g} s")
        self.seconds = seconds


class Unavailable(Exception):
    """Raised by a call whose server could do nothing for it, as without a leader: what is measured meanwhile says nothing."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A number of clients calling one after the other for a while. Times in seconds, CPU in seconds for each call.

    `refused` attempts were told to come again; the calls' times hold the waits. `stolen` is the share of the machine's CPU
    time that its host gave to others meanwhile.
    """

    calls: int
    per_second: float
    p50: float
    p99: float
    own_cpu: float
    refused: int = 0
    cpu: Mapping[str, float] = field(default_factory=dict)  # by the name of the process
    stolen: float = 0.0

    @property
    def servers_cpu(self) -> float:
        return sum(self.cpu.values())


class Side:
    """One system under test: channels to its leader in one protocol, and its processes by name."""

    def __init__(self, name: str, channels: Sequence[Any], processes: Mapping[str, list[int]]) -> None:
        self.name = name
        self.channels = channels
        self._processes = processes

    async def close(self) -> None:
        for channel in self.channels:
            await channel.close()

    async def load(self, clients: int, seconds: float, call: Call, numbers: range) -> Measured:
        """So many clients work for so long, or until the numbers are used up. Numbers go out in order.

        After the first Unavailable all of them end with their calls under way, and it is raised.
        """
        latencies: list[float] = []
        failures: list[Unavailable] = []
        left, refused = iter(numbers), 0

        async def answered(number: int, channel: Any) -> bool:
            try:
                await call(number, channel)
            except ComeAgain as told:
                await asyncio.sleep(told.seconds)
                return False
            except Unavailable as error:
                failures.append(error)
            return True

        async def client(channel: Any) -> None:
            nonlocal refused
            while not failures and time.perf_counter() < end and (number := next(left, None)) is not None:
                began = time.perf_counter()
                while not await answered(number, channel):
                    refused += 1
                latencies.append(time.perf_counter() - began)

        machine, before, own, began = cpu_time(), self._cpu(), own_cpu_seconds(), time.perf_counter()
        end = began + seconds
        await asyncio.gather(*(client(self.channels[each % CHANNELS]) for each in range(clients)))
        if failures:
            raise failures[0]
        wall, count = time.perf_counter() - began, max(len(latencies), 1)
        return Measured(
            len(latencies),
            len(latencies) / wall,
            percentile(latencies or [0.0], 0.5),
            percentile(latencies or [0.0], 0.99),
            (own_cpu_seconds() - own) / count,
            refused,
            {name: (used - before[name]) / count for name, used in self._cpu().items()},
            cpu_time().stolen_since(machine),
        )

    def _cpu(self) -> dict[str, float]:
        return {name: cpu_seconds(pids) for name, pids in self._processes.items()}


def over_grpc(name: str, address: str, tls: Tls | None, processes: Mapping[str, list[int]]) -> Side:
    """A side whose channels are so many connections for HTTP/2, shared by its clients."""
    return Side(name, [rpc.channel(address, tls) for _ in range(CHANNELS)], processes)


def unary(method: str, request: Callable[[int], bytes]) -> Call:
    """Calls of one gRPC method, bytes packed beforehand, whose answers nobody looks at."""
    known: dict[grpc.aio.Channel, Any] = {}

    async def call(number: int, channel: grpc.aio.Channel) -> None:
        ready = known.get(channel) or known.setdefault(channel, channel.unary_unary(method))
        try:
            await ready(request(number), timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise ComeAgain(RETRY_SECONDS) from None
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                raise Unavailable(error.details()) from None
            raise

    return call
