"""Watches and commands over the Kubernetes-compatible API: long answers, slow readers, readers that leave."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress

import aiohttp
import pytest

from api.errors import Unavailable
from api.v1 import apiserver_pb2 as pb
from tests.api_server import NoStreams, config_map, pod
from tests.rest_server import serving_rest
from tests.waiting import DEADLINE_SECONDS, eventually

pytestmark = pytest.mark.slow

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture
async def rest(tmp_path):
    async with serving_rest(tmp_path) as rest:
        yield rest


async def events(rest, path, count, **options):
    """The first `count` events of a watch."""
    found = []
    async with asyncio.timeout(DEADLINE_SECONDS), rest.admin.get(rest.url + path, **options) as response:
        assert response.status == 200
        while len(found) < count:
            found.append(json.loads(await response.content.readline()))
    return found


def shown(event):
    return event["type"], event["object"]["metadata"]["name"]


async def test_a_watch_without_a_version_shows_what_there_is_then_what_changes(rest):
    await rest.ask("POST", MAPS, config_map("a"))
    async with rest.admin.get(f"{rest.url}{MAPS}?watch=1") as response:
        first = json.loads(await response.content.readline())
        assert shown(first) == ("ADDED", "a")
        await rest.ask("POST", MAPS, config_map("b"))
        assert shown(json.loads(await response.content.readline())) == ("ADDED", "b")
        await rest.ask("PUT", f"{MAPS}/a", config_map("a", {"k": "1"}))
        assert shown(json.loads(await response.content.readline())) == ("MODIFIED", "a")
        deleted = await rest.ask("DELETE", f"{MAPS}/a")
        assert deleted.status == 200
        last = json.loads(await response.content.readline())
        assert shown(last) == ("DELETED", "a")
        assert int(last["object"]["metadata"]["resourceVersion"]) > int(first["object"]["metadata"]["resourceVersion"])


async def test_a_watch_goes_on_from_the_version_of_a_list(rest):
    listed = (await rest.ask("GET", MAPS)).tree
    for name in "ab":
        await rest.ask("POST", MAPS, config_map(name, labels={"name": name}))
    version = listed["metadata"]["resourceVersion"]
    assert [shown(each) for each in await events(rest, f"{MAPS}?watch=true&resourceVersion={version}", 2)] == [
        ("ADDED", "a"),
        ("ADDED", "b"),
    ]
    for narrowed in (
        f"{MAPS}?watch=1&labelSelector=name%3Db",
        f"{MAPS}/b?watch=1",
        "/api/v1/watch/namespaces/default/configmaps/b",
    ):
        assert [shown(each) for each in await events(rest, narrowed, 1)] == [("ADDED", "b")]


async def test_initial_events_end_with_a_bookmark_that_says_so(rest):
    await rest.ask("POST", MAPS, config_map("a"))
    options = "watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
    added, bookmark = await events(rest, f"{MAPS}?{options}", 2)
    assert (added["type"], bookmark["type"]) == ("ADDED", "BOOKMARK")
    metadata = bookmark["object"]["metadata"]
    assert metadata["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(metadata["resourceVersion"]) >= int(added["object"]["metadata"]["resourceVersion"])


async def test_a_watch_may_start_now_without_what_there_is(rest):
    await rest.ask("POST", MAPS, config_map("a"))
    options = "watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan"
    async with rest.admin.get(f"{rest.url}{MAPS}?{options}") as response:
        assert response.status == 200
        await rest.ask("POST", MAPS, config_map("b"))
        assert shown(json.loads(await response.content.readline())) == ("ADDED", "b")


async def test_a_watch_ends_when_its_time_is_over(rest):
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        rest.admin.get(f"{rest.url}{MAPS}?watch=1&timeoutSeconds=1") as response,
    ):
        assert await response.read() == b""


async def test_a_version_that_never_was_is_gone(rest):
    answer = await rest.ask("GET", f"{MAPS}?watch=1&resourceVersion=99999999")
    told = answer.tree["object"] if answer.status == 200 else answer.tree
    assert (told["kind"], told["reason"], told["code"]) == ("Status", "Expired", 410)


async def test_rows_come_with_their_columns_once(rest):
    await rest.ask("POST", PODS, pod("a"))
    await rest.ask("POST", PODS, pod("b"))
    headers = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    first, second = await events(rest, f"{PODS}?watch=1", 2, headers=headers)
    assert (first["object"]["kind"], first["object"]["columnDefinitions"][0]["name"]) == ("Table", "Name")
    assert [second["object"]["rows"][0]["cells"][0], second["object"]["columnDefinitions"]] == ["b", None]


async def test_watchers_are_sent_away_when_the_server_closes(rest):
    async with asyncio.timeout(DEADLINE_SECONDS), rest.admin.get(f"{rest.url}{MAPS}?watch=1") as response:
        await asyncio.gather(rest.server.close(), response.read())


async def test_a_watch_ends_with_its_reader(rest):
    waiting = rest.watches
    response = await rest.admin.get(f"{rest.url}{MAPS}?watch=1")
    await eventually(lambda: len(waiting) == 1)
    response.close()
    await eventually(lambda: not waiting)


async def test_a_reader_that_takes_nothing_is_cut_off_and_hurts_nobody(tmp_path):
    async with serving_rest(tmp_path, slow_reader_seconds=0.3) as rest:
        for number in range(12):  # not over HTTP: each answer would have to be taken in that time
            await rest.cluster.local.create(config_map(f"a{number}", {"k": "x" * 900_000}, namespace="default"))
        await rest.ask("POST", MAPS, config_map("small"))
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)  # or the kernel would take all of it
        connection.connect(("127.0.0.1", rest.port))
        reader, writer = await asyncio.open_connection(
            sock=connection, ssl=rest.tls(rest.keys.admin), server_hostname="x", limit=1_024
        )
        try:
            writer.write(f"GET {MAPS}?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await writer.drain()
            with suppress(ConnectionError):  # on a starved machine it may be cut off already
                await reader.readline()
            await eventually(lambda: not rest.watches)
            assert (await rest.ask("GET", f"{MAPS}/small")).status == 200
        finally:
            writer.transport.abort()


async def run(rest, query, *sent, protocol="v5.channel.k8s.io"):
    """What comes over each channel when `sent` is sent over the WebSocket."""
    got: dict[int, bytes] = {}
    url = f"{rest.url}{PODS}/a/exec?{query}"
    async with asyncio.timeout(DEADLINE_SECONDS), rest.admin.ws_connect(url, protocols=(protocol,)) as ws:
        for message in sent:
            await ws.send_bytes(message)
        async for message in ws:
            got[message.data[0]] = got.get(message.data[0], b"") + message.data[1:]
    return got


class Echo(NoStreams):
    """Prints the command, then what it gets, until its input ends or says q."""

    async def exec(self, frames):
        yield pb.StreamFrame(stdout=" ".join((await anext(frames)).exec.command).encode())
        async for frame in frames:
            if frame.WhichOneof("frame") == "resize":
                yield pb.StreamFrame(stderr=b"%d wide" % frame.resize.width)
            elif frame.WhichOneof("frame") == "stdin_closed" or frame.stdin == b"q":
                yield pb.StreamFrame(exit_code=3)
            else:
                yield pb.StreamFrame(stdout=frame.stdin)


async def test_a_command_speaks_over_a_websocket_and_its_exit_code_comes_last(tmp_path):
    async with serving_rest(tmp_path, Echo()) as rest:
        await rest.ask("POST", PODS, pod("a"))
        query = "command=cat&command=-n&stdin=true&stdout=true&stderr=true"
        resize = b'\x04{"Width":80,"Height":24}'
        for protocol, end in (("v4.channel.k8s.io", b"\x00q"), ("v5.channel.k8s.io", b"\xff\x00")):
            got = await run(rest, query, b"\x00abc", b"", b"\x07?", b"\x04{", resize, end, protocol=protocol)
            assert (got[1], got[2]) == (b"cat -nabc", b"80 wide")
            status = json.loads(got[3])
            assert (status["reason"], status["details"]["causes"]) == (
                "NonZeroExitCode",
                [{"reason": "ExitCode", "message": "3"}],
            )


class Broken(NoStreams):
    """Streams to a node that is not there."""

    async def exec(self, frames):
        await anext(frames)
        raise Unavailable("node n1 is not connected")
        yield

    async def logs(self, request):
        if request.follow:
            yield b"one line\n"
        raise Unavailable("node n1 is not connected")


async def test_what_is_wrong_with_a_stream_is_told_before_or_after_its_head(tmp_path):
    async with serving_rest(tmp_path, Broken()) as rest:
        await rest.ask("POST", PODS, pod("a"))
        got = await run(rest, "command=true&stdout=true")
        assert json.loads(got[3])["message"] == "node n1 is not connected"
        refused = await rest.ask("GET", f"{PODS}/a/log")
        assert (refused.status, refused.tree["reason"]) == (503, "ServiceUnavailable")
        with pytest.raises(aiohttp.ClientError):
            await rest.ask("GET", f"{PODS}/a/log?follow=true")
        with pytest.raises(aiohttp.WSServerHandshakeError) as missing:
            await rest.admin.ws_connect(f"{rest.url}{PODS}/no/exec?command=true", protocols=("v5.channel.k8s.io",))
        assert missing.value.status == 404
