"""Bad disks for a lab's replicas: slow by the kernel's own I/O throttle, full by a file that takes what is left.

Slow: the host's processes move into a cgroup that may write to the disk below their data only so many times a
second; every fdatasync then takes a few of these writes. Full needs a disk of the host's own, or it would fill this
machine's: `tim lab up --disks` gives each replica a file with an ext4 file system, mounted in its namespace only.
What the kernel and the files show is the only record.
"""

from __future__ import annotations

import os
from pathlib import Path

from agent.runtime import cgroups
from lab import machine
from lab.layout import Host, LabProblem
from lab.network import run

SLOW_WRITES_PER_SECOND = 20
FILLER = "filler"
MEBIBYTE = 1 << 20
_THROTTLES = {False: "blkio.throttle.write_iops_device", True: "io.max"}  # by whether the hierarchy is version 2


def image_of(host: Host) -> Path:
    """The file that is the host's disk, when it has one of its own."""
    return host.state_dir / "disk.img"


def make(host: Host, size_mebibytes: int) -> None:
    """Make the host's disk; its blocks are taken from this machine's only when they are written."""
    image = image_of(host)
    image.parent.mkdir(parents=True, exist_ok=True)
    with image.open("wb") as file:
        file.truncate(size_mebibytes * MEBIBYTE)
    run(["mkfs.ext4", "-q", "-F", "-m", "0", str(image)])
    (host.state_dir / "data").mkdir(exist_ok=True)


def slow(host: Host, writes_per_second: int = SLOW_WRITES_PER_SECOND) -> None:
    """Throttle the writes of all processes of a running host. LabProblem where the kernel cannot."""
    tree, group = _group(host)
    device = _device(host)
    group.mkdir(parents=True, exist_ok=True)
    if tree.unified:
        for folder in (Path(tree.path), group.parent):
            _write(folder / "cgroup.subtree_control", "+io")
    limit = f"{device} wiops={writes_per_second}" if tree.unified else f"{device} {writes_per_second}"
    _write(group / _THROTTLES[tree.unified], limit)
    _move(host, group)


def full(host: Host) -> None:
    """Leave not one free block on the host's disk. LabProblem when it has none of its own."""
    if not image_of(host).exists():
        raise LabProblem(f"host {host.name} has no disk of its own to fill: make the lab with `tim lab up --disks`")
    command = 'dd if=/dev/zero of="$0" bs=1M 2>/dev/null; dd if=/dev/zero of="$0" bs=4k oflag=append conv=notrunc'
    run(machine.enter(host, ["sh", "-c", f"{command} 2>/dev/null || true", str(_filler(host))]))


def normal(host: Host) -> None:
    """As fast and as empty as before; may be repeated."""
    if image_of(host).exists() and machine.holder_pid(host):
        run(machine.enter(host, ["rm", "-f", str(_filler(host))]))
    for tree in cgroups.own_hierarchies():
        group = group_of(tree, host)
        if group.is_dir():
            _move(host, Path(tree.path))
            cgroups.remove(str(group).removeprefix(tree.path), [tree])


def state(host: Host) -> list[str]:
    """What is wrong with the host's disk: of "disk slow" and "disk full"."""
    found = []
    if any(group_of(tree, host).is_dir() for tree in cgroups.own_hierarchies()):
        found.append("disk slow")
    pid = machine.holder_pid(host)
    if pid and Path(f"/proc/{pid}/root{_filler(host)}").exists():
        found.append("disk full")
    return found


def _filler(host: Host) -> Path:
    return host.state_dir / "data" / FILLER


def group_of(tree: cgroups.Hierarchy, host: Host) -> Path:
    """The cgroup of a slow host. It lies below the lab's own, which `down` removes with everything in it."""
    return Path(tree.path) / f"timonier-lab-{host.lab}" / f"slow-{host.name}"


def _group(host: Host) -> tuple[cgroups.Hierarchy, Path]:
    trees = cgroups.own_hierarchies()
    for tree in trees:
        available = Path(tree.path, "cgroup.controllers")
        if "blkio" in tree.controllers or (tree.unified and "io" in available.read_text(encoding="ascii").split()):
            return tree, group_of(tree, host)
    raise LabProblem("this machine cannot make a disk slow: there is no cgroup controller for I/O (blkio or io)")


def _device(host: Host) -> str:
    """Major and minor number of the whole block device that holds the host's data."""
    pid = machine.holder_pid(host)
    if not pid:
        raise LabProblem(f"host {host.name} is down: start it with `tim lab start {host.name}`")
    number = Path(f"/proc/{pid}/root{host.state_dir}/data").stat().st_dev
    name = f"{os.major(number)}:{os.minor(number)}"
    found = Path("/sys/dev/block", name)
    if not found.exists():
        raise LabProblem(f"the disk of host {host.name} cannot be made slow: {host.state_dir} is on no block device")
    if (found / "partition").exists():  # limits are of whole disks
        name = (found.resolve().parent / "dev").read_text(encoding="ascii").strip()
    return name


def _move(host: Host, group: Path) -> None:
    """Move the host's processes; those they start while we look are found in the next round."""
    moved: set[int] = set()
    holder = machine.holder_pid(host)
    while holder and (found := machine.processes([holder]) - moved):
        for pid in sorted(found, key=lambda pid: pid != holder):
            try:
                _write(group / "cgroup.procs", str(pid))
            except LabProblem:
                if Path(f"/proc/{pid}").exists():
                    raise
        moved |= found


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="ascii")
    except OSError as error:
        raise LabProblem(f"{path}: cannot write {text!r}: {error.strerror}") from error
