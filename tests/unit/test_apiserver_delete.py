"""Deletion: what vanishes at once, what waits, and for whom."""

from __future__ import annotations

import pytest

from api import errors
from component.client import Binding
from component.env import parse_time
from controlplane.apiserver.deletes import LONGEST_GRACE_SECONDS
from tests.api_server import config_map, node, pod


async def bound_pod(api, name="a", **extra):
    created = await api.create(pod(name, **extra))
    if not (await api.list("nodes")).items:
        await api.create(node("n1"))
    assert await api.bind([Binding("default", name, created.uid, "n1")]) == [None]
    return await api.get("pods", "default", name)


async def test_a_plain_object_vanishes_at_once_and_is_returned_as_it_was_last(api, cluster):
    created = await api.create(config_map("a"))
    deleted = await api.delete("configmaps", "default", "a")
    assert (deleted.json, deleted.revision) == (created.json, cluster.replica.state.revision)
    with pytest.raises(errors.NotFound):
        await api.get("configmaps", "default", "a")


async def test_a_pod_that_was_never_bound_vanishes_at_once(api):
    await api.create(pod("a"))
    await api.delete("pods", "default", "a")
    assert not (await api.list("pods")).items


async def test_a_bound_pod_is_marked_with_its_own_grace(api):
    await bound_pod(api, terminationGracePeriodSeconds=7)
    metadata = (await api.delete("pods", "default", "a")).tree()["metadata"]
    assert metadata["deletionGracePeriodSeconds"] == 7
    waiting = parse_time(metadata["deletionTimestamp"]) - parse_time(metadata["creationTimestamp"])
    assert 7 <= waiting <= 9


async def test_the_agent_deletes_finally_with_grace_zero_and_uid(api, cluster):
    stored = await bound_pod(api)
    await api.delete("pods", "default", "a")
    await api.delete("pods", "default", "a", grace_seconds=0, uid=stored.uid)
    assert not (await api.list("pods")).items
    assert not cluster.replica.state.ledger("node/n1")


async def test_a_second_deletion_may_shorten_the_grace_but_not_lengthen_it(api):
    await bound_pod(api)
    first = (await api.delete("pods", "default", "a", grace_seconds=20)).tree()["metadata"]
    longer = (await api.delete("pods", "default", "a", grace_seconds=60)).tree()["metadata"]
    assert longer == first
    shorter = (await api.delete("pods", "default", "a", grace_seconds=5)).tree()["metadata"]
    assert shorter["deletionGracePeriodSeconds"] == 5
    assert parse_time(first["deletionTimestamp"]) - parse_time(shorter["deletionTimestamp"]) == 15


async def test_a_pod_that_has_ended_vanishes_at_once(api):
    tree = (await bound_pod(api)).tree()
    await api.update_status({**tree, "status": {"phase": "Succeeded"}})
    await api.delete("pods", "default", "a")
    assert not (await api.list("pods")).items


async def test_marking_for_deletion_counts_as_a_new_generation_once(api):
    before = (await bound_pod(api)).tree()["metadata"]["generation"]
    assert (await api.delete("pods", "default", "a")).tree()["metadata"]["generation"] == before + 1
    assert (await api.delete("pods", "default", "a")).tree()["metadata"]["generation"] == before + 1


async def test_a_finalizer_holds_an_object_back(api):
    await api.create(config_map("a", finalizers=["example.com/hold"]))
    metadata = (await api.delete("configmaps", "default", "a")).tree()["metadata"]
    assert metadata["deletionGracePeriodSeconds"] == 0
    assert (await api.get("configmaps", "default", "a")).tree()["metadata"] == metadata


async def test_force_does_not_overrule_finalizers(api):
    await bound_pod(api, metadata={"finalizers": ["example.com/hold"]})
    await api.delete("pods", "default", "a", grace_seconds=0)
    assert (await api.get("pods", "default", "a")).name == "a"


async def test_a_bound_pod_without_its_finalizers_still_waits_for_its_agent(api):
    await bound_pod(api, metadata={"finalizers": ["example.com/hold"]})
    tree = (await api.delete("pods", "default", "a")).tree()
    tree["metadata"]["finalizers"] = []
    await api.update(tree)
    assert (await api.get("pods", "default", "a")).name == "a"
    await api.delete("pods", "default", "a", grace_seconds=0)
    assert not (await api.list("pods")).items


async def test_deleting_twice_what_waits_changes_nothing(api):
    await api.create(config_map("a", finalizers=["example.com/hold"]))
    first = await api.delete("configmaps", "default", "a")
    assert await api.delete("configmaps", "default", "a") == first


