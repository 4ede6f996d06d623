"""What the agent may rely on from a container runtime: the same for the fake in tests and for Podman."""

from __future__ import annotations

import asyncio
import copy
import importlib.util
import signal
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from agent.runtime.podman import PodmanRuntime
from agent.runtime.protocol import Container, ContainerRuntime, ContainerSpec, RuntimeFailure
from component.env import system_env
from lab.images import BUSYBOX
from tests.runtime_rig import container_spec
from tests.waiting import DEADLINE_SECONDS

pytest_plugins = ["tests.podman_fixture"]

SLEEP = ("sleep", "1000")
FAKE_THERE = importlib.util.find_spec("tests.fake_runtime") is not None


@dataclass
class Subject:
    """A runtime under test and what a test made with it."""

    runtime: ContainerRuntime
    folder: Path
    cgroup_root: str
    reopen: Callable[[], ContainerRuntime]
    pods: list[str] = field(default_factory=list)
    containers: list[str] = field(default_factory=list)
    exits: AsyncIterator[Container] | None = None

    async def spec(self, **changes: Any) -> ContainerSpec:
        """A container in a new pod, or in `pod_uid`."""
        uid = changes.pop("pod_uid", "") or f"uid-{uuid.uuid4().hex[:12]}"
        self.pods.append(uid)
        sandbox = await self.runtime.make_sandbox(uid, "host-1", shm_bytes=1 << 20, host_network=False, host_ipc=False)
        spec = container_spec(
            uid, sandbox, str(self.folder / uid / "main" / "0.log"), f"{self.cgroup_root}/pod{uid}", SLEEP
        )
        return replace(spec, **changes)

    async def create(self, spec: ContainerSpec) -> Container:
        container = await self.runtime.create(spec)
        self.containers.append(container.id)
        return container

    async def run(self, **changes: Any) -> Container:
        return await self.runtime.start((await self.create(await self.spec(**changes))).id)

    async def next_exit(self, container_id: str) -> Container:
        """The exit of this container; those of other tests' containers are passed over."""
        if self.exits is None:
            self.exits = self.runtime.exits()
        async with asyncio.timeout(DEADLINE_SECONDS):
            async for container in self.exits:
                if container.id == container_id:
                    return container
        raise AssertionError("exits ended")

    async def listed(self, container_id: str) -> Container | None:
        return next((c for c in await self.runtime.list_containers() if c.id == container_id), None)

    async def clean(self) -> None:
        for container_id in self.containers:
            await self.runtime.remove(container_id)
        for uid in self.pods:
            await self.runtime.remove_sandbox(uid)
        await self.runtime.close()


@pytest.fixture(
    params=[
        pytest.param("fake", marks=pytest.mark.skipif(not FAKE_THERE, reason="tests/fake_runtime.py is not there yet")),
        pytest.param("podman", marks=[pytest.mark.podman, pytest.mark.root, pytest.mark.slow]),
    ]
)
async def subject(request, tmp_path):
    if request.param == "fake":
        from tests.fake_runtime import FakeRuntime  # noqa: PLC0415 - may be absent

        fake = FakeRuntime()

        def reopened() -> ContainerRuntime:
            """Another watcher of the same containers."""
            again = copy.copy(fake)
            again._exits = asyncio.Queue()
            return again

        made = Subject(fake, tmp_path, "/contract", reopened)
    else:
        podman = request.getfixturevalue("podman")

        def connect() -> ContainerRuntime:
            return PodmanRuntime(podman.socket_path, podman.run_dir, podman.data_dir, system_env())

        made = Subject(connect(), tmp_path, podman.cgroup_root, connect)
    try:
        yield made
    finally:
        await made.clean()


async def test_version_names_the_runtime_and_its_number(subject):
    name, number = (await subject.runtime.version()).split()
    assert name
    assert tuple(int(part) for part in number.split(".")[:2]) >= (4, 3)


async def test_a_sandbox_is_made_once_and_returned_again(subject):
    uid = f"uid-{uuid.uuid4().hex[:12]}"
    subject.pods.append(uid)
    arguments = {"shm_bytes": 1 << 20, "host_network": False, "host_ipc": False}
    first = await subject.runtime.make_sandbox(uid, "host-1", **arguments)
    assert first.pod_uid == uid
    assert all((first.netns_path, first.ipcns_path, first.utsns_path, first.shm_path))
    assert await subject.runtime.make_sandbox(uid, "host-1", **arguments) == first
    assert uid in await subject.runtime.sandboxes()


