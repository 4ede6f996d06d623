"""The ContainerRuntime port on Podman: one socket, one run folder, one data folder.

It composes the modules beside it and holds what must be remembered between calls: which containers are watched, which
ended. After a restart all of it is found again from Podman's labels and the files in the two folders.
"""

from __future__ import annotations

import asyncio
import glob
import os
import re
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import structlog

from agent.runtime import cgroups, oci
from agent.runtime import exec as podman_exec
from agent.runtime.containers import Inspected, from_inspect, from_list
from agent.runtime.exits import ExitWatcher
from agent.runtime.http import PodmanError, PodmanHttp
from agent.runtime.images import ImageStore
from agent.runtime.namespaces import SandboxFolder, sandbox_uids
from agent.runtime.protocol import (
    Container,
    ContainerSpec,
    ExecResult,
    ExecStream,
    Image,
    RegistryAuth,
    RuntimeFailure,
    Sandbox,
)
from agent.runtime.spec import LABEL_POD_UID, container_name, create_request
from component.env import Env

OLDEST_VERSION = (4, 3)
CGROUP_PATIENCE_SECONDS = 0.25  # conmon and podman's clean-up leave within 100 ms; those of a user's exec linger 3 s
REMOVE_ATTEMPTS = 4
KILL_WAIT_SECONDS = 5.0
_POLL_SECONDS = 0.01

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Started:
    """A container that was started, as Podman described it then, and the OCI runtime that runs it."""

    inspected: Inspected
    runtime: oci.OciRuntime


