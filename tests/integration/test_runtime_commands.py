"""Commands in running containers: short ones for probes and hooks, streams for users."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.runtime_rig import DEADLINE_SECONDS, until

pytest_plugins = ["tests.runtime_fixture"]
pytestmark = [pytest.mark.podman, pytest.mark.root, pytest.mark.slow]


async def test_a_short_command_gives_its_exit_code_and_both_outputs(host):
    container = await host.run()
    result = await host.runtime.exec_sync(
        container.id, ["sh", "-c", "echo out; echo err >&2; exit 9"], DEADLINE_SECONDS
    )
    assert result.exit_code == 9
    assert sorted(result.output.split()) == [b"err", b"out"]


async def test_output_of_a_short_command_is_cut_at_16_kib_and_it_still_ends(host):
    container = await host.run()
    result = await host.runtime.exec_sync(container.id, ["sh", "-c", "yes | head -c 1000000; exit 4"], DEADLINE_SECONDS)
    assert (result.exit_code, len(result.output)) == (4, 16 << 10)


async def test_a_short_command_that_is_not_there_gives_127_and_says_so(host):
    container = await host.run()
    result = await host.runtime.exec_sync(container.id, ["no-such-command"], DEADLINE_SECONDS)
    assert result.exit_code == 127
    assert b"no-such-command" in result.output


async def test_a_short_command_that_may_not_be_run_gives_126(host):
    container = await host.run()
    assert (await host.runtime.exec_sync(container.id, ["/etc/passwd"], DEADLINE_SECONDS)).exit_code == 126


async def test_a_short_command_is_killed_with_its_children_at_the_time_out(host):
    container = await host.run()
    with pytest.raises(TimeoutError, match="did not end within"):
        await host.runtime.exec_sync(container.id, ["sh", "-c", "sleep 777 & sleep 777"], 0.3)
    await until(lambda: not sleeping(container, "777"), "all of it is gone")


async def test_a_short_command_is_killed_when_its_caller_is_cancelled(host):
    container = await host.run()
    task = asyncio.create_task(host.runtime.exec_sync(container.id, ["sleep", "778"], 60))
    await until(lambda: sleeping(container, "778"), "it runs")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not sleeping(container, "778"), "it is gone")


@pytest.mark.parametrize("through_podman", [False, True])
async def test_a_command_does_not_outlive_its_caller_whenever_it_is_cancelled(host, monkeypatch, through_podman):
    if through_podman:
        monkeypatch.setattr("agent.runtime.oci.OciRuntime.knows", lambda self, container_id: False)
    step = 0.003 if through_podman else 0.0005  # it begins within 50 to 100 ms, or within 5 to 10
    container = await host.run()
    seconds = [str(900 + number) for number in range(40)]
    for number, each in enumerate(seconds):
        task = asyncio.create_task(host.runtime.exec_sync(container.id, ["sleep", each], 60))
        await asyncio.sleep(number * step)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await until(lambda: not any(sleeping(container, each) for each in seconds), "none goes on")
    await asyncio.sleep(0.5)  # one that was still about to begin
    assert [each for each in seconds if sleeping(container, each)] == []
    assert list(Path(host.podman.run_dir, "exec").iterdir()) == []


async def test_a_child_that_keeps_the_output_open_does_not_hold_up_a_short_command(host):
    container = await host.run()
    async with asyncio.timeout(DEADLINE_SECONDS):
        result = await host.runtime.exec_sync(container.id, ["sh", "-c", "sleep 600 & echo done"], 30)
    assert (result.exit_code, result.output) == (0, b"done\n")


def sleeping(container, seconds):
    """Whether a `sleep SECONDS` runs in the container's pid namespace."""
    space = Path(f"/proc/{container.pid}/ns/pid").readlink()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if words[:2] == [b"sleep", seconds.encode()] and (entry / "ns" / "pid").readlink() == space:
                    return True
            except OSError:
                continue
    return False


async def test_short_commands_leave_no_files(host):
    container = await host.run()
    await host.runtime.exec_sync(container.id, ["true"], DEADLINE_SECONDS)
    assert list(Path(host.podman.run_dir, "exec").iterdir()) == []


async def test_short_commands_go_through_podman_when_the_oci_runtimes_state_is_out_of_sight(host, monkeypatch):
    monkeypatch.setattr("agent.runtime.oci.OciRuntime.knows", lambda self, container_id: False)
    container = await host.run()
    result = await host.runtime.exec_sync(container.id, ["sh", "-c", "echo out; exit 9"], DEADLINE_SECONDS)
    assert (result.exit_code, result.output) == (9, b"out\n")
    with pytest.raises(TimeoutError):
        await host.runtime.exec_sync(container.id, ["sleep", "779"], 0.5)
    await until(lambda: not sleeping(container, "779"), "it is gone")


async def read_all(stream):
    pieces = {"stdout": b"", "stderr": b""}
    async with asyncio.timeout(DEADLINE_SECONDS):
        while (piece := await stream.read()) is not None:
            pieces[piece[0]] += piece[1]
    return pieces


async def test_a_users_command_has_separate_streams_and_an_exit_code(host):
    container = await host.run()
    stream = await host.runtime.exec_stream(
        container.id, ["sh", "-c", "echo out; echo err >&2; exit 3"], stdin=False, tty=False
    )
    assert await read_all(stream) == {"stdout": b"out\n", "stderr": b"err\n"}
    assert await stream.exit_code() == 3
    await stream.close()


