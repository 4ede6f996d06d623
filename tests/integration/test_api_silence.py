"""A replica that says nothing refuses nothing either: clients notice, and move on when that is safe."""

from __future__ import annotations

import asyncio
import time

import pytest

from component.client import Binding
from component.rpc_failover import SIGN_SECONDS, SILENT_SECONDS
from tests.api_server import config_map, node, pod, running_cluster
from tests.tcp_link import TcpLink

pytestmark = pytest.mark.slow

NOTICED_SECONDS = SILENT_SECONDS + SIGN_SECONDS
KEEPALIVE_SECONDS = 3.0  # to 6 s: how long it would take to notice without asking


@pytest.fixture
async def cluster(tmp_path):
    async with running_cluster(tmp_path, endpoints=2) as cluster:
        yield cluster


@pytest.fixture
async def link(cluster):
    async with TcpLink(cluster.addresses[0]) as link:
        yield link


@pytest.fixture
async def client(cluster, link):
    """Connected over the link; the other replica is reached directly."""
    client = cluster.client(addresses=[link.address, cluster.addresses[1]])
    await client.create(config_map("first"))
    return client


async def test_what_may_be_sent_twice_goes_elsewhere_when_the_link_is_cut(cluster, link, client):
    pauses = []
    for name in ("a", "b"):  # a shared machine may stand still once; what is slow is slow each time
        link.up.set()
        client = cluster.client(addresses=[link.address, cluster.addresses[1]])
        await client.get("configmaps", "default", "first")
        link.up.clear()
        began = time.monotonic()
        await asyncio.gather(client.create(config_map(name)), client.get("configmaps", "default", "first"))
        pauses.append(time.monotonic() - began)
    assert min(pauses) < KEEPALIVE_SECONDS


async def test_a_create_that_was_done_before_the_link_was_cut_is_recognised(cluster, link, client):
    inner, done = cluster.core.create, asyncio.Event()
    calls = 0

    async def create(*args, **options):
        nonlocal calls
        calls += 1
        stored = await inner(*args, **options)
        if calls == 1:
            link.up.clear()
            done.set()
        return stored

    cluster.core.create = create
    created = await client.create(config_map("a"))
    assert done.is_set()
    assert calls >= 2
    assert (await cluster.local.get("configmaps", "default", "a")).uid == created.uid


async def test_what_must_not_be_sent_twice_waits_for_its_answer(cluster, link, client):
    await cluster.local.create(node("n1"))
    stored = await cluster.local.create(pod("a"))
    link.up.clear()
    binding = asyncio.create_task(client.bind([Binding("default", "a", stored.uid, "n1")]))
    asked = asyncio.create_task(client.get("configmaps", "default", "first"))
    await asked  # over the other replica: the silence was noticed
    assert not binding.done()
    link.up.set()
    assert await binding == [None]
    assert (await cluster.local.get("pods", "default", "a")).tree()["spec"]["nodeName"] == "n1"


async def test_a_replica_that_is_only_slow_is_waited_for(cluster, client):
    inner = cluster.core.reads.get
    calls = 0

    async def slowly(*args, **options):
        nonlocal calls
        calls += 1
        await asyncio.sleep(2 * NOTICED_SECONDS)
        return await inner(*args, **options)

    cluster.core.reads.get = slowly
    needed = []
    while 1 not in needed and len(needed) < 4:  # without a processor a replica cannot give a sign of life either
        calls = 0
        assert (await client.get("configmaps", "default", "first")).name == "first"
        needed.append(calls)
    assert 1 in needed
