"""A container runtime in memory. Containers run until they are told otherwise; it passes the port's contract suite.

Tests steer it: `end` lets a container end, `programs` says what a command does at its start, `fail_next` makes the
next call of a method fail.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import signal as signals
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from agent.runtime.protocol import (
    Container,
    ContainerSpec,
    ExecResult,
    Image,
    RegistryAuth,
    RuntimeFailure,
    Sandbox,
)
from component.env import Env, system_env
from lab.images import BUSYBOX

_REFERENCE = re.compile(r"([a-z0-9.-]+(:[0-9]+)?/)?[a-z0-9._/-]+(:[\w.-]+)?(@sha256:[0-9a-f]{64})?")

Program = Callable[[ContainerSpec], int | None]
"""What a command does: an exit code at once, or None to go on running."""


def normalised(reference: str) -> str:
    """As Podman looks an image up: names without a registry are ours first."""
    return reference if "/" in reference else f"localhost/{reference}"


class FakeExec:
    """A command whose output was written down before; echoes its input when it was opened with one."""

    def __init__(self, output: Sequence[tuple[Literal["stdout", "stderr"], bytes]], code: int, *, echo: bool) -> None:
        self.sizes: list[tuple[int, int]] = []
        self.closed = False
        self.takes_input = True
        self._code = code
        self._queue: asyncio.Queue[tuple[Literal["stdout", "stderr"], bytes] | None] = asyncio.Queue()
        for piece in output:
            self._queue.put_nowait(piece)
        if not echo:
            self._queue.put_nowait(None)

    async def read(self) -> tuple[Literal["stdout", "stderr"], bytes] | None:
        return await self._queue.get()

    async def write(self, data: bytes) -> None:
        if not self.takes_input:
            await asyncio.Event().wait()
        self._queue.put_nowait(("stdout", data))

    async def close_stdin(self) -> None:
        self._queue.put_nowait(None)

    async def resize(self, width: int, height: int) -> None:
        self.sizes.append((width, height))

    def container_ending(self) -> bool:
        return False

    async def exit_code(self) -> int:
        return self._code

    async def close(self) -> None:
        self.closed = True


class FakeRuntime:
    """Implements ContainerRuntime. `calls` lists (method, subject) of everything that changed something."""

    def __init__(self, env: Env | None = None) -> None:
        self.env = env or system_env()
        self.calls: list[tuple[str, str]] = []
        self.images: dict[str, Image] = {}
        self.registry: dict[str, Image] = {}
        self.programs: dict[str, Program] = {"/no/such/command": _missing}
        self.exec_results: dict[str, ExecResult | Exception] = {}
        self.exec_output: list[tuple[Literal["stdout", "stderr"], bytes]] = []
        self.exec_streams: list[FakeExec] = []
        self.specs: dict[str, ContainerSpec] = {}
        self.containers: dict[str, Container] = {}
        self.ignores_term: set[str] = set()  # names of containers that do not end at SIGTERM
        self.pull_gate: asyncio.Event | None = None
        self.down = ""
        self._failures: dict[str, list[Exception]] = {}
        self._sandboxes: dict[str, Sandbox] = {}
        self._ids = itertools.count(1)
        self._exits: asyncio.Queue[Container | None] = asyncio.Queue()
        self._closed = False
        self.add_image(BUSYBOX)

    def add_image(self, reference: str, *, remote: bool = False) -> Image:
        """Make an image known, here or only in the registry."""
        image = Image(f"{abs(hash(reference)):064x}"[:64], (normalised(reference),), 1_000_000)
        (self.registry if remote else self.images)[normalised(reference)] = image
        return image

    def fail_next(self, method: str, error: Exception) -> None:
        """Let the next call of a method fail (once per call of this)."""
        self._failures.setdefault(method, []).append(error)

    def end(self, container_id: str, code: int = 0, *, oom: bool = False, at: float | None = None) -> Container:
        """Let a container end."""
        container = self.containers[container_id]
        assert container.state == "running", f"{container.name} is {container.state}"
        finished = self.env.now() if at is None else at
        ended = replace(container, state="exited", pid=0, exit_code=code, finished_time=finished, oom_killed=oom)
        self.containers[container_id] = ended
        self._exits.put_nowait(ended)
        return ended

    def reboot(self) -> None:
        """Everything of a boot is gone; containers are remembered as Podman remembers them."""
        self._sandboxes.clear()
        for container_id, container in self.containers.items():
            if container.state == "running":
                self.containers[container_id] = replace(container, state="created", pid=0)

    def of(self, name: str, attempt: int | None = None) -> Container:
        """The newest container of a name, or one attempt of it."""
        found = [c for c in self.containers.values() if c.name == name and attempt in {None, c.attempt}]
        assert found, f"no container {name}"
        return max(found, key=lambda c: c.attempt)

    def running(self, name: str) -> list[Container]:
        """The running containers of a name."""
        return [c for c in self.containers.values() if c.name == name and c.state == "running"]

    async def version(self) -> str:
        self._check("version")
        return "fake 4.3.1"

    async def list_containers(self) -> Sequence[Container]:
        await self._step("list_containers")
        return list(self.containers.values())

    async def make_sandbox(
        self, pod_uid: str, hostname: str, *, shm_bytes: int, host_network: bool, host_ipc: bool
    ) -> Sandbox:
        await self._step("make_sandbox", pod_uid)
        net = "" if host_network else f"/fake/{pod_uid}/net"
        uts = "" if host_network else f"/fake/{pod_uid}/uts"
        ipc, shm = ("", "") if host_ipc else (f"/fake/{pod_uid}/ipc", f"/fake/{pod_uid}/shm")
        if pod_uid not in self._sandboxes:
            self._sandboxes[pod_uid] = Sandbox(pod_uid, net, ipc, uts, shm, f"sandbox-{next(self._ids)}")
        return self._sandboxes[pod_uid]

    async def remove_sandbox(self, pod_uid: str) -> None:
        await self._step("remove_sandbox", pod_uid)
        self._sandboxes.pop(pod_uid, None)

    async def sandboxes(self) -> Sequence[str]:
        await self._step("sandboxes")
        return list(self._sandboxes)

    async def image(self, reference: str) -> Image | None:
        await self._step("image")
        found = self.images.get(normalised(reference))
        return found or next((image for image in self.images.values() if image.id == reference), None)

    async def pull(self, reference: str, auth: RegistryAuth | None = None) -> Image:
        if not reference or not _REFERENCE.fullmatch(reference):
            raise RuntimeFailure(f"invalid reference {reference!r}", reason="InvalidImageName", temporary=False)
        await self._step("pull", reference)
        if self.pull_gate is not None:
            await self.pull_gate.wait()
        image = self.registry.get(normalised(reference))
        if image is None:
            raise RuntimeFailure(f"{reference}: not found in any registry", reason="ErrImagePull")
        self.images[normalised(reference)] = image
        return image

    async def create(self, spec: ContainerSpec) -> Container:
        await self._step("create", spec.name)
        target = self.containers.get(spec.process_target)
        if spec.process_target and (target is None or target.state != "running"):
            raise RuntimeFailure(f"container {spec.name}: its target is not running", reason="CreateContainerError")
        for known in list(self.containers.values()):
            if (known.pod_uid, known.name, known.attempt) == (spec.pod_uid, spec.name, spec.attempt):
                if known.spec_hash == spec.spec_hash:
                    return known
                await self.remove(known.id)
        image = self.images.get(normalised(spec.image)) or next(
            (each for each in self.images.values() if each.id == spec.image), None
        )
        if image is None:
            raise RuntimeFailure(f"{spec.image}: image not known", reason="CreateContainerError")
        container = Container(
            id=f"{next(self._ids):064x}",
            pod_uid=spec.pod_uid,
            name=spec.name,
            attempt=spec.attempt,
            spec_hash=spec.spec_hash,
            state="created",
            image=image.references[0],
            image_id=image.id,
            created_time=self.env.now(),
            log_path=spec.log_path,
            sandbox_id=spec.sandbox.id,
        )
        self.containers[container.id] = container
        self.specs[container.id] = spec
        return container

    async def start(self, container_id: str) -> Container:
        container = self.containers.get(container_id)
        if container is None:
            raise RuntimeFailure(f"no container {container_id}", reason="RunContainerError")
        await self._step("start", container.name)
        if container.state == "running":
            return container
        spec = self.specs[container_id]
        program = self.programs.get((spec.command or ("",))[0])
        code = program(spec) if program is not None else None
        started = replace(container, state="running", pid=int(container_id, 16) + 1000, started_time=self.env.now())
        self.containers[container_id] = started
        if code is not None:
            self.end(container_id, code)
        return started

    async def signal(self, container_id: str, signal: int) -> None:
        container = self.containers.get(container_id)
        if container is None or container.state != "running":
            return
        await self._step("signal", f"{container.name}:{signals.Signals(signal).name}")
        if signal == signals.SIGTERM and container.name in self.ignores_term:
            return
        if self.containers[container_id].state == "running":
            self.end(container_id, 128 + signal)

    async def remove(self, container_id: str) -> None:
        container = self.containers.get(container_id)
        if container is None:
            return
        await self._step("remove", container.name)
        self.containers.pop(container_id, None)
        if container.log_path:
            _unlink(container.log_path)

    async def exits(self) -> AsyncIterator[Container]:
        self._closed = False
        while True:
            container = await self._exits.get()
            if container is not None:
                yield container
            elif self._closed:
                return

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_seconds: float) -> ExecResult:
        self._check_running(container_id)
        await self._step("exec_sync", " ".join(command))
        result = self.exec_results.get(" ".join(command), ExecResult(0, b""))
        if isinstance(result, Exception):
            raise result
        return result

    async def end_commands(self) -> None:
        await self._step("end_commands", "")

    async def exec_stream(self, container_id: str, command: Sequence[str], *, stdin: bool, tty: bool) -> FakeExec:
        self._check_running(container_id)
        await self._step("exec_stream", " ".join(command))
        result = self.exec_results.get(" ".join(command), ExecResult(0, b""))
        assert isinstance(result, ExecResult)
        output = list(self.exec_output) + ([("stdout", result.output)] if result.output else [])
        stream = FakeExec(output, result.exit_code, echo=stdin)
        self.exec_streams.append(stream)
        return stream

    async def attach(self, container_id: str, *, stdin: bool, tty: bool) -> FakeExec:
        self._check_running(container_id)
        await self._step("attach", f"stdin={stdin} tty={tty}")
        self.exec_streams.append(FakeExec(list(self.exec_output), 0, echo=stdin))
        return self.exec_streams[-1]

    async def reopen_log(self, container_id: str) -> None:
        container = self.containers[container_id]
        await self._step("reopen_log", container.name)
        descriptor = os.open(container.log_path, os.O_CREAT | os.O_WRONLY, 0o600)
        os.close(descriptor)

    async def close(self) -> None:
        self._closed = True
        self._exits.put_nowait(None)

    def _check_running(self, container_id: str) -> None:
        container = self.containers.get(container_id)
        if container is None or container.state != "running":
            raise RuntimeFailure(f"container {container_id[:12]} is not running", reason="NotRunning")

    async def _step(self, method: str, subject: str = "") -> None:
        """Every call takes a turn of the loop, as real ones do."""
        await asyncio.sleep(0)
        self._check(method)
        if subject:
            self.calls.append((method, subject))

    def _check(self, method: str) -> None:
        if self.down:
            raise RuntimeFailure(self.down)
        waiting = self._failures.get(method)
        if waiting:
            raise waiting.pop(0)


def _unlink(path: str) -> None:
    Path(path).unlink(missing_ok=True)


def _missing(spec: ContainerSpec) -> int | None:
    command = (spec.command or ("",))[0]
    message = f'exec: "{command}": no such file or directory'
    raise RuntimeFailure(message, reason="RunContainerError", temporary=False)
