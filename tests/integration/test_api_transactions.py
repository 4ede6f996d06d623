"""Transactions and the past, over gRPC and TLS."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from api import errors
from api.v1 import apiserver_pb2 as pb
from api.v1 import apiserver_pb2_grpc
from component import rpc
from component.client import Removal, Write
from tests.api_server import config_map, pod, running_cluster, running_core
from tests.waiting import DEADLINE_SECONDS

pytestmark = pytest.mark.slow


@pytest.fixture
async def cluster(tmp_path):
    async with running_cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
async def client(cluster):
    return cluster.client()


async def test_a_transaction_is_done_whole_or_not_at_all(client):
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "new"}}
    wanted = [Write("apply", namespace), *(Write("apply", config_map(f"c{n}", namespace="new")) for n in range(100))]
    wrong = Write("create", pod("p", containers=[{"name": "Main!", "image": "i", "restart": "no"}]))
    refused = await client.transaction([*wanted, wrong, Removal("configmaps", "default", "absent")])
    assert not refused.committed
    assert [each.outcome for each in refused.results] == [""] * 101 + ["refused"] * 2
    invalid, missing = (each.error for each in refused.results[-2:])
    assert isinstance(invalid, errors.Invalid)
    assert [fault.path for fault in invalid.fields] == ["spec.containers[0].restart"]
    assert isinstance(missing, errors.NotFound)
    with pytest.raises(errors.NotFound):
        await client.get("namespaces", "", "new")
    done = await client.transaction(wanted)
    assert [each.outcome for each in done.results] == ["created"] * 101
    listed = await client.list("configmaps", "new")
    assert {each.revision for each in listed.items} == {each.object.revision for each in done.results[1:]}
    assert listed.revision == done.revision == done.results[-1].object.revision


async def test_a_transaction_whose_answer_was_lost_is_not_done_twice(cluster, client):
    first = pb.TransactionRequest(sending=pb.Sending(id=b"0123456789abcdef"))
    first.operations.add().apply.json = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}'
    first.operations.add().delete.MergeFrom(pb.DeleteRequest(resource="configmaps", namespace="default", name="b"))
    await client.create(config_map("b"))
    async with rpc.channel(cluster.addresses[0], cluster.keys.admin) as channel:
        stub = apiserver_pb2_grpc.ApiServerStub(channel)
        done, again = await stub.Transaction(first), await stub.Transaction(first)
    assert done.committed
    assert again.committed
    assert again.resource_version == done.resource_version == cluster.replica.state.revision


async def test_a_watcher_resumed_from_before_a_transaction_sees_all_of_it_in_order(client):
    start = (await client.list("configmaps", "default")).revision
    done = await client.transaction([Write("create", config_map(f"c{n:02d}")) for n in range(50)])
    seen = []
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        aclosing(client.watch("configmaps", "default", revision=start)) as stream,
    ):
        async for batch in stream:
            seen += [event.revision for event in batch if event.object]
            if len(seen) >= 50:
                break
    assert seen == [each.object.revision for each in done.results]


async def test_the_past_is_read_over_the_wire(client):
    first = await client.create(config_map("a", {"k": "1"}))
    done = await client.transaction([Write("apply", config_map(name, {"k": "2"})) for name in "abc"])
    await client.delete("configmaps", "default", "c")
    assert await client.get("configmaps", "default", "a", at_revision=first.revision) == first
    listed = await client.list("configmaps", "default", at_revision=done.revision)
    assert listed.items == tuple(each.object for each in done.results)
    assert listed.revision == done.revision
    assert (await client.list("configmaps", at_revision=0)).items == ()
    inside = await client.moment(revision=done.revision - 1)
    assert inside.revision == done.revision
    assert (await client.moment(time=inside.time)).revision <= done.revision
    told = await client.history("configmaps", "default", "a")
    assert [(each.revision, list(each.paths)) for each in told.changes] == [
        (first.revision, []),
        (done.results[0].object.revision, ["data.k"]),
    ]
    for wrong in ({"at_revision": 10**9}, {"at_revision": 10**18}):
        with pytest.raises(errors.Invalid, match="has not come yet"):
            await client.get("configmaps", "default", "a", **wrong)


async def test_a_client_asks_the_replica_whose_history_goes_back_far_enough(tmp_path, cluster):
    created = [await cluster.local.create(config_map(name)) for name in "abc"]
    async with running_core(tmp_path / "short", history_bytes=0) as short:
        for name in "abcd":
            await short.local.create(config_map(name))
        short.keys = cluster.keys
        addresses = [await short.serve(), cluster.addresses[0]]
        client, only = cluster.client(addresses=addresses), cluster.client(addresses=addresses[:1])
        listed = await client.list("configmaps", "default", at_revision=created[1].revision)
        assert listed.items == tuple(created[:2])
        with pytest.raises(errors.Expired, match="history on replica r1 begins at revision"):
            await only.list("configmaps", "default", at_revision=created[1].revision)
        await short.stop(0)
