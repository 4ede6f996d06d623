"""Replicas are killed while a client writes and pods serve: no acknowledged write and no request is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from api.errors import ApiError, Forbidden, Unavailable, Unknown
from component.env import system_env
from lab import cluster as labs
from tests.e2e.cluster import Cluster, eventually, tell
from tests.e2e.test_rollouts import web
from tests.e2e.writer import Writer

__all__ = ["web"]

KILLS = 2  # of each kind; bench.chaos_control_plane does more
RESUME_SECONDS = 10.0  # generous: several other clusters may share the two cores of a test machine
RETURN_SECONDS = 3.0  # at once on a quiet machine: the majority is noticed later than used
RETURN_TRIES = 3  # a shared machine may stand still once; what is slow is slow each time
OUTAGE_REQUESTS = 300


@pytest.fixture
def healthy(cluster: Cluster) -> Iterator[Cluster]:
    """Everything runs before, and again afterwards."""
    cluster.wait_healthy()
    yield cluster
    for host in cluster.lab.hosts:
        for process in cluster.processes(host.name):
            cluster.switch(host.name, process, on=True)
    cluster.wait_healthy()


def leading(cluster: Cluster) -> str:
    return eventually("a replica leads", cluster.leader)


@pytest.mark.parametrize("victims", [("raft",), ("api",), ("raft", "api")], ids="+".join)
def test_writes_survive_the_death_of_the_leaders_processes(healthy, space, victims):
    pauses = []
    with Writer(healthy, space.name) as writer:
        for _ in range(KILLS):
            leader = leading(healthy)
            killed = [(leader, process, healthy.kill(leader, process)) for process in victims]
            instant = time.monotonic()
            healthy.wait_restarted(killed)
            writer.wait_for_another()
            pauses.append(writer.outage_seconds(instant))
    shown = ", ".join(f"{pause * 1000:.0f}" for pause in sorted(pauses))
    tell(f"kill -9 of the leader's {'+'.join(victims)}: writes again after {shown} ms")
    tell(f"  {len(writer.acknowledged)} writes acknowledged, told of {len(writer.problems)} unknown")
    assert max(pauses) < RESUME_SECONDS
    assert not writer.missing()


def test_writes_survive_the_death_of_all_replicas_at_once(healthy, space):
    with Writer(healthy, space.name) as writer:
        eventually("some writes", lambda: len(writer.acknowledged) > 20)
        for _ in range(RETURN_TRIES):
            for host in ("r1", "r2", "r3"):
                for process in ("raft", "api"):
                    healthy.kill(host, process)
            killed = time.monotonic()
            eventually("a majority is ready", lambda: healthy.ready_replicas() >= 2, 60)
            ready = time.monotonic() - killed
            writer.wait_for_another()
            resumed = writer.outage_seconds(killed)
            tell(f"all replicas killed: majority ready after {ready:.1f} s, writes after {resumed:.1f} s")
            if resumed - ready < RETURN_SECONDS:
                break
            healthy.wait_healthy()
    assert resumed - ready < RETURN_SECONDS
    assert not writer.missing()


@contextmanager
def outage(cluster: Cluster) -> Iterator[None]:
    """No replica runs, at all."""
    replicas = [host.name for host in cluster.lab.hosts if host.role == "replica"]
    for host in replicas:
        for process in ("api", "raft"):
            cluster.kill(host, process)
            cluster.switch(host, process, on=False)
    eventually("no replica runs", lambda: not any(any(cluster.processes(host).values()) for host in replicas))
    yield
    assert not any(any(cluster.processes(host).values()) for host in replicas)
    for host in replicas:
        for process in ("raft", "api"):
            cluster.switch(host, process, on=True)


def test_services_lose_no_request_while_the_control_plane_is_down(healthy, web):
    address = web.vip("web")
    uids = {pod["metadata"]["uid"] for pod in web.pods()}
    with ExitStack() as stack:
        sources = {"pod": web.pod("client"), "host": "n2", "machine": ""}
        loads = [stack.enter_context(healthy.load(source, address)) for source in sources.values()]
        with outage(healthy):
            before = [load.total() for load in loads]
            agent = healthy.processes("n3")["agent"]
            healthy.kill("n3", "agent")  # it comes back with what it knew
            eventually("an agent came back alone", lambda: healthy.processes("n3")["agent"] not in {0, agent})
            eventually(
                "requests during the outage",
                lambda: all(load.total() > OUTAGE_REQUESTS + count for load, count in zip(loads, before, strict=True)),
                60,
            )
        healthy.wait_healthy()
        after = [load.total() for load in loads]
        eventually(
            "requests afterwards",
            lambda: all(load.total() > 50 + count for load, count in zip(loads, after, strict=True)),
        )
    for name, load in zip(sources, loads, strict=True):
        tell(load.report(f"control plane down and up again, from {name}"))
    assert [load.failures for load in loads] == [[], [], []]
    assert {pod["metadata"]["uid"] for pod in web.pods()} == uids


def test_without_a_majority_the_error_says_so_and_stops(healthy):
    for host in ("r2", "r3"):
        for process in ("raft", "api"):
            healthy.switch(host, process, on=False)
    eventually(
        "two are down", lambda: not any(healthy.processes("r2").values()) and not any(healthy.processes("r3").values())
    )

    async def write() -> None:
        async with labs.client_of(healthy.lab, system_env(), timeout_seconds=3.0) as client:
            await client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "never"}})

    with pytest.raises(ApiError) as failed:
        healthy.call(write())
    assert isinstance(failed.value, Unavailable | Unknown)


def test_a_quota_is_exact_through_the_death_of_the_leader(healthy, space):
    bound = 30
    healthy.tim("create", "quota", "few", f"--hard=secrets={bound}", "-n", space.name)
    leader = leading(healthy)
    killed = [(leader, process, healthy.kill(leader, process)) for process in ("raft", "api")]
    refusals = healthy.call(create_secrets(healthy, space.name, "first", 2 * bound))
    assert len(healthy.list("secrets", space.name)) <= bound
    healthy.wait_restarted(killed)
    refusals += healthy.call(create_secrets(healthy, space.name, "second", bound))
    names = sorted(each["metadata"]["name"] for each in healthy.list("secrets", space.name))
    assert len(names) == bound
    assert any("exceeded quota: few, requested: secrets=1" in str(each) for each in refusals)
    for name in names[:5]:
        healthy.call(healthy.client.delete("secrets", space.name, name))
    healthy.call(create_secrets(healthy, space.name, "third", 10))
    assert len(healthy.list("secrets", space.name)) == bound
    eventually(
        "the quota's status says what is used",
        lambda: healthy.get("resourcequotas", space.name, "few")["status"]["used"] == {"secrets": str(bound)},
    )


async def create_secrets(cluster: Cluster, namespace: str, prefix: str, count: int) -> list[ApiError]:
    """All at once; returns what was not acknowledged. A refusal is final, everything else may have been done."""

    async def create(number: int) -> ApiError | None:
        metadata = {"name": f"{prefix}-{number}", "namespace": namespace}
        try:
            await cluster.client.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata})
        except (Forbidden, Unavailable, Unknown) as error:
            return error
        return None

    outcomes = await asyncio.gather(*(create(number) for number in range(count)))
    return [each for each in outcomes if each is not None]