class PodmanRuntime:
    """Containers through the Podman service at `socket_path`; implements ContainerRuntime.

    `run_dir` holds what a reboot ends (pins, scratch files) and must be seen at the same path by Podman, mounts
    included; `data_dir` holds what survives one (OOM marks). All methods belong to one event loop.
    """

    def __init__(self, socket_path: str, run_dir: str, data_dir: str, env: Env) -> None:
        self._http = PodmanHttp(socket_path)
        self._images = ImageStore(self._http)
        self._run_dir = run_dir
        self._env = env
        self._scratch = Path(run_dir, "exec")
        self._oom_marks = Path(data_dir, "oom")
        self._trees = cgroups.own_hierarchies()
        self._started: dict[str, _Started] = {}
        self._ended: dict[str, Container] = {}
        self._exits: asyncio.Queue[Container | None] = asyncio.Queue()  # each container once: bounded by their number
        self._watcher = ExitWatcher(self._describe, self._record_oom, self._container_ended)
        for folder in (self._scratch, self._oom_marks):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def version(self) -> str:
        """Podman's version. Raises RuntimeFailure with the remedy when it is absent or older than 4.3."""
        remedy = "remedy: install podman 4.3 or newer and start its service on this socket"
        try:
            response = await self._http.request("GET", "/_ping", timeout_seconds=10)
        except PodmanError as error:
            raise RuntimeFailure(f"{error}; {remedy}", reason=error.reason) from error
        version = response.headers.get("libpod-api-version", "")
        numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
        if response.status != 200 or not numbers:
            raise RuntimeFailure(
                f"{self._http.socket_path} is not a Podman service; {remedy}", reason="RuntimeUnavailable"
            )
        if numbers < OLDEST_VERSION:
            raise RuntimeFailure(f"podman {version} is too old; {remedy}", reason="RuntimeTooOld", temporary=False)
        return f"podman {version}"

    async def list_containers(self) -> Sequence[Container]:
        """All containers of ours; those not seen before are watched from now on."""
        query = {"all": "true", "filters": f'{{"label":["{LABEL_POD_UID}"]}}'}
        trees = await self._http.call("GET", "/containers/json", query=query) or []
        found = [await self._refreshed(from_list(tree)) for tree in trees]
        return [container for container in found if container is not None]

    async def make_sandbox(
        self, pod_uid: str, hostname: str, *, shm_bytes: int, host_network: bool, host_ipc: bool
    ) -> Sandbox:
        """Pin the pod's namespaces, or return the valid ones there are. reason CreateSandboxError."""
        folder = SandboxFolder(self._run_dir, pod_uid)

        def make() -> Sandbox:
            return folder.make(hostname, shm_bytes=shm_bytes, host_network=host_network, host_ipc=host_ipc)

        try:
            return await asyncio.to_thread(make)
        except OSError as error:
            raise RuntimeFailure(f"sandbox of pod {pod_uid}: {error}", reason="CreateSandboxError") from error

    async def remove_sandbox(self, pod_uid: str) -> None:
        """Remove pins, shm and cgroups; processes that stay in the cgroups for over 0.25 s are killed."""
        folder = SandboxFolder(self._run_dir, pod_uid)
        try:
            for parent in folder.cgroup_parents():
                await self._remove_cgroup(parent)
            await asyncio.to_thread(folder.remove)
        except OSError as error:
            raise RuntimeFailure(f"sandbox of pod {pod_uid}: {error}", reason="RemoveSandboxError") from error

    async def sandboxes(self) -> Sequence[str]:
        """Uids of the pods that have a sandbox folder, complete or not."""
        return await asyncio.to_thread(sandbox_uids, self._run_dir)

    async def image(self, reference: str) -> Image | None:
        """The local image, one under `localhost/` first."""
        return await self._images.find(reference)

    async def pull(self, reference: str, auth: RegistryAuth | None = None) -> Image:
        """Fetch an image."""
        return await self._images.pull(reference, auth)

    async def create(self, spec: ContainerSpec) -> Container:
        """Create, adopt an equal one, or replace one of the same name with another spec hash."""
        folder = SandboxFolder(self._run_dir, spec.pod_uid)
        named = bool(spec.sandbox.utsns_path)
        body = create_request(
            spec,
            hostname=folder.hostname() if named else "",
            hostname_path=str(folder.hostname_path) if named else "",
        )
        Path(spec.log_path).parent.mkdir(parents=True, exist_ok=True)
        folder.add_cgroup_parent(spec.cgroup_parent)
        name = container_name(spec.pod_uid, spec.name, spec.attempt)
        try:
            await self._http.call("POST", "/containers/create", body=body)
        except PodmanError as first:
            existing = await self._inspect(name)
            if existing is not None and existing.container.spec_hash == spec.spec_hash:
                log.info("container_adopted", pod_uid=spec.pod_uid, container=spec.name, attempt=spec.attempt)
                return existing.container
            if existing is None and not _name_taken(first):
                raise _create_failure(spec, first) from first
            await self._delete(name)
            try:
                await self._http.call("POST", "/containers/create", body=body)
            except PodmanError as second:
                raise _create_failure(spec, second) from second
        created = await self._inspect(name)
        if created is None:
            raise RuntimeFailure(f"container {name} vanished after its creation", reason="CreateContainerError")
        return created.container

    async def start(self, container_id: str) -> Container:
        """Start and watch it; one that ended already is returned as exited and reported by `exits`, too."""
        try:
            await self._http.call("POST", f"/containers/{container_id}/start")
        except PodmanError as error:
            permanent = any(word in str(error).lower() for word in ("not found", "no such file", "permission denied"))
            temporary = not permanent or error.status == 0
            raise RuntimeFailure(_oci_message(error), reason="RunContainerError", temporary=temporary) from error
        inspected = await self._inspect(container_id)
        if inspected is None:
            raise RuntimeFailure(f"container {container_id[:12]} vanished", reason="RunContainerError")
        return self._adopt(inspected)

    async def signal(self, container_id: str, signal: int) -> None:
        """Send to the first process by pidfd, never to a reused pid."""
        if not self._watcher.send(container_id, signal):
            inspected = await self._inspect(container_id)
            if inspected is not None and self._adopt(inspected).state == "running":
                self._watcher.send(container_id, signal)

    async def remove(self, container_id: str) -> None:
        """Kill and remove, with anonymous volumes, log and rotated logs. reason RemoveContainerError."""
        inspected = await self._inspect(container_id)
        if inspected is None:
            return
        if self._adopt(inspected).state == "running":
            await self._kill(container_id)
        try:
            await self._delete(container_id)
        except PodmanError as error:
            message = f"removing container {container_id[:12]}: {error}"
            raise RuntimeFailure(message, reason="RemoveContainerError") from error
        self._started.pop(container_id, None)
        self._ended.pop(container_id, None)
        self._oom_mark(container_id).unlink(missing_ok=True)
        if inspected.container.log_path:
            await asyncio.to_thread(_remove_logs, inspected.container.log_path)

    async def exits(self) -> AsyncIterator[Container]:
        """Yield containers as they end, first those that ended while nobody watched. For one consumer."""
        try:
            await self.list_containers()
        except RuntimeFailure as failure:
            log.warning("containers_not_adopted", error=str(failure))  # the next list adopts them
        while (container := await self._exits.get()) is not None:
            yield container

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_seconds: float) -> ExecResult:
        """Run a short command through the OCI runtime, or through Podman when that is out of reach."""
        started = self._started.get(container_id)
        if started is None:
            inspected = await self._inspect(container_id)
            if inspected is None or self._adopt(inspected).state != "running":
                raise RuntimeFailure(f"container {container_id[:12]} is not running", reason="ContainerNotRunning")
            started = self._started[container_id]
        if not await asyncio.to_thread(started.runtime.knows, container_id):
            return await podman_exec.run(self._http, container_id, command, timeout_seconds=timeout_seconds)
        return await oci.run(
            started.runtime, container_id, command, timeout_seconds=timeout_seconds, scratch_dir=str(self._scratch)
        )

    async def exec_stream(self, container_id: str, command: Sequence[str], *, stdin: bool, tty: bool) -> ExecStream:
        """Run a command for a user through Podman."""
        return await podman_exec.open_exec(self._http, container_id, command, stdin=stdin, tty=tty)

    async def reopen_log(self, container_id: str) -> None:
        """Tell conmon through its control FIFO to open its log file anew; no line is lost."""
        inspected = await self._inspect(container_id)
        if inspected is None or inspected.container.state != "running":
            return
        try:
            control = os.open(f"{inspected.static_dir}/ctl", os.O_WRONLY | os.O_NONBLOCK)
            try:
                os.write(control, b"2 0 0\n")
            finally:
                os.close(control)
        except OSError as error:
            raise RuntimeFailure(f"log of container {container_id[:12]}: {error}", reason="ReopenLogError") from error

    async def close(self) -> None:
        """Stop watching and close all connections; `exits` ends."""
        await self._watcher.close()
        self._exits.put_nowait(None)
        await self._http.close()

    async def _inspect(self, name_or_id: str) -> Inspected | None:
        try:
            tree = await self._http.call("GET", f"/containers/{name_or_id}/json")
        except PodmanError as error:
            if error.status == 404:
                return None
            raise
        inspected = from_inspect(tree)
        container = inspected.container
        if container.state == "exited" and container.exit_code != 0 and self._oom_mark(container.id).exists():
            return replace(inspected, container=replace(container, oom_killed=True))
        return inspected

    async def _describe(self, container_id: str) -> Container | None:
        inspected = await self._inspect(container_id)
        return inspected.container if inspected else None

    async def _refreshed(self, listed: Container) -> Container | None:
        """What is known beyond a list's coarse entry; None when the container has gone since."""
        if listed.id in self._ended:
            return self._ended[listed.id]
        if self._watcher.watching(listed.id):
            return self._started[listed.id].inspected.container
        if listed.state == "created":
            return listed
        inspected = await self._inspect(listed.id)
        return self._adopt(inspected) if inspected else None

    def _adopt(self, inspected: Inspected) -> Container:
        """Watch a running container, report one that ended; the same again changes nothing."""
        container = inspected.container
        if container.id in self._ended:
            return self._ended[container.id]
        if container.state == "running" and not self._watcher.watching(container.id):
            arguments = _command_line(inspected.conmon_pid)
            self._started[container.id] = _Started(inspected, oci.runtime_of(arguments))
            exit_dir = next((value for name, value in pairwise(arguments) if name == "--exit-dir"), "")
            self._watcher.watch(container, exit_dir=exit_dir, cgroup_parent=inspected.cgroup_parent)
        elif container.state == "exited" and not self._watcher.watching(container.id):
            self._started[container.id] = _Started(inspected, oci.OciRuntime(""))
            self._container_ended(container)
        return container

    def _container_ended(self, container: Container) -> None:
        if container.id in self._started:  # else it was removed meanwhile
            self._ended[container.id] = container
        self._exits.put_nowait(container)

    def _oom_mark(self, container_id: str) -> Path:
        return self._oom_marks / container_id

    def _record_oom(self, container_id: str) -> None:
        self._oom_mark(container_id).touch()

    async def _kill(self, container_id: str) -> None:
        """Kill and wait for the end: Podman's own kill polls and takes three times as long (150 ms)."""
        self._watcher.send(container_id, signal.SIGKILL)
        with suppress(TimeoutError):
            async with asyncio.timeout(KILL_WAIT_SECONDS):
                await self._watcher.wait(container_id)

    async def _delete(self, name_or_id: str) -> None:
        """Force removal; repeated, since it may collide with Podman's own clean-up of the same container."""
        query = {"force": "true", "timeout": "0", "v": "true"}
        for attempt in range(1, REMOVE_ATTEMPTS + 1):
            try:
                await self._http.call("DELETE", f"/containers/{name_or_id}", query=query)
            except PodmanError as error:
                if error.status == 404:
                    return
                if attempt == REMOVE_ATTEMPTS or error.status == 0:
                    raise
                await asyncio.sleep(_POLL_SECONDS * 2**attempt)
            else:
                return

    async def _remove_cgroup(self, parent: str) -> None:
        deadline = self._env.monotonic() + CGROUP_PATIENCE_SECONDS
        while not await asyncio.to_thread(cgroups.remove, parent, self._trees):
            if self._env.monotonic() > deadline:
                log.debug("cgroup_processes_killed", cgroup=parent)
                await asyncio.to_thread(cgroups.kill, parent, self._trees)
                deadline += CGROUP_PATIENCE_SECONDS
            await asyncio.sleep(_POLL_SECONDS)


def _remove_logs(path: str) -> None:
    """Remove a log and what it was renamed to at rotations."""
    for file in [path, *glob.glob(f"{glob.escape(path)}.*")]:  # noqa: PTH207 - paths are strings in the port
        Path(file).unlink(missing_ok=True)


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0") if pid else []
    except OSError:
        return []


def _name_taken(error: PodmanError) -> bool:
    return "already in use" in str(error)


def _create_failure(spec: ContainerSpec, error: PodmanError) -> RuntimeFailure:
    temporary = error.status not in {400, 404}
    message = f"container {spec.name} of pod {spec.pod_namespace}/{spec.pod_name}: {error}"
    return RuntimeFailure(message, reason="CreateContainerError", temporary=temporary)


def _oci_message(error: PodmanError) -> str:
    """Podman's text without its classification of the OCI runtime's error."""
    return re.sub(r"^(?:crun|runc): ", "", str(error)).partition(": OCI ")[0]
