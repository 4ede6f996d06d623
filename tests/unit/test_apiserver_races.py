"""Somebody else gets in between a decision and its commit: the outcome is as if one had come after the other."""

from __future__ import annotations

import pytest

from api import errors
from component.client import Binding
from controlplane.apiserver.decision import RETRIES
from tests.api_server import config_map, node, pod


def before_commit(cluster, *interfering):
    """Run each of `interfering` just before one of the next commits reaches the log."""
    commit, waiting = cluster.replica.commit, list(interfering)

    async def interrupted(ops, **options):
        if waiting:
            await waiting.pop(0)()
        return await commit(ops, **options)

    cluster.replica.commit = interrupted


async def test_an_update_without_precondition_lands_on_top_of_the_other(cluster, api):
    await api.create(config_map("a", {"k": "0"}))
    before_commit(cluster, lambda: api.update(config_map("a", {"k": "1"})))
    assert (await api.update(config_map("a", {"k": "2"}))).tree()["data"] == {"k": "2"}


async def test_an_update_with_a_precondition_loses(cluster, api):
    first = await api.create(config_map("a", {"k": "0"}))
    before_commit(cluster, lambda: api.update(config_map("a", {"k": "1"})))
    with pytest.raises(errors.Conflict, match="has changed"):
        await api.update({**first.tree(), "data": {"k": "2"}})
    assert (await api.get("configmaps", "default", "a")).tree()["data"] == {"k": "1"}


async def test_a_status_report_loses_no_binding(cluster, api):
    await api.create(node("n1"))
    stored = await api.create(pod("a"))
    before_commit(cluster, lambda: api.bind([Binding("default", "a", stored.uid, "n1")]))
    updated = await api.update_status({**pod("a"), "status": {"phase": "Running"}})
    assert updated.tree()["spec"]["nodeName"] == "n1"


async def test_a_pod_that_is_bound_while_it_is_deleted_waits_for_its_node(cluster, api):
    await api.create(node("n1"))
    stored = await api.create(pod("a"))
    before_commit(cluster, lambda: api.bind([Binding("default", "a", stored.uid, "n1")]))
    deleted = await api.delete("pods", "default", "a")
    assert "deletionTimestamp" in deleted.tree()["metadata"]
    assert cluster.replica.state.ledger("node/n1") == {"pods": 1}
    await api.delete("pods", "default", "a", grace_seconds=0)
    assert not cluster.replica.state.ledger("node/n1")


async def test_a_pod_that_is_deleted_while_it_is_bound_takes_nothing(cluster, api):
    await api.create(node("n1"))
    stored = await api.create(pod("a"))
    before_commit(cluster, lambda: api.delete("pods", "default", "a"))
    (error,) = await api.bind([Binding("default", "a", stored.uid, "n1")])
    assert isinstance(error, errors.NotFound)
    assert not cluster.replica.state.ledger("node/n1")


async def test_a_node_that_goes_while_a_pod_is_bound_to_it_gets_none(cluster, api):
    await api.create(node("n1"))
    stored = await api.create(pod("a"))
    before_commit(cluster, lambda: api.delete("nodes", "", "n1"))
    (error,) = await api.bind([Binding("default", "a", stored.uid, "n1")])
    assert isinstance(error, errors.NotFound)


async def test_a_node_that_reports_meanwhile_does_not_disturb_a_binding(cluster, api):
    await api.create(node("n1"))
    stored = await api.create(pod("a"))
    attempts = []

    async def report():
        attempts.append(1)
        await api.update_status({**node("n1"), "status": {**node("n1")["status"], "phase": f"{len(attempts)}"}})

    before_commit(cluster, report)
    assert await api.bind([Binding("default", "a", stored.uid, "n1")]) == [None]
    assert len(attempts) == 1


async def test_nothing_slips_into_a_namespace_whose_deletion_begins(cluster, api):
    await api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}})
    before_commit(cluster, lambda: api.delete("namespaces", "", "x"))
    with pytest.raises(errors.Forbidden, match="is being deleted"):
        await api.create(config_map("a", namespace="x"))
    assert not (await api.list("configmaps", "x")).items


async def test_of_two_creates_of_one_name_the_second_is_told(cluster, api):
    before_commit(cluster, lambda: api.create(config_map("a", {"k": "1"})))
    with pytest.raises(errors.AlreadyExists):
        await api.create(config_map("a", {"k": "2"}))


async def test_an_address_that_is_taken_meanwhile_is_replaced_unless_it_was_asked_for(cluster, api):
    def service(name, **spec):
        spec = {"selector": {"a": "b"}, "ports": [{"port": 80}], **spec}
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}

    before_commit(cluster, lambda: api.create(service("first", clusterIP="10.96.0.20")))
    with pytest.raises(errors.Invalid, match="already allocated"):
        await api.create(service("second", clusterIP="10.96.0.20"))


async def test_applies_meet_and_both_count(cluster, api):
    await api.apply(config_map("a", {"k": "1"}))
    before_commit(cluster, lambda: api.update(config_map("a", {"k": "1", "theirs": "1"})))
    stored, outcome = await api.apply(config_map("a", {"k": "2"}))
    assert (outcome, stored.tree()["data"]) == ("configured", {"k": "2", "theirs": "1"})


async def test_a_deletion_during_an_apply_makes_it_a_creation(cluster, api):
    first, _ = await api.apply(config_map("a", {"k": "1"}))
    before_commit(cluster, lambda: api.delete("configmaps", "default", "a"))
    stored, outcome = await api.apply(config_map("a", {"k": "2"}))
    assert outcome == "created"
    assert stored.uid != first.uid


async def test_after_five_retries_the_writer_is_told_that_it_changes_too_often(cluster, api):
    await api.create(config_map("a", {"k": "0"}))
    count = 0

    async def interfere():
        nonlocal count
        count += 1
        if count <= RETRIES + 1:
            before = cluster.replica.commit
            cluster.replica.commit = type(cluster.replica).commit.__get__(cluster.replica)
            await api.update(config_map("a", {"k": f"x{count}"}))
            cluster.replica.commit = before

    before_commit(cluster, *[interfere] * (RETRIES + 1))
    with pytest.raises(errors.Conflict, match="given up after 5 retries"):
        await api.update(config_map("a", {"k": "mine"}))
    assert count == RETRIES + 1


def fall_behind(replica, stale):
    """Let a replica know no more than `stale` until it is asked to catch up."""
    real, fresh = replica.read_barrier, replica.state
    replica.state = stale

    async def catch_up():
        replica.state = fresh
        await real()

    replica.read_barrier = catch_up


async def test_a_refusal_is_given_only_on_a_state_that_is_new_enough(cluster, api):
    """This replica is behind: the object it does not know yet was created elsewhere and acknowledged."""
    stale = cluster.replica.state.clone()
    await api.create(config_map("a", {"k": "1"}))
    fall_behind(cluster.replica, stale)
    assert (await api.update(config_map("a", {"k": "2"}))).tree()["data"] == {"k": "2"}


async def test_no_change_is_said_only_on_a_state_that_is_new_enough(cluster, api):
    await api.create(config_map("a", {"k": "1"}))
    stale = cluster.replica.state.clone()
    await api.update(config_map("a", {"k": "2"}))
    fall_behind(cluster.replica, stale)
    updated = await api.update(config_map("a", {"k": "1"}))
    assert (await api.get("configmaps", "default", "a")) == updated
