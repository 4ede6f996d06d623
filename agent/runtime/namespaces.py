"""A pod's sandbox: network, IPC and host name namespaces pinned as files, and a tmpfs for /dev/shm.

The process namespace of a container that another one joins is pinned beside them: a path with a pid in it could mean
another process by the time it is used.

No process holds them: they live as long as their pins are mounted, whatever happens to the agent or to Podman. A
folder per pod under `run_dir/sandboxes` is the record of what exists; it belongs on a file system that a reboot
empties. Nothing here knows about containers or addresses.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
from pathlib import Path

from agent.runtime import kernel
from agent.runtime.protocol import Sandbox

_PROCESSES = "processes-"
_SIOCSIFFLAGS, _IFF_UP, _IFF_RUNNING = 0x8914, 0x1, 0x40

# As containerd sets them: an unprivileged process in a pod may ping and listen on port 80.
_NETWORK_SYSCTLS = {"ipv4/ping_group_range": "0 2147483647", "ipv4/ip_unprivileged_port_start": "0"}


class SandboxFolder:
    """The files of one pod's sandbox. Every method may be repeated after a crash at any point."""

    def __init__(self, run_dir: str, pod_uid: str) -> None:
        self.pod_uid = pod_uid
        self.path = Path(sandboxes_dir(run_dir), pod_uid)
        self.shm = self.path / "shm"
        self.hostname_path = self.path / "hostname"  # written last: its presence says that the sandbox is complete
        self._cgroups = self.path / "cgroup_parents"

    def make(self, hostname: str, *, shm_bytes: int, host_network: bool, host_ipc: bool) -> Sandbox:
        """Return the sandbox, made anew unless a complete one is there. Raises OSError.

        A pod with the host's network has the host's name too, as in Kubernetes.
        """
        kinds = ([] if host_network else ["net", "uts"]) + ([] if host_ipc else ["ipc"])
        if not self._complete(kinds):
            self._unpin()
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._pin(kinds, hostname)
            if not host_ipc:
                self._mount_shm(shm_bytes)
            partial = self.hostname_path.with_suffix(".partial")
            partial.write_text(f"{hostname}\n")
            partial.replace(self.hostname_path)
        pins = {kind: str(self.path / kind) if kind in kinds else "" for kind in ("net", "ipc", "uts")}
        shm = "" if host_ipc else str(self.shm)
        return Sandbox(self.pod_uid, pins["net"], pins["ipc"], pins["uts"], shm, self._identity())

    def _identity(self) -> str:
        """When the sandbox was completed, in nanoseconds: nothing writes to that file afterwards."""
        return f"{self.hostname_path.stat().st_mtime_ns:x}"

    def hostname(self) -> str:
        """The pod's host name, "" when there is no complete sandbox."""
        try:
            return self.hostname_path.read_text().strip()
        except FileNotFoundError:
            return ""

    def add_cgroup_parent(self, parent: str) -> None:
        """Remember a cgroup before anything is put into it, so that it can be removed after any crash."""
        known = self.cgroup_parents()
        if parent not in known:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial = self._cgroups.with_suffix(".partial")
            partial.write_text("".join(f"{path}\n" for path in [*known, parent]))
            partial.replace(self._cgroups)

    def pin_processes(self, container_id: str, pid: int) -> str:
        """Pin the process namespace that a pid is in, once for each container; returns the pin. Raises OSError.

        Once its first process has ended nothing can be started in it any more, pinned or not.
        """
        pin = self.path / f"{_PROCESSES}{container_id}"
        if not pinned(pin):
            pin.touch(mode=0o400)
            kernel.mount(f"/proc/{pid}/ns/pid", str(pin), "none", kernel.MS_BIND)
        return str(pin)

    def cgroup_parents(self) -> list[str]:
        """The cgroups that containers of this pod were put into."""
        try:
            return self._cgroups.read_text().splitlines()
        except FileNotFoundError:
            return []

    def remove(self) -> None:
        """Unmount everything and remove the folder. Raises OSError; does nothing when there is none."""
        if self.path.exists():
            self._unpin()
            shutil.rmtree(self.path)

    def _complete(self, kinds: list[str]) -> bool:
        shm_wanted = "ipc" in kinds
        return (
            self.hostname_path.exists()
            and all(pinned(self.path / kind) for kind in kinds)
            and (not shm_wanted or self.shm.is_mount())
        )

    def _pin(self, kinds: list[str], hostname: str) -> None:
        """Make the namespaces in a thread of their own and bind them to files."""
        flags = {"net": kernel.CLONE_NEWNET, "ipc": kernel.CLONE_NEWIPC, "uts": kernel.CLONE_NEWUTS}

        def work() -> None:
            kernel.unshare(sum(flags[kind] for kind in kinds))
            if "uts" in kinds:
                socket.sethostname(hostname)
            if "net" in kinds:
                _set_up_loopback()
            for kind in kinds:
                pin = self.path / kind
                pin.touch(mode=0o400)
                kernel.mount(f"/proc/thread-self/ns/{kind}", str(pin), "none", kernel.MS_BIND)

        if kinds:
            kernel.in_own_thread(work)

    def _mount_shm(self, size_bytes: int) -> None:
        self.shm.mkdir()
        flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
        kernel.mount("shm", str(self.shm), "tmpfs", flags, f"mode=1777,size={size_bytes}")

    def _unpin(self) -> None:
        """Unmount and remove whatever a complete or interrupted `make` left."""
        self.hostname_path.unlink(missing_ok=True)
        for pin in (self.path / "net", self.path / "ipc", self.path / "uts", *self.path.glob(f"{_PROCESSES}*")):
            while pinned(pin):
                kernel.unmount(str(pin))
            pin.unlink(missing_ok=True)
        while self.shm.is_mount():
            kernel.unmount(str(self.shm))
        if self.shm.exists():
            self.shm.rmdir()


def sandboxes_dir(run_dir: str) -> str:
    """The folder of all sandboxes of one host."""
    return os.path.join(run_dir, "sandboxes")  # noqa: PTH118 - a string, as the port's paths are


def sandbox_uids(run_dir: str) -> list[str]:
    """The pods that have a sandbox folder, complete or not."""
    folder = Path(sandboxes_dir(run_dir))
    return sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []


def pinned(path: Path) -> bool:
    """Whether a namespace is mounted here; a file left by a reboot or by a failed mount is not one."""
    try:
        return kernel.filesystem_type(str(path)) == kernel.NSFS_MAGIC
    except FileNotFoundError:
        return False


def _set_up_loopback() -> None:
    """In the calling thread's network namespace: lo up, sysctls as containers expect them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP | _IFF_RUNNING))
    for name, value in _NETWORK_SYSCTLS.items():
        Path("/proc/sys/net", name).write_text(value)