async def test_a_pod_with_the_hosts_namespaces_has_none_of_its_own(subject):
    uid = f"uid-{uuid.uuid4().hex[:12]}"
    subject.pods.append(uid)
    sandbox = await subject.runtime.make_sandbox(uid, "h", shm_bytes=0, host_network=True, host_ipc=True)
    assert (sandbox.netns_path, sandbox.ipcns_path, sandbox.utsns_path, sandbox.shm_path) == ("", "", "", "")
    assert uid in await subject.runtime.sandboxes()


async def test_a_sandbox_that_is_made_anew_is_another_one_and_containers_tell_theirs(subject):
    spec = await subject.spec()
    container = await subject.create(spec)
    assert spec.sandbox.id
    assert container.sandbox_id == (await subject.listed(container.id)).sandbox_id == spec.sandbox.id
    await subject.runtime.remove(container.id)
    await subject.runtime.remove_sandbox(spec.pod_uid)
    again = await subject.spec(pod_uid=spec.pod_uid)
    assert again.sandbox.id not in {"", spec.sandbox.id}


async def test_a_removed_sandbox_is_gone_and_removing_it_again_does_nothing(subject):
    uid = f"uid-{uuid.uuid4().hex[:12]}"
    await subject.runtime.make_sandbox(uid, "h", shm_bytes=1 << 20, host_network=False, host_ipc=False)
    await subject.runtime.remove_sandbox(uid)
    assert uid not in await subject.runtime.sandboxes()
    await subject.runtime.remove_sandbox(uid)


async def test_a_created_container_carries_its_identity_and_does_not_run(subject):
    spec = await subject.spec(attempt=3)
    container = await subject.create(spec)
    assert container.state == "created"
    assert (container.pod_uid, container.name, container.attempt, container.spec_hash) == (
        spec.pod_uid,
        "main",
        3,
        "hash-1",
    )
    assert container.log_path == spec.log_path
    assert (await subject.listed(container.id)).state == "created"


async def test_creating_the_same_container_again_returns_the_one_there_is(subject):
    spec = await subject.spec()
    first = await subject.create(spec)
    assert (await subject.create(spec)).id == first.id
    assert sum(c.pod_uid == spec.pod_uid for c in await subject.runtime.list_containers()) == 1


async def test_creating_with_another_spec_hash_replaces_the_container(subject):
    spec = await subject.spec()
    first = await subject.create(spec)
    second = await subject.create(replace(spec, spec_hash="hash-2"))
    assert second.id != first.id
    assert second.spec_hash == "hash-2"
    assert await subject.listed(first.id) is None


async def test_creating_from_a_missing_image_fails_as_create_container_error(subject):
    spec = await subject.spec(image="localhost/no-such-image:1")
    with pytest.raises(RuntimeFailure, match="no-such-image") as failure:
        await subject.create(spec)
    assert failure.value.reason == "CreateContainerError"


async def test_a_started_container_runs_with_a_pid_and_a_start_time(subject):
    container = await subject.run()
    assert container.state == "running"
    assert container.pid > 0
    assert container.started_time >= container.created_time > 0
    listed = await subject.listed(container.id)
    assert (listed.state, listed.pid, listed.started_time) == ("running", container.pid, container.started_time)


async def test_starting_a_running_container_again_changes_nothing(subject):
    container = await subject.run()
    again = await subject.runtime.start(container.id)
    assert (again.pid, again.started_time) == (container.pid, container.started_time)


async def test_a_command_that_is_not_in_the_image_fails_as_run_container_error(subject):
    created = await subject.create(await subject.spec(command=("/no/such/command",)))
    with pytest.raises(RuntimeFailure, match="/no/such/command") as failure:
        await subject.runtime.start(created.id)
    assert failure.value.reason == "RunContainerError"
    assert not failure.value.temporary


async def test_starting_a_container_that_is_not_there_fails(subject):
    with pytest.raises(RuntimeFailure) as failure:
        await subject.runtime.start("0" * 64)
    assert failure.value.reason == "RunContainerError"


