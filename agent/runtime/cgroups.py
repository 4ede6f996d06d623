"""Cgroups of pods as the kernel shows them: version 1, version 2, and both at once (hybrid).

Reads counters and removes what is left; limits are set by the OCI runtime.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted cgroup tree; `controllers` is empty for version 2, where one tree has them all."""

    path: str
    controllers: frozenset[str]
    unified: bool


def hierarchies(mountinfo: str) -> list[Hierarchy]:
    """The hierarchies in the text of /proc/self/mountinfo (proc(5)), each once."""
    found: dict[str, Hierarchy] = {}
    for line in mountinfo.splitlines():
        fields, _, tail = line.partition(" - ")
        filesystem, _, options = tail.partition(" ")
        if filesystem not in {"cgroup", "cgroup2"}:
            continue
        path = fields.split()[4]
        unified = filesystem == "cgroup2"
        controllers: frozenset[str] = frozenset() if unified else frozenset(options.split()[-1].split(","))
        found[path] = Hierarchy(path, controllers, unified)
    return list(found.values())


def own_hierarchies() -> list[Hierarchy]:
    """The hierarchies this process sees."""
    return hierarchies(Path("/proc/self/mountinfo").read_text())


def oom_counter(parent: str, container_id: str, trees: Sequence[Hierarchy]) -> str:
    """The file that counts OOM kills in a container's cgroup, "" when memory is not accounted.

    Version 1 keeps it in memory.oom_control, version 2 in memory.events (Documentation/admin-guide/cgroup-v2.rst).
    """
    path = f"{parent}/{_folder(container_id)}"
    for tree in trees:
        if "memory" in tree.controllers:
            return f"{tree.path}{path}/memory.oom_control"
    unified = next((tree.path for tree in trees if tree.unified), "")
    return f"{unified}{path}/memory.events" if unified else ""


def oom_kills(counter: str) -> int:
    """The value of an `oom_counter` file; 0 when it is gone."""
    try:
        text = Path(counter).read_text()
    except OSError:
        return 0
    pairs = (line.split() for line in text.splitlines())
    return next((int(pair[1]) for pair in pairs if pair[0] == "oom_kill"), 0)


def belongs(listing: str, container_id: str) -> bool:
    """Whether the process whose /proc/PID/cgroup reads `listing` is of this container.

    Whole path components are compared: the cgroups that this machine itself was given may have an id's letters in their
    names, and crun adds a level of its own below.
    """
    folder = _folder(container_id)
    return any(folder in line.split("/") for line in listing.splitlines())


def exists(parent: str, trees: Sequence[Hierarchy]) -> bool:
    """Whether a cgroup is there in any hierarchy."""
    return any(Path(tree.path + parent).is_dir() for tree in trees)


def remove(parent: str, trees: Sequence[Hierarchy]) -> bool:
    """Remove a cgroup and those below it from every hierarchy; False while processes still hold one."""
    if not parent.strip("/"):
        raise ValueError("refusing to remove the root cgroup")
    removed = [_remove_tree(tree.path + parent) for tree in trees]  # each is tried, also after one that is busy
    return all(removed)


def kill(parent: str, trees: Sequence[Hierarchy]) -> None:
    """SIGKILL every process in a cgroup and those below it."""
    for tree in trees:
        for folder, _, _ in os.walk(tree.path + parent):
            for pid in _processes(folder):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue


def _folder(container_id: str) -> str:
    """What Podman calls a container's cgroup with the cgroupfs manager."""
    return f"libpod-{container_id}"


def _remove_tree(top: str) -> bool:
    done = True
    for folder, _, _ in os.walk(top, topdown=False):
        try:
            os.rmdir(folder)  # noqa: PTH106 - one system call per folder, no Path objects
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno not in {errno.EBUSY, errno.ENOTEMPTY}:
                raise
            done = False
    return done


def _processes(folder: str) -> list[int]:
    try:
        return [int(line) for line in Path(folder, "cgroup.procs").read_text().split()]
    except OSError:
        return []
