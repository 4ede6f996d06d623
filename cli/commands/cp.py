"""`tim cp`: files and folders into and out of containers, with the `tar` that is in them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from api.errors import Invalid, NotFound, Unavailable
from cli import options
from cli.connect import call
from cli.places import Place, checked, parted, place_of
from cli.pods import choose_container
from cli.verb import Verb

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from api.v1.apiserver_pb2 import ExecStart, StreamFrame
    from component.rpc_client import RpcClient

PIECE_BYTES = 32 << 10
SAID_BYTES = 4 << 10
ABSENT = (126, 127)
"""How a shell tells that there is no such program."""


@click.command(
    cls=Verb,
    examples=(
        "tim cp web:/var/log/app.log .",
        "tim cp ./site shop/web:/srv -c app",
    ),
)
@options.namespace()
@click.option("-c", "--container", default="", metavar="NAME", help="This container [default: the pod's first].")
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET")
def cp(namespace: str, container: str, source: str, target: str) -> None:
    """Copy a file or a folder between this machine and a container: one of SOURCE and TARGET is [NAMESPACE/]POD:PATH.

    Into a folder that is there it goes under its own name. Modes are kept; owners are not. The container needs `tar`.
    """

    async def work(client: RpcClient, default: str) -> None:
        here, there = place_of(source), place_of(target)
        checked(here, there)
        remote = here if here.pod else there
        end = await _Container.find(client, remote, container, namespace or default)
        if here.pod:
            await _download(end, here.path, Path(there.path))
        else:
            await _upload(end, Path(here.path), there.path)

    call(work)


class _Container:
    """The other end: programs that run there."""

    def __init__(self, client: RpcClient, namespace: str, pod: str, container: str) -> None:
        self._client = client
        self._namespace, self._pod, self._container = namespace, pod, container
        self.name = f"container {container} of pod {pod}"
        self._said = bytearray()

    @classmethod
    async def find(cls, client: RpcClient, place: Place, container: str, namespace: str) -> _Container:
        """The container that is meant. NotFound."""
        pod = await client.get("pods", place.namespace or namespace, place.pod)
        name, note = choose_container(pod.tree(), container)
        if note:
            _note(note)
        return cls(client, pod.namespace, pod.name, name)

    async def output(self, *command: str) -> AsyncGenerator[bytes]:
        """Yield what a command writes. Invalid with its own words when it fails."""
        async with aclosing(self._client.exec(self._start(command))) as frames:
            async for frame in frames:
                if data := self._taken(frame, command):
                    yield data
                if frame.WhichOneof("frame") == "exit_code":
                    return
        raise Unavailable(f"the connection to {self.name} ended early: what was copied is incomplete")

    async def feed(self, pieces: AsyncIterator[StreamFrame], *command: str) -> None:
        """Run a command with input. Invalid with its own words when it fails."""
        async with aclosing(self._client.exec(self._start(command, stdin=True), pieces)) as frames:
            async for frame in frames:
                self._taken(frame, command)
                if frame.WhichOneof("frame") == "exit_code":
                    return
        raise Unavailable(f"the connection to {self.name} ended early: what was copied is incomplete")

    async def has_folder(self, path: str) -> bool:
        """Whether there is a folder; without a `test` there is none."""
        async with aclosing(self._client.exec(self._start(("test", "-d", path)))) as frames:
            async for frame in frames:
                if frame.WhichOneof("frame") == "exit_code":
                    return frame.exit_code == 0
        return False

    def _start(self, command: tuple[str, ...], *, stdin: bool = False) -> ExecStart:
        from api.v1.apiserver_pb2 import ExecStart  # noqa: PLC0415 - help does without protobuf

        return ExecStart(
            namespace=self._namespace, pod=self._pod, container=self._container, command=command, stdin=stdin
        )

    def _taken(self, frame: StreamFrame, command: tuple[str, ...]) -> bytes:
        """The output in a frame. Invalid for an exit code that is a failure, NotFound when there is no such program."""
        match frame.WhichOneof("frame"):
            case "stdout":
                return frame.stdout
            case "stderr":
                self._said += frame.stderr[: SAID_BYTES - len(self._said)]
            case "exit_code" if frame.exit_code in ABSENT:
                raise NotFound(f"{self.name} has no `{command[0]}`, which copying needs")
            case "exit_code" if frame.exit_code:
                said = " ".join(self._said.decode(errors="replace").split())
                raise Invalid(f"{command[0]} in {self.name}: {said or f'exit code {frame.exit_code}'}")
        return b""


async def _download(container: _Container, path: str, target: Path) -> None:
    from cli.archives import Unpacking  # noqa: PLC0415 - only to copy out

    folder, name = parted(path)
    unpacking = Unpacking(_local_target(target, name), name, _note)
    inward, outward = os.pipe()
    reading = asyncio.ensure_future(asyncio.to_thread(unpacking.run, os.fdopen(inward, "rb")))
    try:
        async with aclosing(container.output("tar", "cf", "-", "-C", folder, f"./{name}")) as pieces:
            async for data in pieces:
                await asyncio.to_thread(_write_all, outward, data)
    except BrokenPipeError:
        pass  # the reader says why
    finally:
        os.close(outward)
        await asyncio.gather(reading, return_exceptions=True)
    _outcome(reading)
    if unpacking.left_out:
        raise Invalid(f"{unpacking.left_out} of what was to be copied had to be left out")


def _local_target(target: Path, name: str) -> Path:
    """What is to be made: inside of a folder that is there, under its own name. NotFound without a folder to make it in."""
    if target.is_dir():
        return target / name
    if not target.parent.is_dir():
        raise NotFound(f"there is no folder {target.parent} here")
    return target


def _local_source(source: Path) -> Path:
    """What is to be read, if its name is a link what that leads to. NotFound."""
    if not source.exists():
        raise NotFound(f"there is no file or folder {source} here")
    return source.resolve()


async def _upload(container: _Container, source: Path, path: str) -> None:
    from cli.archives import pack  # noqa: PLC0415 - only to copy in

    source = _local_source(source)
    folder, name = parted(path)
    if path.endswith("/") or await container.has_folder(path):
        folder, name = path, source.name or "."
    inward, outward = os.pipe()
    packing = asyncio.ensure_future(asyncio.to_thread(pack, source, name, os.fdopen(outward, "wb")))
    try:
        await container.feed(_pieces(inward), "tar", "xmf", "-", "-C", folder)
    except Invalid:
        os.close(inward)
        inward = -1
        await asyncio.gather(packing, return_exceptions=True)
        _outcome(packing, but=BrokenPipeError)  # what was not read here is why it could not be unpacked there
        raise
    finally:
        if inward >= 0:
            os.close(inward)
        await asyncio.gather(packing, return_exceptions=True)
    _outcome(packing)


async def _pieces(descriptor: int) -> AsyncIterator[StreamFrame]:
    from api.v1.apiserver_pb2 import StreamFrame  # noqa: PLC0415 - help does without protobuf

    while data := await asyncio.to_thread(os.read, descriptor, PIECE_BYTES):
        yield StreamFrame(stdin=data)
    yield StreamFrame(stdin_closed=True)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _outcome(work: asyncio.Future[None], but: type[OSError] | None = None) -> None:
    """Raise what went wrong on this machine as an error of one line."""
    error = work.exception()
    if isinstance(error, OSError):
        if but is None or not isinstance(error, but):
            raise Invalid(f"{error.filename or 'here'}: {error.strerror}") from error
    elif error is not None:
        raise error


def _note(text: str) -> None:
    click.echo(text, err=True)