@pytest.mark.parametrize(
    ("propagation", "finalizers"),
    [("Foreground", ["example.com/hold", "foregroundDeletion"]), ("Orphan", ["example.com/hold", "orphan"])],
)
async def test_propagation_is_left_to_the_collector_as_a_finalizer(api, propagation, finalizers):
    await api.create(config_map("a", finalizers=["example.com/hold"]))
    tree = (await api.delete("configmaps", "default", "a", propagation=propagation)).tree()
    assert tree["metadata"]["finalizers"] == finalizers


async def test_a_later_wish_for_background_takes_the_collectors_finalizer_away(api):
    await api.create(config_map("a"))
    await api.delete("configmaps", "default", "a", propagation="Foreground")
    await api.delete("configmaps", "default", "a", propagation="Background")
    with pytest.raises(errors.NotFound):
        await api.get("configmaps", "default", "a")


async def test_preconditions_protect_a_namesake(api):
    first = await api.create(config_map("a"))
    await api.delete("configmaps", "default", "a")
    second = await api.create(config_map("a"))
    with pytest.raises(errors.Conflict, match="made anew"):
        await api.delete("configmaps", "default", "a", uid=first.uid)
    with pytest.raises(errors.Conflict, match="has changed"):
        await api.delete("configmaps", "default", "a", revision=first.revision)
    await api.delete("configmaps", "default", "a", uid=second.uid, revision=second.revision)


async def test_what_is_not_there_cannot_be_deleted(api):
    with pytest.raises(errors.NotFound, match='pods "a" not found'):
        await api.delete("pods", "default", "a")


@pytest.mark.parametrize("grace", [10**12, 2**62, 2**63 - 1])
async def test_a_grace_beyond_all_time_is_cut_and_can_be_shortened(api, grace):
    await bound_pod(api, "own", terminationGracePeriodSeconds=grace)
    await bound_pod(api, "asked")
    await api.delete("pods", "default", "own")
    await api.delete("pods", "default", "asked", grace_seconds=grace)
    for name in ("own", "asked"):
        metadata = (await api.get("pods", "default", name)).tree()["metadata"]
        assert metadata["deletionGracePeriodSeconds"] == LONGEST_GRACE_SECONDS
        shorter = (await api.delete("pods", "default", name, grace_seconds=5)).tree()["metadata"]
        waiting = parse_time(shorter["deletionTimestamp"]) - parse_time(shorter["creationTimestamp"])
        assert 5 <= waiting <= 10


async def test_a_negative_grace_is_refused(api):
    await api.create(pod("a"))
    with pytest.raises(errors.Invalid, match="0 or more"):
        await api.delete("pods", "default", "a", grace_seconds=-1)


async def test_a_dry_run_of_a_deletion_deletes_nothing(api):
    created = await api.create(config_map("a"))
    await api.delete("configmaps", "default", "a", dry_run=True)
    assert await api.get("configmaps", "default", "a") == created


async def test_a_namespace_waits_for_its_controller_and_takes_nothing_new(api):
    await api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}})
    await api.create(config_map("a", namespace="x"))
    tree = (await api.delete("namespaces", "", "x", grace_seconds=0)).tree()
    assert tree["status"]["phase"] == "Terminating"
    tree["spec"]["finalizers"] = []
    with pytest.raises(errors.Conflict, match="still holds configmaps/x/a"):
        await api.update(tree)
    await api.delete("configmaps", "x", "a")
    await api.update(tree)
    with pytest.raises(errors.NotFound):
        await api.get("namespaces", "", "x")


async def test_a_living_namespace_keeps_its_finalizer(api):
    tree = (await api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}})).tree()
    assert tree["spec"]["finalizers"] == ["kubernetes"]
    tree["spec"]["finalizers"] = []
    assert (await api.update(tree)).tree()["spec"]["finalizers"] == ["kubernetes"]


async def test_a_namespace_keeps_the_finalizers_it_was_created_with(api):
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}
    created = await api.create({**namespace, "spec": {"finalizers": ["example.com/backup"]}})
    assert created.tree()["spec"]["finalizers"] == ["example.com/backup", "kubernetes"]


async def test_applying_its_manifest_does_not_finish_a_terminating_namespace(api):
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}
    await api.create(manifest)
    await api.delete("namespaces", "", "x")
    await api.update({**manifest, "metadata": {"name": "x", "labels": {"a": "b"}}})
    assert (await api.get("namespaces", "", "x")).tree()["spec"]["finalizers"] == ["kubernetes"]


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
async def test_the_systems_namespaces_cannot_be_deleted(api, name):
    with pytest.raises(errors.Forbidden, match="the system needs it"):
        await api.delete("namespaces", "", name)
