"""Transactions: all of it or nothing, each operation on what those before it leave, every reason told."""

from __future__ import annotations

import pytest

from api import errors
from component.client import Removal, Write
from controlplane.admission.request import Identity
from controlplane.apiserver.decision import RETRIES
from controlplane.apiserver.sending import Sending
from tests.api_server import ADMIN, config_map, pod


def namespace(name):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def service(name, **spec):
    ports = [{"port": 80}]
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": ports, **spec}}


def creates(*trees):
    return [Write("create", tree) for tree in trees]


def applies(*trees):
    return [Write("apply", tree) for tree in trees]


def outcomes(result):
    return [each.outcome for each in result.results]


async def test_all_objects_get_neighbouring_revisions_and_are_visible_at_the_last(cluster):
    before = cluster.replica.state.revision
    result = await cluster.core.transaction(ADMIN, creates(config_map("a"), config_map("b"), config_map("c")))
    assert result.committed
    assert [each.object.revision for each in result.results] == [before + 1, before + 2, before + 3]
    assert result.revision == before + 3
    assert [await cluster.local.get("configmaps", "default", name) for name in "abc"] == [
        each.object for each in result.results
    ]


async def test_an_object_may_live_in_a_namespace_of_the_same_transaction(cluster):
    tree = config_map("a", namespace="new")
    result = await cluster.core.transaction(ADMIN, creates(namespace("new"), tree))
    assert outcomes(result) == ["created", "created"]
    assert (await cluster.local.get("configmaps", "new", "a")).revision == result.revision


async def test_services_of_one_transaction_get_different_addresses(cluster):
    result = await cluster.core.transaction(ADMIN, creates(*(service(f"s{number}") for number in range(20))))
    assert len({each.object.tree()["spec"]["clusterIP"] for each in result.results}) == 20


async def test_two_services_of_one_transaction_cannot_claim_one_address(cluster):
    wanted = [service("a", clusterIP="10.96.0.77"), service("b", clusterIP="10.96.0.77")]
    result = await cluster.core.transaction(ADMIN, creates(*wanted))
    assert outcomes(result) == ["", "refused"]
    assert "10.96.0.77 is already allocated" in str(result.results[1].error)
    assert cluster.replica.state.claimed("clusterip", "10.96.0.77") is None


