"""`tim logs`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

import click

from api.core import Pod
from api.errors import Invalid
from api.v1 import apiserver_pb2
from cli.connect import call
from cli.pods import find_pod
from component.rpc_client import RpcClient

UNITS = {"s": 1, "m": 60, "h": 3600}


@click.command()
@click.argument("pod", required=False, default="", metavar="POD | KIND/NAME")
@click.argument("container_word", required=False, default="", metavar="[CONTAINER]")
@click.option("-n", "--namespace", default="")
@click.option("-c", "--container", default="")
@click.option("-l", "--selector", default="", help="The pods with these labels.")
@click.option("--all-containers", is_flag=True)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written.")
@click.option("-p", "--previous", is_flag=True, help="Of the container before its last restart.")
@click.option("--timestamps", is_flag=True)
@click.option("--prefix", is_flag=True, help="Begin each line with pod and container.")
@click.option("--tail", type=int, default=None, help="Only so many of the last lines.")
@click.option("--since", default="", help="Only what is younger: 30s, 10m, 2h.")
@click.option("--since-time", default="", help="Only what is younger than this RFC 3339 time.")
@click.option("--limit-bytes", type=int, default=None)
def logs(
    pod: str,
    container_word: str,
    namespace: str,
    container: str,
    selector: str,
    all_containers: bool,
    follow: bool,
    previous: bool,
    timestamps: bool,
    prefix: bool,
    tail: int | None,
    since: str,
    since_time: str,
    limit_bytes: int | None,
) -> None:
    """Print a container's log."""

    async def work(client: RpcClient, default: str) -> None:
        where = namespace or default
        if bool(pod) == bool(selector):
            raise Invalid("name a pod, or choose pods with -l")
        found = (
            list((await client.list("pods", where, label_selector=selector)).items)
            if selector
            else [await find_pod(client, pod, where)]
        )
        requests = []
        for each in found:
            for name in _containers(each.view(Pod), container or container_word, everything=all_containers):
                request = apiserver_pb2.LogsRequest(
                    namespace=where,
                    pod=each.name,
                    container=name,
                    follow=follow,
                    previous=previous,
                    timestamps=timestamps,
                    tail_lines=tail,
                    limit_bytes=limit_bytes,
                )
                if since:
                    request.since_seconds = seconds(since)
                if since_time:
                    request.since_time = since_time
                requests.append(request)
        await _print(client, requests, prefix=prefix, at_once=follow)

    call(work)


def seconds(text: str) -> float:
    """Read `90`, `30s`, `10m`, `2h`, `1h30m`; Invalid."""
    total, number = 0.0, ""
    for character in text:
        if character.isdigit() or character == ".":
            number += character
        elif character in UNITS and number:
            total += float(number) * UNITS[character]
            number = ""
        else:
            raise Invalid(f"{text!r} is no duration: write it as 30s, 10m or 2h")
    return total + float(number or 0)


def _containers(pod: Pod, chosen: str, *, everything: bool) -> Sequence[str]:
    return [each.name for each in pod.spec.containers] if everything else [chosen]


async def _print(
    client: RpcClient, requests: Sequence[apiserver_pb2.LogsRequest], *, prefix: bool, at_once: bool
) -> None:
    async def one(request: apiserver_pb2.LogsRequest) -> None:
        mark = f"[pod/{request.pod}/{request.container}] ".encode() if prefix else b""
        start_of_line = True
        async for data in client.logs(request):
            if mark:
                head = mark if start_of_line else b""
                start_of_line = data.endswith(b"\n")
                body = data[:-1] if start_of_line else data
                data = head + body.replace(b"\n", b"\n" + mark) + (b"\n" if start_of_line else b"")  # noqa: PLW2901
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    if at_once:
        await asyncio.gather(*(one(request) for request in requests))
    else:
        for request in requests:
            await one(request)
