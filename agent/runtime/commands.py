"""Commands begun in containers, noted on disk while they run, so that none outlives the agent that waits for it.

A runtime goes on with a command whose client was killed: containerd and CRI-O leave it to itself. A note is a folder that
names the container, with the command's pid as the OCI runtime wrote it, or the id of Podman's session.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from contextlib import suppress
from pathlib import Path

import structlog

from agent.runtime.http import PodmanError, PodmanHttp

log = structlog.get_logger()

_PREFIX = "exec-"
_PID, _SESSION = "pid", "session"


class CommandNote:
    """One command's note; its folder may hold scratch files, too."""

    def __init__(self, notes_dir: str, container_id: str) -> None:
        """OSError."""
        self.container_id = container_id
        self.folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{container_id}-", dir=notes_dir))

    @property
    def pid_file(self) -> Path:
        """Where the OCI runtime writes the pid."""
        return self.folder / _PID

    def session(self, session_id: str) -> None:
        """Podman runs it under this id."""
        (self.folder / _SESSION).write_text(session_id)

    def remove(self) -> None:
        """The command has ended, or was ended."""
        shutil.rmtree(self.folder, ignore_errors=True)


def stale_notes(notes_dir: str) -> list[Path]:
    """Notes that are there now: those of an agent that was killed, when asked at the start."""
    return sorted(Path(notes_dir).glob(f"{_PREFIX}*"))


async def end_stale(note: Path, http: PodmanHttp) -> None:
    """End the command of a stale note, if it still runs, and remove the note. RuntimeFailure when Podman cannot tell."""
    container_id = note.name.removeprefix(_PREFIX).partition("-")[0]
    pid = noted_pid(note / _PID) or await _session_pid(note, http)
    if pid and container_id and runs_in(pid, container_id):
        log.info("command_ended", container=container_id[:12], reason="the agent that began it was killed")
        kill_command(pid)
    shutil.rmtree(note, ignore_errors=True)


def kill_command(pid: int) -> None:
    """Kill a command with its process group: runtimes start each in a session of its own. Nothing happens if it ended."""
    with suppress(ProcessLookupError):
        group = os.getpgid(pid)
        if group > 1 and group != os.getpgrp():
            os.killpg(group, signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)


def noted_pid(pid_file: Path) -> int:
    """The pid that the OCI runtime wrote, 0 when it has not yet."""
    try:
        return int(pid_file.read_text())
    except (OSError, ValueError):
        return 0


async def _session_pid(note: Path, http: PodmanHttp) -> int:
    try:
        session_id = (note / _SESSION).read_text()
    except OSError:
        return 0
    try:
        session = await http.call("GET", f"/exec/{session_id}/json")
    except PodmanError as error:
        if error.status:  # it knows neither the session nor, perhaps, its container any more
            return 0
        raise
    return int(session.get("Pid") or 0) if session.get("Running") else 0


def ending(first_pid: int) -> bool:
    """Whether a container's first process has exited, or is at it: it has no memory any more.

    It is not over before every process in its namespace was collected. conmon does not collect a command while whoever
    joined it takes no output: the container would not end, and nobody would be told.
    """
    if not first_pid:
        return False
    try:
        return not Path(f"/proc/{first_pid}/cmdline").read_bytes()
    except OSError:
        return True


def runs_in(pid: int, container_id: str) -> bool:
    """Whether a process belongs to a container: pids are used again."""
    try:
        return container_id in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False
