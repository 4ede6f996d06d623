"""Real containers on a Podman service of the tests' own: one that all share, and one that a test may break."""

from __future__ import annotations

import asyncio
import os
import subprocess
import uuid
from dataclasses import replace
from pathlib import Path

from agent.runtime.podman import PodmanRuntime
from agent.runtime.protocol import ContainerSpec
from component.env import system_env
from lab.images import BUSYBOX
from tests.waiting import DEADLINE_SECONDS


def container_spec(uid, sandbox, log_path, cgroup_parent, command):
    """The only container of a pod, as plain as can be."""
    return ContainerSpec(
        pod_uid=uid,
        pod_namespace="default",
        pod_name="web",
        name="main",
        attempt=0,
        spec_hash="hash-1",
        image=BUSYBOX,
        sandbox=sandbox,
        log_path=log_path,
        cgroup_parent=cgroup_parent,
        command=command,
    )


class Host:
    """A runtime, what a test made with it, and the service below."""

    def __init__(self, podman, folder):
        self.podman = podman
        self.folder = folder
        self.runtime = self.connect()
        self.pods = []
        self.exits = None

    def connect(self):
        return PodmanRuntime(self.podman.socket_path, self.podman.run_dir, self.podman.data_dir, system_env())

    async def reconnect(self):
        await self.runtime.close()
        self.runtime, self.exits = self.connect(), None

    async def spec(self, *command, **changes):
        uid = f"uid-{uuid.uuid4().hex[:12]}"
        self.pods.append(uid)
        sandbox = await self.runtime.make_sandbox(uid, "host-1", shm_bytes=1 << 20, host_network=False, host_ipc=False)
        spec = container_spec(
            uid,
            sandbox,
            str(self.folder / uid / "0.log"),
            f"{self.podman.cgroup_root}/pod{uid}",
            command or ("sleep", "1000"),
        )
        return replace(spec, **changes)

    async def run(self, *command, **changes):
        created = await self.runtime.create(await self.spec(*command, **changes))
        return await self.runtime.start(created.id)

    async def next_exit(self, container_id):
        self.exits = self.exits or self.runtime.exits()
        async with asyncio.timeout(DEADLINE_SECONDS):
            async for container in self.exits:
                if container.id == container_id:
                    return container
        raise AssertionError("exits ended")

    async def output(self, *command, **changes):
        """What a container prints until it ends."""
        container = await self.run(*command, **changes)
        await self.next_exit(container.id)
        return log_text(container.log_path)

    async def clean(self):
        for container in await self.runtime.list_containers():
            if container.pod_uid in self.pods:
                await self.runtime.remove(container.id)
        for uid in self.pods:
            await self.runtime.remove_sandbox(uid)
        await self.runtime.close()


def log_text(path):
    """The messages of a k8s-file log: "TIME STREAM TAG MESSAGE" per line."""
    return "".join(line.split(" ", 3)[3] + "\n" for line in Path(path).read_text().splitlines())


async def until(condition, what):
    """Wait until a condition holds, which is asked every few milliseconds."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)
    assert condition(), what


def podman_command(podman, *words):
    """Run the podman program on the service's storage."""
    flags = podman.host.command()
    command = [*podman.enter_command(), *flags[: flags.index("system")], *words]
    environment = {**os.environ, **podman.host.environment()}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
