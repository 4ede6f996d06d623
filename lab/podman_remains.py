"""What a private Podman leaves in the kernel and below /run, found by its folder alone and removed.

Works after any crash and without any record: processes by their arguments and root mounts, cgroups by the
configurations of containers, states of the OCI runtime by their bundles.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from agent.runtime import cgroups

PATIENCE_SECONDS = 10.0
POLL_SECONDS = 0.01
_PROGRAMS = frozenset({"podman", "conmon", "crun", "runc", "nsenter"})
_HOLDERS = frozenset({"unshare", "sh"})  # of a mount namespace: they have the folder as an argument
_IMAGE_FOLDERS = frozenset({"overlay", "overlay-images", "overlay-layers"})


def attempts(seconds: float) -> Iterator[int]:
    """Count attempts, with a pause before each but the first, until `seconds` of pauses have passed."""
    for attempt in range(int(seconds / POLL_SECONDS)):
        if attempt:
            time.sleep(POLL_SECONDS)
        yield attempt


def kill(pids: list[int]) -> None:
    """SIGKILL each; those that are gone do not matter."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def processes_of(folder: Path) -> list[int]:
    """Every process of the Podman whose storage is in `folder`: service, conmons, clean-ups, and all in its containers.

    Programs are known by their arguments, a container's processes by the writable layer below their root.
    """
    inside = f"{folder}/"
    pids = []
    for pid, arguments in command_lines():
        program = arguments[0].rpartition("/")[2]
        named = program in _PROGRAMS and any(inside in argument for argument in arguments)
        held = program in _HOLDERS and str(folder) in arguments
        if named or held or f"upperdir={inside}" in _root_mount(pid):
            pids.append(pid)
    return pids


def command_lines() -> Iterator[tuple[int, list[str]]]:
    """Pid and arguments of every process but this one; zombies and kernel threads have none."""
    for entry in os.listdir("/proc"):  # noqa: PTH208 - names only
        if entry.isdecimal() and int(entry) != os.getpid():
            try:
                text = Path("/proc", entry, "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if text:
                yield int(entry), text.split("\0")


def mounts_below(folder: Path) -> list[str]:
    """Mount points at and below a folder, in the order they were made."""
    points = [line.split(" ", 5)[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    points = [re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), point) for point in points]
    return [point for point in points if point == str(folder) or point.startswith(f"{folder}/")]


def remove_cgroups(folder: str | Path) -> None:
    """Remove the cgroups of all pods whose containers are stored, or recorded, anywhere below `folder`.

    Kills what still runs in them. The cgroup above them goes too once it is empty.
    """
    parents = _container_cgroups(Path(folder)) | _recorded_cgroups(Path(folder))
    for parent in sorted(parents):
        remove_cgroup(parent)
    for above in {parent.rpartition("/")[0] for parent in parents} - {""}:
        for tree in cgroups.own_hierarchies():
            try:
                Path(tree.path + above).rmdir()
            except OSError:
                continue  # not empty: another host's pods are in it


def remove_cgroup(path: str) -> None:
    """Remove one cgroup and those below it from every hierarchy, with the processes in it."""
    trees = cgroups.own_hierarchies()
    for _ in attempts(PATIENCE_SECONDS):
        if cgroups.remove(path, trees):
            return
        cgroups.kill(path, trees)


def remove_runtime_states(folder: Path) -> None:
    """Remove what a killed OCI runtime remembers below /run of containers whose bundle is below `folder`."""
    for state in (*Path("/run/crun").glob("*/status"), *Path("/run/runc").glob("*/state.json")):
        try:
            text = state.read_text()
        except OSError:
            continue
        if f'"{folder}/' in text or f"bundle={folder}/" in text:
            shutil.rmtree(state.parent, ignore_errors=True)


def _files_named(folder: Path, name: str) -> Iterator[Path]:
    """Files of that name below a folder, without walking through the contents of images."""
    for path, folders, files in os.walk(folder):
        folders[:] = [each for each in folders if each not in _IMAGE_FOLDERS]
        if name in files:
            yield Path(path, name)


def _container_cgroups(folder: Path) -> set[str]:
    """Pod cgroups named in the OCI configurations that Podman keeps with each container."""
    found = set()
    for path in _files_named(folder, "config.json"):
        try:
            found.add(json.loads(path.read_bytes())["linux"]["cgroupsPath"].rpartition("/")[0])
        except (OSError, ValueError, KeyError):
            continue
    return {parent for parent in found if parent}


def _recorded_cgroups(folder: Path) -> set[str]:
    """Pod cgroups in the records of an agent's run folder."""
    found: set[str] = set()
    for path in _files_named(folder, "cgroup_parents"):
        try:
            found.update(path.read_text().split())
        except OSError:
            continue
    return found


def _root_mount(pid: int) -> str:
    """The line of a process's mountinfo that describes its root."""
    try:
        with Path(f"/proc/{pid}/mountinfo").open() as lines:
            return next((line for line in lines if line.split(" ", 5)[4] == "/"), "")
    except OSError:
        return ""
