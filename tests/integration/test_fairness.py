"""What one user may take of a replica, over real sockets of both front ends."""

from __future__ import annotations

import asyncio
import contextlib

import grpc
import pytest

from api.errors import TooManyRequests
from api.v1 import apiserver_pb2 as pb
from api.v1 import apiserver_pb2_grpc
from component import rpc
from controlplane.admission.request import MASTERS_GROUP, Identity
from controlplane.apiserver.fairness.limits import Limits
from tests.api_server import ADMIN, config_map, running_cluster, running_core
from tests.deaf_reader import deaf_reader
from tests.rest_server import serving_rest
from tests.waiting import eventually

FEW = Limits(calls=2, calls_alone=2, waiting_calls=2, waiting_seconds=60.0, watches=2, streams=1)
IMPATIENT = Limits(calls=1, calls_alone=1, waiting_seconds=0.05)
DEFAULT = pb.GetRequest(resource="namespaces", name="default")
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def masters(cluster, user: str):
    """Another user who may do everything."""
    return cluster.client(cluster.keys.client(user, "system:masters"))


async def once(cluster, user: str, call):
    """A call that is not sent again, with its error as ours."""
    async with rpc.channel(cluster.addresses[0], cluster.keys.client(user, "system:masters")) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await call(apiserver_pb2_grpc.ApiServerStub(channel))
    raise rpc.error_of(failure.value)


def flow_of(cluster, user: str):
    return cluster.core.gate._users["", user].flow


async def asks(client, count: int, flow, *, running: int) -> list[asyncio.Task]:
    """So many gets, once they run or wait."""
    asked = [asyncio.ensure_future(client.get("namespaces", "", "default")) for _ in range(count)]
    await eventually(lambda: flow.running == running and len(flow.waiting) == count - running)
    return asked


async def test_who_fills_the_room_waits_and_is_refused_by_name_while_others_are_served(tmp_path):
    async with running_cluster(tmp_path, limits=FEW) as cluster:
        bad, good = masters(cluster, "bad"), masters(cluster, "good")
        await asyncio.gather(bad.get("namespaces", "", "default"), good.get("namespaces", "", "default"))
        cluster.log.pause()
        asked = await asks(bad, 4, flow_of(cluster, "bad"), running=2)
        with pytest.raises(TooManyRequests, match=r'user "bad" has 2 requests .* waiting here already'):
            await once(cluster, "bad", lambda stub: stub.Get(DEFAULT))
        served = asyncio.ensure_future(good.get("namespaces", "", "default"))
        await eventually(lambda: flow_of(cluster, "good").running == 1)
        cluster.log.resume()
        assert {found.name for found in await asyncio.gather(served, *asked)} == {"default"}
        assert flow_of(cluster, "bad").running == 0


async def test_a_refused_request_is_sent_again_until_there_is_room(tmp_path):
    async with running_cluster(tmp_path, limits=FEW) as cluster:
        client = masters(cluster, "jane")
        await client.create(config_map("a"))
        cluster.log.pause()
        asked = await asks(client, 4, flow_of(cluster, "jane"), running=2)
        refused = asyncio.ensure_future(client.get("configmaps", "default", "a"))
        done, _ = await asyncio.wait((refused,), timeout=0.3)
        assert not done
        cluster.log.resume()
        assert (await refused).name == "a"
        await asyncio.gather(*asked)


async def test_who_waits_too_long_is_told_so(tmp_path):
    async with running_cluster(tmp_path, limits=IMPATIENT) as cluster:
        client = masters(cluster, "jane")
        await client.get("namespaces", "", "default")
        cluster.log.pause()
        asked = await asks(client, 1, flow_of(cluster, "jane"), running=1)
        with pytest.raises(TooManyRequests, match=r'of user "jane" wait here for more than 0\.05 s'):
            await once(cluster, "jane", lambda stub: stub.Get(DEFAULT))
        cluster.log.resume()
        await asyncio.gather(*asked)
        assert not flow_of(cluster, "jane").waiting


async def test_a_client_that_goes_while_it_waits_leaves_its_place(tmp_path):
    async with running_cluster(tmp_path, limits=FEW) as cluster:
        client = masters(cluster, "jane")
        await client.get("namespaces", "", "default")
        cluster.log.pause()
        flow = flow_of(cluster, "jane")
        asked = await asks(client, 4, flow, running=2)
        for each in asked:
            each.cancel()
        await eventually(lambda: not flow.waiting and not flow.running)
        cluster.log.resume()
        await asyncio.gather(*asked, return_exceptions=True)
        assert (await client.get("namespaces", "", "default")).name == "default"


async def first_batch(client):
    batches = client.watch("configmaps")
    await anext(batches)
    return batches


async def test_open_watches_of_a_user_are_bounded_and_a_closed_one_makes_room(tmp_path):
    async with running_cluster(tmp_path, limits=FEW) as cluster:
        jane, joe = masters(cluster, "jane"), masters(cluster, "joe")
        opened = [await first_batch(jane) for _ in range(2)]
        with pytest.raises(TooManyRequests, match='user "jane" has 2 watches open here, which is the limit'):
            await once(cluster, "jane", lambda stub: stub.Watch(pb.WatchRequest(resource="configmaps")).read())
        opened.append(await first_batch(joe))
        await opened.pop(0).aclose()
        opened.append(await first_batch(jane))
        for batches in opened:
            await batches.aclose()


