"""Reads that say how new the state must be: what a replica may answer without asking the leader, and for how long."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from api import errors
from controlplane.admission.chain import default_chain
from controlplane.apiserver.core import ApiCore
from controlplane.apiserver.freshness import Freshness, wait_fresh
from controlplane.apiserver.past import At
from controlplane.confirm_loop import PERIOD_SECONDS, ConfirmLoop
from controlplane.replica import Replica
from tests.api_server import ADMIN, NoPeers, config_map, make_env
from tests.fake_env import FakeClock
from tests.single_log import SingleLog
from tests.waiting import eventually

KIND = "configmaps"


class Rig:
    def __init__(self, folder):
        self.clock = FakeClock(100.0)
        self.log = SingleLog("r1")
        env = replace(make_env(), monotonic=self.clock)
        self.replica = Replica("r1", self.log, NoPeers(), folder, env)
        self.core = ApiCore(self.replica, default_chain(), env)

    def cut_off(self):
        """No leader is in reach any more."""
        self.log.step_down()

    async def read(self, **fresh):
        return await self.core.reads.get(ADMIN, "namespaces", "", "default", fresh=Freshness(**fresh))


@pytest.fixture
async def rig(tmp_path):
    rig = Rig(tmp_path)
    await rig.replica.start()
    await rig.core.create(ADMIN, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
    yield rig
    await rig.replica.close()


async def test_a_cut_off_replica_answers_within_the_bound_and_then_refuses_with_the_reason(rig):
    await rig.core.create(ADMIN, {**config_map("a"), "metadata": {"name": "a", "namespace": "default"}})
    await rig.core.reads.list(ADMIN, KIND)  # any linearizable read confirms the state
    rig.cut_off()
    rig.clock.advance(9.9)
    assert (await rig.read(stale_seconds=10)).name == "default"
    assert [
        each.name for each in (await rig.core.reads.list(ADMIN, KIND, fresh=Freshness(stale_seconds=10))).items
    ] == ["a"]
    rig.clock.advance(0.2)
    for read in (rig.read(stale_seconds=10), rig.core.reads.list(ADMIN, KIND, fresh=Freshness(stale_seconds=10))):
        with pytest.raises(errors.Unavailable) as told:
            await read
        said = "replica r1 last knew its state to be the newest 10.1 s ago, more than the 10 s allowed: "
        assert str(told.value).startswith(said)
    assert (await rig.read(stale_seconds=11)).name == "default"


async def test_a_bound_of_nothing_is_a_linearizable_read(rig):
    assert (await rig.read(stale_seconds=0)).name == "default"
    rig.cut_off()
    rig.clock.advance(0.001)
    with pytest.raises(errors.Unavailable):
        await rig.read(stale_seconds=0)


async def test_a_state_that_is_too_old_is_confirmed_anew_where_a_leader_can_be_asked(rig):
    await rig.replica.read_barrier()
    rig.clock.advance(100)
    assert rig.replica.age_seconds == 100
    await rig.read(stale_seconds=1)
    assert rig.replica.age_seconds == 0


async def test_a_replica_that_never_heard_of_a_leader_answers_only_who_takes_any_state(tmp_path):
    rig = Rig(tmp_path)
    rig.cut_off()
    await rig.replica.start()
    try:
        with pytest.raises(
            errors.Unavailable, match="replica r1 has not known its state to be the newest since it started"
        ):
            await rig.read(stale_seconds=1e9)
        with pytest.raises(errors.NotFound):  # and it has nothing
            await rig.read(not_older_than=0)
    finally:
        await rig.replica.close()


async def test_any_state_that_is_not_older_than_a_revision_answers_without_a_leader(rig):
    rig.cut_off()
    rig.clock.advance(1000)
    assert (await rig.read(not_older_than=rig.replica.state.revision)).name == "default"
    assert (await rig.read(not_older_than=0)).name == "default"


async def test_a_revision_that_has_not_come_here_is_waited_for_and_then_too_large(rig, monkeypatch):
    monkeypatch.setattr("controlplane.replica.NEWER_SECONDS", 0.05)
    coming = asyncio.ensure_future(rig.read(not_older_than=rig.replica.state.revision + 1))
    await asyncio.sleep(0)
    assert not coming.done()
    await rig.core.create(ADMIN, {**config_map("b"), "metadata": {"name": "b", "namespace": "default"}})
    assert (await coming).name == "default"


async def test_both_conditions_count(rig):
    await rig.replica.read_barrier()
    rig.cut_off()
    rig.clock.advance(5)
    with pytest.raises(errors.Unavailable):
        await rig.read(stale_seconds=1, not_older_than=1)
    assert await rig.read(stale_seconds=6, not_older_than=1)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
async def test_a_bound_that_is_none_is_refused(rig, seconds):
    with pytest.raises(errors.Invalid, match="it must be 0 or more"):
        await wait_fresh(rig.replica, Freshness(stale_seconds=seconds))


async def test_the_past_cannot_be_stale(rig):
    fresh = Freshness(stale_seconds=1)
    for read in (
        rig.core.reads.get(ADMIN, "namespaces", "", "default", fresh=fresh, at=At(1)),
        rig.core.reads.list(ADMIN, KIND, fresh=fresh, at=At(1)),
    ):
        with pytest.raises(errors.Invalid, match="the past is as it was"):
            await read


async def test_an_idle_replica_confirms_its_state_by_itself(rig, monkeypatch):
    monkeypatch.setattr("controlplane.confirm_loop.PERIOD_SECONDS", 0.001)
    rig.clock.advance(100)
    loop = asyncio.ensure_future(ConfirmLoop(rig.replica).run())
    await eventually(lambda: rig.replica.age_seconds <= PERIOD_SECONDS)
    rig.cut_off()  # it goes on, and tries again
    rig.clock.advance(100)
    await asyncio.sleep(0)
    rig.log.lead()
    await eventually(lambda: rig.replica.age_seconds <= PERIOD_SECONDS)
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
