"""Deleting what a selector chooses: page by page, each object on its own."""

from __future__ import annotations

import pytest

from api import errors
from component.client import Collection
from controlplane.admission.request import Identity
from tests.api_server import ADMIN, config_map, pod


async def deleted(api, collection, **options):
    return [each async for page in api.delete_collection(collection, **options) for each in page]


def names(results):
    return [(each.outcome, each.object.name) for each in results]


async def maps(api, *names, **labels):
    for name in names:
        tree = config_map(name, {})
        tree["metadata"]["labels"] = labels
        await api.create(tree)


async def remaining(api):
    return [each.name for each in (await api.list("configmaps", "default")).items]


async def test_what_labels_choose_goes_and_the_rest_stays(api):
    await maps(api, "a", "b", tier="x")
    await maps(api, "c", tier="y")
    results = await deleted(api, Collection("configmaps", "default", label_selector="tier=x"))
    assert names(results) == [("deleted", "a"), ("deleted", "b")]
    assert await remaining(api) == ["c"]


async def test_fields_choose_too_and_other_namespaces_stay(api):
    await api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
    await maps(api, "a", "b")
    other = config_map("a", {})
    other["metadata"]["namespace"] = "other"
    await api.create(other)
    await deleted(api, Collection("configmaps", "default", field_selector="metadata.name=a"))
    assert await remaining(api) == ["b"]
    assert (await api.get("configmaps", "other", "a")).name == "a"
    results = await deleted(api, Collection("configmaps"))
    assert [each.object.namespace for each in results] == ["default", "other"]


async def test_pages_go_on_where_the_last_one_ended_and_leave_what_came_later(cluster, api):
    await maps(api, "a", "b", "c")
    collection = Collection("configmaps", "default")
    first, token = await cluster.core.delete_collection(ADMIN, collection, limit=2)
    assert names(first) == [("deleted", "a"), ("deleted", "b")]
    await maps(api, "aa", "z")
    second, token = await cluster.core.delete_collection(ADMIN, collection, limit=2, continue_token=token)
    assert (names(second), token) == ([("deleted", "c")], "")
    assert await remaining(api) == ["aa", "z"]


async def test_what_is_gone_already_or_made_anew_is_left_out(cluster, api):
    await maps(api, "a", "b", "c")
    collection = Collection("configmaps", "default")
    _, token = await cluster.core.delete_collection(ADMIN, collection, limit=1)
    await api.delete("configmaps", "default", "b")
    await api.delete("configmaps", "default", "c")
    await maps(api, "c")
    results, _ = await cluster.core.delete_collection(ADMIN, collection, continue_token=token)
    assert results == []
    assert await remaining(api) == ["c"]


async def test_one_that_is_refused_does_not_keep_the_others(api):
    await api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "one"}})
    results = {each.object.name: each for each in await deleted(api, Collection("namespaces"))}
    assert results["default"].outcome == "refused"
    assert isinstance(results["default"].error, errors.Forbidden)
    assert results["one"].outcome == "deleted"


async def test_grace_and_propagation_count_for_each(api):
    await api.create(pod("a"))
    await maps(api, "m")
    results = await deleted(api, Collection("configmaps", "default", propagation="Foreground"))
    assert results[0].object.tree()["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert await remaining(api) == ["m"]
    results = await deleted(api, Collection("pods", "default", grace_seconds=0))
    assert names(results) == [("deleted", "a")]


async def test_a_dry_run_deletes_nothing(api):
    await maps(api, "a")
    assert names(await deleted(api, Collection("configmaps", "default"), dry_run=True)) == [("deleted", "a")]
    assert await remaining(api) == ["a"]


async def test_who_may_not_delete_a_collection_deletes_nothing_of_it(cluster, api):
    await maps(api, "a")
    with pytest.raises(errors.Forbidden, match="deletecollection"):
        await cluster.core.delete_collection(Identity("jane"), Collection("configmaps", "default"))
    assert await remaining(api) == ["a"]
