"""How containers end and how that is noticed: exit codes, memory, ends that nobody watched."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from agent.runtime.protocol import ResourceLimits
from tests.runtime_rig import DEADLINE_SECONDS, log_text, until

pytest_plugins = ["tests.runtime_fixture"]
pytestmark = [pytest.mark.podman, pytest.mark.root, pytest.mark.slow]


@pytest.mark.parametrize(("command", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$; sleep 9", 143)])
async def test_exit_codes_are_the_commands(host, command, code):
    inner = f"sh -c '{command}'"  # the first process of a container ignores signals it does not handle
    container = await host.run("sh", "-c", inner if "kill" not in command else f"{inner}; exit $?")
    ended = await host.next_exit(container.id)
    assert (ended.exit_code, ended.oom_killed, ended.state) == (code, False, "exited")


async def test_a_container_that_ends_at_once_is_reported_once(host):
    container = await host.run("true")
    ended = await host.next_exit(container.id)
    assert ended.exit_code == 0
    assert ended.finished_time >= ended.started_time > 0
    other = await host.run("true")
    assert (await host.next_exit(other.id)).id == other.id


async def test_starting_a_container_again_after_its_end_does_not_run_it_again(host):
    container = await host.run("sh", "-c", "echo ran; exit 3")
    await host.next_exit(container.id)
    for _ in range(2):
        assert (await host.runtime.start(container.id)).exit_code == 3
        await host.reconnect()
    assert log_text(container.log_path) == "ran\n"


async def test_running_out_of_memory_is_told_apart_from_being_killed(host):
    grow = "a=x; while :; do a=$a$a$a$a; done"
    limits = ResourceLimits(memory_limit_bytes=16 << 20)
    container = await host.run("sh", "-c", grow, limits=limits)
    ended = await host.next_exit(container.id)
    assert (ended.exit_code, ended.oom_killed) == (137, True)
    killed = await host.run(limits=limits)
    await host.runtime.signal(killed.id, signal.SIGKILL)
    ended = await host.next_exit(killed.id)
    assert (ended.exit_code, ended.oom_killed) == (137, False)


async def test_a_restarted_agent_still_knows_that_memory_ran_out(host):
    grow = "a=x; while :; do a=$a$a$a$a; done"
    container = await host.run("sh", "-c", grow, limits=ResourceLimits(memory_limit_bytes=16 << 20))
    await host.next_exit(container.id)
    await host.reconnect()
    again = await host.next_exit(container.id)
    assert (again.state, again.exit_code, again.oom_killed) == ("exited", 137, True)
    assert (await host.runtime.list_containers())[0].id


async def test_an_end_while_no_agent_ran_is_reported_by_the_next_one(host):
    container = await host.run("sh", "-c", "while [ ! -e /stop ]; do sleep 0.02; done; exit 5")
    await host.runtime.close()
    Path(f"/proc/{container.pid}/root/stop").touch()
    await until(lambda: not Path(f"/proc/{container.pid}").exists(), "the container ends")
    host.runtime, host.exits = host.connect(), None
    ended = await host.next_exit(container.id)
    assert (ended.exit_code, ended.started_time) == (5, container.started_time)


async def test_an_adopted_container_is_watched_by_its_own_process(host):
    container = await host.run("sh", "-c", "trap 'exit 7' USR1; while :; do sleep 0.02; done")
    await host.reconnect()
    listed = [c for c in await host.runtime.list_containers() if c.id == container.id]
    assert listed == [container]
    await until_trapped(container.pid, signal.SIGUSR1)
    await host.runtime.signal(container.id, signal.SIGUSR1)
    assert (await host.next_exit(container.id)).exit_code == 7


async def until_trapped(pid, number):
    """Wait until a process catches a signal, as its status says."""

    def catches():
        text = Path(f"/proc/{pid}/status").read_text()
        return int(text.split("SigCgt:")[1].split()[0], 16) & (1 << (number - 1))

    await until(catches, "trap set")


async def test_many_ends_at_once_are_all_reported(host):
    containers = [await host.run() for _ in range(6)]
    await asyncio.gather(*(host.runtime.signal(container.id, signal.SIGKILL) for container in containers))
    waiting = {container.id for container in containers}
    async with asyncio.timeout(DEADLINE_SECONDS):
        async for ended in host.runtime.exits():
            waiting.discard(ended.id)
            if not waiting:
                break
