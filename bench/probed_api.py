"""A replica's API process with a probe of its event loop: `python -m bench.probed_api FILE ARGUMENT...`.

FILE gets a line "monotonic seconds, held seconds, of it garbage collection, stolen seconds" whenever the loop did not
come round for PAUSE_SECONDS. Only what the loop's own thread computed meanwhile counts as held: on a busy machine it
also waits for other processes, which is not its fault. What a virtual machine's host gives to others meanwhile may count
as computed, and is told for all cores together. The arguments are those of `tim-server`.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from pathlib import Path

from bench.processes import cpu_time
from controlplane import main as program
from controlplane import server

PERIOD_SECONDS = 0.005
PAUSE_SECONDS = 0.010
NOTED_SECONDS = 0.020  # a core that comes back is told with its next clock tick what was stolen


class ProbedServer(server.Server):
    """Measures itself while it runs."""

    async def run(self) -> None:
        probe = asyncio.ensure_future(_probe(Path(sys.argv[1])))
        try:
            await super().run()
        finally:
            probe.cancel()


class Collections:
    """CPU time that the garbage collector has used so far."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, _facts: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.thread_time()
        else:
            self.seconds += time.thread_time() - self._began


async def _probe(path: Path) -> None:
    collections = Collections()
    with path.open("a", encoding="ascii", buffering=1) as file:
        while True:
            machine = cpu_time()
            wall, cpu, collected = time.perf_counter(), time.thread_time(), collections.seconds
            await asyncio.sleep(PERIOD_SECONDS)
            late = time.perf_counter() - wall - PERIOD_SECONDS
            at, held, collected = time.monotonic(), min(late, time.thread_time() - cpu), collections.seconds - collected
            if held > PAUSE_SECONDS:
                await asyncio.sleep(NOTED_SECONDS)
                stolen = cpu_time().stolen_seconds_since(machine)
                file.write(f"{at:.3f} {held:.4f} {collected:.4f} {stolen:.2f}\n")


if __name__ == "__main__":
    server.Server = ProbedServer  # type: ignore[misc] # the program looks it up when it starts
    program.main(sys.argv[2:])
