"""Reading the past through the API: what a point stands for, who may, and what it says when it cannot."""

from __future__ import annotations

import pytest

from api import errors
from component.client import Removal, Write
from component.env import rfc3339
from controlplane.admission.request import Identity, node_identity
from controlplane.apiserver.past import At
from controlplane.commands import StartIncarnationAt
from tests.api_server import ADMIN, config_map, pod, running_core

CLOCK = 1_764_000_000_000_000  # in microseconds


async def names_at(cluster, revision, **options):
    listed = await cluster.core.reads.list(ADMIN, "configmaps", at=At(revision), **options)
    return [each.name for each in listed.items]


async def test_an_object_is_read_exactly_as_it_was(cluster):
    first = await cluster.local.create(config_map("a", {"k": "1"}))
    second = await cluster.local.update({**first.tree(), "data": {"k": "2"}})
    gone = await cluster.local.delete("configmaps", "default", "a")
    assert await cluster.core.reads.get(ADMIN, "configmaps", "default", "a", at=At(first.revision)) == first
    assert await cluster.core.reads.get(ADMIN, "configmaps", "default", "a", at=At(second.revision)) == second
    for revision in (first.revision - 1, gone.revision):
        with pytest.raises(errors.NotFound):
            await cluster.core.reads.get(ADMIN, "configmaps", "default", "a", at=At(revision))


async def test_lists_of_the_past_take_selectors_and_pages(cluster):
    for index in range(5):
        await cluster.local.create(config_map(f"m{index}", labels={"odd": str(index % 2)}))
    before = cluster.replica.state.revision
    for index in range(5):
        await cluster.local.delete("configmaps", "default", f"m{index}")
    assert await names_at(cluster, before) == ["m0", "m1", "m2", "m3", "m4"]
    assert await names_at(cluster, before, label_selector="odd=1") == ["m1", "m3"]
    page = await cluster.core.reads.list(ADMIN, "configmaps", at=At(before), limit=2)
    assert page.revision == before
    cluster.core.reads._pages._kept.clear()  # as on another replica
    rest = await cluster.core.reads.list(ADMIN, "configmaps", limit=9, continue_token=page.continue_token)
    assert [each.name for each in rest.items] == ["m2", "m3", "m4"]
    assert rest.revision == before


async def test_the_pods_of_a_node_are_found_as_they_were(cluster):
    await cluster.local.create(pod("a", nodeName="n1"))
    before = cluster.replica.state.revision
    await cluster.local.delete("pods", "default", "a", grace_seconds=0)
    await cluster.local.create(pod("b", nodeName="n1"))
    listed = await cluster.core.reads.list(ADMIN, "pods", field_selector="spec.nodeName=n1", at=At(before))
    assert [each.name for each in listed.items] == ["a"]


async def test_a_revision_inside_a_transaction_stands_for_its_end(cluster):
    before = cluster.replica.state.revision
    trees = [config_map(name) for name in "abc"]
    done = await cluster.core.transaction(ADMIN, [Write("create", tree) for tree in trees])
    await cluster.core.transaction(ADMIN, [Removal("configmaps", "default", name) for name in "abc"])
    assert await names_at(cluster, before) == []
    for revision in range(before + 1, done.revision + 1):
        assert await names_at(cluster, revision) == ["a", "b", "c"]
        assert (await cluster.core.reads.past.moment(At(revision))).revision == done.revision


async def test_a_time_stands_for_the_newest_transaction_by_then(cluster):
    first = await cluster.local.create(config_map("a"))
    at = rfc3339(cluster.replica.state.time_ms / 1000)
    assert (await cluster.core.reads.past.moment(At(time=at.replace("20", "19", 1)))).revision == 0  # before all time
    now = await cluster.core.reads.past.moment(At())
    assert now.revision == first.revision
    assert now.oldest_revision == 0


@pytest.mark.parametrize(
    ("at", "message"),
    [
        (At(10_000), "revision 10000 has not come yet: the newest is"),
        (At(time="2999-01-01T00:00:00Z"), "2999-01-01T00:00:00Z has not come yet"),
        (At(time="noon"), "must be written as 2026-11-21T10:00:00Z"),
        (At(1, "2026-11-21T10:00:00Z"), "not both"),
    ],
)
async def test_a_point_that_cannot_be_is_refused_in_one_line(cluster, at, message):
    with pytest.raises(errors.Invalid, match=message):
        await cluster.core.reads.list(ADMIN, "configmaps", at=at)


async def test_events_have_no_history(cluster):
    with pytest.raises(errors.Invalid, match="events are kept out of history"):
        await cluster.core.reads.list(ADMIN, "events", at=At(1))


async def test_the_past_is_for_those_who_may_read_the_present_but_not_for_nodes(cluster):
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {}}
    revision = (await cluster.local.create(secret)).revision
    await cluster.local.delete("secrets", "default", "s")
    assert await cluster.core.reads.get(ADMIN, "secrets", "default", "s", at=At(revision))
    with pytest.raises(errors.Forbidden):
        await cluster.core.reads.get(Identity("someone"), "secrets", "default", "s", at=At(revision))
    with pytest.raises(errors.Forbidden):
        await cluster.core.reads.history(Identity("someone"), "secrets", "default", "s")
    await cluster.local.create(pod("p", nodeName="n1"))
    now = cluster.replica.state.revision
    with pytest.raises(errors.Forbidden, match="may not read the past"):
        await cluster.core.reads.get(node_identity("n1"), "pods", "default", "p", at=At(now))


