"""One lab host as a thing one can start, kill, freeze and look into."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lab.layout import Host, LabProblem

START_SECONDS = 15.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.01

_started: list[subprocess.Popen[bytes]] = []
"""Holders outlive whoever starts them; those that end before are reaped at the next start."""


def start(host: Host, spec: dict[str, Any]) -> None:
    """Start the host's holder inside its namespaces; returns once it answers. LabProblem with the end of its log."""
    host.run_dir.mkdir(parents=True, exist_ok=True)
    log_dir = host.state_dir / "log"
    log_dir.mkdir(parents=True, exist_ok=True)
    spec_path = host.run_dir / "holder.json"
    spec_path.write_text(json.dumps(spec), encoding="utf-8")
    with (log_dir / "holder.log").open("ab") as log:
        started = subprocess.Popen(
            [
                "nsenter",
                f"--net=/run/netns/{host.namespace}",
                "unshare",
                "--mount",
                "--propagation",
                "slave",
                sys.executable,
                "-m",
                "lab.holder",
                str(spec_path),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _started[:] = [each for each in _started if each.poll() is None] + [started]

    def answering() -> bool:
        if started.poll() is not None:
            raise LabProblem(f"host {host.name} did not start: {last_line(log_dir / 'holder.log')}")
        return "pid" in ask(host, {"do": "status"}, missing_ok=True)

    _wait(answering, START_SECONDS, f"host {host.name} did not start: see {log_dir}/holder.log")


def ask(host: Host, request: dict[str, Any], *, missing_ok: bool = False) -> dict[str, Any]:
    """One request to the host's holder. LabProblem when it is frozen, or does not run unless `missing_ok`."""
    if frozen(holder_pid(host)):
        raise LabProblem(f"host {host.name} is frozen: thaw it with `tim lab thaw {host.name}`")
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(STOP_SECONDS)
            connection.connect(str(host.control_socket))
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as stream:
                answer: dict[str, Any] = json.loads(stream.readline() or b"{}")
    except OSError as error:
        if missing_ok:
            return {}
        raise LabProblem(f"host {host.name} is down: start it with `tim lab start {host.name}`") from error
    if "error" in answer:
        raise LabProblem(f"host {host.name}: {answer['error']}")
    return answer


def holder_pid(host: Host) -> int:
    """The holder's pid, 0 when it does not run."""
    return pid_of(host.run_dir / "holder.pid")


def pid_of(path: Path) -> int:
    """The pid in a holder's file if that process is still this holder, else 0."""
    try:
        pid = int(path.read_text(encoding="ascii"))
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return 0
    return pid if b"lab.holder" in command and os.fsencode(path.parent) in command else 0


def frozen(pid: int) -> bool:
    """Whether a process is stopped by a signal (proc(5), state T)."""
    return _process_state(pid) == "T"


def stands_still(pid: int) -> bool:
    """Whether a process does nothing any more: stopped by a signal, or over."""
    return _process_state(pid) in {"T", "Z", "X", ""}


def _process_state(pid: int) -> str:
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
    return ""


def processes(pids: Iterable[int]) -> set[int]:
    """All processes in the mount namespaces of the given holders, and their descendants (containers)."""
    # Never this machine's own: a holder that failed to unshare must not take everything down with it.
    spaces = {space for pid in pids if (space := _mount_space(pid))} - {_mount_space(os.getpid()), _mount_space(1)}
    parents: dict[int, int] = {}
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            pid = int(entry.name)
            with contextlib.suppress(OSError, ValueError, IndexError):
                state, parent = (entry / "stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[:2]
                if state not in "ZX":  # the dead wait for their parent, which may be stopped
                    parents[pid] = int(parent)
            if pid in parents and _mount_space(pid) in spaces:
                found.add(pid)
    size = -1
    while size != len(found):
        size = len(found)
        found |= {pid for pid, parent in parents.items() if parent in found}
    return found - {os.getpid()}


def kill(host: Host) -> None:
    """Power the host off: every process of it, containers included, at once; its /run is gone."""
    pid = holder_pid(host)
    if pid:
        kill_all(pid)
    shutil.rmtree(host.run_dir, ignore_errors=True)


def kill_all(*holders: int) -> None:
    """SIGKILL everything in the holders' mount namespaces until nothing is left."""
    spaces = [pid for pid in holders if pid]
    for pid in spaces:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)  # so that it restarts nothing while we look
    deadline = time.monotonic() + STOP_SECONDS  # noqa: TID251 - the lab is the machine around the product
    while victims := processes(spaces):
        last = victims <= set(spaces)
        for victim in victims:
            if last or victim not in spaces:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
        if time.monotonic() > deadline:  # noqa: TID251 - a lab runs in real time
            raise LabProblem(f"processes do not die: {sorted(victims)}")
        time.sleep(POLL_SECONDS)


def enter(host: Host, command: Sequence[str]) -> list[str]:
    """The command line that runs `command` inside the host. LabProblem when it is down."""
    pid = holder_pid(host)
    if not pid:
        raise LabProblem(f"host {host.name} is down: start it with `tim lab start {host.name}`")
    return ["nsenter", "--target", str(pid), "--net", "--mount", "--", *command]


def last_line(path: Path) -> str:
    """The last line of a log, or where it should be."""
    with contextlib.suppress(OSError):
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        if lines:
            return lines[-1]
    return f"{path} is empty"


def _mount_space(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/mnt").readlink())
    except OSError:
        return ""


def _wait(condition: Any, seconds: float, complaint: str) -> None:
    deadline = time.monotonic() + seconds  # noqa: TID251 - a lab runs in real time
    while not condition():
        if time.monotonic() > deadline:  # noqa: TID251 - a lab runs in real time
            raise LabProblem(complaint)
        time.sleep(POLL_SECONDS)
