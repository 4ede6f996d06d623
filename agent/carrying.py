"""The streams of a command or a container over a call to the control plane, both ways, to the end of whichever ends first.

It must not know pods, nor how the streams came about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from agent.inbox import Frames
from agent.runtime.protocol import ContainerStreams, ExecStream, RuntimeFailure
from api.v1.apiserver_pb2 import StreamFrame
from component.tasks import run_until_one_ends

LOOK_SECONDS = 0.5
DRAIN_SECONDS = 2.0
"""How long the last words of a container that has ended may take to a reader. After that whoever has them is let go:
conmon and Podman would wait for a reader who pauses, and nothing could remove the container."""


async def begun(begin: Coroutine[Any, Any, ExecStream]) -> ExecStream:
    """What has begun, also if the client leaves in between: a command that runs already is ended then."""
    task = asyncio.ensure_future(begin)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with suppress(RuntimeFailure):
            await to_its_end(_closed(task))
        raise


async def _closed(begun_stream: Awaitable[ExecStream]) -> None:
    await (await begun_stream).close()


async def to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Do `work` whatever is cancelled meanwhile; a cancellation is passed on afterwards.

    A client that goes ends its stream twice: its call is over, and the control plane says so. The second one must not
    stop what the first one began.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled


async def carry(
    call: Any,
    frames: Frames,
    stream: ContainerStreams,
    last: Callable[[], Awaitable[StreamFrame]],
    ended: Callable[[], bool],
) -> None:
    """Both directions until there is no more output, which the `last` frame tells, or until the client goes away.

    `ended`: whether the container has.
    """
    watching = asyncio.ensure_future(_let_go(stream, ended))
    try:
        await run_until_one_ends(_inward(frames, stream), _outward(call, stream, last))
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _inward(frames: Frames, stream: ContainerStreams) -> None:
    """Frames from the client; returns when it went away (that only its input ended is a frame of its own)."""
    while (frame := await frames.get()) is not None:
        match frame.WhichOneof("frame"):
            case "stdin":
                await stream.write(frame.stdin)
            case "stdin_closed":
                await stream.close_stdin()
            case "resize":
                await stream.resize(frame.resize.width, frame.resize.height)
            case _:
                continue


async def _outward(call: Any, stream: ContainerStreams, last: Callable[[], Awaitable[StreamFrame]]) -> None:
    while (piece := await stream.read()) is not None:
        name, data = piece
        await call.write(StreamFrame(stdout=data) if name == "stdout" else StreamFrame(stderr=data))
    await call.write(await last())


async def _let_go(stream: ContainerStreams, ended: Callable[[], bool]) -> None:
    """Close the stream some time after its container has ended; who reads it then comes to its end."""
    while not (ended() or stream.container_ending()):  # noqa: ASYNC110 - what was observed tells nobody of its changes
        await asyncio.sleep(LOOK_SECONDS)
    await asyncio.sleep(DRAIN_SECONDS)
    with suppress(RuntimeFailure):
        await stream.close()
