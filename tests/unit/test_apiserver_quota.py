"""Quotas in a core: counted in the transactions themselves, exactly, whatever happens around them."""

from __future__ import annotations

import asyncio
import random

import pytest

from api.errors import AlreadyExists, Conflict, Forbidden, NotFound
from api.quota_usage import quota_amount
from component.client import Write
from controlplane.admission.resource_quota import quota_ledger
from controlplane.apiserver.quota_counting import QuotaCounting
from controlplane.commands import Add, Key
from controlplane.quota_loop import QuotaLoop
from tests.admission_rig import quota
from tests.api_server import ADMIN, config_map, pod, running_core

LEDGER = quota_ledger("default", "small")
KEY = Key("resourcequotas", "default", "small")


def used(cluster, name="pods"):
    return cluster.replica.state.ledger(LEDGER).get(name, 0)


async def status(cluster):
    return (await cluster.local.get(*KEY_WORDS)).tree()["status"]


KEY_WORDS = ("resourcequotas", "default", "small")


def dawdle(cluster, seed=1):
    """Let time pass between decisions and commits, so that others get in between."""
    commit, rng = cluster.replica.commit, random.Random(seed)

    async def slow_commit(ops, **options):
        for _ in range(rng.randrange(12)):
            await asyncio.sleep(0)
        return await commit(ops, **options)

    cluster.replica.commit = slow_commit


async def outcome(write):
    try:
        await write
    except (Forbidden, AlreadyExists, NotFound, Conflict) as error:
        return error
    return None


def together(cluster, *trees):
    return cluster.core.transaction(ADMIN, [Write("create", tree) for tree in trees])


async def finish(cluster, name, phase="Succeeded"):
    tree = (await cluster.local.get("pods", "default", name)).tree()
    await cluster.local.update_status({**tree, "status": {**tree["status"], "phase": phase}})


async def test_a_quota_holds_once_its_creation_is_answered(tmp_path):
    async with running_core(tmp_path) as cluster:
        await cluster.local.create(pod("a"))
        await cluster.local.create(quota(pods=2))
        assert await status(cluster) == {"hard": {"pods": "2"}, "used": {"pods": "1"}}
        await cluster.local.create(pod("b"))
        with pytest.raises(Forbidden, match="exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2"):
            await cluster.local.create(pod("c"))


async def test_deleting_and_ending_pods_gives_back_what_they_took(tmp_path):
    async with running_core(tmp_path) as cluster:
        await cluster.local.create(quota(pods=2, count_pods=9))
        for name in ("a", "b"):
            await cluster.local.create(pod(name))
        await cluster.local.delete("pods", "default", "a")
        await finish(cluster, "b")
        assert (used(cluster), used(cluster, "count/pods")) == (0, 1)
        await cluster.local.create(pod("c"))
        await cluster.local.create(pod("d"))
        assert await outcome(cluster.local.create(pod("e")))


async def test_a_hundred_creators_at_once_get_exactly_what_is_left(tmp_path):
    async with running_core(tmp_path) as cluster:
        await cluster.local.create(quota(pods=7))
        dawdle(cluster)
        errors = await asyncio.gather(*(outcome(cluster.local.create(pod(f"p{n}"))) for n in range(100)))
        assert sum(error is None for error in errors) == 7
        assert {type(error) for error in errors} == {Forbidden, type(None)}
        assert used(cluster) == cluster.replica.state.count("pods") == 7


async def test_creators_and_deleters_together_never_exceed_nor_lose_anything(tmp_path):
    async with running_core(tmp_path) as cluster:
        await cluster.local.create(quota(pods=5))
        dawdle(cluster)
        highest = 0

        async def churn(writer):
            nonlocal highest
            for number in range(8):
                if await outcome(cluster.local.create(pod(f"p{writer}-{number}"))) is None:
                    highest = max(highest, cluster.replica.state.count("pods"))
                    await cluster.local.delete("pods", "default", f"p{writer}-{number}")

        await asyncio.gather(*(churn(writer) for writer in range(12)))
        assert 1 <= highest <= 5
        assert (used(cluster), cluster.replica.state.count("pods")) == (0, 0)
        errors = [await outcome(cluster.local.create(pod(f"last{n}"))) for n in range(6)]
        assert [error is None for error in errors] == [True] * 5 + [False]


async def test_a_quota_made_amid_writes_counts_them_all(tmp_path):
    """Creates decided before it are decided again; what deletes on their way took along is seen by the next count."""
    async with running_core(tmp_path) as cluster:
        for n in range(10):
            await cluster.local.create(pod(f"old{n}"))
        dawdle(cluster)
        await asyncio.gather(
            *(outcome(cluster.local.create(pod(f"new{n}"))) for n in range(20)),
            *(outcome(cluster.local.delete("pods", "default", f"old{n}")) for n in range(5)),
            cluster.local.create(quota(pods=15)),
        )
        await QuotaCounting(cluster.replica).count(KEY)
        there = cluster.replica.state.count("pods")
        assert used(cluster) == there
        errors = [await outcome(cluster.local.create(pod(f"more{n}"))) for n in range(16)]
        assert sum(error is None for error in errors) == max(0, 15 - there)


async def test_a_pod_decided_before_a_quota_is_decided_again(tmp_path):
    async with running_core(tmp_path) as cluster:
        commit, waiting, go_on = cluster.replica.commit, asyncio.Event(), asyncio.Event()

        async def held_commit(ops, **options):
            if any(getattr(op, "envelope", None) and op.envelope.key.resource == "pods" for op in ops):
                waiting.set()
                await go_on.wait()
            return await commit(ops, **options)

        cluster.replica.commit = held_commit
        creation = asyncio.create_task(outcome(cluster.local.create(pod("late"))))
        await waiting.wait()
        await cluster.local.create(quota(pods=0))
        go_on.set()
        assert isinstance(await creation, Forbidden)
        assert cluster.replica.state.count("pods") == 0


