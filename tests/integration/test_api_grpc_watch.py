"""Lists in pages and watches over real gRPC and TLS: order, size, slow readers, a server that closes."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest

from api import errors
from api.v1 import apiserver_pb2 as pb
from api.v1 import apiserver_pb2_grpc
from component import rpc
from controlplane.apiserver.pages import KEPT_STATES
from tests.api_server import config_map, running_cluster
from tests.waiting import DEADLINE_SECONDS, eventually

pytestmark = pytest.mark.slow


@pytest.fixture
async def cluster(tmp_path):
    async with running_cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
async def client(cluster):
    return cluster.client()


async def next_event(stream, wanted=lambda event: True):
    async with asyncio.timeout(DEADLINE_SECONDS):
        async for batch in stream:
            for event in batch:
                if wanted(event):
                    return event
    raise AssertionError("the watch ended")


async def collect(stream, count):
    events = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        async for batch in stream:
            events += [event for event in batch if event.type != "BOOKMARK"]
            if len(events) >= count:
                return events
    raise AssertionError("the watch ended")


async def test_the_watch_shows_what_there_is_then_a_bookmark_then_changes(client):
    await client.create(config_map("a"))
    stream = client.watch("configmaps", "default")
    first = await anext(stream)
    assert [(event.type, event.object and event.object.name) for event in first] == [("ADDED", "a"), ("BOOKMARK", None)]
    created = await client.create(config_map("b"))
    event = await next_event(stream)
    assert (event.type, event.revision, event.object) == ("ADDED", created.revision, created)
    deleted = await client.delete("configmaps", "default", "b")
    event = await next_event(stream)
    assert (event.type, event.revision, event.object.json) == ("DELETED", deleted.revision, created.json)
    await stream.aclose()


async def test_the_watch_from_a_revision_shows_only_later_changes(client):
    first = await client.create(config_map("a"))
    second = await client.create(config_map("b"))
    stream = client.watch("configmaps", "default", revision=first.revision)
    assert (await next_event(stream)).object == second
    await stream.aclose()


async def test_selectors_turn_changes_into_entering_and_leaving(client):
    stream = client.watch("configmaps", "default", label_selector="app=web")
    await anext(stream)
    created = await client.create(config_map("a", labels={"app": "db"}))
    tree = created.tree()
    tree["metadata"]["labels"]["app"] = "web"
    entered = await client.update(tree)
    tree = entered.tree()
    tree["metadata"]["labels"]["app"] = "db"
    left = await client.update(tree)
    events = await collect(stream, 2)
    assert [(event.type, event.revision) for event in events] == [
        ("ADDED", entered.revision),
        ("DELETED", left.revision),
    ]
    assert events[1].object.json == entered.json
    await stream.aclose()


async def test_a_revision_of_the_future_is_expired_so_that_the_client_lists_again(client, cluster):
    with pytest.raises(errors.Expired, match="list again"):
        await anext(client.watch("pods", revision=10**9))


async def test_pages_show_one_revision_even_while_objects_change(client):
    for index in range(7):
        await client.create(config_map(f"m{index}"))
    page = await client.list("configmaps", "default", limit=3)
    await client.create(config_map("m1a"))
    await client.delete("configmaps", "default", "m6")
    names, revision = [item.name for item in page.items], page.revision
    while page.continue_token:
        page = await client.list("configmaps", "default", limit=3, continue_token=page.continue_token)
        names += [item.name for item in page.items]
        assert page.revision == revision
    assert names == [f"m{index}" for index in range(7)]


async def test_a_list_larger_than_a_message_arrives_whole(client):
    big = "x" * 900_000
    for index in range(8):
        await client.create(config_map(f"m{index}", {"k": big}))
    listed = await client.list("configmaps", "default")
    assert [item.name for item in listed.items] == [f"m{index}" for index in range(8)]


async def test_a_watch_over_many_large_objects_is_cut_into_messages(client):
    big = "x" * 1_000_000
    for index in range(20):
        await client.create(config_map(f"m{index:02}", {"k": big}))
    first = await anext(client.watch("configmaps", "default"))
    assert len(first) == 21


async def drain(call):
    while await call.read() is not grpc.aio.EOF:
        pass


async def test_a_reader_that_stops_reading_is_let_go(cluster, client):
    cluster.servers[0]._watches._slow_reader_seconds = 0.2
    watch, ended = cluster.core.reads.watch, []

    async def watched(*args, **kwargs):
        try:
            async for batch in watch(*args, **kwargs):
                yield batch
        finally:
            ended.append(True)

    cluster.core.reads.watch = watched
    async with rpc.channel(cluster.addresses[0], cluster.keys.admin) as channel:
        stuck = channel.unary_stream("/api.v1.ApiServer/Watch")(
            pb.WatchRequest(resource="configmaps").SerializeToString()
        )
        await stuck.read()
        for index in range(8):
            await client.create(config_map(f"m{index}", {"k": "x" * 1_000_000}))
        await eventually(lambda: ended)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await drain(stuck)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert "watch on from the last revision" in str(rpc.error_of(caught.value))


async def test_closing_a_server_sends_its_watchers_to_another_at_once(cluster):
    await cluster.serve()
    stream = cluster.client().watch("configmaps")
    await anext(stream)
    async with rpc.channel(cluster.addresses[0], cluster.keys.admin) as channel:
        watch = apiserver_pb2_grpc.ApiServerStub(channel).Watch(pb.WatchRequest(resource="configmaps"))
        await watch.read()
        await cluster.servers[0].close()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await drain(watch)
        assert "shutting down" in str(rpc.error_of(caught.value))  # told, not cut off when the grace was over
    created = await cluster.local.create(config_map("a"))
    assert (await next_event(stream, lambda event: event.object)).object == created
    await stream.aclose()


async def test_an_expired_page_of_a_list_in_pages_is_the_callers_business(tmp_path):
    async with running_cluster(tmp_path, history_bytes=0) as cluster:
        client = cluster.client()
        for index in range(3):
            await client.create(config_map(f"m{index}"))
        page = await client.list("configmaps", limit=1)
        for index in range(KEPT_STATES):
            await client.create(config_map(f"n{index}"))
            await client.list("configmaps", limit=1)
        for limit in (0, 1):
            with pytest.raises(errors.Expired):
                await client.list("configmaps", limit=limit, continue_token=page.continue_token)
