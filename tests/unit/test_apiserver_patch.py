"""Patch: the stored object changed in place, on the newest state, and refused where it would make another object."""

from __future__ import annotations

import asyncio
import json

import pytest

from api import errors
from tests.api_server import config_map, running_core


@pytest.fixture
async def api(tmp_path):
    async with running_core(tmp_path) as cluster:
        yield cluster.local


def deployment():
    containers = [{"name": "main", "image": "app:1"}, {"name": "proxy", "image": "proxy:1"}]
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": containers}}
    spec = {"selector": {"matchLabels": {"app": "a"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": spec}


def body(patch):
    return json.dumps(patch).encode()


async def test_a_strategic_patch_merges_containers_by_name(api):
    await api.create(deployment())
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "proxy", "image": "proxy:2"}]}}}}
    stored = await api.patch("deployments.apps", "default", "a", "strategic", body(patch))
    containers = stored.tree()["spec"]["template"]["spec"]["containers"]
    assert [each["image"] for each in containers] == ["app:1", "proxy:2"]
    assert stored.tree()["metadata"]["generation"] == 2
    assert (await api.get("deployments.apps", "default", "a")).tree() == stored.tree()


async def test_a_merge_patch_replaces_lists_and_removes_what_is_null(api):
    await api.create({**config_map("a", {"x": "1", "y": "2"})})
    stored = await api.patch("configmaps", "default", "a", "merge", body({"data": {"x": None, "z": "3"}}))
    assert stored.tree()["data"] == {"y": "2", "z": "3"}


async def test_a_json_patch_is_done_whole_or_not_at_all(api):
    await api.create(config_map("a", {"x": "1"}))
    operations = [{"op": "add", "path": "/data/y", "value": "2"}, {"op": "test", "path": "/data/x", "value": "9"}]
    with pytest.raises(errors.Invalid, match="operation 1: the test failed"):
        await api.patch("configmaps", "default", "a", "json", body(operations))
    assert (await api.get("configmaps", "default", "a")).tree()["data"] == {"x": "1"}
    stored = await api.patch("configmaps", "default", "a", "json", body(operations[:1]))
    assert stored.tree()["data"] == {"x": "1", "y": "2"}


async def test_a_patch_that_changes_nothing_makes_no_revision(api):
    created = await api.create(config_map("a", {"x": "1"}))
    stored = await api.patch("configmaps", "default", "a", "merge", body({"data": {"x": "1"}}))
    assert stored.revision == created.revision


async def test_a_resource_version_in_a_patch_is_a_precondition(api):
    created = await api.create(config_map("a", {"x": "1"}))
    patch = {"metadata": {"resourceVersion": str(created.revision)}, "data": {"x": "2"}}
    await api.patch("configmaps", "default", "a", "merge", body(patch))
    with pytest.raises(errors.Conflict, match="read it again"):
        await api.patch("configmaps", "default", "a", "merge", body(patch))


async def test_patches_without_one_do_not_lose_each_other(api):
    await api.create(config_map("a", {"x": "1"}))
    patches = (api.patch("configmaps", "default", "a", "merge", body({"data": {f"k{n}": "v"}})) for n in range(5))
    await asyncio.gather(*patches)
    assert sorted((await api.get("configmaps", "default", "a")).tree()["data"]) == ["k0", "k1", "k2", "k3", "k4", "x"]


@pytest.mark.parametrize("form", ["merge", "strategic", "json"])
async def test_a_patched_status_has_the_fields_that_its_readers_count_on(api, form):
    await api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}})
    status = {"conditions": [{"type": "Ready"}], "addresses": [{"type": "Hostname"}]}
    whole = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}, "status": status}
    patch = [{"op": "add", "path": "/status", "value": status}] if form == "json" else whole
    stored = await api.patch("nodes", "", "a", form, body(patch), subresource="status")
    assert stored.tree()["status"]["conditions"] == [{"type": "Ready", "status": ""}]
    assert stored.tree()["status"]["addresses"] == [{"type": "Hostname", "address": ""}]