async def test_reading_the_past_needs_no_leader(cluster):
    created = await cluster.local.create(config_map("a"))
    cluster.log.step_down()
    assert await names_at(cluster, created.revision) == ["a"]


async def test_the_history_of_an_object_tells_when_and_what(cluster):
    first = await cluster.local.create(config_map("a", {"k": "1"}))
    second = await cluster.local.update({**first.tree(), "data": {"k": "2", "l": "3"}})
    await cluster.local.delete("configmaps", "default", "a")
    again = await cluster.local.create(config_map("a"))
    told = await cluster.core.reads.history(ADMIN, "configmaps", "default", "a")
    assert [(each.revision, each.type, tuple(each.paths)) for each in told.changes] == [
        (first.revision, 1, ()),
        (second.revision, 2, ("data.k", "data.l")),
        (second.revision + 1, 3, ()),
        (again.revision, 1, ()),
    ]
    assert told.complete
    assert {each.actor for each in told.changes} == {ADMIN.user}
    assert [each.uid for each in told.changes] == [first.uid] * 3 + [again.uid]
    assert all(each.time.startswith("20") for each in told.changes)
    latest = await cluster.core.reads.history(ADMIN, "configmaps", "default", "a", limit=2)
    assert [each.revision for each in latest.changes] == [second.revision + 1, again.revision]
    assert not latest.complete
    with pytest.raises(errors.NotFound):
        await cluster.core.reads.history(ADMIN, "configmaps", "default", "never")


async def test_history_and_reads_go_on_after_a_restart(tmp_path):
    async with running_core(tmp_path) as cluster:
        first = await cluster.local.create(config_map("a", {"k": "1"}))
        cluster.replica._snapshots.begin(cluster.replica.state)
        await cluster.replica._snapshots._writing
        second = await cluster.local.update({**first.tree(), "data": {"k": "2"}})
        log = cluster.log
    async with running_core(tmp_path, seed=8, log=log) as cluster:
        await cluster.replica.read_barrier()
        assert (await cluster.core.reads.past.moment(At())).oldest_revision == 0
        for each in (first, second):
            assert await cluster.core.reads.get(ADMIN, "configmaps", "default", "a", at=At(each.revision)) == each
        told = await cluster.core.reads.history(ADMIN, "configmaps", "default", "a")
        assert [each.revision for each in told.changes] == [first.revision, second.revision]


async def test_before_the_first_change_there_was_nothing(cluster):
    assert (await cluster.core.reads.past.moment(At(time="1970-01-01T00:00:01Z"))).revision == 0
    assert (await cluster.core.reads.list(ADMIN, "namespaces", at=At(0))).items == ()


async def test_what_was_before_a_restore_or_a_recovery_is_gone_and_the_answer_says_why(cluster):
    lost = await cluster.local.create(config_map("a", {"k": "1"}))
    page = await cluster.core.reads.list(ADMIN, "configmaps", limit=1)
    await cluster.replica.commit((StartIncarnationAt(CLOCK),))
    state = cluster.replica.state
    first = state.revision
    assert first == CLOCK > page.revision
    why = rf"begins at revision {first} \(20.*Z\), where the cluster was restored or recovered \(incarnation 1\)"
    for at in (
        At(lost.revision),
        At(first - 1),  # a revision that never was
        At(time="2020-01-01T00:00:00Z"),
    ):
        with pytest.raises(errors.Expired, match=why):
            await cluster.core.reads.list(ADMIN, "configmaps", at=at)
        with pytest.raises(errors.Expired, match=why):
            await cluster.core.reads.get(ADMIN, "configmaps", "default", "a", at=at)
    assert await cluster.core.reads.get(ADMIN, "configmaps", "default", "a", at=At(first)), "it is still there"
    moment = await cluster.core.reads.past.moment(At())
    assert (moment.revision, moment.oldest_revision) == (first, first)


async def test_history_begins_anew_with_an_incarnation_also_after_a_restart(tmp_path):
    async with running_core(tmp_path) as cluster:
        lost = await cluster.local.create(config_map("a", {"k": "1"}))
        cluster.replica._snapshots.begin(cluster.replica.state)
        await cluster.replica._snapshots._writing
        await cluster.replica.commit((StartIncarnationAt(CLOCK),))
        first = cluster.replica.state.revision
        changed = await cluster.local.update({**lost.tree(), "data": {"k": "2"}})
        log = cluster.log
    async with running_core(tmp_path, seed=8, log=log) as cluster:
        await cluster.replica.read_barrier()
        with pytest.raises(errors.Expired, match=rf"begins at revision {first} .* restored or recovered"):
            await cluster.core.reads.get(ADMIN, "configmaps", "default", "a", at=At(lost.revision))
        told = await cluster.core.reads.history(ADMIN, "configmaps", "default", "a")
        assert [(each.revision, tuple(each.paths)) for each in told.changes] == [(changed.revision, ("data.k",))]
        assert told.oldest_revision == first
