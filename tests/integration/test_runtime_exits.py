"""The exit watcher with real processes and files, and a Podman that answers late, wrongly or not at all."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from agent.runtime import exits
from agent.runtime.podman import PodmanRuntime
from agent.runtime.protocol import Container, RuntimeFailure
from component.env import system_env
from tests.waiting import DEADLINE_SECONDS


def running(pid, container_id="c1"):
    return Container(
        id=container_id,
        pod_uid="uid-1",
        name="main",
        attempt=0,
        spec_hash="h",
        state="running",
        pid=pid,
        started_time=100.0,
    )


@pytest.fixture
def dead_pid():
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


@pytest.fixture
def bystander():
    """A process that no container ever had; it ends when its input does."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield process
        process.stdin.close()


class Watched:
    """A watcher, the answers Podman gives it, and what it reported."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.reported = asyncio.Queue()
        self.marks = []
        self.watcher = exits.ExitWatcher(self.describe, self.marks.append, self.reported.put_nowait)

    async def describe(self, container_id):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def watch(self, container, exit_dir=""):
        self.watcher.watch(container, exit_dir=str(exit_dir), cgroup_parent="/none")
        async with asyncio.timeout(DEADLINE_SECONDS):
            ended = await self.reported.get()
            await self.watcher.wait(container.id)
        assert not self.watcher.watching(container.id)
        await self.watcher.close()
        return ended


async def test_the_exit_code_comes_from_conmons_file(tmp_path, dead_pid):
    (tmp_path / "c1").write_text("42\n")
    ended = await Watched(None).watch(running(dead_pid), tmp_path)
    assert (ended.state, ended.exit_code, ended.pid) == ("exited", 42, 0)
    assert ended.finished_time > ended.started_time == 100.0


async def test_a_file_that_is_still_empty_is_read_again(tmp_path, dead_pid):
    file = tmp_path / "c1"
    file.touch()
    watched = Watched(running(dead_pid))
    task = asyncio.create_task(watched.watch(running(dead_pid), tmp_path))
    await asyncio.sleep(0)
    file.write_text("3")
    assert (await task).exit_code == 3


async def test_podman_is_asked_when_its_clean_up_took_the_file_away(tmp_path, dead_pid):
    over = replace(running(dead_pid), state="exited", pid=0, exit_code=9, finished_time=101.0)
    assert await Watched(over).watch(running(dead_pid), tmp_path) == over


async def test_podman_may_fail_and_lag_behind_before_it_knows(tmp_path, dead_pid):
    over = replace(running(dead_pid), state="exited", pid=0, exit_code=9, finished_time=101.0)
    watched = Watched(RuntimeFailure("down"), running(dead_pid), over)
    assert await watched.watch(running(dead_pid), tmp_path) == over


@pytest.mark.slow
async def test_an_end_whose_exit_code_nobody_knows_is_still_reported(tmp_path, dead_pid):
    ended = await Watched(running(dead_pid)).watch(running(dead_pid), tmp_path)
    assert (ended.state, ended.exit_code) == ("exited", exits.LOST_EXIT_CODE)
    assert "lost" in ended.message


async def test_a_pid_that_belongs_to_something_else_now_counts_as_ended(tmp_path, bystander):
    (tmp_path / "c1").write_text("0")
    ended = await Watched(None).watch(running(bystander.pid), tmp_path)
    assert (ended.state, ended.exit_code) == ("exited", 0)


async def test_nothing_is_sent_to_a_pid_that_belongs_to_something_else(tmp_path, bystander):
    watched = Watched(None)
    watched.watcher.watch(running(bystander.pid), exit_dir=str(tmp_path), cgroup_parent="/none")
    assert watched.watcher.send("c1", signal.SIGKILL)
    await watched.watcher.close()
    bystander.stdin.close()  # it ends by itself now, and with 0, unless a signal came first
    assert bystander.wait(timeout=DEADLINE_SECONDS) == 0


async def test_a_container_that_podman_has_forgotten_is_not_reported(tmp_path, dead_pid):
    watched = Watched(None)
    watched.watcher.watch(running(dead_pid), exit_dir=str(tmp_path), cgroup_parent="/none")
    await watched.watcher.wait("c1")
    assert watched.reported.empty()
    await watched.watcher.close()


async def test_closing_leaves_no_task_and_no_descriptor_behind(tmp_path, dead_pid):
    before = open_descriptors()
    watched = Watched(running(dead_pid))
    watched.watcher.watch(running(dead_pid), exit_dir=str(tmp_path), cgroup_parent="/none")
    await asyncio.sleep(0)
    await watched.watcher.close()
    assert len(asyncio.all_tasks()) == 1
    assert open_descriptors() <= before


def open_descriptors():
    """Their numbers, with that of the look itself: one more that is open makes one more number.

    There may be fewer at the end: what other tests left to the collector goes when it likes.
    """
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


# --- versions


async def answering(tmp_path, version):
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        header = f"Libpod-Api-Version: {version}\r\n" if version else ""
        writer.write(f"HTTP/1.1 200 OK\r\n{header}Content-Length: 2\r\nConnection: close\r\n\r\nOK".encode())
        writer.close()

    return await asyncio.start_unix_server(serve, str(tmp_path / "s.sock"))


@pytest.mark.parametrize("version", ["4.3.0", "4.9.3", "5.4.2", "6.0.0-dev"])
async def test_podman_from_4_3_on_is_accepted(tmp_path, version):
    async with await answering(tmp_path, version):
        runtime = PodmanRuntime(str(tmp_path / "s.sock"), str(tmp_path), str(tmp_path), system_env())
        assert await runtime.version() == f"podman {version}"
        await runtime.close()


@pytest.mark.parametrize(
    ("version", "reason", "temporary"),
    [("4.2.1", "RuntimeTooOld", False), ("3.4.4", "RuntimeTooOld", False), ("", "RuntimeUnavailable", True)],
)
async def test_an_older_podman_or_something_else_is_refused_with_the_remedy(tmp_path, version, reason, temporary):
    async with await answering(tmp_path, version):
        runtime = PodmanRuntime(str(tmp_path / "s.sock"), str(tmp_path), str(tmp_path), system_env())
        with pytest.raises(RuntimeFailure, match=r"remedy: install podman 4\.3 or newer") as failure:
            await runtime.version()
        assert (failure.value.reason, failure.value.temporary) == (reason, temporary)
        await runtime.close()
