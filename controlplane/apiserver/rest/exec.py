"""Commands in containers, and what runs there already, over a WebSocket or over SPDY.

It must not know how the container is reached, nor how the streams are told apart on the wire.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Literal, Protocol

import structlog
from aiohttp import web

from api.errors import ApiError
from api.object import Tree
from api.v1.apiserver_pb2 import ExecStart, StreamFrame
from controlplane.apiserver.core import ApiCore
from controlplane.apiserver.rest import queries, spdy_streams
from controlplane.apiserver.rest.call import Call
from controlplane.apiserver.rest.channels import Channels
from controlplane.apiserver.rest.refusals import bad_request, internal_error, status_of
from controlplane.apiserver.stream_calls import NodeStreams, ending

log = structlog.get_logger()


class Carrier(Protocol):
    """The streams of one command on their way to the client."""

    @property
    def response(self) -> web.StreamResponse:
        """The answer to the request."""

    async def open(self) -> bool:
        """Agree to the change of protocol; whether the command may begin."""

    def incoming(self, first: StreamFrame) -> AsyncGenerator[StreamFrame]:
        """Yield the first frame, then what the client says until it goes."""

    async def send(self, name: Literal["stdout", "stderr"], data: bytes) -> None:
        """Send a piece of output. ConnectionError."""

    async def finish(self, status: Tree) -> None:
        """Tell how it ended and close. ConnectionError."""


class Commands:
    """Serves exec."""

    def __init__(self, core: ApiCore, streams: NodeStreams) -> None:
        self._core = core
        self._streams = streams

    async def run(self, call: Call) -> web.StreamResponse:
        """Run a command until it ends or the client goes. What is wrong with the pod is told before the upgrade."""
        start = _start(call)
        wanted = _wanted(call)
        carrier = _carrier(call.request, wanted, start)
        await self._core.get(call.identity, "pods", start.namespace, start.pod)
        try:
            if await carrier.open():
                await carrier.finish(await self._carried(call, carrier, start, wanted))
        except ConnectionError:
            log.info("client_left", path=call.request.path)
        return carrier.response

    async def _carried(self, call: Call, carrier: Carrier, start: ExecStart, wanted: frozenset[str]) -> Tree:
        frames = self._streams.exec(carrier.incoming(StreamFrame(exec=start)))
        try:
            return await _outgoing(carrier, frames, wanted)
        except ApiError as error:
            return status_of(error, call.target)
        except ConnectionError:
            raise
        except Exception:  # the outermost frame of what follows an upgrade
            log.exception("command_broke", path=call.request.path)
            return internal_error()


def exit_status(code: int) -> Tree:
    """What a command's exit code is told as."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def _start(call: Call) -> ExecStart:
    query = call.request.query
    command = query.getall("command", [])
    if not command:
        raise bad_request("command: Required value: say what is to be run")
    return ExecStart(
        namespace=call.target.namespace,
        pod=call.target.name,
        container=query.get("container", ""),
        command=command,
        stdin=bool(queries.boolean(query, "stdin", default=False)),
        tty=bool(queries.boolean(query, "tty", default=False)),
    )


def _carrier(request: web.Request, wanted: frozenset[str], start: ExecStart) -> Carrier:
    if spdy_streams.is_asked_for(request):
        return spdy_streams.SpdyStreams(request, wanted, start)
    return Channels(request)


def _wanted(call: Call) -> frozenset[str]:
    """The outputs that the client wants to see."""
    names = ("stdout", "stderr")
    return frozenset(name for name in names if queries.boolean(call.query, name, default=False))


async def _outgoing(carrier: Carrier, frames: AsyncIterator[StreamFrame], wanted: frozenset[str]) -> Tree:
    """Send what the command writes; returns the status of its end."""
    async with ending(frames):
        async for frame in frames:
            match frame.WhichOneof("frame"):
                case "stdout" if "stdout" in wanted:
                    await carrier.send("stdout", frame.stdout)
                case "stderr" if "stderr" in wanted:
                    await carrier.send("stderr", frame.stderr)
                case "exit_code":
                    return exit_status(frame.exit_code)
    return internal_error()
