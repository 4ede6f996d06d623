"""A Podman service of one's own: storage, state, socket and mount namespace apart from the machine's.

Each host of a lab has one, and so has every test run. Everything it leaves in the kernel or on disk can be found by
its folder and its cgroup alone, so that `stop` works after any crash, too.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.runtime import cgroups, kernel
from agent.runtime.containers_conf import NOFILE_LIMIT, NPROC_LIMIT, PodmanSettings, containers_conf, permitted_limit

START_TIMEOUT_SECONDS = 20.0
STOP_TIMEOUT_SECONDS = 10.0
_POLL_SECONDS = 0.01
_CAP_SYS_RESOURCE = 1 << 24  # capability 24, linux/capability.h
_UNIFIED_OF_HYBRID = "/sys/fs/cgroup/unified"

# Keeps the mount namespace while the service is restarted. crun takes a hybrid hierarchy for version 2 where the
# unified tree is mounted and then finds no controllers in it. Its command line names the folder: so it can be found.
_HOLDER = """[ -z "$1" ] || umount "$1" 2>/dev/null; exec 0<>"$0/hold" && : > "$0/holding" && read -r _"""
_PROGRAMS = frozenset({"podman", "conmon", "crun", "runc", "nsenter", "unshare", "sh"})


class PodmanStartError(Exception):
    """The service does not come up; the message carries what it said."""


@dataclass(frozen=True, slots=True)
class PodmanFolder:
    """Where a private Podman keeps its things, below one folder."""

    root: Path

    @property
    def socket(self) -> Path:
        """The API socket; Linux limits its path to 107 bytes."""
        return self.root / "podman.sock"

    @property
    def log(self) -> Path:
        """What the service and the holder print."""
        return self.root / "podman.log"

    def part(self, name: str) -> Path:
        """A folder: storage, runroot, tmp, networks; run and data are for an agent beside it."""
        return self.root / name


class PrivatePodman:
    """`podman system service` in its own folder, optionally in a network namespace.

    Mounts made below `root_dir` by other processes (namespace pins, tmpfs volumes) reach the service; its own mounts
    (root file systems of containers) stay in its mount namespace. `prefix` names the cgroup below which every
    container belongs; choose it unique, since `stop` kills all that is in it.
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
        self.folder = PodmanFolder(Path(root_dir).resolve())
        self.prefix = prefix
        self._netns_path = netns_path
        self._additional_image_store = additional_image_store
        self._tmpfs_bytes = tmpfs_bytes
        self._children: list[subprocess.Popen[bytes]] = []

    @property
    def socket_path(self) -> str:
        """Where the API answers once `start` returned."""
        return str(self.folder.socket)

    @property
    def run_dir(self) -> str:
        """A folder for an agent's run files; mounts made there are seen by the service."""
        return str(self.folder.part("run"))

    @property
    def data_dir(self) -> str:
        """A folder for an agent's data."""
        return str(self.folder.part("data"))

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
        if self.service_pids() and _answers(self.folder.socket):
            return
        for name in ("storage", "runroot", "tmp", "networks", "run", "data"):
            self.folder.part(name).mkdir(parents=True, exist_ok=True)
        self._prepare_mounts()
        if not self._holder():
            self._start_holder()
        settings = PodmanSettings(
            runtime=_oci_runtime(),
            network_config_dir=str(self.folder.part("networks")),
            nofile_limit=_limit(NOFILE_LIMIT, resource.RLIMIT_NOFILE),
            nproc_limit=_limit(NPROC_LIMIT, resource.RLIMIT_NPROC),
        )
        configuration = self.folder.root / "containers.conf"
        configuration.write_text(containers_conf(settings))
        self.folder.socket.unlink(missing_ok=True)
        environment = {
            **_clean_environment(),
            "CONTAINERS_CONF": str(configuration),
            "TMPDIR": str(self.folder.part("tmp")),
        }
        self._wait_until_answering(self._spawn([*self.enter_command(), *self._service_command()], environment))

    def kill_service(self) -> None:
        """Kill the service (signal 9), as a crash would; containers go on and `start` brings it back in the same place."""
        for _ in _attempts(STOP_TIMEOUT_SECONDS):
            pids = self.service_pids()
            if not pids:
                break
            _kill(pids)
        self._reap()

    def stop(self) -> None:
        """Kill everything and remove everything: processes, mounts, cgroups and the folder. May be repeated."""
        root = self.folder.root
        for _ in _attempts(STOP_TIMEOUT_SECONDS):
            pids = processes_of(root)
            if not pids:
                break
            _kill(pids)
        trees = cgroups.own_hierarchies()
        for _ in _attempts(STOP_TIMEOUT_SECONDS):
            if cgroups.remove(self.cgroup_root, trees):
                break
            cgroups.kill(self.cgroup_root, trees)
        self._reap()
        _remove_runtime_states(root)
        for target in reversed(_mounts_below(root)):
            kernel.unmount(target)
        shutil.rmtree(root, ignore_errors=True)

    def service_pids(self) -> list[int]:
        """The service's processes."""
        unix = f"unix://{self.folder.socket}"
        return [pid for pid, arguments in _command_lines() if unix in arguments]

    def _service_command(self) -> list[str]:
        part = self.folder.part
        command = [
            "podman",
            "--root",
            str(part("storage")),
            "--runroot",
            str(part("runroot")),
            "--tmpdir",
            str(part("tmp")),
        ]
        command += ["--storage-driver", "overlay", "--cgroup-manager", "cgroupfs"]
        if self._additional_image_store:
            command += ["--storage-opt", f"additionalimagestore={Path(self._additional_image_store).resolve()}"]
        return [*command, "system", "service", "--time=0", f"unix://{self.folder.socket}"]

    def _prepare_mounts(self) -> None:
        """Make the folder a shared mount of its own, whatever the machine's propagation is; a tmpfs when asked."""
        root = str(self.folder.root)
        if root in _mounts_below(self.folder.root):
            return
        kernel.mount(root, root, "none", kernel.MS_BIND)
        kernel.mount("none", root, "none", kernel.MS_SHARED)
        if self._tmpfs_bytes:
            kernel.mount("storage", str(self.folder.part("storage")), "tmpfs", 0, f"size={self._tmpfs_bytes},mode=0700")

    def _start_holder(self) -> None:
        hold, holding = self.folder.root / "hold", self.folder.root / "holding"
        holding.unlink(missing_ok=True)
        if not hold.exists():
            os.mkfifo(hold, 0o600)
        unmounted = _UNIFIED_OF_HYBRID if _oci_runtime() == "crun" else ""
        command = ["unshare", "--mount", "--propagation", "slave"]
        holder = self._spawn([*command, "sh", "-c", _HOLDER, str(self.folder.root), unmounted], _clean_environment())
        for _ in _attempts(START_TIMEOUT_SECONDS):
            if holding.exists():
                return
            if holder.poll() is not None:
                break
        raise PodmanStartError(f"cannot make a mount namespace: {self._last_words()}")

    def _wait_until_answering(self, service: subprocess.Popen[bytes]) -> None:
        for _ in _attempts(START_TIMEOUT_SECONDS):
            if _answers(self.folder.socket):
                return
            if service.poll() is not None:
                break
        raise PodmanStartError(f"podman system service does not answer: {self._last_words()}")

    def _spawn(self, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        with self.folder.log.open("ab") as output:
            child = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._children.append(child)
        return child

    def _reap(self) -> None:
        """Collect the children that were killed; the others are another process's."""
        self._children = [child for child in self._children if child.poll() is None]

    def _holder(self) -> int:
        for pid, arguments in _command_lines():
            if arguments[1:4] == ["-c", _HOLDER, str(self.folder.root)]:
                return pid
        return 0

    def _last_words(self) -> str:
        try:
            return self.folder.log.read_text(errors="replace").strip()[-500:] or "it printed nothing"
        except FileNotFoundError:
            return "it printed nothing"


def processes_of(root: Path) -> list[int]:
    """Every process of the private Podman in `root`: service, holder, conmons, clean-ups, and all in its containers.

    The programs are known by their arguments, a container's processes by the writable layer below their root.
    """
    inside = f"{root}/"
    pids = []
    for pid, arguments in _command_lines():
        name = os.path.basename(arguments[0])  # noqa: PTH119 - a command name, not a path of ours
        if (
            name in _PROGRAMS and any(argument == str(root) or inside in argument for argument in arguments)
        ) or f"upperdir={inside}" in _root_mount(pid):
            pids.append(pid)
    return pids


def _command_lines() -> Iterator[tuple[int, list[str]]]:
    """Pid and arguments of every process but this one; zombies and kernel threads have none."""
    for entry in os.listdir("/proc"):  # noqa: PTH208 - names only
        if entry.isdecimal() and int(entry) != os.getpid():
            try:
                text = Path("/proc", entry, "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if text:
                yield int(entry), text.split("\0")


def _root_mount(pid: int) -> str:
    """The line of a process's mountinfo that describes its root."""
    try:
        with Path(f"/proc/{pid}/mountinfo").open() as lines:
            return next((line for line in lines if line.split(" ", 5)[4] == "/"), "")
    except OSError:
        return ""


def _mounts_below(root: Path) -> list[str]:
    """Mount points at and below a folder, in the order they were made."""
    points = [line.split(" ", 5)[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    points = [re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), point) for point in points]
    return [point for point in points if point == str(root) or point.startswith(f"{root}/")]


def _remove_runtime_states(root: Path) -> None:
    """Remove what a killed OCI runtime remembers of our containers below /run."""
    for state in (*Path("/run/crun").glob("*/status"), *Path("/run/runc").glob("*/state.json")):
        try:
            ours = f'"{root}/' in state.read_text() or f"={root}/" in state.read_text()
        except OSError:
            continue
        if ours:
            shutil.rmtree(state.parent, ignore_errors=True)


def _kill(pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _attempts(seconds: float) -> Iterator[int]:
    """Count attempts, with a pause before each but the first, until `seconds` of pauses have passed."""
    for attempt in range(int(seconds / _POLL_SECONDS)):
        if attempt:
            time.sleep(_POLL_SECONDS)
        yield attempt


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(START_TIMEOUT_SECONDS)
        try:
            connection.connect(str(path))
            connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: podman\r\n\r\n")
            return b" 200 " in connection.recv(100)
        except OSError:
            return False


def _oci_runtime() -> str:
    for name in ("crun", "runc"):
        if shutil.which(name):
            return name
    raise PodmanStartError("neither crun nor runc is installed; remedy: apt-get install crun")


def _limit(wanted: int, kind: int) -> int:
    """What this process may give to children, who inherit its limits."""
    capabilities = re.search(r"^CapEff:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    may_raise = bool(capabilities and int(capabilities[1], 16) & _CAP_SYS_RESOURCE)
    return permitted_limit(wanted, resource.getrlimit(kind)[1], may_raise=may_raise)


def _clean_environment() -> dict[str, str]:
    """Nothing of the caller's environment but what pulling through a proxy needs."""
    kept = (
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    )
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, "HOME": "/root"} | {name: os.environ[name] for name in kept if name in os.environ}
