"""Commands that Podman runs in containers: a user's own, with streams and a terminal."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

from agent.runtime.commands import CommandNote, ending, kill_command, runs_in
from agent.runtime.hijacked import Hijacked
from agent.runtime.http import PodmanError, PodmanHttp, Upgraded
from agent.runtime.oci import OUTPUT_BYTES
from agent.runtime.protocol import ExecResult, RuntimeFailure

_EXIT_CODE_WAIT_SECONDS = 5.0
_POLL_SECONDS = 0.01
_OCI_ERROR = re.compile(rb"Error: (?:crun: |runc: )?(.+): OCI [^\r\n]*(\r?\n)")
_CUT_OFF = re.compile(rb"Error: read unixpacket @->\S*/attach: read: connection reset by peer\r?\n")


class PodmanExec:
    """One exec session; implements ExecStream."""

    def __init__(
        self, http: PodmanHttp, session_id: str, connection: Upgraded, note: CommandNote, *, tty: bool, first_pid: int
    ) -> None:
        """`first_pid`: of the container's first process."""
        self._first_pid = first_pid
        self._http = http
        self._session_id = session_id
        self._note = note
        self._streams = Hijacked(connection, tty=tty)

    async def read(self) -> tuple[Literal["stdout", "stderr"], bytes] | None:
        """The next piece of output, None at its end. A connection cut inside a frame counts as the end."""
        while (piece := await self._streams.read()) is not None:
            if told := without_podmans_words(piece[1]):
                return piece[0], told
        return None

    async def write(self, data: bytes) -> None:
        """Send to standard input; data for a command that ended is dropped."""
        await self._streams.write(data)

    async def close_stdin(self) -> None:
        """Half-close the connection; with a terminal this is the end of input, too."""
        await self._streams.close_stdin()

    async def resize(self, width: int, height: int) -> None:
        """Set the terminal's size; nothing happens when the command has ended. Raises RuntimeFailure."""
        try:
            await self._http.call("POST", f"/exec/{self._session_id}/resize", query={"w": str(width), "h": str(height)})
        except PodmanError as error:
            if error.status not in {404, 409, 500}:
                raise

    async def exit_code(self) -> int:
        """The command's exit code. Raises RuntimeFailure when Podman does not know it within 5 s."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_EXIT_CODE_WAIT_SECONDS):
                while True:
                    session = await self._inspect()
                    if not session.get("Running"):
                        return int(session["ExitCode"])
                    await asyncio.sleep(_POLL_SECONDS)
        raise RuntimeFailure("podman does not know the exit code of the command", reason="ExecFailed")

    def container_ending(self) -> bool:
        """Whether the container's first process has exited, or is at it."""
        return ending(self._first_pid)

    async def close(self) -> None:
        """Close the connection and kill the command, with its process group, if it still runs."""
        try:
            if self._streams.ended or await self._killed():
                self._note.remove()
        finally:
            await self._streams.close()

    async def _killed(self) -> bool:
        """Kill it; False when Podman cannot be asked: its note stays then, for the next start."""
        try:
            session = await self._inspect()
        except PodmanError as error:
            return bool(error.status)  # it was asked, and does not know the session any more
        pid = session.get("Pid", 0)
        if session.get("Running") and pid > 0 and runs_in(pid, self._note.container_id):
            kill_command(pid)
        return True

    async def _inspect(self) -> dict[str, Any]:
        tree: dict[str, Any] = await self._http.call("GET", f"/exec/{self._session_id}/json")
        return tree


def without_podmans_words(piece: bytes) -> bytes:
    """A piece of output; of Podman's two lines about a command that cannot start, only what the OCI runtime said.

    Podman classifies that error and then complains that the command it did not start is not connected: b"" for this.
    """
    if _CUT_OFF.fullmatch(piece):
        return b""
    said = _OCI_ERROR.fullmatch(piece)
    return b"Error: " + said[1] + said[2] if said else piece


async def open_exec(
    http: PodmanHttp,
    container_id: str,
    command: Sequence[str],
    *,
    notes_dir: str,
    stdin: bool,
    tty: bool,
    first_pid: int = 0,
) -> PodmanExec:
    """Start a command with its streams attached, noted in `notes_dir`. Raises RuntimeFailure.

    A caller that is cancelled meanwhile is held up until Podman has answered, and the command is then killed.
    """
    body = {"Cmd": list(command), "AttachStdin": stdin, "AttachStdout": True, "AttachStderr": True, "Tty": tty}
    note = CommandNote(notes_dir, container_id)
    opening = asyncio.create_task(_opened(http, note, body, first_pid))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        with suppress(RuntimeFailure):
            await (await opening).close()
        raise


async def _opened(http: PodmanHttp, note: CommandNote, body: Mapping[str, Any], first_pid: int) -> PodmanExec:
    container_id = note.container_id
    try:
        session = await http.call("POST", f"/containers/{container_id}/exec", body=body)
        note.session(session["Id"])
        connection = await http.upgrade(f"/exec/{session['Id']}/start", body={"Detach": False, "Tty": body["Tty"]})
    except PodmanError as error:
        if error.status:  # it was refused; a command without an answer may run
            note.remove()
        reason = "ContainerNotRunning" if error.status in {404, 409} else "ExecFailed"
        raise RuntimeFailure(f"exec in container {container_id[:12]}: {error}", reason=reason) from error
    return PodmanExec(http, session["Id"], connection, note, tty=body["Tty"], first_pid=first_pid)


async def run(
    http: PodmanHttp, container_id: str, command: Sequence[str], *, timeout_seconds: float, notes_dir: str
) -> ExecResult:
    """Run a short command to its end through Podman, where the OCI runtime cannot be called. Raises TimeoutError."""
    session = await open_exec(http, container_id, command, notes_dir=notes_dir, stdin=False, tty=False)
    output = bytearray()
    try:
        async with asyncio.timeout(timeout_seconds):
            while (piece := await session.read()) is not None:
                output += piece[1][: OUTPUT_BYTES - len(output)]
            return ExecResult(await session.exit_code(), bytes(output))
    except TimeoutError:
        raise TimeoutError(f"command {list(command)} did not end within {timeout_seconds:g} s") from None
    finally:
        await session.close()
