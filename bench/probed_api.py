"""A replica's API process with a probe of its event loop: `python -m bench.probed_api FILE ARGUMENT...`.

FILE gets a line "monotonic seconds, held seconds" whenever the loop did not come round for PAUSE_SECONDS. Only what the
loop's own thread computed meanwhile counts as held: on a busy machine it also waits for other processes, which is not its
fault. The arguments are those of `tim-server`.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from controlplane import main as program
from controlplane import server

PERIOD_SECONDS = 0.005
PAUSE_SECONDS = 0.010


class ProbedServer(server.Server):
    """Measures itself while it runs."""

    async def run(self) -> None:
        probe = asyncio.ensure_future(_probe(Path(sys.argv[1])))
        try:
            await super().run()
        finally:
            probe.cancel()


async def _probe(path: Path) -> None:
    with path.open("a", encoding="ascii", buffering=1) as file:
        while True:
            wall, cpu = time.perf_counter(), time.thread_time()
            await asyncio.sleep(PERIOD_SECONDS)
            late = time.perf_counter() - wall - PERIOD_SECONDS
            held = min(late, time.thread_time() - cpu)
            if held > PAUSE_SECONDS:
                file.write(f"{time.monotonic():.3f} {held:.4f}\n")


if __name__ == "__main__":
    server.Server = ProbedServer  # type: ignore[misc] # the program looks it up when it starts
    program.main(sys.argv[2:])
