"""Podman that is absent, killed while it works, or stopped for good."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from agent.runtime import cgroups
from agent.runtime.protocol import RuntimeFailure
from lab.podman_remains import mounts_below, processes_of
from tests.runtime_rig import Host, podman_command

pytest_plugins = ["tests.runtime_fixture"]
pytestmark = [pytest.mark.podman, pytest.mark.root, pytest.mark.slow]


async def test_without_podman_every_call_fails_as_temporary_with_the_remedy_in_version(fresh_host):
    fresh_host.podman.kill_service()
    with pytest.raises(RuntimeFailure) as failure:
        await fresh_host.runtime.list_containers()
    assert failure.value.temporary
    assert failure.value.reason == "RuntimeUnavailable"
    with pytest.raises(RuntimeFailure, match="remedy: "):
        await fresh_host.runtime.version()


async def test_containers_and_their_ends_outlive_a_killed_podman(fresh_host):
    container = await fresh_host.run("sh", "-c", "while [ ! -e /stop ]; do sleep 0.02; done; exit 6")
    fresh_host.podman.kill_service()
    Path(f"/proc/{container.pid}/root/stop").touch()
    ended = await fresh_host.next_exit(container.id)
    assert ended.exit_code == 6
    fresh_host.podman.start()
    assert [c.exit_code for c in await fresh_host.runtime.list_containers()] == [6]


async def test_a_kept_connection_to_a_killed_podman_is_replaced(fresh_host):
    assert await fresh_host.runtime.list_containers() == []
    fresh_host.podman.kill_service()
    fresh_host.podman.start()
    assert await fresh_host.runtime.list_containers() == []
    assert (await fresh_host.run()).state == "running"


async def create_and_kill_podman(host, spec, delay_seconds):
    """Let the service be killed so long after a create began; it is warm, so that the moment means something."""
    warm = await host.runtime.create(replace(spec, name="warm"))
    await host.runtime.remove(warm.id)
    creating = asyncio.create_task(host.runtime.create(spec))
    await asyncio.sleep(delay_seconds)
    await asyncio.to_thread(host.podman.kill_service)
    await asyncio.gather(creating, return_exceptions=True)
    await asyncio.to_thread(host.podman.start)


CRASH_SECONDS = [0.002 * step for step in range(1, 13)]  # a create takes 10-20 ms


async def test_a_create_during_which_podman_is_killed_succeeds_when_repeated(fresh_host):
    spec = await fresh_host.spec()
    for turn, delay_seconds in enumerate(CRASH_SECONDS):
        attempt = replace(spec, attempt=turn)
        await create_and_kill_podman(fresh_host, attempt, delay_seconds)
        container = await fresh_host.runtime.create(attempt)
        assert (await fresh_host.runtime.start(container.id)).state == "running"
    assert len(await fresh_host.runtime.list_containers()) == len(CRASH_SECONDS)


async def test_half_a_container_that_is_never_created_again_goes_with_its_pod(fresh_host):
    for delay_seconds in CRASH_SECONDS:
        spec = await fresh_host.spec()
        await create_and_kill_podman(fresh_host, spec, delay_seconds)
        for container in await fresh_host.runtime.list_containers():
            await fresh_host.runtime.remove(container.id)
        await fresh_host.runtime.remove_sandbox(spec.pod_uid)
    assert podman_command(fresh_host.podman, "ps", "--all", "--external", "--quiet") == ""


async def test_a_stopped_private_podman_leaves_nothing_behind(fresh_podman, tmp_path):
    host = Host(fresh_podman, tmp_path)
    await host.run("sh", "-c", "sleep 701 & exec sleep 701")
    await host.runtime.close()
    assert processes_of(fresh_podman.root)
    fresh_podman.stop()
    assert processes_of(fresh_podman.root) == []
    assert mounts_below(fresh_podman.root) == []
    assert not fresh_podman.root.exists()
    assert not cgroups.exists(fresh_podman.cgroup_root, cgroups.own_hierarchies())
    fresh_podman.stop()
