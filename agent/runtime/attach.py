"""Joining the streams of a container that runs, through Podman.

Whoever leaves ends the input of a container without a terminal: conmon closes it with the first of its clients that goes.
"""

from __future__ import annotations

from typing import Literal

from agent.runtime.commands import ending
from agent.runtime.hijacked import Hijacked
from agent.runtime.http import PodmanError, PodmanHttp, Upgraded
from agent.runtime.protocol import RuntimeFailure


class PodmanAttach:
    """One client of a container's streams; implements ContainerStreams."""

    def __init__(self, http: PodmanHttp, container_id: str, connection: Upgraded, *, tty: bool, first_pid: int) -> None:
        """`first_pid`: of the container's first process."""
        self._http = http
        self._first_pid = first_pid
        self._container_id = container_id
        self._streams = Hijacked(connection, tty=tty)
        self._tty = tty

    async def read(self) -> tuple[Literal["stdout", "stderr"], bytes] | None:
        """The next piece of output, None once the container has ended."""
        return await self._streams.read()

    async def write(self, data: bytes) -> None:
        """Send to standard input."""
        await self._streams.write(data)

    async def close_stdin(self) -> None:
        """End the container's input; the terminal of one that has it stays open."""
        if not self._tty:
            await self._streams.close_stdin()

    async def resize(self, width: int, height: int) -> None:
        """Set the terminal's size; nothing happens when the container has ended. Raises RuntimeFailure."""
        query = {"w": str(width), "h": str(height)}
        try:
            await self._http.call("POST", f"/containers/{self._container_id}/resize", query=query)
        except PodmanError as error:
            if error.status not in {404, 409, 500}:
                raise

    def container_ending(self) -> bool:
        """Whether the container's first process has exited, or is at it."""
        return ending(self._first_pid)

    async def close(self) -> None:
        """Leave; without a terminal this ends the container's input at once, not with its next output."""
        await self.close_stdin()
        await self._streams.close()


async def open_attach(
    http: PodmanHttp, container_id: str, *, stdin: bool, tty: bool, first_pid: int = 0
) -> PodmanAttach:
    """Join a running container. Raises RuntimeFailure."""
    flags = {"stdin": stdin, "stdout": True, "stderr": True, "stream": True, "logs": False}
    query = {name: str(value).lower() for name, value in flags.items()} | {"detachKeys": ""}
    try:
        connection = await http.upgrade(f"/containers/{container_id}/attach", query=query)
    except PodmanError as error:
        reason = "ContainerNotRunning" if error.status in {404, 409} else "AttachFailed"
        raise RuntimeFailure(f"attach to container {container_id[:12]}: {error}", reason=reason) from error
    return PodmanAttach(http, container_id, connection, tty=tty, first_pid=first_pid)
