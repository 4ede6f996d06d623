"""Containers on one host as the agent sees them: the port to Podman. A fake in tests passes the same contract suite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

ContainerState = Literal["created", "running", "exited", "unknown"]


class RuntimeFailure(Exception):
    """An operation did not work. `reason` is a CamelCase word for a container status: ErrImagePull, CreateContainerError.

    `temporary` says that a retry may help without anybody changing the pod.
    """

    def __init__(self, message: str, *, reason: str = "RuntimeFailure", temporary: bool = True) -> None:
        super().__init__(message)
        self.reason = reason
        self.temporary = temporary


@dataclass(frozen=True, slots=True)
class Mount:
    """A bind mount; `source` exists on the host."""

    source: str
    target: str
    read_only: bool = False
    propagation: str = "rprivate"


@dataclass(frozen=True, slots=True)
class ResourceLimits:
    """Cgroup settings. 0 means none. CPU in millicores, memory in bytes."""

    cpu_request_millicores: int = 0
    cpu_limit_millicores: int = 0
    memory_limit_bytes: int = 0
    pids_limit: int = 0
    oom_score_adj: int = 0


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The namespaces a pod's containers share, pinned as files; "" for one shared with the host.

    `id` is another one each time that the pod's namespaces are made anew, and the same as long as they are not.
    """

    pod_uid: str
    netns_path: str
    ipcns_path: str
    utsns_path: str
    shm_path: str  # tmpfs for /dev/shm
    id: str = ""


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """What to run. Names and labels are made from pod_uid, name and attempt; spec_hash tells a changed spec."""

    pod_uid: str
    pod_namespace: str
    pod_name: str
    name: str
    attempt: int
    spec_hash: str
    image: str  # normalised reference or image id
    sandbox: Sandbox
    log_path: str
    cgroup_parent: str
    command: tuple[str, ...] | None = None  # None: the image's entrypoint
    args: tuple[str, ...] | None = None  # None: the image's cmd, unless command is given
    env: tuple[tuple[str, str], ...] = ()
    mounts: tuple[Mount, ...] = ()
    working_dir: str = ""
    user: str = ""  # "uid[:gid]", empty: the image's
    groups: tuple[str, ...] = ()
    limits: ResourceLimits = ResourceLimits()
    privileged: bool = False
    read_only_root: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    no_new_privileges: bool = False
    stdin: bool = False
    tty: bool = False
    host_network: bool = False
    host_pid: bool = False
    process_target: str = ""  # id of the container whose processes it sees, "" for none but its own


@dataclass(frozen=True, slots=True)
class Container:
    """A container as it is. Instants are seconds since the epoch, 0 for not yet."""

    id: str
    pod_uid: str
    name: str
    attempt: int
    spec_hash: str
    state: ContainerState
    image: str = ""
    image_id: str = ""
    pid: int = 0
    created_time: float = 0.0
    started_time: float = 0.0
    finished_time: float = 0.0
    exit_code: int = 0
    oom_killed: bool = False
    message: str = ""
    log_path: str = ""
    stop_signal: int = 0  # what its image wants to be ended with, 0 when that is not known
    sandbox_id: str = ""  # of the sandbox it was created for, "" when that was not noted


@dataclass(frozen=True, slots=True)
class Image:
    """An image in the local store."""

    id: str
    references: tuple[str, ...]
    size_bytes: int
    user: str = ""  # who its processes run as unless somebody says otherwise: "user[:group]", "" for root


@dataclass(frozen=True, slots=True)
class RegistryAuth:
    """Credentials for one registry."""

    username: str
    password: str


@dataclass(frozen=True, slots=True)
class ExecResult:
    """How a command that was run to its end went; output is cut at 16 KiB."""

    exit_code: int
    output: bytes


class ContainerStreams(Protocol):
    """The streams of something that runs in a container."""

    async def read(self) -> tuple[Literal["stdout", "stderr"], bytes] | None:
        """The next piece of output, None at its end."""

    async def write(self, data: bytes) -> None:
        """Send to standard input; waits while the pipe is full."""

    async def close_stdin(self) -> None:
        """Half-close: there is no more input, output goes on."""

    async def resize(self, width: int, height: int) -> None:
        """Set the terminal's size."""

    def container_ending(self) -> bool:
        """Whether the container is ending and may wait for the reader of these streams."""

    async def close(self) -> None:
        """Give up the streams."""


class ExecStream(ContainerStreams, Protocol):
    """A running command in a container, with its streams."""

    async def exit_code(self) -> int:
        """The command's exit code, once `read` returned None."""

    async def close(self) -> None:
        """Give up the streams; the command is killed if it still runs."""


class ContainerRuntime(Protocol):
    """All methods are idempotent and raise RuntimeFailure."""

    async def version(self) -> str:
        """The runtime's version, "podman 4.3.1". Fails with the remedy when it is too old or absent."""

    async def list_containers(self) -> Sequence[Container]:
        """All containers of ours on this host, whatever their state."""

    async def make_sandbox(
        self, pod_uid: str, hostname: str, *, shm_bytes: int, host_network: bool, host_ipc: bool
    ) -> Sandbox:
        """Pin the pod's namespaces (the network one empty, with lo up). Returns the existing ones when valid."""

    async def remove_sandbox(self, pod_uid: str) -> None:
        """Unpin the namespaces, unmount shm, remove the pod's cgroups in every hierarchy."""

    async def sandboxes(self) -> Sequence[str]:
        """Uids of all pods with a pinned namespace, cgroup or shm mount on this host."""

    async def image(self, reference: str) -> Image | None:
        """The local image for a reference as users write it ("nginx", "localhost/app:1"), or None."""

    async def pull(self, reference: str, auth: RegistryAuth | None = None) -> Image:
        """Fetch an image. reason is ErrImagePull, or InvalidImageName."""

    async def create(self, spec: ContainerSpec) -> Container:
        """Create, or return the one there is when its spec hash is the same. reason CreateContainerError.

        A container that is to see another one's processes can only be created while that one runs.
        """

    async def start(self, container_id: str) -> Container:
        """Start, returns once the process runs. reason RunContainerError, e.g. when the command does not exist."""

    async def signal(self, container_id: str, signal: int) -> None:
        """Send to the first process; nothing happens when it is gone."""

    async def remove(self, container_id: str) -> None:
        """Kill if need be and remove with its root file system and log. Nothing happens when it is gone."""

    def exits(self) -> AsyncIterator[Container]:
        """Containers that ended, as they end (within milliseconds), each at least once, with exit code and OOM flag."""

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_seconds: float) -> ExecResult:
        """Run a short command (probes, hooks); killed at the time-out, which raises TimeoutError."""

    async def exec_stream(self, container_id: str, command: Sequence[str], *, stdin: bool, tty: bool) -> ExecStream:
        """Run a command for a user."""

    async def end_commands(self) -> None:
        """Kill commands of users, probes and hooks that an agent before this one began, never those of this one."""

    async def attach(self, container_id: str, *, stdin: bool, tty: bool) -> ContainerStreams:
        """Join what a running container runs; leaving it ends its input unless it has a terminal. reason AttachFailed."""

    async def reopen_log(self, container_id: str) -> None:
        """After the log file was renamed: write to a new one."""

    async def close(self) -> None:
        """Stop watching. Containers go on."""
