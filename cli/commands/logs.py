"""`tim logs`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from api.errors import ApiError
from api.object import Object
from cli import options
from cli.connect import call, fail_after
from cli.log_lines import LogLines
from cli.mistakes import Misused
from cli.pods import choose_container, container_names, find_pod
from cli.verb import Verb

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from api.v1.apiserver_pb2 import LogsRequest
    from component.rpc_client import RpcClient

TAIL_OF_SELECTED = 10  # lines of each pod chosen by labels, unless --tail says otherwise, as in kubectl


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asked for."""

    pod: str
    container_word: str
    namespace: str
    container: str
    selector: str
    all_containers: bool
    follow: bool
    previous: bool
    timestamps: bool
    prefix: bool
    tail: int | None
    since: float | None
    since_time: str
    limit_bytes: int | None

    @property
    def tail_lines(self) -> int | None:
        """None: all of them."""
        if self.tail is None:
            return TAIL_OF_SELECTED if self.selector and not self.follow else None
        return None if self.tail < 0 else self.tail


@click.command(
    cls=Verb,
    examples=(
        "tim logs web                      the only or first container of pod web",
        "tim logs deploy/web -f --tail 20  of a pod of the Deployment, and go on",
        "tim logs web -c app --previous    before its last restart",
        "tim logs -l app=web --prefix      the last lines of all pods with a label",
    ),
)
@click.argument("pod", required=False, default="", metavar="POD | KIND/NAME")
@click.argument("container_word", required=False, default="", metavar="[CONTAINER]")
@options.namespace()
@click.option("-c", "--container", default="", metavar="NAME", help="This container [default: the pod's first].")
@options.selector("The pods with these labels.")
@click.option("--all-containers", is_flag=True, help="Every container of the pod.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written.")
@click.option("-p", "--previous", is_flag=True, help="Of the container before its last restart.")
@click.option("--timestamps", is_flag=True, help="Begin each line with the time it was written.")
@click.option("--prefix", is_flag=True, help="Begin each line with pod and container.")
@click.option("--tail", type=int, default=None, help="Only so many of the last lines; -1: all.")
@click.option("--since", type=options.Duration(), default=None, help="Only what is younger: 30s, 10m, 2h.")
@click.option("--since-time", default="", metavar="TIME", help="Only what is younger than this RFC 3339 time.")
@click.option("--limit-bytes", type=click.IntRange(1), default=None, help="At most so many bytes.")
def logs(**chosen: Any) -> None:
    """Print the logs of containers."""
    wanted = Wanted(**chosen)
    if wanted.since is not None and wanted.since_time:
        raise click.UsageError("either --since or --since-time")
    if bool(wanted.pod) == bool(wanted.selector):
        raise click.UsageError("name a pod, or choose pods with -l")
    fail_after(call(lambda client, default: _logs(client, wanted, wanted.namespace or default)))


async def _logs(client: RpcClient, wanted: Wanted, namespace: str) -> list[ApiError]:
    if wanted.selector:
        pods = list((await client.list("pods", namespace, label_selector=wanted.selector)).items)
    else:
        pods = [await find_pod(client, wanted.pod, namespace, tell=lambda line: click.echo(line, err=True))]
    if not pods:
        click.echo(f"No resources found in {namespace} namespace.", err=True)
    requests = [_request(wanted, pod, name) for pod in pods for name in _containers(wanted, pod)]
    several = wanted.prefix or len(requests) > 1
    if wanted.follow:
        results = await asyncio.gather(*(_print(client, each, wanted, several=several) for each in requests))
    else:
        results = [await _print(client, each, wanted, several=several) for each in requests]
    return [problem for problem in results if problem is not None]


def _containers(wanted: Wanted, pod: Object) -> Sequence[str]:
    if wanted.all_containers:
        return container_names(pod.tree())
    name, note = choose_container(pod.tree(), wanted.container or wanted.container_word)
    if note and not wanted.selector:
        click.echo(note, err=True)
    return [name]


def _request(wanted: Wanted, pod: Object, container: str) -> LogsRequest:
    from api.v1.apiserver_pb2 import LogsRequest  # noqa: PLC0415 - help does without protobuf

    request = LogsRequest(
        namespace=pod.namespace,
        pod=pod.name,
        container=container,
        follow=wanted.follow,
        previous=wanted.previous,
        timestamps=wanted.timestamps,
        tail_lines=wanted.tail_lines,
        limit_bytes=wanted.limit_bytes,
        since_seconds=wanted.since,
    )
    if wanted.since_time:
        from component.env import parse_time  # noqa: PLC0415 - see above

        try:
            parse_time(wanted.since_time)
        except ValueError:
            raise Misused(f"--since-time {wanted.since_time!r}: write it as 2025-01-15T08:30:00Z") from None
        request.since_time = wanted.since_time
    return request


async def _print(client: RpcClient, request: LogsRequest, wanted: Wanted, *, several: bool) -> ApiError | None:
    """One log to standard output; the error that ended it. A single log is passed on as it comes."""
    lines = LogLines(f"[pod/{request.pod}/{request.container}] " if wanted.prefix else "") if several else None
    try:
        async for data in client.logs(request):
            _write(lines.feed(data) if lines else data)
    except ApiError as error:
        return error
    finally:
        if lines:
            _write(lines.end())
    return None


def _write(data: bytes) -> None:
    if data:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