async def test_a_users_command_sees_the_end_of_its_input_while_output_goes_on(host):
    container = await host.run()
    stream = await host.runtime.exec_stream(container.id, ["sh", "-c", "wc -c; echo after"], stdin=True, tty=False)
    await stream.write(b"x" * 100_000)
    await stream.close_stdin()
    assert (await read_all(stream))["stdout"].split() == [b"100000", b"after"]
    assert await stream.exit_code() == 0
    await stream.close()


async def test_large_output_of_a_users_command_arrives_whole(host):
    container = await host.run()
    stream = await host.runtime.exec_stream(container.id, ["sh", "-c", "yes | head -c 3000000"], stdin=False, tty=False)
    assert (await read_all(stream))["stdout"] == b"y\n" * 1_500_000
    await stream.close()


async def test_a_terminal_has_the_size_it_was_given(host):
    container = await host.run()
    stream = await host.runtime.exec_stream(container.id, ["sh"], stdin=True, tty=True)
    await stream.resize(120, 40)
    await stream.write(b"stty size; exit 6\n")
    assert b"40 120" in (await read_all(stream))["stdout"]
    assert await stream.exit_code() == 6
    await stream.close()


async def test_whoever_leaves_a_terminal_lets_it_go_on(host):
    container = await host.run("sh", stdin=True, tty=True)
    for size in (100, 120):
        joined = await host.runtime.attach(container.id, stdin=True, tty=True)
        await joined.resize(size, 40)
        await joined.write(b"stty size\n")
        seen = b""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while f"40 {size}".encode() not in seen:
                seen += (await joined.read())[1]
        await joined.close_stdin()
        await joined.close()
    assert [each.state for each in await host.runtime.list_containers() if each.id == container.id] == ["running"]


async def test_whoever_leaves_a_container_without_a_terminal_ends_its_input(host):
    container = await host.run("sh", "-c", "cat; exit 5", stdin=True)
    joined = await host.runtime.attach(container.id, stdin=True, tty=False)
    await joined.write(b"x" * 100_000)
    seen = b""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(seen) < 100_000:
            seen += (await joined.read())[1]
    await joined.close()
    assert (await host.next_exit(container.id)).exit_code == 5


async def test_closing_a_stream_kills_the_command(host):
    container = await host.run()
    stream = await host.runtime.exec_stream(container.id, ["sleep", "780"], stdin=False, tty=False)
    await until(lambda: sleeping(container, "780"), "it runs")
    await stream.close()
    await until(lambda: not sleeping(container, "780"), "it is gone")


async def test_a_users_command_that_is_not_there_ends_with_127_and_a_message(host):
    container = await host.run()
    stream = await host.runtime.exec_stream(container.id, ["no-such-command"], stdin=False, tty=False)
    said = (await read_all(stream))["stderr"]
    assert b"no-such-command" in said
    assert (said.count(b"\n"), said.count(b"Error")) == (1, 1), said
    assert await stream.exit_code() == 127
    await stream.close()


async def test_commands_of_an_agent_that_was_killed_end_at_the_next_start_and_the_container_goes_on(host):
    container = await host.run("sh", "-c", "sleep 781 & exec sleep 782")
    killed = host.connect()
    streamed = await killed.exec_stream(container.id, ["sh", "-c", "sleep 783 & sleep 783"], stdin=True, tty=False)
    terminal = await killed.exec_stream(container.id, ["sleep", "784"], stdin=True, tty=True)
    probe = asyncio.create_task(killed.exec_sync(container.id, ["sleep", "785"], 60))
    for seconds in ("781", "782", "783", "784", "785"):
        await until(lambda seconds=seconds: sleeping(container, seconds), f"{seconds} runs")
    after = host.connect()
    await after.end_commands()
    for seconds in ("783", "784", "785"):
        await until(lambda seconds=seconds: not sleeping(container, seconds), f"{seconds} is gone")
    assert sleeping(container, "781")
    assert sleeping(container, "782")
    assert list(Path(host.podman.run_dir, "exec").iterdir()) == []
    await after.end_commands()
    await asyncio.gather(probe, return_exceptions=True)
    for stream in (streamed, terminal):
        await stream.close()
    for each in (killed, after):
        await each.close()


async def test_a_users_command_leaves_no_note_and_takes_its_children_with_it(host):
    container = await host.run()
    stream = await host.runtime.exec_stream(container.id, ["sh", "-c", "sleep 786 & sleep 786"], stdin=False, tty=False)
    await until(lambda: sleeping(container, "786"), "it runs")
    await stream.close()
    await until(lambda: not sleeping(container, "786"), "all of it is gone")
    ended = await host.runtime.exec_stream(container.id, ["true"], stdin=False, tty=False)
    await read_all(ended)
    assert await ended.exit_code() == 0
    await ended.close()
    assert list(Path(host.podman.run_dir, "exec").iterdir()) == []


async def test_a_container_that_ends_while_the_reader_of_a_command_pauses_is_seen_to_end(host):
    container = await host.run("sleep", "1000")
    command = ["sh", "-c", "while true; do echo 0123456789012345678901234567890123456789; done"]
    stream = await host.runtime.exec_stream(container.id, command, stdin=False, tty=False)
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert await stream.read()
    assert not stream.container_ending()
    await host.runtime.signal(container.id, signal.SIGKILL)
    await until(stream.container_ending, "it is ending")
    await stream.close()
    assert (await host.next_exit(container.id)).exit_code == 137