@pytest.mark.parametrize("form", ["merge", "strategic"])
async def test_a_patch_that_is_nested_too_deep_is_refused(api, form):
    await api.create(config_map("a", {"x": "1"}))
    for depth in (101, 300, 600, 800):
        deep = b'{"data":' * depth + b"1" + b"}" * depth
        with pytest.raises(errors.Invalid, match=r"nested deeper than 100 levels|not JSON"):
            await api.patch("configmaps", "default", "a", form, deep)


async def test_operations_that_build_depth_together_are_refused(api):
    await api.create(config_map("a", {"x": "1"}))
    one = '{"a":' * 60 + "1" + "}" * 60
    steps = "/a" * 60
    adding = ",".join(f'{{"op":"add","path":"/data{steps * index}","value":{one}}}' for index in range(40))
    with pytest.raises(errors.Invalid, match="nested deeper than 100 levels"):
        await api.patch("configmaps", "default", "a", "json", f"[{adding}]".encode())


async def test_status_is_patched_only_as_the_subresource(api):
    await api.create(deployment())
    patch = body({"spec": {"replicas": 3}, "status": {"observedGeneration": 7}})
    stored = (await api.patch("deployments.apps", "default", "a", "merge", patch)).tree()
    assert stored["spec"]["replicas"] == 3
    assert "observedGeneration" not in stored.get("status", {})
    patch = body({"spec": {"replicas": 5}, "status": {"observedGeneration": 2}})
    stored = (await api.patch("deployments.apps", "default", "a", "merge", patch, subresource="status")).tree()
    assert (stored["spec"]["replicas"], stored["status"]["observedGeneration"]) == (3, 2)


async def test_a_dry_run_changes_nothing(api):
    await api.create(config_map("a", {"x": "1"}))
    stored = await api.patch("configmaps", "default", "a", "merge", body({"data": {"x": "2"}}), dry_run=True)
    assert stored.tree()["data"] == {"x": "2"}
    assert (await api.get("configmaps", "default", "a")).tree()["data"] == {"x": "1"}


@pytest.mark.parametrize(
    ("patch_type", "patch", "words"),
    [
        ("merge", {"metadata": {"name": "b"}}, "metadata.name: Forbidden: a patch cannot change it"),
        ("merge", {"metadata": {"namespace": "b"}}, "metadata.namespace: Forbidden"),
        ("merge", {"kind": "Secret"}, "kind: Forbidden"),
        ("merge", {"metadata": None}, "what the patch leaves is no object"),
        ("merge", {"date": {}}, 'date: unknown field, did you mean "data"?'),
        ("merge", {"data": {"x": 1}}, "data[x]: expected string"),
        ("merge", [], "a merge patch is an object"),
        ("json", {}, "a JSON patch is a list"),
        ("json", [{"op": "add", "path": "", "value": 3}], "what the patch leaves is no object"),
        ("strategic", {"$patch": "delete"}, "what the patch leaves is no object"),
        ("strategic", {"$patch": "x"}, "is not known; use merge, replace or delete"),
    ],
)
async def test_what_a_patch_may_not_do_is_refused_by_name(api, patch_type, patch, words):
    await api.create(config_map("a", {"x": "1"}))
    with pytest.raises(errors.Invalid) as caught:
        await api.patch("configmaps", "default", "a", patch_type, body(patch))
    assert words in str(caught.value)


async def test_nonsense_is_refused(api):
    with pytest.raises(errors.Invalid, match="this is not JSON"):
        await api.patch("configmaps", "default", "a", "merge", b"{")
    with pytest.raises(errors.NotFound, match='configmaps "a" not found'):
        await api.patch("configmaps", "default", "a", "merge", b"{}")
    with pytest.raises(errors.Invalid, match="configmaps have no status"):
        await api.patch("configmaps", "default", "a", "merge", b"{}", subresource="status")
    with pytest.raises(errors.Invalid, match='no subresource "scale"'):
        await api.patch("pods", "default", "a", "merge", b"{}", subresource="scale")
