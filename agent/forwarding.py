"""Connections to ports of pods: a socket made inside the pod's network namespace, and its bytes both ways.

It must not know how the pod was found, nor who asked.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from agent.inbox import Frames
from api import errors
from api.v1.apiserver_pb2 import StreamFrame
from component.tasks import run_until_one_ends
from netplugin.kernel.namespace import run_inside

CONNECT_SECONDS = 10.0
READ_BYTES = 32 << 10
LOOPBACKS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
"""What `localhost` of a pod is, in the order in which it is tried: container runtimes of Kubernetes connect there too."""


async def connect(netns_path: str, port: int, pod: str) -> socket.socket:
    """Return a non-blocking socket connected to a port inside a network namespace; "" is the host's own.

    Unavailable when nothing listens there.
    """
    loop = asyncio.get_running_loop()
    refused: OSError = TimeoutError()
    for family, address in LOOPBACKS:
        make = partial(_socket, family)
        try:
            # A socket stays in the namespace that it was made in: only its making needs a thread that is inside.
            made = await asyncio.to_thread(run_inside, netns_path, make) if netns_path else make()
        except FileNotFoundError:
            raise errors.NotReady(f"pod {pod} is not running") from None
        except OSError as error:  # no IPv6 in the kernel, or no descriptors left
            refused = error
            continue
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await loop.sock_connect(made, (address, port))
        except OSError as error:  # a TimeoutError is one
            made.close()
            if family == socket.AF_INET:
                refused = error  # what most programs listen on says more than the other
        except BaseException:
            made.close()
            raise
        else:
            return made
    reason = os.strerror(refused.errno).lower() if refused.errno else f"no answer within {CONNECT_SECONDS:.0f} s"
    raise errors.Unavailable(f"error forwarding port {port} to pod {pod}: connect to localhost:{port}: {reason}")


async def carry_connection(call: Any, frames: Frames, connection: socket.socket) -> None:
    """Move bytes both ways, each direction ending by itself, until both have ended or the client has gone."""
    said_all = asyncio.Event()  # by the client, or nobody hears it any more
    await run_until_one_ends(_inward(frames, connection, said_all), _outward(call.write, connection, said_all))


async def _inward(frames: Frames, connection: socket.socket, said_all: asyncio.Event) -> None:
    """To the pod; returns when the client has gone."""
    loop = asyncio.get_running_loop()
    while (frame := await frames.get()) is not None:
        kind = frame.WhichOneof("frame")
        try:
            if kind == "stdin" and not said_all.is_set():
                await loop.sock_sendall(connection, frame.stdin)
            elif kind == "stdin_closed":
                said_all.set()
                connection.shutdown(socket.SHUT_WR)
        except OSError:  # the pod closed or reset the connection: what it had said before still comes
            said_all.set()


async def _outward(
    write: Callable[[StreamFrame], Awaitable[None]], connection: socket.socket, said_all: asyncio.Event
) -> None:
    """From the pod; returns when both directions have ended. A client that reads slowly slows the pod down."""
    loop = asyncio.get_running_loop()
    try:
        while data := await loop.sock_recv(connection, READ_BYTES):
            await write(StreamFrame(stdout=data))
    except OSError:  # reset: nothing can be sent either
        said_all.set()
    await write(StreamFrame(stdout_closed=True))
    await said_all.wait()
    await write(StreamFrame(ended=True))


def _socket(family: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setblocking(False)
    return made
