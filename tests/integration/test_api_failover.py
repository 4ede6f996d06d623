"""Clients move between replicas by themselves: nothing is lost, nothing done twice, doubt is told."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from api import errors
from component.env import Env
from component.rpc_calls import SINCE_SECONDS
from component.rpc_client import RpcClient
from component.rpc_failover import ATTEMPT_SECONDS, UNSERVED_SECONDS
from controlplane.apiserver.watches import Batch
from controlplane.replica import DEADLINE_SECONDS as REPLICA_SECONDS
from tests.api_server import config_map, running_cluster
from tests.waiting import DEADLINE_SECONDS, eventually

pytestmark = pytest.mark.slow


@pytest.fixture
async def cluster(tmp_path):
    async with running_cluster(tmp_path, endpoints=2) as cluster:
        yield cluster


async def test_a_call_goes_to_the_next_replica_when_one_is_gone(cluster):
    client = cluster.client()
    await client.create(config_map("a"))
    await cluster.stop(0)
    assert (await client.get("configmaps", "default", "a")).name == "a"
    await client.create(config_map("b"))


async def test_an_address_where_nobody_listens_is_passed_over(cluster):
    client = cluster.client(addresses=["127.0.0.1:1", *cluster.addresses])
    assert (await client.get("namespaces", "", "default")).name == "default"


async def test_without_any_replica_the_error_names_the_addresses(cluster):
    addresses = list(cluster.addresses)
    await cluster.stop(0)
    await cluster.stop(1)
    client = cluster.client(timeout_seconds=0.3)
    with pytest.raises(errors.Unavailable, match=f"{addresses[0]}, {addresses[1]}"):
        await client.get("namespaces", "", "default")


async def test_nobody_waits_out_a_long_time_out_for_replicas_that_cannot_serve(cluster):
    seconds = 0.0

    async def leaderless(*_args, **_options):
        nonlocal seconds
        seconds += REPLICA_SECONDS  # of the replica, which it waits for a leader
        raise errors.Unavailable("no replica leads")

    cluster.core.reads.get = leaderless
    env = Env(lambda: seconds, time.time, cluster.env.rng, cluster.env.new_uid)
    async with RpcClient(cluster.addresses, cluster.keys.admin, env, timeout_seconds=3600.0) as client:
        with pytest.raises(errors.Unavailable, match="no replica leads"):
            await client.get("namespaces", "", "default")
    assert seconds == UNSERVED_SECONDS


def test_a_replica_tells_why_before_the_client_gives_the_attempt_up():
    assert REPLICA_SECONDS < ATTEMPT_SECONDS


async def test_nobody_waits_out_a_long_time_out_for_a_cluster_that_is_not_there(cluster):
    seconds = 0.0

    def hurrying():
        nonlocal seconds
        seconds += 0.5  # every look at the clock
        return seconds

    env = Env(hurrying, time.time, cluster.env.rng, cluster.env.new_uid)
    async with RpcClient(["127.0.0.1:1"], cluster.keys.admin, env, timeout_seconds=3600.0) as client:
        with pytest.raises(errors.Unavailable, match="no API server can be reached"):
            await client.get("namespaces", "", "default")
    assert seconds < 60


async def test_creates_under_fail_over_happen_exactly_once(cluster):
    """The writer sees only success although its replica dies while calls are under way, again and again."""
    client = cluster.client()
    ports = [int(address.rpartition(":")[2]) for address in cluster.addresses]
    written = []

    async def write(worker):
        for index in range(60):
            stored = await client.create(config_map(f"w{worker}-{index}"))
            written.append(stored)

    async def trouble():
        while True:
            for index in (0, 1):
                before = len(written)
                await asyncio.sleep(0.05)
                # On a slow machine no call would get through between one death and the next.
                await eventually(lambda before=before: len(written) > before)
                await cluster.servers[index].server.stop(0)
                cluster.servers[index] = None
                await cluster.serve(ports[index])
                cluster.addresses.pop()
                cluster.servers[index] = cluster.servers.pop()

    troubling = asyncio.create_task(trouble())
    try:
        await asyncio.gather(*(write(worker) for worker in range(8)))
    finally:
        troubling.cancel()
        await asyncio.gather(troubling, return_exceptions=True)
        cluster.servers[:] = [server for server in cluster.servers if server is not None]
    assert {item.uid for item in (await cluster.local.list("configmaps", "default")).items} == {
        item.uid for item in written
    }
    assert len(written) == 480


async def test_a_watch_goes_on_elsewhere_without_losing_or_doubling(cluster):
    client = cluster.client()
    seen = []

    async def follow():
        async for batch in client.watch("configmaps", "default"):
            seen.extend(event for event in batch if event.type != "BOOKMARK")
            if len(seen) >= 60:
                return

    following = asyncio.create_task(follow())
    expected = []
    ports = [int(address.rpartition(":")[2]) for address in cluster.addresses]
    try:
        for index in range(60):
            expected.append((await cluster.local.create(config_map(f"m{index}"))).revision)
            if index % 15 == 7:
                victim = (index // 15) % 2
                await cluster.stop(victim)
                await cluster.serve(ports[victim])
                cluster.servers[victim] = cluster.servers.pop()
                cluster.addresses.pop()
            await asyncio.sleep(0.003)
        await asyncio.wait_for(following, DEADLINE_SECONDS)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert [event.revision for event in seen] == expected


class Breaking:
    """A core whose next write is applied and whose answer is never given.

    `applied` counts the times a write was asked for: a client that takes a slow replica for dead asks once more.
    """

    def __init__(self, cluster, method):
        self._inner = getattr(cluster.core, method)
        self._cluster = cluster
        self.applied = 0

    async def __call__(self, *args, **kwargs):
        result = await self._inner(*args, **kwargs)
        self.applied += 1
        if self.applied == 1:
            raise errors.Unknown("the leader was lost while the write was under way")
        return result


async def test_a_create_whose_answer_was_lost_is_repeated_and_recognised(cluster):
    client = cluster.client()
    cluster.core.create = Breaking(cluster, "create")
    created = await client.create(config_map("a"))
    assert cluster.core.create.applied >= 2
    assert (await client.get("configmaps", "default", "a")).uid == created.uid


async def test_a_generated_name_is_the_same_when_its_create_is_repeated(cluster):
    client = cluster.client()
    cluster.core.create = Breaking(cluster, "create")
    tree = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "a-"}}
    created = await client.create(tree)
    assert [item.name for item in (await client.list("configmaps", "default")).items] == [created.name]


async def test_an_update_whose_answer_was_lost_is_done_once_and_answered(cluster):
    client: RpcClient = cluster.client()
    first = await client.create(config_map("a"))
    cluster.core.update = Breaking(cluster, "update")
    guarded = await client.update({**first.tree(), "data": {"k": "2"}})
    assert guarded.revision == first.revision + 1
    tree = guarded.tree()
    del tree["metadata"]["resourceVersion"]
    cluster.core.update = Breaking(cluster, "update")
    assert (await client.update({**tree, "data": {"k": "3"}})).revision == first.revision + 2
    assert cluster.core.update.applied >= 2
    assert (await client.get("configmaps", "default", "a")).revision == first.revision + 2


async def test_a_delete_whose_answer_was_lost_is_answered_with_what_it_deleted(cluster):
    client = cluster.client()
    created = await client.create(config_map("a"))
    cluster.core.delete = Breaking(cluster, "delete")
    assert (await client.delete("configmaps", "default", "a")).uid == created.uid
    assert cluster.core.delete.applied >= 2


async def test_a_write_in_doubt_that_no_replica_can_settle_is_told_as_unknown(cluster):
    passed_seconds, calls = 0.0, 0
    cluster.env = replace(cluster.env, monotonic=lambda: time.monotonic() + passed_seconds)
    client = cluster.client()
    await client.create(config_map("a"))

    async def lost(*args, **kwargs):
        nonlocal passed_seconds, calls
        calls += 1
        if calls == 3:
            passed_seconds = DEADLINE_SECONDS  # which the client gives a call
        raise errors.Unknown("the leader was lost while the write was under way")

    cluster.core.update = lost
    with pytest.raises(errors.Unknown, match="read before trying again"):
        await client.update(config_map("a", {"k": "2"}))
    assert calls == 3


async def test_a_client_that_was_quiet_asks_for_a_revision_before_it_writes(cluster):
    passed_seconds = 0.0
    others = cluster.client()
    cluster.env = replace(cluster.env, monotonic=lambda: time.monotonic() + passed_seconds)
    client = cluster.client()
    await client.create(config_map("a"))
    for number in range(3):
        await others.create(config_map(f"b{number}"))
    cluster.replica.state.remembered_revision = cluster.replica.state.revision
    passed_seconds = SINCE_SECONDS
    assert (await client.create(config_map("c"))).name == "c"


async def test_while_nobody_leads_calls_wait_and_then_succeed(cluster):
    client = cluster.client()
    cluster.log.step_down()
    commit, arrived = cluster.replica.commit, asyncio.Event()

    async def noticed(*args, **kwargs):
        arrived.set()
        return await commit(*args, **kwargs)

    cluster.replica.commit = noticed
    waiting = asyncio.create_task(client.create(config_map("a")))
    await asyncio.wait_for(arrived.wait(), DEADLINE_SECONDS)
    assert not waiting.done()
    cluster.log.lead()
    assert (await asyncio.wait_for(waiting, DEADLINE_SECONDS)).name == "a"


async def test_a_replica_that_answers_unavailable_is_left_for_the_other(cluster):
    client = cluster.client()
    calls = []

    async def refuse(*args, **kwargs):
        calls.append(args)
        if len(calls) < 3:
            raise errors.Unavailable("catching up")
        return await type(cluster.core.reads).get(cluster.core.reads, *args, **kwargs)

    cluster.core.reads.get = refuse
    assert (await client.get("namespaces", "", "default")).name == "default"
    assert len(calls) >= 3


async def test_a_watch_that_was_quiet_for_long_still_finds_another_replica(cluster):
    """The client's time-out is for finding a replica, not for the watch."""
    offset = 0.0
    env = Env(lambda: time.monotonic() + offset, time.time, cluster.env.rng, cluster.env.new_uid)
    async with RpcClient(cluster.addresses, cluster.keys.admin, env, timeout_seconds=DEADLINE_SECONDS) as client:
        stream = client.watch("configmaps")
        await anext(stream)
        offset = 3600.0
        await cluster.stop(0)
        created = await cluster.local.create(config_map("a"))
        (event,) = await asyncio.wait_for(anext(stream), DEADLINE_SECONDS)
        assert event.object == created
        await stream.aclose()