async def test_a_changed_quota_counts_what_it_did_not_bound_before(tmp_path):
    async with running_core(tmp_path) as cluster:
        await cluster.local.create(config_map("a"))
        made = await cluster.local.create(quota(pods=3))
        tree = {**made.tree(), "spec": {"hard": {"configmaps": "1"}}}
        del tree["metadata"]["resourceVersion"]
        await cluster.local.update(tree)
        assert dict(cluster.replica.state.ledger(LEDGER)) == {"configmaps": 1}
        assert await status(cluster) == {"hard": {"configmaps": "1"}, "used": {"configmaps": "1"}}
        with pytest.raises(Forbidden, match='configmaps "b" is forbidden: exceeded quota'):
            await cluster.local.create(config_map("b"))
        await cluster.local.create(pod("free"))


async def test_a_deleted_quota_leaves_nothing_behind(tmp_path):
    async with running_core(tmp_path) as cluster:
        await cluster.local.create(quota(pods=1))
        await cluster.local.create(pod("a"))
        dawdle(cluster)
        await asyncio.gather(
            cluster.local.delete(*KEY_WORDS),
            *(outcome(cluster.local.create(pod(f"p{n}"))) for n in range(5)),
            outcome(cluster.local.delete("pods", "default", "a")),
        )
        assert dict(cluster.replica.state.all_ledgers()) == {}
        await cluster.local.create(pod("another"))


async def test_quotas_of_other_namespaces_do_not_count(tmp_path):
    async with running_core(tmp_path) as cluster:
        await cluster.local.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
        await cluster.local.create(quota(pods=0))
        await cluster.local.create(pod("a", metadata={"namespace": "other"}))
        assert await outcome(cluster.local.create(pod("a")))


async def test_a_transaction_takes_all_or_nothing_of_a_quota(tmp_path):
    async with running_core(tmp_path) as cluster:
        await cluster.local.create(quota(pods=2))
        result = await together(cluster, *(pod(f"p{n}") for n in range(3)))
        assert not result.committed
        assert "exceeded quota: small" in str(result.results[2].error)
        assert used(cluster) == 0
        assert (await together(cluster, *(pod(f"p{n}") for n in range(2)))).committed
        assert used(cluster) == 2


async def test_a_quota_made_in_a_transaction_holds_once_that_is_answered(tmp_path):
    async with running_core(tmp_path) as cluster:
        result = await together(cluster, quota(pods=1), pod("a"))
        assert result.committed
        assert used(cluster) == 1
        assert await outcome(cluster.local.create(pod("b")))


async def test_a_dry_run_takes_nothing_and_is_refused_all_the_same(tmp_path):
    async with running_core(tmp_path) as cluster:
        await cluster.local.create(quota(pods=1))
        await cluster.local.create(pod("a"), dry_run=False)
        assert await outcome(cluster.local.create(pod("b"), dry_run=True))
        assert used(cluster) == 1


async def test_nobody_writes_what_is_used(tmp_path):
    async with running_core(tmp_path) as cluster:
        await cluster.local.create(quota(pods=1))
        made = await cluster.local.get(*KEY_WORDS)
        with pytest.raises(Forbidden, match="the status of a quota is counted by the API itself"):
            await cluster.local.update_status({**made.tree(), "status": {"used": {"pods": "0"}}})


async def test_the_leader_shows_what_is_used_and_repairs_what_drifted(tmp_path):
    async with running_core(tmp_path) as cluster:
        await cluster.local.create(quota(pods=5, requests__cpu=2))
        sized = pod("a")
        sized["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1500m"}}
        await cluster.local.create(sized)
        loop = QuotaLoop(cluster.replica, cluster.env, 0)
        await loop.look()
        assert (await status(cluster))["used"] == {"pods": "1", "requests.cpu": "1500m"}
        revision = cluster.replica.state.revision
        await loop.look()
        await loop.look()
        assert cluster.replica.state.revision == revision, "it writes though nothing changed"
        await cluster.replica.commit([Add(LEDGER, {"pods": 3})])
        await QuotaCounting(cluster.replica).count(KEY)
        assert used(cluster) == 1


async def test_counting_twice_at_once_changes_nothing_twice(tmp_path):
    async with running_core(tmp_path) as cluster:
        await cluster.local.create(quota(pods=5))
        await cluster.local.create(pod("a"))
        await cluster.replica.commit([Add(LEDGER, {"pods": 3})])
        dawdle(cluster)
        counting = QuotaCounting(cluster.replica)
        await asyncio.gather(*(counting.count(KEY) for _ in range(4)), cluster.local.create(pod("b")))
        assert used(cluster) == 2


async def test_a_namespace_without_quotas_pays_nothing(tmp_path):
    async with running_core(tmp_path) as cluster:
        seen = []
        commit = cluster.replica.commit

        async def watched(ops, **options):
            seen.append(ops)
            return await commit(ops, **options)

        cluster.replica.commit = watched
        await cluster.local.create(pod("a"))
        await cluster.local.delete("pods", "default", "a")
        creation, deletion = seen
        assert not any(isinstance(op, Add) for op in creation)
        assert [type(op).__name__ for op in deletion] == ["Check", "Delete"]


def test_amounts_of_quotas_are_exact():
    assert quota_amount("requests.cpu", "0.1") == 100
    assert quota_amount("limits.memory", "1Ki") == 1024
