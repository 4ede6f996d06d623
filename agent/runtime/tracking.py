"""What is known of containers between calls: which are watched, which ended, and the OCI runtime below each.

All of it is found again from Podman and from the OOM marks on disk, so a restart loses nothing.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal as signals
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from agent.runtime import cgroups, oci
from agent.runtime.containers import Inspected, from_inspect
from agent.runtime.exits import ExitWatcher
from agent.runtime.http import PodmanError, PodmanHttp
from agent.runtime.protocol import Container
from api.object import Tree

KILL_WAIT_SECONDS = 5.0
CLEAN_UP_SECONDS = 2.0
INSPECT_TRIES = 100
INSPECT_AGAIN_SECONDS = 0.02

_ENDED_MEANWHILE = re.compile(r"/proc/\d+/\S+: no such (?:process|file or directory)")
"""Podman's complaint when a process ends while it looks into /proc for it; it knows of the end a moment later."""


@dataclass(frozen=True, slots=True)
class _Started:
    """A container that was started, as Podman described it then, and what runs it."""

    inspected: Inspected
    runtime: oci.OciRuntime


class ContainerTracker:
    """Describes containers, watches the running ones and remembers the ended ones until they are removed.

    `exits` receives every container that ended, once per tracker: its length is bounded by their number. None in it
    means that the tracker was closed.
    """

    def __init__(self, http: PodmanHttp, oom_marks: Path) -> None:
        self.exits: asyncio.Queue[Container | None] = asyncio.Queue()
        self._http = http
        self._oom_marks = oom_marks
        self._trees = cgroups.own_hierarchies()
        self._started: dict[str, _Started] = {}
        self._ended: dict[str, Container] = {}
        self._watcher = ExitWatcher(self._describe, self._mark_oom, self._container_ended)

    async def inspect(self, name_or_id: str) -> Inspected | None:
        """Podman's description, None when there is no such container. Raises PodmanError."""
        try:
            tree = await self._description(name_or_id)
        except PodmanError as error:
            if error.status == 404:
                return None
            raise
        inspected = from_inspect(tree)
        container = inspected.container
        if container.state == "exited" and container.exit_code != 0 and self._oom_mark(container.id).exists():
            return replace(inspected, container=replace(container, oom_killed=True))
        return inspected

    async def _description(self, name_or_id: str) -> Tree:
        """Podman's words, once it is not just noticing that the container ended. Raises PodmanError."""
        tries = 1
        while True:
            try:
                tree: Tree = await self._http.call("GET", f"/containers/{name_or_id}/json")
            except PodmanError as error:
                if tries == INSPECT_TRIES or not _ENDED_MEANWHILE.search(str(error)):
                    raise
            else:
                return tree
            tries += 1
            await asyncio.sleep(INSPECT_AGAIN_SECONDS)

    async def refreshed(self, listed: Container) -> Container | None:
        """What is known beyond a list's coarse entry; None when the container has gone since."""
        if listed.id in self._ended:
            return self._ended[listed.id]
        if self._watcher.watching(listed.id):
            return self._started[listed.id].inspected.container
        if listed.state == "created":
            return listed
        inspected = await self.inspect(listed.id)
        return self.adopt(inspected) if inspected else None

    def adopt(self, inspected: Inspected) -> Container:
        """Watch a running container, report one that ended; the same again changes nothing."""
        container = inspected.container
        if container.id in self._ended:
            return self._ended[container.id]
        if self._watcher.watching(container.id):
            return container
        if container.state == "running":
            arguments = _command_line(inspected.conmon_pid)
            self._started[container.id] = _Started(inspected, oci.runtime_of(arguments))
            exit_dir = next((value for name, value in pairwise(arguments) if name == "--exit-dir"), "")
            self._watcher.watch(container, exit_dir=exit_dir, cgroup_parent=inspected.cgroup_parent)
        elif container.state == "exited":
            self._started[container.id] = _Started(inspected, oci.OciRuntime(""))
            counter = cgroups.oom_counter(inspected.cgroup_parent, container.id, self._trees)
            if container.exit_code != 0 and cgroups.oom_kills(counter) > 0:  # it ended before it could be watched
                self._mark_oom(container.id)
                container = replace(container, oom_killed=True)
            self._container_ended(container)
        return container

    def known(self) -> set[str]:
        """Ids of the containers that are remembered."""
        return set(self._started)

    def ended(self, container_id: str) -> Container | None:
        """A container whose end was seen."""
        return self._ended.get(container_id)

    def runtime_of(self, container_id: str) -> oci.OciRuntime | None:
        """The OCI runtime of a container that was seen running and not seen ending."""
        started = self._started.get(container_id)
        return started.runtime if started and container_id not in self._ended else None

    def first_pid(self, container_id: str) -> int:
        """The pid of the first process of a container that was seen running, 0 if it was not."""
        started = self._started.get(container_id)
        return started.inspected.container.pid if started else 0

    async def signal(self, container_id: str, signal: int) -> None:
        """Send to a container's first process; nothing happens when it is gone. Raises PodmanError."""
        if not self._watcher.send(container_id, signal) and container_id not in self._ended:
            inspected = await self.inspect(container_id)
            if inspected is not None and self.adopt(inspected).state == "running":
                self._watcher.send(container_id, signal)

    async def kill(self, container_id: str) -> None:
        """Kill a watched container and wait for its end, for at most KILL_WAIT_SECONDS."""
        self._watcher.send(container_id, signals.SIGKILL)
        with suppress(TimeoutError):
            async with asyncio.timeout(KILL_WAIT_SECONDS):
                await self._watcher.wait(container_id)

    async def cleaned_up(self, container_id: str) -> None:
        """Return once Podman's own clean-up after a container's end is over, after at most CLEAN_UP_SECONDS.

        conmon ends with the clean-up that it starts. A removal that overtakes it leaves an empty lock file behind for
        ever: the clean-up opens the lock of a container that is gone, and thereby makes it anew.
        """
        started = self._started.get(container_id)
        if started is None:
            return
        pidfd = _open_conmon(started.inspected.conmon_pid, container_id)
        if pidfd < 0:
            return
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(pidfd, over.set)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLEAN_UP_SECONDS):
                    await over.wait()
        finally:
            loop.remove_reader(pidfd)
            os.close(pidfd)

    def forget(self, container_ids: Iterable[str]) -> None:
        """Drop what is remembered of containers that were removed."""
        for container_id in container_ids:
            if not self._watcher.watching(container_id):
                self._started.pop(container_id, None)
                self._ended.pop(container_id, None)
                self._oom_mark(container_id).unlink(missing_ok=True)

    async def close(self) -> None:
        """Stop watching; containers go on."""
        await self._watcher.close()
        self.exits.put_nowait(None)

    async def _describe(self, container_id: str) -> Container | None:
        inspected = await self.inspect(container_id)
        return inspected.container if inspected else None

    def _container_ended(self, container: Container) -> None:
        self._ended[container.id] = container
        self.exits.put_nowait(container)

    def _oom_mark(self, container_id: str) -> Path:
        return self._oom_marks / container_id

    def _mark_oom(self, container_id: str) -> None:
        self._oom_mark(container_id).touch()


def _open_conmon(pid: int, container_id: str) -> int:
    """A pidfd of a container's conmon, -1 when it is gone or its number belongs to something else."""
    try:
        pidfd = os.pidfd_open(pid) if pid else -1
    except ProcessLookupError:
        return -1
    if pidfd >= 0 and container_id not in _command_line(pid):
        os.close(pidfd)
        return -1
    return pidfd


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0") if pid else []
    except OSError:
        return []
