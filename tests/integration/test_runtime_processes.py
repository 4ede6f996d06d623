"""A container in the process namespace of another one: what it sees, how both end, and what is left."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from agent.runtime.namespaces import pinned
from agent.runtime.protocol import RuntimeFailure
from tests.runtime_rig import log_text
from tests.waiting import DEADLINE_SECONDS

pytest_plugins = ["tests.runtime_fixture"]
pytestmark = [pytest.mark.podman, pytest.mark.root, pytest.mark.slow]


async def target(host):
    """A container that runs `sleep 4711` below its first process."""
    spec = await host.spec("sh", "-c", "sleep 4711 & wait")
    container = await host.runtime.start((await host.runtime.create(spec)).id)
    async with asyncio.timeout(DEADLINE_SECONDS):  # it is started before its shell has begun anything
        while "sleep 4711" not in await programs(host, container):
            await asyncio.sleep(0.02)
    return spec, container


async def programs(host, container):
    """The command lines of what runs in a container."""
    listed = (await host.runtime.exec_sync(container.id, ["ps", "-o", "args"], DEADLINE_SECONDS)).output.decode()
    return [line.strip() for line in listed.splitlines()]


async def beside(host, spec, container, *command, name="debug"):
    """A container in a running one's process namespace, started."""
    log = str(Path(spec.log_path).with_name(f"{name}.log"))
    wanted = replace(spec, name=name, command=command, log_path=log, process_target=container.id)
    return await host.runtime.start((await host.runtime.create(wanted)).id), log


async def test_it_sees_and_reaches_the_other_ones_processes(host):
    spec, main = await target(host)
    debug, log = await beside(
        host, spec, main, "sh", "-c", "ps; ls /proc/1/root/bin > /dev/null && kill 1 && echo sent"
    )
    assert (await host.next_exit(debug.id)).exit_code == 0
    assert "sleep 4711" in log_text(log)
    assert log_text(log).endswith("sent\n")


async def test_its_end_takes_what_it_started_along_and_leaves_the_other_one_alone(host):
    spec, main = await target(host)
    debug, _ = await beside(host, spec, main, "sh", "-c", "sleep 4712 & sleep 4713 & exit 3")
    assert (await host.next_exit(debug.id)).exit_code == 3

    async with asyncio.timeout(DEADLINE_SECONDS):  # Podman's clean-up takes a moment
        while {"sleep 4712", "sleep 4713"} & set(seen := await programs(host, main)):
            await asyncio.sleep(0.02)
    assert "sleep 4711" in seen


async def test_the_end_of_the_other_one_is_its_own(host):
    spec, main = await target(host)
    debug, _ = await beside(host, spec, main, "sleep", "4714")
    await host.runtime.signal(main.id, signal.SIGKILL)
    assert (await host.next_exit(debug.id)).exit_code == 137


async def test_nothing_is_left_pinned(host):
    spec, main = await target(host)
    await beside(host, spec, main, "sleep", "4714")
    folder = Path(host.podman.run_dir, "sandboxes", spec.pod_uid)
    [pin] = folder.glob("processes-*")
    assert pinned(pin)
    for container in await host.runtime.list_containers():
        if container.pod_uid == spec.pod_uid:
            await host.runtime.remove(container.id)
    await host.runtime.remove_sandbox(spec.pod_uid)
    assert not folder.exists()


async def test_a_container_created_for_one_that_has_ended_since_does_not_start(host):
    spec, main = await target(host)
    wanted = replace(spec, name="late", command=("sleep", "4715"), process_target=main.id)
    created = await host.runtime.create(wanted)
    await host.runtime.signal(main.id, signal.SIGKILL)
    await host.next_exit(main.id)
    with pytest.raises(RuntimeFailure) as failure:
        await host.runtime.start(created.id)
    assert failure.value.reason == "RunContainerError"
