"""A Podman service of one's own: storage, state and socket apart from the machine's.

Each node of a lab has one, run by the host's holder; PrivatePodman runs one by itself, for tests.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from agent.runtime import kernel, podman_host
from lab.podman_remains import (
    attempts,
    command_lines,
    kill,
    mounts_below,
    processes_of,
    remove_cgroup,
    remove_cgroups,
    remove_runtime_states,
)

__all__ = ["PodmanHost", "PodmanStartError", "PrivatePodman", "remove_cgroups"]

START_TIMEOUT_SECONDS = 20.0
STOP_TIMEOUT_SECONDS = 10.0
RUN_BYTES = 256 << 20  # the most that run files may take; they take under 1 MiB per 10 containers
_UNIFIED_OF_HYBRID = "/sys/fs/cgroup/unified"

# Keeps the mount namespace while the service is restarted. Its command line names the folder: so it can be found.
_HOLDER = """for path in "$@"; do umount "$path"; done; exec 0<>"$0/hold" && : > "$0/holding" && read -r _"""


class PodmanStartError(Exception):
    """The service cannot run or does not come up; the message carries what it said, or the remedy."""


@dataclass(frozen=True, slots=True)
class PodmanHost:
    """The files and the command of one service. It runs in a mount namespace in which `unmount_first` is done.

    `state_dir` is the host's disk, `run_dir` what a reboot would empty. `image_store` is read beside its own images.
    """

    state_dir: Path
    run_dir: Path
    image_store: Path | None = None

    @property
    def socket_path(self) -> Path:
        """Where the API answers; Linux limits the path to 107 bytes."""
        return self.run_dir / "podman.sock"

    @property
    def configuration(self) -> Path:
        """The containers.conf it runs with."""
        return self.run_dir / podman_host.CONFIGURATION

    def write_configuration(self) -> None:
        """Make the folders and containers.conf. Raises PodmanStartError when no OCI runtime is installed."""
        for folder in (self.state_dir / "storage", self.run_dir / "runroot", self.run_dir / "tmp"):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            podman_host.write(self.run_dir)
        except podman_host.MissingRuntime as error:
            raise PodmanStartError(str(error)) from error
        self.socket_path.unlink(missing_ok=True)

    def command(self) -> list[str]:
        """The service's command line."""
        command = ["podman", "--root", str(self.state_dir / "storage"), "--runroot", str(self.run_dir / "runroot")]
        command += ["--tmpdir", str(self.run_dir / "tmp"), "--storage-driver", "overlay"]
        if self.image_store:
            command += ["--storage-opt", f"additionalimagestore={self.image_store}"]
        return [*command, "system", "service", "--time=0", f"unix://{self.socket_path}"]

    def environment(self) -> dict[str, str]:
        """Variables it needs; conmon and the clean-ups inherit them."""
        return {"CONTAINERS_CONF": str(self.configuration), "TMPDIR": str(self.run_dir / "tmp"), "HOME": "/root"}

    def unmount_first(self) -> list[str]:
        """What to unmount in the service's mount namespace.

        crun takes a hybrid hierarchy for version 2 where the unified tree is mounted, and finds no controllers in it.
        """
        hybrid = podman_host.oci_runtime() == "crun" and os.path.ismount(_UNIFIED_OF_HYBRID)
        return [_UNIFIED_OF_HYBRID] if hybrid else []

    def answers(self) -> bool:
        """Whether the service answers a ping."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(START_TIMEOUT_SECONDS)
            try:
                connection.connect(str(self.socket_path))
                connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: podman\r\n\r\n")
                return b" 200 " in connection.recv(100)
            except OSError:
                return False

    def forget_run_state(self) -> None:
        """Remove what a power cut would: the run folder and the OCI runtime's states. Nothing of it may be running."""
        shutil.rmtree(self.run_dir, ignore_errors=True)
        remove_runtime_states(self.state_dir)


