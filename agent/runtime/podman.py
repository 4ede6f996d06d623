"""The ContainerRuntime port on Podman: one socket, one run folder, one data folder.

It turns calls of the port into requests and composes the modules beside it; what must be remembered between calls is
in the tracker.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import structlog

from agent.runtime import cgroups, logs, oci
from agent.runtime import exec as podman_exec
from agent.runtime.attach import open_attach
from agent.runtime.commands import end_stale, stale_notes
from agent.runtime.containers import Inspected, from_list
from agent.runtime.creation import ContainerCreator
from agent.runtime.http import PodmanError, PodmanHttp
from agent.runtime.images import ImageStore
from agent.runtime.namespaces import SandboxFolder, sandbox_uids
from agent.runtime.protocol import (
    Container,
    ContainerSpec,
    ContainerStreams,
    ExecResult,
    ExecStream,
    Image,
    RegistryAuth,
    RuntimeFailure,
    Sandbox,
)
from agent.runtime.spec import LABEL_POD_UID, create_request
from agent.runtime.tracking import ContainerTracker
from component.env import Env

OLDEST_VERSION = (4, 3)
CGROUP_PATIENCE_SECONDS = 0.25  # conmon and podman's clean-up leave within 100 ms; those of a user's exec linger 10 s
_POLL_SECONDS = 0.01

log = structlog.get_logger()


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
        self._notes = Path(run_dir, "exec")
        self._trees = cgroups.own_hierarchies()
        self._created: set[str] = set()  # by this object, and not started yet
        oom_marks = Path(data_dir, "oom")
        for folder in (self._notes, oom_marks):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._stale_notes = stale_notes(str(self._notes))  # of an agent that was killed
        self._tracker = ContainerTracker(self._http, oom_marks)
        self._creator = ContainerCreator(self._http, self._tracker)

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
        known = self._tracker.known()
        query = {"all": "true", "filters": f'{{"label":["{LABEL_POD_UID}"]}}'}
        listed = [from_list(tree) for tree in await self._http.call("GET", "/containers/json", query=query) or []]
        self._tracker.forget(known - {container.id for container in listed})
        found = [await self._tracker.refreshed(container) for container in listed]
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
        if folder.cgroup_parents():  # something was, or was to be, created
            await self._creator.delete_orphans(pod_uid)
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
        created = await self._creator.create(spec, self._prepared(spec, await self._processes(spec)))
        self._created.add(created.container.id)
        return created.container

    async def start(self, container_id: str) -> Container:
        """Start and watch it; one that ended, now or before, is returned as exited and reported by `exits`.

        A container runs once: starting it again after its end does not run it again, as Podman alone would.
        """
        if container_id in self._created:
            self._created.discard(container_id)
        else:
            before = await self._existing(container_id)
            if before.container.state != "created":
                return self._tracker.adopt(before)
        try:
            await self._http.call("POST", f"/containers/{container_id}/start")
        except PodmanError as error:
            permanent = any(word in str(error).lower() for word in ("not found", "no such file", "permission denied"))
            temporary = not permanent or error.status == 0
            raise RuntimeFailure(_oci_message(error), reason="RunContainerError", temporary=temporary) from error
        return self._tracker.adopt(await self._existing(container_id))

    async def signal(self, container_id: str, signal: int) -> None:
        """Send to the first process by pidfd, never to a reused pid."""
        await self._tracker.signal(container_id, signal)

    async def remove(self, container_id: str) -> None:
        """Kill and remove, with anonymous volumes, log and rotated logs. reason RemoveContainerError."""
        inspected = await self._tracker.inspect(container_id)
        if inspected is None:
            return
        if self._tracker.adopt(inspected).state == "running":
            await self._tracker.kill(container_id)  # Podman's own kill polls and takes three times as long
        await self._tracker.cleaned_up(container_id)
        try:
            await self._creator.delete(container_id)
        except PodmanError as error:
            message = f"removing container {container_id[:12]}: {error}"
            raise RuntimeFailure(message, reason="RemoveContainerError") from error
        self._created.discard(container_id)
        self._tracker.forget([container_id])
        if inspected.container.log_path:
            await asyncio.to_thread(logs.remove, inspected.container.log_path)

    async def exits(self) -> AsyncIterator[Container]:
        """Yield containers as they end, first those that ended while nobody watched. For one consumer."""
        try:
            await self.list_containers()
        except RuntimeFailure as failure:
            log.warning("containers_not_adopted", error=str(failure))  # the next list adopts them
        while (container := await self._tracker.exits.get()) is not None:
            yield container

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_seconds: float) -> ExecResult:
        """Run a short command through the OCI runtime, or through Podman when that is out of reach."""
        runtime = self._tracker.runtime_of(container_id)
        if runtime is None:
            inspected = await self._tracker.inspect(container_id)
            if inspected is not None:
                self._tracker.adopt(inspected)
            runtime = self._tracker.runtime_of(container_id)
        if runtime is None:
            raise RuntimeFailure(f"container {container_id[:12]} is not running", reason="ContainerNotRunning")
        if not runtime.knows(container_id):
            return await podman_exec.run(
                self._http, container_id, command, timeout_seconds=timeout_seconds, notes_dir=str(self._notes)
            )
        return await oci.run(
            runtime, container_id, command, timeout_seconds=timeout_seconds, notes_dir=str(self._notes)
        )

    async def exec_stream(self, container_id: str, command: Sequence[str], *, stdin: bool, tty: bool) -> ExecStream:
        """Run a command for a user through Podman."""
        return await podman_exec.open_exec(
            self._http,
            container_id,
            command,
            notes_dir=str(self._notes),
            stdin=stdin,
            tty=tty,
            first_pid=self._tracker.first_pid(container_id),
        )

    async def end_commands(self) -> None:
        """End what an agent before this one ran in containers."""
        while self._stale_notes:
            await end_stale(self._stale_notes[-1], self._http)
            self._stale_notes.pop()

    async def attach(self, container_id: str, *, stdin: bool, tty: bool) -> ContainerStreams:
        """Join what a container runs through Podman."""
        first_pid = self._tracker.first_pid(container_id)
        return await open_attach(self._http, container_id, stdin=stdin, tty=tty, first_pid=first_pid)

    async def reopen_log(self, container_id: str) -> None:
        """Let conmon write to a new file; no line is lost. reason ReopenLogError."""
        inspected = await self._tracker.inspect(container_id)
        if inspected is None or inspected.container.state != "running":
            return
        try:
            logs.reopen(inspected.static_dir)
        except OSError as error:
            raise RuntimeFailure(f"log of container {container_id[:12]}: {error}", reason="ReopenLogError") from error

    async def close(self) -> None:
        """Stop watching and close all connections; `exits` ends."""
        await self._tracker.close()
        await self._http.close()

    async def _processes(self, spec: ContainerSpec) -> str:
        """The pinned process namespace of the container whose processes are to be seen, "" for none. reason CreateContainerError."""
        target = spec.process_target
        if not target or spec.host_pid:
            return ""
        before = await self._tracker.inspect(target)
        pid = before.container.pid if before is not None else 0
        try:
            folder = SandboxFolder(self._run_dir, spec.pod_uid)
            pin = await asyncio.to_thread(folder.pin_processes, target, pid) if pid else ""
        except OSError:
            pin = ""
        after = await self._tracker.inspect(target) if pin else None
        if after is None or after.container.pid != pid:  # then the pid may have been another process's
            message = f"container {spec.name} of pod {spec.pod_namespace}/{spec.pod_name}: its target is not running"
            raise RuntimeFailure(message, reason="CreateContainerError")
        return pin

    def _prepared(self, spec: ContainerSpec, processes_path: str) -> dict[str, object]:
        """The create call's body; before it, the log's folder and the record of the cgroup are made."""
        folder = SandboxFolder(self._run_dir, spec.pod_uid)
        named = bool(spec.sandbox.utsns_path)
        try:
            Path(spec.log_path).parent.mkdir(parents=True, exist_ok=True)
            folder.add_cgroup_parent(spec.cgroup_parent)
            hostname = folder.hostname() if named else ""
        except OSError as error:
            message = f"container {spec.name} of pod {spec.pod_namespace}/{spec.pod_name}: {error}"
            raise RuntimeFailure(message, reason="CreateContainerError") from error
        hostname_path = str(folder.hostname_path) if named else ""
        return create_request(spec, hostname=hostname, hostname_path=hostname_path, processes_path=processes_path)

    async def _existing(self, container_id: str) -> Inspected:
        inspected = await self._tracker.inspect(container_id)
        if inspected is None:
            raise RuntimeFailure(f"there is no container {container_id[:12]}", reason="RunContainerError")
        return inspected

    async def _remove_cgroup(self, parent: str) -> None:
        deadline = self._env.monotonic() + CGROUP_PATIENCE_SECONDS
        while not await asyncio.to_thread(cgroups.remove, parent, self._trees):
            if self._env.monotonic() > deadline:
                log.debug("cgroup_processes_killed", cgroup=parent)
                await asyncio.to_thread(cgroups.kill, parent, self._trees)
                deadline += CGROUP_PATIENCE_SECONDS
            await asyncio.sleep(_POLL_SECONDS)


def _oci_message(error: PodmanError) -> str:
    """Podman's text without its classification of the OCI runtime's error."""
    return re.sub(r"^(?:crun|runc): ", "", str(error)).partition(": OCI ")[0]