async def test_a_killed_container_is_reported_with_its_exit_code(subject):
    container = await subject.run()
    await subject.runtime.signal(container.id, signal.SIGKILL)
    ended = await subject.next_exit(container.id)
    assert (ended.state, ended.exit_code, ended.pid) == ("exited", 137, 0)
    assert ended.finished_time >= ended.started_time == container.started_time
    assert not ended.oom_killed
    assert (await subject.listed(container.id)) == ended


async def test_signals_to_containers_that_ended_or_are_gone_do_nothing(subject):
    container = await subject.run()
    await subject.runtime.signal(container.id, signal.SIGKILL)
    await subject.next_exit(container.id)
    await subject.runtime.signal(container.id, signal.SIGTERM)
    await subject.runtime.remove(container.id)
    await subject.runtime.signal(container.id, signal.SIGTERM)


async def test_a_removed_container_is_gone_even_if_it_ran_and_removing_it_again_does_nothing(subject):
    container = await subject.run()
    await subject.runtime.remove(container.id)
    assert await subject.listed(container.id) is None
    await subject.runtime.remove(container.id)


async def test_an_ended_container_keeps_its_facts_until_it_is_removed(subject):
    container = await subject.run()
    await subject.runtime.signal(container.id, signal.SIGKILL)
    ended = await subject.next_exit(container.id)
    assert await subject.listed(container.id) == ended
    await subject.runtime.remove(container.id)
    assert await subject.listed(container.id) is None


async def test_a_reopened_runtime_finds_running_containers_and_reports_their_end(subject):
    container = await subject.run()
    await subject.runtime.close()
    subject.runtime, subject.exits = subject.reopen(), None
    found = await subject.listed(container.id)
    assert (found.state, found.pid, found.started_time) == ("running", container.pid, container.started_time)
    await subject.runtime.signal(container.id, signal.SIGKILL)
    assert (await subject.next_exit(container.id)).exit_code == 137


async def test_a_local_image_is_found_by_its_short_name_and_by_its_id(subject):
    image = await subject.runtime.image("busybox:1")
    assert image is not None
    assert BUSYBOX in image.references
    assert image.size_bytes > 0
    assert await subject.runtime.image(image.id) == image


async def test_an_image_that_is_not_local_is_none(subject):
    assert await subject.runtime.image("localhost/no-such-image:1") is None


@pytest.mark.parametrize("reference", ["Upper/case:1", "bad name", "", "a:b:c"])
async def test_a_malformed_image_name_is_refused_as_invalid(subject, reference):
    with pytest.raises(RuntimeFailure) as failure:
        await subject.runtime.pull(reference)
    assert failure.value.reason == "InvalidImageName"
    assert not failure.value.temporary


async def test_exec_in_a_container_that_does_not_run_fails(subject):
    created = await subject.create(await subject.spec())
    with pytest.raises(RuntimeFailure):
        await subject.runtime.exec_sync(created.id, ["true"], 5)
    with pytest.raises(RuntimeFailure):
        await subject.runtime.exec_stream(created.id, ["true"], stdin=False, tty=False)


async def test_a_container_that_is_not_there_cannot_be_joined(subject):
    with pytest.raises(RuntimeFailure):
        await subject.runtime.attach("0" * 64, stdin=False, tty=False)


async def test_exits_end_when_the_runtime_is_closed(subject):
    exits = subject.runtime.exits()
    last = asyncio.ensure_future(_exhaust(exits))
    await subject.runtime.list_containers()
    await subject.runtime.close()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await last
    subject.runtime = subject.reopen()


async def _exhaust(exits: AsyncIterator[Container]) -> None:
    async for _ in exits:
        pass


async def test_a_container_that_is_to_see_anothers_processes_is_created_only_while_that_one_runs(subject):
    target = await subject.run()
    spec = await subject.spec(pod_uid=target.pod_uid, name="debug", process_target=target.id)
    assert (await subject.create(spec)).state == "created"
    await subject.runtime.signal(target.id, signal.SIGKILL)
    await subject.next_exit(target.id)
    with pytest.raises(RuntimeFailure, match="its target is not running") as failure:
        await subject.runtime.create(replace(spec, name="late"))
    assert failure.value.reason == "CreateContainerError"