class PrivatePodman:
    """A service in a folder of its own, in a mount namespace of its own, optionally in a network namespace.

    Mounts made below `root_dir` by other processes (namespace pins, tmpfs volumes) reach the service; its own mounts
    (root file systems of containers) stay in its namespace. `prefix` names the cgroup below which its pods belong;
    choose it unique, since `stop` kills all that is in it. With `tmpfs_bytes` storage is in memory.
    """

    def __init__(
        self,
        root_dir: str | Path,
        netns_path: str | None = None,
        additional_image_store: str | Path | None = None,
        prefix: str = "timonier-test",
        *,
        tmpfs_bytes: int = 0,
    ) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", prefix):
            raise ValueError(f"prefix {prefix!r} is not a plain name")
        self.root = Path(root_dir).resolve()
        self.prefix = prefix
        store = Path(additional_image_store).resolve() if additional_image_store else None
        self.host = PodmanHost(self.root / "state", self.root / "podman", store)
        self._netns_path = netns_path
        self._tmpfs_bytes = tmpfs_bytes
        self._children: list[subprocess.Popen[bytes]] = []

    @property
    def socket_path(self) -> str:
        """Where the API answers once `start` returned."""
        return str(self.host.socket_path)

    @property
    def run_dir(self) -> str:
        """A folder for an agent's run files; mounts made there are seen by the service."""
        return str(self.root / "run")

    @property
    def data_dir(self) -> str:
        """A folder for an agent's data."""
        return str(self.root / "data")

    @property
    def cgroup_root(self) -> str:
        """The cgroup that pods belong below; removed by `stop`."""
        return f"/{self.prefix}"

    def enter_command(self) -> list[str]:
        """The words to put before a command that is to run where the service runs: its mounts and its network."""
        network = [f"--net={self._netns_path}"] if self._netns_path else []
        return ["nsenter", f"--mount=/proc/{self._holder()}/ns/mnt", *network, "--"]

    def start(self) -> None:
        """Start the service and wait until it answers; one that runs is left alone. Raises PodmanStartError."""
        if self.service_pids() and self.host.answers():
            return
        for folder in (self.host.state_dir, self.host.run_dir, Path(self.run_dir), Path(self.data_dir)):
            folder.mkdir(parents=True, exist_ok=True)
        self._prepare_mounts()
        if not self._holder():
            self._start_holder()
        self.host.write_configuration()
        service = self._spawn([*self.enter_command(), *self.host.command()])
        for _ in attempts(START_TIMEOUT_SECONDS):
            if self.host.answers():
                return
            if service.poll() is not None:
                break
        raise PodmanStartError(f"podman system service does not answer: {self._last_words()}")

    def kill_service(self) -> None:
        """Kill the service (signal 9), as a crash would; containers go on and `start` brings it back in place."""
        killed: set[int] = set()
        for _ in attempts(STOP_TIMEOUT_SECONDS):
            pids = self.service_pids()
            if not pids:
                break
            kill(pids)
            killed.update(pids)
        self._reap(killed)

    def stop(self) -> None:
        """Kill everything and remove everything: processes, mounts, cgroups and the folder. May be repeated."""
        for _ in attempts(STOP_TIMEOUT_SECONDS):
            pids = processes_of(self.root)
            if not pids:
                break
            kill(pids)
        self._reap({child.pid for child in self._children})
        remove_cgroups(self.root)
        remove_cgroup(self.cgroup_root)
        remove_runtime_states(self.root)
        for target in reversed(mounts_below(self.root)):
            kernel.unmount(target)
        shutil.rmtree(self.root, ignore_errors=True)

    def service_pids(self) -> list[int]:
        """The service's processes."""
        unix = f"unix://{self.host.socket_path}"
        return [pid for pid, arguments in command_lines() if unix in arguments]

    def _prepare_mounts(self) -> None:
        """Make the folder a shared mount of its own, whatever the machine's propagation is.

        What is in /run on a host is in memory here, too; storage only when asked.
        """
        root = str(self.root)
        if root in mounts_below(self.root):
            return
        kernel.mount(root, root, "none", kernel.MS_BIND)
        kernel.mount("none", root, "none", kernel.MS_SHARED)
        for folder in (self.host.run_dir, Path(self.run_dir)):
            kernel.mount("run", str(folder), "tmpfs", 0, f"size={RUN_BYTES},mode=0700")
        if self._tmpfs_bytes:
            kernel.mount("storage", str(self.host.state_dir), "tmpfs", 0, f"size={self._tmpfs_bytes},mode=0700")

    def _start_holder(self) -> None:
        hold, holding = self.root / "hold", self.root / "holding"
        holding.unlink(missing_ok=True)
        if not hold.exists():
            os.mkfifo(hold, 0o600)
        command = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", _HOLDER, str(self.root)]
        holder = self._spawn([*command, *self.host.unmount_first()])
        for _ in attempts(START_TIMEOUT_SECONDS):
            if holding.exists():
                return
            if holder.poll() is not None:
                break
        raise PodmanStartError(f"cannot make a mount namespace: {self._last_words()}")

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.root / "log").open("ab") as output:
            child = subprocess.Popen(
                command,
                env={**os.environ, **self.host.environment()},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.root,  # conmon leaves a file "oom" where Podman was started
                start_new_session=True,
            )
        self._children.append(child)
        return child

    def _reap(self, killed: set[int]) -> None:
        """Collect those of our children that were killed; a process may be gone from sight before it can be waited for."""
        for child in self._children:
            if child.pid in killed:
                child.wait(STOP_TIMEOUT_SECONDS)
        self._children = [child for child in self._children if child.returncode is None]

    def _holder(self) -> int:
        for pid, arguments in command_lines():
            if arguments[1:4] == ["-c", _HOLDER, str(self.root)]:
                return pid
        return 0

    def _last_words(self) -> str:
        try:
            return (self.root / "log").read_text(errors="replace").strip()[-500:] or "it printed nothing"
        except FileNotFoundError:
            return "it printed nothing"
