"""The holder of one lab host: keeps its namespaces alive and its processes running, as systemd does on a real one.

Runs inside the host's network namespace and a private mount namespace. It restarts what ends, with a short
back-off, and obeys one-line JSON requests on its control socket: status, start, stop, shutdown. It imports nothing
heavy, because six of them run beside a small cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RESTART_SECONDS = 0.1
RESTART_MAX_SECONDS = 2.0
SETTLED_SECONDS = 10.0  # a process that ran this long starts over with the shortest back-off
STOP_SECONDS = 10.0

MNT_DETACH = 2


@dataclass
class Process:
    """One supervised program."""

    name: str
    command: list[str]
    environment: dict[str, str]
    running: asyncio.subprocess.Process | None = None
    wanted: bool = True
    restarts: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Holder:
    """Supervises the host's programs until told to shut down."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._run_dir = Path(spec["run_dir"])
        self._log_dir = Path(spec["log_dir"])
        self._processes = {
            each["name"]: Process(each["name"], each["command"], each.get("environment", {}))
            for each in spec["processes"]
        }
        self._unmount = list(spec.get("unmount", ()))
        self._shut_down = asyncio.Event()

    async def run(self) -> None:
        """Serve until a shutdown request or SIGTERM, then stop everything in reverse order of starting."""
        for path in self._unmount:
            ctypes.CDLL(None, use_errno=True).umount2(os.fsencode(path), MNT_DETACH)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._shut_down.set)
        server = await asyncio.start_unix_server(self._serve, self._run_dir / "holder.sock")
        tasks = [asyncio.create_task(self._supervise(process)) for process in self._processes.values()]
        await self._shut_down.wait()
        for process, task in reversed(list(zip(self._processes.values(), tasks, strict=True))):
            process.wanted = False
            process.changed.set()
            await task
        server.close()

    async def _supervise(self, process: Process) -> None:
        delay = RESTART_SECONDS
        while not self._shut_down.is_set():
            process.changed.clear()
            if not process.wanted:
                await process.changed.wait()
                continue
            started = asyncio.get_running_loop().time()
            await self._run_once(process)
            if not process.wanted:
                continue
            process.restarts += 1
            ran = asyncio.get_running_loop().time() - started
            delay = RESTART_SECONDS if ran > SETTLED_SECONDS else min(delay * 2, RESTART_MAX_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await process.changed.wait()

    async def _run_once(self, process: Process) -> None:
        with (self._log_dir / f"{process.name}.log").open("ab") as log:
            process.running = await asyncio.create_subprocess_exec(
                *process.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **process.environment},
                cwd=self._run_dir,  # conmon leaves a file "oom" where Podman was started
                start_new_session=True,
            )
        ended = asyncio.ensure_future(process.running.wait())
        changed = asyncio.ensure_future(process.changed.wait())
        await asyncio.wait({ended, changed}, return_when=asyncio.FIRST_COMPLETED)
        changed.cancel()
        if not ended.done():
            await _stop(process.running, ended)
        process.running = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = json.loads(await reader.readline() or b"{}")
            writer.write(json.dumps(await self._answer(request)).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError) as error:
            with contextlib.suppress(OSError):
                writer.write(json.dumps({"error": str(error)}).encode() + b"\n")
        finally:
            writer.close()

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        match request.get("do"):
            case "status":
                return {
                    "pid": os.getpid(),
                    "processes": {
                        name: {
                            "pid": process.running.pid if process.running else 0,
                            "wanted": process.wanted,
                            "restarts": process.restarts,
                        }
                        for name, process in self._processes.items()
                    },
                }
            case "stop" | "start" as verb:
                process = self._processes.get(str(request.get("process")))
                if process is None:
                    return {"error": f"no process {request.get('process')!r}; there are: {', '.join(self._processes)}"}
                before, process.wanted = process.wanted, verb == "start"
                if process.wanted != before or not process.running:  # what runs and shall run is left alone
                    process.changed.set()
                return {}
            case "shutdown":
                self._shut_down.set()
                return {}
            case verb:
                return {"error": f"unknown request {verb!r}"}


async def _stop(running: asyncio.subprocess.Process, ended: asyncio.Future[int]) -> None:
    with contextlib.suppress(ProcessLookupError):
        running.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await asyncio.shield(ended)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            running.kill()
        await ended


def main() -> None:
    """`python -m lab.holder SPEC.json`."""
    spec = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    run_dir = Path(spec["run_dir"])
    (run_dir / "holder.sock").unlink(missing_ok=True)
    (run_dir / "holder.pid").write_text(str(os.getpid()), encoding="ascii")
    for image, folder in spec.get("disks", {}).items():  # in this mount namespace only, and gone with it
        subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    asyncio.run(Holder(spec).run())


if __name__ == "__main__":
    main()