async def test_every_reason_is_told_and_nothing_is_changed(cluster):
    await cluster.local.create(config_map("taken"))
    before = cluster.replica.state.revision
    wrong = pod("p", containers=[{"name": "Main!", "image": "app:1", "ports": [{"containerPort": 99999}]}])
    operations = [
        *creates(config_map("fine"), config_map("taken"), wrong, config_map("x", namespace="nowhere")),
        *creates({"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "t"}}),
        Removal("configmaps", "default", "absent"),
    ]
    result = await cluster.core.transaction(ADMIN, operations)
    assert not result.committed
    assert result.revision == 0
    assert outcomes(result) == ["", "refused", "refused", "refused", "refused", "refused"]
    found = [each.error for each in result.results]
    assert [type(error) for error in found[1:]] == [
        errors.AlreadyExists,
        errors.Invalid,
        errors.NotFound,
        errors.NotFound,
        errors.NotFound,
    ]
    assert [fault.path for fault in found[2].fields] == [
        "spec.containers[0].name",
        "spec.containers[0].ports[0].containerPort",
    ]
    assert cluster.replica.state.revision == before


async def test_what_lives_in_a_refused_namespace_says_so(cluster):
    wrong = {**namespace("new"), "spec": {"colour": "red"}}
    result = await cluster.core.transaction(ADMIN, creates(wrong, config_map("a", namespace="new")))
    assert outcomes(result) == ["refused", "refused"]
    assert str(result.results[1].error) == 'namespace "new" is refused itself'


async def test_later_operations_see_what_earlier_ones_did(cluster):
    await cluster.local.create(config_map("old"))
    result = await cluster.core.transaction(
        ADMIN,
        [
            Removal("configmaps", "default", "old"),
            *creates(config_map("old", {"made": "anew"})),
            *applies(config_map("other", {"k": "1"}), config_map("other", {"k": "2"})),
        ],
    )
    assert outcomes(result) == ["deleted", "created", "created", "configured"]
    assert (await cluster.local.get("configmaps", "default", "old")).tree()["data"] == {"made": "anew"}
    assert (await cluster.local.get("configmaps", "default", "other")).tree()["data"] == {"k": "2"}


async def test_a_transaction_that_changes_nothing_takes_no_revision(cluster):
    wanted = applies(config_map("a"), config_map("b"))
    await cluster.core.transaction(ADMIN, wanted)
    before = cluster.replica.state.revision
    result = await cluster.core.transaction(ADMIN, wanted)
    assert result.committed
    assert outcomes(result) == ["unchanged", "unchanged"]
    assert cluster.replica.state.revision == before


async def test_a_trial_tells_the_outcome_and_changes_nothing(cluster):
    before = cluster.replica.state.revision
    result = await cluster.core.transaction(ADMIN, creates(config_map("a"), service("s")), dry_run=True)
    assert result.committed
    assert outcomes(result) == ["created", "created"]
    assert [each.object.revision for each in result.results] == [0, 0]
    assert cluster.replica.state.revision == before


async def test_a_stale_precondition_refuses_the_whole(cluster):
    stored = await cluster.local.create(config_map("a"))
    await cluster.local.update({**stored.tree(), "data": {"k": "newer"}})
    stale = {**stored.tree(), "data": {"k": "stale"}}
    result = await cluster.core.transaction(ADMIN, [Write("update", stale), *creates(config_map("b"))])
    assert outcomes(result) == ["refused", ""]
    assert isinstance(result.results[0].error, errors.Conflict)
    with pytest.raises(errors.NotFound):
        await cluster.local.get("configmaps", "default", "b")


async def test_repeating_a_transaction_by_its_id_gives_the_first_outcome(cluster):
    await cluster.local.create(config_map("gone"))
    operations = [*applies(config_map("a")), Removal("configmaps", "default", "gone")]
    first = await cluster.core.transaction(ADMIN, operations, sending=Sending(b"i" * 16))
    again = await cluster.core.transaction(ADMIN, operations, sending=Sending(b"i" * 16, repeated=True))
    assert outcomes(again) == outcomes(first) == ["created", "deleted"]
    assert again.revision == first.revision
    assert cluster.replica.state.revision == first.revision


async def test_one_that_collides_is_decided_again_on_the_new_state(cluster):
    stored = await cluster.local.create(config_map("a", {"k": "1"}))
    commit, interfered = cluster.replica.commit, []

    async def interfere(ops, **options):
        if not interfered:
            interfered.append(True)
            await cluster.local.update({**stored.tree(), "data": {"k": "1", "mine": "kept"}})
        return await commit(ops, **options)

    cluster.replica.commit = interfere
    result = await cluster.core.transaction(ADMIN, applies(config_map("a", {"k": "2"}), config_map("b")))
    assert result.committed
    assert result.results[0].object.tree()["data"] == {"k": "2", "mine": "kept"}


async def test_what_was_found_as_it_should_be_is_still_so_at_the_revision_of_the_others(cluster):
    await cluster.local.apply(config_map("b", {"key": "wanted"}))
    commit = cluster.replica.commit

    async def beaten(*arguments, **options):
        cluster.replica.commit = commit
        await cluster.local.apply(config_map("b", {"key": "other"}))
        return await commit(*arguments, **options)

    cluster.replica.commit = beaten
    operations = [*creates(config_map("a")), *applies(config_map("b", {"key": "wanted"}))]
    result = await cluster.core.transaction(ADMIN, operations)
    assert outcomes(result) == ["created", "configured"]
    assert [await cluster.local.get("configmaps", "default", name) for name in "ab"] == [
        each.object for each in result.results
    ]


async def test_it_gives_up_when_the_state_keeps_changing(cluster):
    stored = await cluster.local.create(config_map("a", {"k": "1"}))
    commit, count = cluster.replica.commit, 0

    async def interfere(ops, **options):
        nonlocal count
        if options["transaction_id"]:
            count += 1
            tree = {**(await cluster.local.get("configmaps", "default", "a")).tree(), "data": {"k": f"changed {count}"}}
            await cluster.local.update(tree)
        return await commit(ops, **options)

    cluster.replica.commit = interfere
    with pytest.raises(errors.Conflict, match="the state keeps changing"):
        await cluster.core.transaction(
            ADMIN, applies(config_map(stored.name, {"mine": "2"})), sending=Sending(b"i" * 16)
        )
    assert count == RETRIES + 1


async def test_readers_are_refused_for_each_operation(cluster):
    result = await cluster.core.transaction(Identity("someone"), creates(config_map("a"), config_map("b")))
    assert outcomes(result) == ["refused", "refused"]
    assert all(isinstance(each.error, errors.Forbidden) for each in result.results)


@pytest.mark.slow
async def test_limits_are_named_before_anything_is_proposed(cluster):
    with pytest.raises(errors.TooLarge, match="5001 operations in one transaction; at most 5000"):
        await cluster.core.transaction(ADMIN, creates(*[config_map("a")] * 5001))
    big = [config_map(f"big{number}", {"k": "x" * 1_000_000}) for number in range(9)]
    with pytest.raises(errors.TooLarge, match="at most 8388608"):
        await cluster.core.transaction(ADMIN, creates(*big))
    with pytest.raises(errors.TooLarge, match="at most 8388608"):
        await cluster.core.transaction(ADMIN, creates(*big), dry_run=True)
    huge = {**config_map("huge"), "data": {f"k{number}": "x" * 400_000 for number in range(4)}}
    result = await cluster.core.transaction(ADMIN, creates(config_map("a"), huge))
    assert outcomes(result) == ["", "refused"]
    assert "may not be more than 1048576 bytes" in str(result.results[1].error)


async def test_an_empty_transaction_is_refused(cluster):
    with pytest.raises(errors.Invalid, match="at least one operation"):
        await cluster.core.transaction(ADMIN, [])