async def test_beginning_a_watch_waits_for_its_turn_like_any_other_request(tmp_path):
    async with running_cluster(tmp_path, limits=FEW) as cluster:
        jane = masters(cluster, "jane")
        await jane.get("namespaces", "", "default")
        cluster.log.pause()
        flow = flow_of(cluster, "jane")
        asked = await asks(jane, 2, flow, running=2)
        opening = asyncio.ensure_future(first_batch(jane))
        await eventually(lambda: len(flow.waiting) == 1)
        cluster.log.resume()
        await asyncio.gather(*asked)
        batches = await opening
        await eventually(lambda: not flow.running)  # an open watch takes no room
        await batches.aclose()


async def test_what_watches_of_a_user_have_not_sent_yet_is_bounded_and_others_go_on(tmp_path):
    """Two batches of a megabyte each do not fit; the second one comes once the first was taken."""
    async with running_core(tmp_path, limits=Limits(unread_mebibytes=1)) as cluster:
        for name in "ab":
            await cluster.local.create(config_map(name, {"value": "x" * 800_000}))
        jane, joe = Identity("jane", (MASTERS_GROUP,)), Identity("joe", (MASTERS_GROUP,))
        first, second, others = (cluster.core.reads.watch(each, "configmaps", "default") for each in (jane, jane, joe))
        assert (await anext(first)).size_bytes > 800_000
        waiting = asyncio.ensure_future(anext(second))
        assert (await anext(others)).size_bytes > 800_000
        sending = cluster.core.gate._users["", "jane"].sending
        await eventually(lambda: sending.waiting)
        assert sending.running_bytes <= 1 << 20
        assert not waiting.done()
        await first.aclose()
        assert (await waiting).size_bytes > 800_000
        for batches in (second, others):
            await batches.aclose()
        assert (sending.running, sending.running_bytes) == (0, 0)


async def test_the_first_batches_of_a_watch_are_bounded_in_bytes(tmp_path):
    async with running_core(tmp_path) as cluster:
        for name in "abc":
            await cluster.local.create(config_map(name, {"value": "x" * 600_000}))
        sizes = []
        async with contextlib.aclosing(cluster.core.reads.watch(ADMIN, "configmaps", "default")) as batches:
            async for batch in batches:
                if batch.bookmark:
                    break
                sizes.append(len(batch.events))
        assert sizes == [1, 1, 1]


async def test_open_streams_of_a_user_are_bounded(tmp_path):
    async with running_cluster(tmp_path, limits=FEW) as cluster:
        client = masters(cluster, "jane")
        more = asyncio.Event()

        async def typing():
            await more.wait()
            yield pb.StreamFrame(stdin=b"x")

        start = pb.ExecStart(namespace="default", pod="a", command=["cat"])
        async with contextlib.aclosing(client.exec(start, typing())) as frames:
            assert (await anext(frames)).stdout == b"cat"
            with pytest.raises(TooManyRequests, match='user "jane" has 1 streams open here'):
                await anext(client.logs(pb.LogsRequest(namespace="default", pod="a")))
            more.set()
            async for _ in frames:
                pass
        assert await anext(client.logs(pb.LogsRequest(namespace="default", pod="a"))) == b"log of default/a\n"


async def test_large_answers_that_nobody_reads_are_bounded_until_their_reader_goes(tmp_path):
    limits = Limits(unread_mebibytes=1)
    asked = pb.GetRequest(resource="configmaps", namespace="default", name="large").SerializeToString()
    async with running_cluster(tmp_path, limits=limits) as cluster:
        await cluster.local.create(config_map("large", {"value": "x" * 700_000}))
        bad, good = masters(cluster, "bad"), masters(cluster, "good")
        await bad.get("namespaces", "", "default")
        user = cluster.core.gate._users["", "bad"]
        tls = cluster.keys.client("bad", "system:masters")
        async with deaf_reader(cluster.addresses[0], tls, tmp_path) as deaf:
            for _ in range(2):
                deaf.ask("/api.v1.ApiServer/Get", asked)
            await eventually(lambda: user.unread_bytes > 1_400_000)
            with pytest.raises(TooManyRequests, match="1 MiB of answers here that are not read"):
                await once(cluster, "bad", lambda stub: stub.Get(DEFAULT))
            assert (await good.get("configmaps", "default", "large")).name == "large"
        await eventually(lambda: not user.unread_bytes)
        assert (await bad.get("configmaps", "default", "large")).name == "large"
        await eventually(lambda: not user.unread_bytes)


async def test_over_https_a_refusal_is_a_429_that_says_when_to_come_back(tmp_path):
    async with serving_rest(tmp_path, limits=IMPATIENT) as rest:
        assert (await rest.ask("GET", CONFIG_MAPS)).status == 200
        rest.cluster.log.pause()
        stuck = asyncio.ensure_future(rest.ask("GET", f"{CONFIG_MAPS}/a"))
        await eventually(lambda: flow_of(rest.cluster, "kubernetes-admin").running == 1)
        refused = await rest.ask("GET", f"{CONFIG_MAPS}/a")
        assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
        assert (refused.tree["reason"], refused.tree["details"]["retryAfterSeconds"]) == ("TooManyRequests", 1)
        assert 'user "kubernetes-admin"' in refused.tree["message"]
        assert (await rest.ask("GET", "/livez")).text == "ok"
        rest.cluster.log.resume()
        assert (await stuck).status == 404


async def test_over_https_watches_count_together_with_those_over_grpc(tmp_path):
    async with serving_rest(tmp_path, limits=Limits(watches=1)) as rest:
        async with rest.admin.get(f"{rest.url}{CONFIG_MAPS}?watch=1&resourceVersion=0") as response:
            assert response.status == 200
            refused = await rest.ask("GET", f"{CONFIG_MAPS}?watch=1")
            assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
            assert "has 1 watches open here" in refused.tree["message"]
        user = rest.cluster.core.gate._users["", "kubernetes-admin"]
        await eventually(lambda: user.held["watches"] == 0)
