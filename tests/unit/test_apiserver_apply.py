"""Apply: create, merge three ways, leave alone."""

from __future__ import annotations

import asyncio
import json

import pytest

from api import errors
from api.wellknown import LAST_APPLIED_ANNOTATION
from tests.api_server import config_map, pod


def deployment(replicas=None, image="app:1", **metadata):
    spec = {
        "selector": {"matchLabels": {"app": "a"}},
        "template": {
            "metadata": {"labels": {"app": "a"}},
            "spec": {"containers": [{"name": "main", "image": image}]},
        },
    }
    if replicas is not None:
        spec["replicas"] = replicas
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", **metadata}, "spec": spec}


async def test_applying_what_is_not_there_creates_it_and_records_the_manifest(api):
    stored, outcome = await api.apply(deployment())
    tree = stored.tree()
    assert outcome == "created"
    recorded = json.loads(tree["metadata"]["annotations"][LAST_APPLIED_ANNOTATION])
    assert recorded["spec"] == deployment()["spec"]
    assert tree["spec"]["replicas"] == 1


async def test_applying_the_same_again_changes_nothing(api, cluster):
    await api.apply(deployment())
    revision = cluster.replica.state.revision
    _, outcome = await api.apply(deployment())
    assert (outcome, cluster.replica.state.revision) == ("unchanged", revision)


async def test_fields_of_others_stay(api):
    tree = (await api.apply(deployment()))[0].tree()
    tree["spec"]["replicas"] = 5
    tree["metadata"]["labels"] = {"team": "blue"}
    await api.update(tree)
    stored, outcome = await api.apply(deployment(image="app:2"))
    tree = stored.tree()
    assert outcome == "configured"
    assert (tree["spec"]["replicas"], tree["metadata"]["labels"]) == (5, {"team": "blue"})
    assert tree["spec"]["template"]["spec"]["containers"][0]["image"] == "app:2"


async def test_a_field_that_is_not_applied_any_more_goes_back_to_its_default(api):
    await api.apply(deployment(replicas=5, labels={"a": "b"}))
    tree = (await api.apply(deployment()))[0].tree()
    assert tree["spec"]["replicas"] == 1
    assert "labels" not in tree["metadata"] or tree["metadata"]["labels"] == {}


async def test_an_object_that_was_created_otherwise_is_adopted_without_losing_anything(api):
    await api.create(config_map("a", {"theirs": "1"}))
    stored, outcome = await api.apply(config_map("a", {"ours": "2"}))
    assert outcome == "configured"
    assert stored.tree()["data"] == {"theirs": "1", "ours": "2"}


async def test_what_was_read_can_be_applied(api):
    tree = (await api.create(deployment())).tree()
    await api.update_status({**tree, "status": {"replicas": 1}})
    read = (await api.get("deployments.apps", "default", "a")).tree()
    _, outcome = await api.apply(read)
    assert outcome == "configured"
    read = (await api.get("deployments.apps", "default", "a")).tree()
    stored, outcome = await api.apply(read)
    assert outcome == "unchanged"
    assert stored.tree()["status"] == {"replicas": 1}


async def test_a_resource_version_in_the_manifest_is_a_precondition(api):
    first = (await api.apply(config_map("a", {"k": "1"})))[0]
    await api.apply(config_map("a", {"k": "2"}))
    with pytest.raises(errors.Conflict):
        await api.apply(config_map("a", {"k": "3"}, resourceVersion=str(first.revision)))


async def test_unknown_fields_of_a_manifest_are_refused(api):
    await api.apply(config_map("a"))
    with pytest.raises(errors.Invalid, match="dta"):
        await api.apply({**config_map("a"), "dta": {}})


async def test_apply_needs_a_name(api):
    with pytest.raises(errors.Invalid, match="apply needs the name"):
        await api.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "a-"}})


async def test_a_pod_can_be_applied_again_and_relabelled(api):
    await api.apply(pod("a"))
    assert (await api.apply(pod("a")))[1] == "unchanged"
    assert (await api.apply(pod("a", metadata={"labels": {"x": "y"}})))[1] == "configured"


async def test_a_services_address_survives_applies(api):
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s"},
        "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}]},
    }
    address = (await api.apply(manifest))[0].tree()["spec"]["clusterIP"]
    assert (await api.apply(manifest))[1] == "unchanged"
    manifest["spec"]["ports"].append({"port": 81, "name": "other"})
    manifest["spec"]["ports"][0]["name"] = "http"
    stored, _ = await api.apply(manifest)
    assert stored.tree()["spec"]["clusterIP"] == address


async def test_a_recorded_manifest_that_cannot_be_read_removes_nothing(api):
    await api.create(config_map("a", {"k": "1"}, annotations={LAST_APPLIED_ANNOTATION: "{rubbish"}))
    stored, _ = await api.apply(config_map("a", {"l": "2"}))
    assert stored.tree()["data"] == {"k": "1", "l": "2"}


async def test_a_dry_run_of_an_apply_stores_nothing(api):
    _, outcome = await api.apply(config_map("a"), dry_run=True)
    assert outcome == "created"
    assert not (await api.list("configmaps")).items


async def test_applies_at_once_all_come_through(api):
    manifests = [config_map("a", {f"k{index}": "1"}) for index in range(4)]
    results = await asyncio.gather(*(api.apply(each) for each in manifests))
    assert [outcome for _, outcome in results].count("created") == 1


@pytest.mark.parametrize("recorded", ['"text"', "[1]", '{"metadata":5}'])
async def test_a_recorded_manifest_that_is_no_object_removes_nothing(api, recorded):
    await api.create(config_map("a", {"k": "1"}, annotations={LAST_APPLIED_ANNOTATION: recorded}))
    assert (await api.apply(config_map("a", {"l": "2"})))[0].tree()["data"] == {"k": "1", "l": "2"}


async def test_annotations_of_others_stay_and_applied_ones_go(api):
    await api.apply(config_map("a", annotations={"mine": "1"}))
    tree = (await api.get("configmaps", "default", "a")).tree()
    tree["metadata"]["annotations"]["theirs"] = "2"
    await api.update(tree)
    stored, _ = await api.apply(config_map("a"))
    annotations = stored.tree()["metadata"]["annotations"]
    assert annotations.keys() == {LAST_APPLIED_ANNOTATION, "theirs"}
