"""Short commands in running containers, run by the OCI runtime itself: crun or runc.

Probes and hooks go this way: 5-9 ms each, where an exec through Podman's API takes 50-60 ms and leaves two processes
behind for seconds. Nothing here speaks to Podman.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.runtime.commands import CommandNote, kill_command, noted_pid
from agent.runtime.protocol import ExecResult, RuntimeFailure

OUTPUT_BYTES = 16 << 10
NOT_EXECUTABLE_EXIT_CODE, NOT_FOUND_EXIT_CODE = 126, 127
_DRAIN_SECONDS = 0.2
_PID_SECONDS, _PID_POLL_SECONDS = 5.0, 0.002


@dataclass(frozen=True, slots=True)
class OciRuntime:
    """The low-level runtime behind a container, as conmon was told: crun or runc, with its global options."""

    path: str
    options: tuple[str, ...] = ()

    def knows(self, container_id: str) -> bool:
        """Whether its state folder is visible from here."""
        root = next(
            (value for name, value in zip(self.options, self.options[1:], strict=False) if name == "--root"), ""
        )
        return Path(root or f"/run/{Path(self.path).name}", container_id).is_dir()


def runtime_of(conmon_arguments: Sequence[str]) -> OciRuntime:
    """Read a conmon command line: `-r PATH` and each `--runtime-arg`, without the log options, which are ours."""
    path, options = "", list[str]()
    arguments = iter(conmon_arguments)
    for argument in arguments:
        if argument == "-r":
            path = next(arguments, "")
        elif argument == "--runtime-arg":
            options.append(next(arguments, ""))
        elif argument.startswith("--runtime-arg="):
            options.append(argument.partition("=")[2])
    kept, skip = [], False
    for option in options:
        if skip or option.startswith("--log"):
            skip = option == "--log" and not skip
            continue
        kept.append(option)
    return OciRuntime(path, tuple(kept))


async def run(
    runtime: OciRuntime, container_id: str, command: Sequence[str], *, timeout_seconds: float, notes_dir: str
) -> ExecResult:
    """Run a command to its end, without input. `notes_dir` holds its note for the time of the call.

    A command that is not there gives exit code 127, one that may not be run 126, with the reason as output. At the
    time-out, or when the caller is cancelled, the command and its process group are killed. Raises TimeoutError,
    RuntimeFailure.
    """
    note = CommandNote(notes_dir, container_id)
    try:
        return await _run_noted(note, runtime, container_id, command, timeout_seconds)
    finally:
        note.remove()


async def _run_noted(
    note: CommandNote, runtime: OciRuntime, container_id: str, command: Sequence[str], timeout_seconds: float
) -> ExecResult:
    pid_file, log_file = note.pid_file, note.folder / "log"
    arguments = [*runtime.options, "--log", str(log_file), "--log-format", "json"]
    arguments += ["exec", "--pid-file", str(pid_file), container_id, *command]
    # A pipe of our own: a background child of the command may keep it open, which must not keep us waiting.
    read_end, write_end = os.pipe()
    output = _Output(read_end)
    try:
        process = await _started([runtime.path, *arguments], write_end, pid_file)
        try:
            async with asyncio.timeout(timeout_seconds):
                exit_code = await process.wait()
            await output.drain()
        except TimeoutError:
            raise TimeoutError(f"command {list(command)} did not end within {timeout_seconds:g} s") from None
        finally:
            if process.returncode is None:
                await _kill(process, pid_file)
    finally:
        output.close()
    failure = _logged_error(log_file) if exit_code else ""
    return _failed(failure) if failure else ExecResult(exit_code, bytes(output.content))


async def _started(command: Sequence[str], output: int, pid_file: Path) -> asyncio.subprocess.Process:
    """Start the runtime with `output`, which is closed here. A caller that is cancelled meanwhile leaves nothing behind."""
    starting = asyncio.create_task(
        asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    )
    try:
        return await asyncio.shield(starting)
    except OSError as error:
        raise RuntimeFailure(f"cannot run {command[0]}: {error}", reason="ExecFailed") from error
    except asyncio.CancelledError:
        with suppress(OSError):
            await _kill(await starting, pid_file)
        raise
    finally:
        os.close(output)


class _Output:
    """Collects the first OUTPUT_BYTES of a pipe and reads on, so that the writer never blocks."""

    def __init__(self, read_end: int) -> None:
        self.content = bytearray()
        self._read_end = read_end
        self._ended = asyncio.Event()
        os.set_blocking(read_end, False)
        asyncio.get_running_loop().add_reader(read_end, self._readable)

    async def drain(self) -> None:
        """Wait for the end of the pipe, but not for a child that outlives the command."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                await self._ended.wait()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._read_end)
        os.close(self._read_end)

    def _readable(self) -> None:
        piece = os.read(self._read_end, 1 << 16)
        if not piece:
            asyncio.get_running_loop().remove_reader(self._read_end)
            self._ended.set()
        self.content += piece[: OUTPUT_BYTES - len(self.content)]


async def _kill(process: asyncio.subprocess.Process, pid_file: Path) -> None:
    """Kill the command with its process group, then the runtime.

    The runtime writes the command's pid just after the command has begun: killed in between, it would leave the command
    to itself, so it gets the time to write it. The pid is safe to use while the runtime, its parent, has not collected it.
    """
    try:
        async with asyncio.timeout(_PID_SECONDS):
            while process.returncode is None and not noted_pid(pid_file):  # noqa: ASYNC110 - a file tells nobody
                await asyncio.sleep(_PID_POLL_SECONDS)
    except TimeoutError:
        pass  # it hangs before it has begun anything
    finally:
        if process.returncode is None and (pid := noted_pid(pid_file)):
            kill_command(pid)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _logged_error(log_file: Path) -> str:
    """What the OCI runtime itself complained about, "" when the exit code is the command's own."""
    try:
        lines = log_file.read_text().splitlines()
    except FileNotFoundError:
        return ""
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry.get("level") == "error":
            return str(entry.get("msg", ""))
    return ""


def _failed(message: str) -> ExecResult:
    lowered = message.lower()
    if "not running" in lowered or "does not exist" in lowered or "/status`" in lowered:
        raise RuntimeFailure(f"the container is not running: {message}", reason="ContainerNotRunning")
    if "permission denied" in lowered:
        return ExecResult(NOT_EXECUTABLE_EXIT_CODE, message.encode())
    if "not found" in lowered or "no such file" in lowered:
        return ExecResult(NOT_FOUND_EXIT_CODE, message.encode())
    raise RuntimeFailure(message, reason="ExecFailed")
