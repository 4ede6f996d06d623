"""`tim port-forward`: ports of this machine that lead to ports of a pod."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING

import click

from api.core import Pod
from api.errors import ApiError, NotFound, NotReady, Unavailable
from cli import options
from cli.connect import call
from cli.forwarding import Pair, addresses_of, pair_of
from cli.pods import find_pod
from cli.targets import parse
from cli.verb import Verb

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from api.object import Object
    from api.v1.apiserver_pb2 import StreamFrame
    from component.rpc_client import RpcClient

READ_BYTES = 32 << 10


@click.command(
    name="port-forward",
    cls=Verb,
    examples=(
        "tim port-forward pod/web 8080:80",
        "tim port-forward deploy/web :http",
        "tim port-forward svc/web 8080:80 --address localhost,10.0.0.5",
    ),
)
@options.namespace()
@click.option("--address", default="localhost", metavar="ADDRESSES", help="Listen here [default: localhost].")
@click.argument("pod", metavar="POD | KIND/NAME")
@click.argument("ports", nargs=-1, required=True, metavar="[LOCAL:]REMOTE...")
def port_forward(namespace: str, address: str, pod: str, ports: tuple[str, ...]) -> None:
    """Listen on ports of this machine and pass every connection on to a port of a pod, until interrupted.

    Without LOCAL it is the same port, with an empty one any that is free. A service's ports are those that it has.
    """

    async def work(client: RpcClient, default: str) -> None:
        addresses = addresses_of(address)
        found = await find_pod(client, pod, namespace or default, tell=_note)
        service = await _service(client, pod, namespace or default)
        pairs = [pair_of(word, found.tree(), service) for word in ports]
        phase = found.view(Pod).status.phase
        if phase != "Running":
            raise NotReady(f"unable to forward ports: pod {found.name} is not running, but {phase or 'Pending'}")
        await _Forwards(client, found).run(addresses, pairs)

    call(work)


async def _service(client: RpcClient, word: str, namespace: str) -> dict[str, object] | None:
    target = parse([word])[0] if "/" in word else None
    if target is None or target.kind.resource != "services":
        return None
    return (await client.get("services", namespace, target.name)).tree()


class _Forwards:
    """The listening ports and their connections, all to one pod."""

    def __init__(self, client: RpcClient, pod: Object) -> None:
        self._client = client
        self._pod = pod
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, addresses: Sequence[str], pairs: Sequence[Pair]) -> None:
        """Serve until the pod is gone. Unavailable when nothing could be listened on, NotFound."""
        try:
            async with AsyncExitStack() as servers:
                for pair in pairs:
                    await self._listen(servers, addresses, pair)
                await self._lost
        finally:
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self, servers: AsyncExitStack, addresses: Sequence[str], pair: Pair) -> None:
        local, problems = pair.local, list[str]()
        for address in addresses:
            try:
                listener = _listener(address, local)
            except OSError as error:
                problems.append(f"{address}: {(error.strerror or str(error)).lower()}")
                continue
            local = listener.getsockname()[1]
            bound = Pair(local, pair.remote)

            def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bound: Pair = bound) -> None:
                task = asyncio.ensure_future(self._serve(reader, writer, bound))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

            server = await asyncio.start_server(serve, sock=listener)
            servers.callback(server.close)
            shown = f"[{address}]" if ":" in address else address
            click.echo(f"Forwarding from {shown}:{local} -> {pair.remote}")
        if len(problems) == len(addresses):
            raise Unavailable(f"unable to listen on port {pair.local}: {'; '.join(problems)}")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: Pair) -> None:
        click.echo(f"Handling connection for {pair.local}")
        try:
            await self._carry(reader, writer, pair)
        except ConnectionError:
            pass  # whoever connected has gone
        except ApiError as error:
            if reader.exception() is not None:
                return  # it was reset here, and ended there for that
            _note(f"an error occurred forwarding {pair.local} -> {pair.remote}: {error}")
            if isinstance(error, NotFound) and not self._lost.done():
                self._lost.set_exception(error)
        finally:
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: Pair) -> None:
        from api.v1.apiserver_pb2 import ForwardStart  # noqa: PLC0415 - help does without protobuf

        start = ForwardStart(namespace=self._pod.namespace, pod=self._pod.name, port=pair.remote)
        over = asyncio.Event()
        try:
            async with aclosing(self._client.forward(start, _said(reader, over))) as frames:
                async for frame in frames:
                    match frame.WhichOneof("frame"):
                        case "stdout":
                            writer.write(frame.stdout)
                            await writer.drain()
                        case "stdout_closed":
                            writer.write_eof()
        finally:
            over.set()


async def _said(reader: asyncio.StreamReader, over: asyncio.Event) -> AsyncIterator[StreamFrame]:
    """What whoever connected says; goes on until all is over, as the pod may have more to say after their last."""
    from api.v1.apiserver_pb2 import StreamFrame  # noqa: PLC0415 - help does without protobuf

    try:
        while data := await reader.read(READ_BYTES):
            yield StreamFrame(stdin=data)
    except ConnectionError:
        return
    yield StreamFrame(stdin_closed=True)
    await over.wait()


def _listener(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, port), family=family)


def _note(text: str) -> None:
    click.echo(text, err=True)
