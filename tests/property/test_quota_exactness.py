"""Whatever is created, ended and deleted at once, and whoever leads: a quota is never exceeded, and nothing of it is lost.

Random writers hammer one core while quotas come and go and leadership changes with proposals under way. One quota is there
all the time: its ledger must be exact at every commit. The others must be exact once they have been counted.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound, Unavailable, Unknown
from api.policy import ResourceQuotaSpec
from api.quota_usage import taken
from controlplane.admission.resource_quota import QUOTAS, quota_ledger
from controlplane.apiserver.quota_counting import QuotaCounting
from controlplane.commands import Key
from tests.admission_rig import quota
from tests.api_server import config_map, pod, running_core

EXPECTED = (AlreadyExists, Conflict, Forbidden, Invalid, NotFound, Unavailable, Unknown)
NAMES = ["a", "b", "c", "d", "e"]
PODS, MILLICORES = 3, 1000

operation = st.one_of(
    st.tuples(st.just("create"), st.sampled_from(NAMES), st.sampled_from(["100m", "400m", "900m"])),
    st.tuples(st.just("burst"), st.sampled_from(["100m", "400m"])),
    st.tuples(st.just("finish"), st.sampled_from(NAMES)),
    st.tuples(st.just("delete"), st.sampled_from(NAMES)),
    st.tuples(st.just("configure"), st.sampled_from(NAMES)),
    st.tuples(st.just("quota"), st.sampled_from(["late", "later"]), st.integers(0, 4)),
    st.tuples(st.just("drop"), st.sampled_from(["late", "later"])),
    st.tuples(st.just("count"), st.sampled_from(["fixed", "late"])),
    st.tuples(st.just("elect"), st.integers(0, 6)),
)


def sized(name, cpu):
    tree = pod(name)
    tree["spec"]["containers"][0]["resources"] = {"requests": {"cpu": cpu}}
    return tree


async def finish(api, name):
    tree = (await api.get("pods", "default", name)).tree()
    await api.update_status({**tree, "status": {**tree["status"], "phase": "Succeeded"}})


async def make_quota(api, name, number):
    """A quota that bounds something else each time it is applied."""
    bounds = {"pods": number} if number % 2 else {"configmaps": number, "requests__cpu": 2}
    await api.apply(quota(name, **bounds))


async def burst(api, cpu):
    """More than the quota takes, all at once."""
    results = await asyncio.gather(*(api.create(sized(name, cpu)) for name in NAMES), return_exceptions=True)
    assert all(isinstance(each, EXPECTED) for each in results if isinstance(each, BaseException)), results


async def elect(cluster, ticks):
    """Another term, in which what was proposed meanwhile is lost."""
    cluster.log.pause()
    for _ in range(ticks):
        await asyncio.sleep(0)
    cluster.log.step_down()
    cluster.log.lead()
    cluster.log.resume()


PERFORM = {
    "create": lambda cluster, name, cpu: cluster.local.create(sized(name, cpu)),
    "burst": lambda cluster, cpu: burst(cluster.local, cpu),
    "finish": lambda cluster, name: finish(cluster.local, name),
    "delete": lambda cluster, name: cluster.local.delete("pods", "default", name, grace_seconds=0),
    "configure": lambda cluster, name: cluster.local.create(config_map(name)),
    "quota": lambda cluster, name, number: make_quota(cluster.local, name, number),
    "drop": lambda cluster, name: cluster.local.delete(QUOTAS, "default", name),
    "count": lambda cluster, name: QuotaCounting(cluster.replica).count(Key(QUOTAS, "default", name)),
    "elect": elect,
}


def trees(state, resource):
    return [msgspec.json.decode(stored.body) for stored in state.scan(resource, "default")]


def there(state, spec):
    """What the objects of the namespace take of a quota."""
    used = {}
    for resource in ("pods", "configmaps"):
        for tree in trees(state, resource):
            for name, amount in taken(spec, resource, tree).items():
                used[name] = used.get(name, 0) + amount
    return used


def check_fixed(state):
    fixed = msgspec.convert(quota("fixed", pods=PODS, requests__cpu=MILLICORES // 1000)["spec"], ResourceQuotaSpec)
    used = there(state, fixed)
    assert used.get("pods", 0) <= PODS
    assert used.get("requests.cpu", 0) <= MILLICORES
    assert dict(state.ledger(quota_ledger("default", "fixed"))) == used


async def check_others(cluster):
    state, ledgers = cluster.replica.state, set()
    for tree in trees(state, QUOTAS):
        name = tree["metadata"]["name"]
        await QuotaCounting(cluster.replica).count(Key(QUOTAS, "default", name))
        spec = msgspec.convert(tree["spec"], ResourceQuotaSpec)
        ledger = dict(state.ledger(quota_ledger("default", name)))
        assert ledger == there(state, spec)
        ledgers |= {quota_ledger("default", name)} if ledger else set()
    assert {name for name, _ in state.all_ledgers()} == ledgers, "a quota that is gone left its ledger"


def dawdle(cluster):
    """Let time pass between decisions and commits, and look at the state after every one of them."""
    commit, rng = cluster.replica.commit, random.Random(1)

    async def slow_commit(ops, **options):
        for _ in range(rng.randrange(12)):
            await asyncio.sleep(0)
        committed = await commit(ops, **options)
        check_fixed(cluster.replica.state)
        return committed

    cluster.replica.commit = slow_commit


async def run(folder, writers):
    async with running_core(folder) as cluster:
        await cluster.local.create(quota("fixed", pods=PODS, requests__cpu=MILLICORES // 1000))
        dawdle(cluster)

        async def write(steps):
            for step in steps:
                try:
                    await PERFORM[step[0]](cluster, *step[1:])
                except EXPECTED:
                    continue

        await asyncio.gather(*(write(steps) for steps in writers))
        await cluster.replica.read_barrier()
        check_fixed(cluster.replica.state)
        await check_others(cluster)


@pytest.mark.slow
@settings(max_examples=25)
@given(writers=st.lists(st.lists(operation, max_size=12), min_size=2, max_size=6))
def test_a_quota_is_exact_whatever_happens_at_once(writers):
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder), writers))