async def test_a_watch_without_any_replica_ends_with_unavailable(cluster):
    hurry_seconds = seconds = 0.0

    def monotonic():
        nonlocal seconds
        seconds += hurry_seconds  # every look at the clock
        return time.monotonic() + seconds

    env = Env(monotonic, time.time, cluster.env.rng, cluster.env.new_uid)
    async with RpcClient(cluster.addresses, cluster.keys.admin, env) as client:
        stream = client.watch("configmaps")
        await anext(stream)
        hurry_seconds = 1.0
        await cluster.stop(0)
        await cluster.stop(1)
        with pytest.raises(errors.Unavailable):
            await asyncio.wait_for(anext(stream), DEADLINE_SECONDS)
        await stream.aclose()


async def test_a_watch_that_breaks_among_its_first_objects_shows_each_once(cluster):
    """The first connection dies after half of the objects that there are."""
    for index in range(4):
        await cluster.local.create(config_map(f"m{index}"))
    watch = cluster.core.reads.watch
    broken = []

    async def breaking(*args, **kwargs):
        async for batch in watch(*args, **kwargs):
            if not broken:
                broken.append(True)
                yield Batch(batch.events[:2])
                raise errors.Unavailable("shutting down")
            yield batch

    cluster.core.reads.watch = breaking
    stream = cluster.client().watch("configmaps")
    first = await asyncio.wait_for(anext(stream), DEADLINE_SECONDS)
    assert [event.object and event.object.name for event in first] == ["m0", "m1", "m2", "m3", None]
    await stream.aclose()


async def test_a_list_whose_page_expired_is_listed_again_from_the_start(cluster):
    for index in range(4):
        await cluster.local.create(config_map(f"m{index}", {"k": "x" * 1_000_000}))
    expired = []
    page = cluster.core.reads.list

    async def forgetful(*args, **kwargs):
        if kwargs["continue_token"] and not expired:
            expired.append(True)
            raise errors.Expired("not kept any more")
        return await page(*args, **kwargs)

    cluster.core.reads.list = forgetful
    listed = await cluster.client().list("configmaps")
    assert [item.name for item in listed.items] == ["m0", "m1", "m2", "m3"]
    assert expired
