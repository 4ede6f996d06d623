"""Reads facts about this machine. Blocking, but only procfs and sysfs: callers run it in a thread all the same."""

from __future__ import annotations

import os
import platform
import socket
from pathlib import Path

from agent.node_status import Load, Machine

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


class NoRoute(Exception):
    """The node's address cannot be told: there is no route to the control plane."""


def read_boot_id(path: str) -> str:
    """The id of this boot; a new one says that every process and namespace is gone."""
    return _line(path)


def read_machine(data_dir: Path, boot_id: str) -> Machine:
    """Everything that stays the same until the next boot."""
    uname = platform.uname()
    disk = os.statvfs(_existing(data_dir))
    return Machine(
        hostname=socket.gethostname(),
        architecture=_ARCHITECTURES.get(uname.machine, uname.machine),
        kernel_version=uname.release,
        os_image=_os_image(),
        machine_id=_line("/etc/machine-id"),
        system_uuid=_line("/sys/class/dmi/id/product_uuid") or _line("/etc/machine-id"),
        boot_id=boot_id,
        cpu_count=len(os.sched_getaffinity(0)),
        memory_bytes=_memory()["MemTotal"],
        disk_bytes=disk.f_blocks * disk.f_frsize,
    )


def read_load(data_dir: Path) -> Load:
    """What is left now."""
    disk = os.statvfs(_existing(data_dir))
    tasks = _line("/proc/loadavg").split()[3].partition("/")[2]
    limit = min(int(_line("/proc/sys/kernel/pid_max")), int(_line("/proc/sys/kernel/threads-max")))
    return Load(
        available_memory_bytes=_memory()["MemAvailable"],
        free_disk_share=disk.f_bavail / max(disk.f_blocks, 1),
        free_pid_share=1 - int(tasks) / limit,
    )


def source_address(target: str) -> str:
    """The address this machine would talk from to `target` (host:port). Raises NoRoute. Sends nothing."""
    host, _, port = target.rpartition(":")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, int(port or 0), type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0])
    except (OSError, ValueError) as error:
        raise NoRoute(f"no route to {target}: {error}; set node_ip") from error


def resolv_conf_path() -> str:
    """The file with the real name servers: systemd's stub listens only where pods cannot reach it."""
    stub = Path("/run/systemd/resolve/resolv.conf")
    text = _line("/etc/resolv.conf", whole=True)
    return str(stub) if "127.0.0.53" in text and stub.exists() else "/etc/resolv.conf"


def _existing(path: Path) -> Path:
    return path if path.exists() or path == path.parent else _existing(path.parent)


def _memory() -> dict[str, int]:
    """/proc/meminfo in bytes (proc(5): its kB are KiB)."""
    pairs = (line.split(":") for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    return {name: int(amount.split()[0]) << 10 for name, amount in pairs}


def _os_image() -> str:
    for line in _line("/etc/os-release", whole=True).splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return platform.system()


def _line(path: str, *, whole: bool = False) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text if whole else text.strip()
