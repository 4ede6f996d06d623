"""What every ApiClient promises: in process, over gRPC and TLS, and the fake that other tests stand on."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing

import pytest

from api import errors
from component.client import Binding, Collection
from tests.api_server import node, pod, running_cluster
from tests.fakes import FakeApi
from tests.waiting import DEADLINE_SECONDS

pytestmark = pytest.mark.slow

HOLD = "example.com/hold"


@pytest.fixture(params=["fake", "in process", "over gRPC"])
async def api(request, tmp_path):
    if request.param == "fake":
        yield FakeApi()
        return
    async with running_cluster(tmp_path) as cluster:
        yield cluster.local if request.param == "in process" else cluster.client()


def config_map(name, data=None, namespace="default", **metadata):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "data": data or {},
    }


def replica_set(name="a", replicas=1):
    template = {"metadata": {"labels": {"app": "a"}}, "spec": pod("x")["spec"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "a"}}, "template": template},
    }


def plain_pod(name, **metadata):
    return pod(name, metadata={"namespace": "default", **metadata})


async def add_node(api, **allocatable):
    await api.create(node("n1"))
    tree = (await api.get("nodes", "", "n1")).tree()
    await api.update_status({**tree, "status": node("n1", **allocatable)["status"]})


async def take(stream, count):
    found = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(found) < count:
            found += [event for event in await anext(stream) if event.type != "BOOKMARK"]
    return found


async def test_a_created_object_is_read_back_as_it_was_answered(api):
    created = await api.create(config_map("a", {"k": "v"}))
    assert (created.resource, created.namespace, created.name) == ("configmaps", "default", "a")
    assert created.revision > 0
    assert await api.get("configmaps", "default", "a") == created
    assert created.tree()["metadata"]["resourceVersion"] == str(created.revision)


async def test_names_are_taken_once(api):
    await api.create(config_map("a"))
    with pytest.raises(errors.AlreadyExists):
        await api.create(config_map("a"))


async def test_ephemeral_containers_are_added_by_a_patch_of_their_own(api):
    await api.create(plain_pod("a"))
    patch = json.dumps({"spec": {"ephemeralContainers": [{"name": "debug", "image": "d:1"}]}}).encode()
    patched = await api.patch("pods", "default", "a", "strategic", patch, subresource="ephemeralcontainers")
    assert [each["name"] for each in patched.tree()["spec"]["ephemeralContainers"]] == ["debug"]
    assert await api.get("pods", "default", "a") == patched


async def test_what_is_not_there_is_not_found(api):
    for call in (
        api.get("configmaps", "default", "a"),
        api.update(config_map("a")),
        api.update_status(replica_set()),
        api.delete("configmaps", "default", "a"),
        api.create(config_map("a", namespace="nowhere")),
    ):
        with pytest.raises(errors.NotFound):
            await call


async def test_revisions_grow_with_every_change(api):
    first = await api.create(config_map("a"))
    second = await api.update(config_map("a", {"k": "1"}))
    other = await api.create(config_map("b"))
    assert first.revision < second.revision < other.revision


async def test_a_stale_revision_or_another_uid_is_a_conflict(api):
    first = await api.create(config_map("a"))
    await api.update(config_map("a", {"k": "1"}))
    for stale in (config_map("a", resourceVersion=str(first.revision)), config_map("a", uid="other")):
        with pytest.raises(errors.Conflict):
            await api.update(stale)
    for precondition in ({"uid": "other"}, {"revision": first.revision}):
        with pytest.raises(errors.Conflict):
            await api.delete("configmaps", "default", "a", **precondition)


async def test_generations_count_changes_of_the_spec(api):
    tree = (await api.create(replica_set())).tree()
    assert tree["metadata"]["generation"] == 1
    tree["metadata"]["labels"] = {"x": "y"}
    tree = (await api.update(tree)).tree()
    assert tree["metadata"]["generation"] == 1
    tree["spec"]["replicas"] = 3
    tree = (await api.update(tree)).tree()
    assert tree["metadata"]["generation"] == 2
    tree["status"] = {"replicas": 3}
    assert (await api.update_status(tree)).tree()["metadata"]["generation"] == 2


async def test_updates_and_status_updates_each_keep_the_others_half(api):
    tree = (await api.create({**replica_set(), "status": {"replicas": 9}})).tree()
    assert tree.get("status", {}).get("replicas", 0) == 0
    reported = (
        await api.update_status({**tree, "spec": {**tree["spec"], "replicas": 5}, "status": {"replicas": 1}})
    ).tree()
    assert (reported["spec"]["replicas"], reported["status"]["replicas"]) == (1, 1)
    written = await api.update({**reported, "status": {"replicas": 7}, "spec": {**tree["spec"], "replicas": 2}})
    assert (written.tree()["spec"]["replicas"], written.tree()["status"]["replicas"]) == (2, 1)


async def test_a_plain_object_is_gone_when_it_is_deleted(api):
    await api.create(config_map("a"))
    assert (await api.delete("configmaps", "default", "a")).name == "a"
    with pytest.raises(errors.NotFound):
        await api.get("configmaps", "default", "a")


async def test_finalizers_hold_until_the_last_is_removed(api):
    await api.create(config_map("a", finalizers=[HOLD]))
    tree = (await api.delete("configmaps", "default", "a")).tree()
    assert "deletionTimestamp" in tree["metadata"]
    del tree["metadata"]["finalizers"]
    await api.update(tree)
    with pytest.raises(errors.NotFound):
        await api.get("configmaps", "default", "a")


@pytest.mark.parametrize(("propagation", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")])
async def test_propagation_becomes_a_finalizer(api, propagation, finalizer):
    await api.create(replica_set())
    tree = (await api.delete("replicasets.apps", "default", "a", propagation=propagation)).tree()
    assert tree["metadata"]["finalizers"] == [finalizer]


async def test_dry_runs_change_nothing(api):
    await api.create(config_map("a", {"k": "1"}), dry_run=True)
    with pytest.raises(errors.NotFound):
        await api.get("configmaps", "default", "a")
    created = await api.create(config_map("a", {"k": "1"}))
    await api.update(config_map("a", {"k": "2"}), dry_run=True)
    await api.delete("configmaps", "default", "a", dry_run=True)
    assert await api.get("configmaps", "default", "a") == created


async def test_lists_are_ordered_and_narrowed(api):
    await api.create(config_map("b", labels={"app": "x"}))
    await api.create(config_map("a", labels={"app": "y"}))
    await api.create(config_map("c", namespace="kube-system", labels={"app": "x"}))

    async def names(**options):
        return [item.name for item in (await api.list("configmaps", **options)).items]

    assert await names() == ["a", "b", "c"]
    assert await names(namespace="default") == ["a", "b"]
    assert await names(label_selector="app=x") == ["b", "c"]
    assert await names(field_selector="metadata.name=c") == ["c"]
    page = await api.list("configmaps", limit=2)
    assert [item.name for item in page.items] == ["a", "b"]
    page = await api.list("configmaps", limit=2, continue_token=page.continue_token)
    assert ([item.name for item in page.items], page.continue_token) == (["c"], "")


async def test_a_watch_shows_what_there_is_then_a_bookmark_then_changes(api):
    existing = await api.create(config_map("a"))
    async with aclosing(api.watch("configmaps", "default")) as stream:
        first = [event async for batch in _until_bookmark(stream) for event in batch]
        assert [(event.type, event.object) for event in first[:-1]] == [("ADDED", existing)]
        assert (first[-1].type, first[-1].object) == ("BOOKMARK", None)
        created = await api.create(config_map("b"))
        updated = await api.update(config_map("b", {"k": "1"}))
        await api.delete("configmaps", "default", "b")
        events = await take(stream, 3)
    assert [event.type for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    assert [event.object for event in events[:2]] == [created, updated]
    assert (events[2].object.name, events[2].object.json) == ("b", updated.json)
    assert created.revision < updated.revision < events[2].revision


async def _until_bookmark(stream):
    async for batch in stream:
        yield batch
        if batch[-1].type == "BOOKMARK":
            return


async def test_a_watch_goes_on_after_a_list(api):
    await api.create(config_map("a"))
    listed = await api.list("configmaps")
    created = await api.create(config_map("b"))
    async with aclosing(api.watch("configmaps", revision=listed.revision)) as stream:
        (event,) = await take(stream, 1)
    assert (event.type, event.object) == ("ADDED", created)


async def test_entering_a_selection_is_added_and_leaving_it_deleted(api):
    listed = await api.list("configmaps")
    await api.create(config_map("a", labels={"app": "y"}))
    await api.update(config_map("a", labels={"app": "x"}))
    await api.update(config_map("a", labels={"app": "y"}))
    async with aclosing(api.watch("configmaps", revision=listed.revision, label_selector="app=x")) as stream:
        events = await take(stream, 2)
    assert [event.type for event in events] == ["ADDED", "DELETED"]


async def test_a_pod_starts_pending_and_is_bound_once(api):
    await add_node(api, pods="1")
    first, second = await api.create(plain_pod("a")), await api.create(plain_pod("b"))
    assert first.tree()["status"]["phase"] == "Pending"
    results = await api.bind(
        [
            Binding("default", "a", first.uid, "n1"),
            Binding("default", "b", second.uid, "n1"),
            Binding("default", "b", second.uid, "nowhere"),
            Binding("default", "c", "u", "n1"),
            Binding("default", "b", "other", "n1"),
        ]
    )
    expected = [type(None), errors.TooLarge, errors.NotFound, errors.NotFound, errors.Conflict]
    assert [type(error) for error in results] == expected
    bound = (await api.get("pods", "default", "a")).tree()
    assert bound["spec"]["nodeName"] == "n1"
    assert [each["type"] for each in bound["status"]["conditions"]] == ["PodScheduled"]


async def test_a_bound_pod_waits_for_its_agent(api):
    await add_node(api)
    created = await api.create(plain_pod("a"))
    await api.create(plain_pod("b"))
    await api.bind([Binding("default", "a", created.uid, "n1")])
    await api.delete("pods", "default", "b")
    metadata = (await api.delete("pods", "default", "a")).tree()["metadata"]
    assert metadata["deletionGracePeriodSeconds"] == 30
    assert [item.name for item in (await api.list("pods")).items] == ["a"]
    await api.delete("pods", "default", "a", grace_seconds=0, uid=created.uid)
    assert not (await api.list("pods")).items


async def test_a_terminating_namespace_takes_nothing_new_and_goes_when_it_is_finalized(api):
    await api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}})
    await api.delete("namespaces", "", "x")
    with pytest.raises(errors.Forbidden):
        await api.create(config_map("a", namespace="x"))
    tree = (await api.get("namespaces", "", "x")).tree()
    tree["spec"]["finalizers"] = []
    await api.update(tree)
    with pytest.raises(errors.NotFound):
        await api.get("namespaces", "", "x")


async def test_applying_creates_then_configures(api):
    assert (await api.apply(config_map("a", {"k": "1"})))[1] == "created"
    stored, outcome = await api.apply(config_map("a", {"k": "2"}))
    assert (outcome, stored.tree()["data"]) == ("configured", {"k": "2"})


async def test_each_type_of_patch_changes_the_stored_object(api):
    await api.create(config_map("a", {"x": "1"}))
    await api.patch("configmaps", "default", "a", "merge", b'{"data": {"y": "2"}}')
    await api.patch("configmaps", "default", "a", "strategic", b'{"data": {"z": "3"}}')
    stored = await api.patch("configmaps", "default", "a", "json", b'[{"op": "remove", "path": "/data/x"}]')
    assert stored.tree()["data"] == {"y": "2", "z": "3"}
    with pytest.raises(errors.NotFound):
        await api.patch("configmaps", "default", "b", "merge", b"{}")
    with pytest.raises(errors.Invalid):
        await api.patch("configmaps", "default", "a", "merge", b'{"metadata": {"name": "b"}}')


async def test_applying_fields_makes_the_object_and_then_changes_it(api):
    async def applied(value):
        body = json.dumps(config_map("a", {"k": value})).encode()
        return await api.patch("configmaps", "default", "a", "apply", body, field_manager="me", force=True)

    assert (await applied("1")).tree()["data"] == {"k": "1"}
    assert (await applied("2")).tree()["data"] == {"k": "2"}


async def test_a_collection_is_deleted_by_labels_and_says_what_became_of_each(api):
    for name, tier in (("a", "x"), ("b", "x"), ("c", "y")):
        await api.create(config_map(name, labels={"tier": tier}))
    collection = Collection("configmaps", "default", label_selector="tier=x")
    results = [each async for page in api.delete_collection(collection) for each in page]
    assert [(each.outcome, each.object.name, each.error) for each in results] == [
        ("deleted", "a", None),
        ("deleted", "b", None),
    ]
    assert [each.name for each in (await api.list("configmaps", "default")).items] == ["c"]
