"""Commands that Podman runs in containers: a user's own, with streams and a terminal.

After an HTTP upgrade the connection carries input as raw bytes; output comes as frames (stream, 3 zero bytes, length,
big-endian) or, with a terminal, raw.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal

from agent.runtime.http import PodmanError, PodmanHttp, Upgraded
from agent.runtime.oci import OUTPUT_BYTES
from agent.runtime.protocol import ExecResult, RuntimeFailure

_PIECE_BYTES = 32 << 10
_MAX_FRAME_BYTES = 16 << 20
_EXIT_CODE_WAIT_SECONDS = 5.0
_POLL_SECONDS = 0.01
_OCI_ERROR = re.compile(rb"Error: (?:crun: |runc: )?(.+): OCI [^\r\n]*(\r?\n)")
_CUT_OFF = re.compile(rb"Error: read unixpacket @->\S*/attach: read: connection reset by peer\r?\n")
_STREAMS: dict[int, Literal["stdout", "stderr"]] = {0: "stdout", 1: "stdout", 2: "stderr"}


class PodmanExec:
    """One exec session; implements ExecStream."""

    def __init__(self, http: PodmanHttp, session_id: str, connection: Upgraded, *, tty: bool) -> None:
        self._http = http
        self._session_id = session_id
        self._reader, self._writer = connection.reader, connection.writer
        self._tty = tty
        self._frame_stream: Literal["stdout", "stderr"] = "stdout"
        self._frame_left_bytes = 0
        self._ended = False

    async def read(self) -> tuple[Literal["stdout", "stderr"], bytes] | None:
        """The next piece of output, None at its end. A connection cut inside a frame counts as the end."""
        while True:
            try:
                piece = await (self._reader.read(_PIECE_BYTES) if self._tty else self._read_framed())
            except (ConnectionError, asyncio.IncompleteReadError):
                piece = b""
            if not piece:
                self._ended = True
                return None
            if told := without_podmans_words(piece):
                return self._frame_stream, told

    async def write(self, data: bytes) -> None:
        """Send to standard input; data for a command that ended is dropped."""
        with suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    async def close_stdin(self) -> None:
        """Half-close the connection; with a terminal this is the end of input, too."""
        with suppress(OSError):
            if self._writer.can_write_eof():
                self._writer.write_eof()

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

    async def close(self) -> None:
        """Close the connection and kill the command if it still runs."""
        try:
            if not self._ended:
                await self._kill()
        finally:
            self._writer.close()
            with suppress(ConnectionError):
                await self._writer.wait_closed()

    async def _read_framed(self) -> bytes:
        while not self._frame_left_bytes:
            header = await self._reader.readexactly(8)
            self._frame_stream = _STREAMS.get(header[0], "stdout")
            self._frame_left_bytes = int.from_bytes(header[4:], "big")
            if self._frame_left_bytes > _MAX_FRAME_BYTES:
                raise ConnectionError("podman sent a malformed frame")
        piece = await self._reader.read(min(self._frame_left_bytes, _PIECE_BYTES))
        self._frame_left_bytes -= len(piece)
        return piece

    async def _kill(self) -> None:
        with suppress(PodmanError):
            session = await self._inspect()
            pid = session.get("Pid", 0)
            if session.get("Running") and pid > 0:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

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
    http: PodmanHttp, container_id: str, command: Sequence[str], *, stdin: bool, tty: bool
) -> PodmanExec:
    """Start a command with its streams attached. Raises RuntimeFailure."""
    body = {"Cmd": list(command), "AttachStdin": stdin, "AttachStdout": True, "AttachStderr": True, "Tty": tty}
    try:
        session = await http.call("POST", f"/containers/{container_id}/exec", body=body)
        connection = await http.upgrade(f"/exec/{session['Id']}/start", body={"Detach": False, "Tty": tty})
    except PodmanError as error:
        reason = "ContainerNotRunning" if error.status in {404, 409} else "ExecFailed"
        raise RuntimeFailure(f"exec in container {container_id[:12]}: {error}", reason=reason) from error
    return PodmanExec(http, session["Id"], connection, tty=tty)


async def run(http: PodmanHttp, container_id: str, command: Sequence[str], *, timeout_seconds: float) -> ExecResult:
    """Run a short command to its end through Podman, where the OCI runtime cannot be called. Raises TimeoutError."""
    session = await open_exec(http, container_id, command, stdin=False, tty=False)
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
