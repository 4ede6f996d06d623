"""Commands in containers, and what runs there already, over a WebSocket or over SPDY.

It must not know how the container is reached, nor how the streams are told apart on the wire.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Literal, Protocol

import structlog
from aiohttp import web

from api.errors import ApiError
from api.object import Tree
from api.v1.apiserver_pb2 import AttachStart, ExecStart, StreamFrame
from controlplane.apiserver.reads import Reads
from controlplane.apiserver.rest import queries, spdy_streams
from controlplane.apiserver.rest.call import Call
from controlplane.apiserver.rest.channels import Channels
from controlplane.apiserver.rest.refusals import bad_request, internal_error, status_of
from controlplane.apiserver.stream_calls import NodeStreams, ending

log = structlog.get_logger()

Begin = Callable[[AsyncIterator[StreamFrame]], AsyncIterator[StreamFrame]]


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
    """Serves exec and attach."""

    def __init__(self, reads: Reads, streams: NodeStreams) -> None:
        self._reads = reads
        self._streams = streams

    async def run(self, call: Call) -> web.StreamResponse:
        """Run a command until it ends or the client goes. What is wrong with the pod is told before the upgrade."""
        start = _exec_start(call)
        return await self._carried(call, StreamFrame(exec=start), self._streams.exec, start)

    async def attach(self, call: Call) -> web.StreamResponse:
        """Join what a container runs until it ends or the client goes."""
        start = _attach_start(call)
        return await self._carried(call, StreamFrame(attach=start), self._streams.attach, start)

    async def _carried(
        self, call: Call, first: StreamFrame, begin: Begin, start: ExecStart | AttachStart
    ) -> web.StreamResponse:
        wanted = _wanted(call)
        carrier = _carrier(call.request, wanted, stdin=start.stdin, tty=start.tty)
        await self._reads.get(call.identity, "pods", start.namespace, start.pod, asked=call.asked)
        try:
            if await carrier.open():
                await carrier.finish(await _outcome(call, carrier, begin(carrier.incoming(first)), wanted))
        except ConnectionError:
            log.info("client_left", path=call.request.path)
        return carrier.response


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


def _exec_start(call: Call) -> ExecStart:
    command = call.request.query.getall("command", [])
    if not command:
        raise bad_request("command: Required value: say what is to be run")
    target = call.target
    start = ExecStart(namespace=target.namespace, pod=target.name, command=command)
    start.container, start.stdin, start.tty = _choices(call)
    return start


def _attach_start(call: Call) -> AttachStart:
    start = AttachStart(namespace=call.target.namespace, pod=call.target.name)
    start.container, start.stdin, start.tty = _choices(call)
    return start


def _choices(call: Call) -> tuple[str, bool, bool]:
    """The container, whether there is input, and whether there is a terminal."""
    query = call.query
    stdin, tty = (bool(queries.boolean(query, name, default=False)) for name in ("stdin", "tty"))
    return query.get("container", ""), stdin, tty


def _carrier(request: web.Request, wanted: frozenset[str], *, stdin: bool, tty: bool) -> Carrier:
    if spdy_streams.is_asked_for(request):
        return spdy_streams.SpdyStreams(request, wanted, stdin=stdin, tty=tty)
    return Channels(request)


def _wanted(call: Call) -> frozenset[str]:
    """The outputs that the client wants to see."""
    names = ("stdout", "stderr")
    return frozenset(name for name in names if queries.boolean(call.query, name, default=False))


async def _outcome(call: Call, carrier: Carrier, frames: AsyncIterator[StreamFrame], wanted: frozenset[str]) -> Tree:
    """Send what is written, and return the status of how it ended. ConnectionError."""
    try:
        return await _outgoing(carrier, frames, wanted)
    except ApiError as error:
        return status_of(error, call.target)
    except ConnectionError:
        raise
    except Exception:  # the outermost frame of what follows an upgrade
        log.exception("command_broke", path=call.request.path)
        return internal_error()


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
                case "ended":
                    return exit_status(0)
    return internal_error()
