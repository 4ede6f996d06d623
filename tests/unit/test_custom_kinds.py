"""Custom kinds through the API: from their definition to its end."""

from __future__ import annotations

import asyncio
import json

import pytest

from api import errors
from api.object import at
from component.client import Collection, Write
from controlplane.admission.request import MASTERS_GROUP, Identity
from tests.api_server import config_map
from tests.crontabs import DEFINITIONS, RESOURCE, VERSION, crontab, definition
from tests.waiting import DEADLINE_SECONDS

ADMIN = Identity("admin", (MASTERS_GROUP,))


def condition(stored, kind):
    return next(each for each in stored.tree()["status"]["conditions"] if each["type"] == kind)


async def test_a_definition_is_established_at_once_and_its_kind_served(api):
    stored = await api.create(definition())
    assert condition(stored, "Established")["status"] == condition(stored, "NamesAccepted")["status"] == "True"
    status = stored.tree()["status"]
    assert status["storedVersions"] == ["v1"]
    assert status["acceptedNames"]["listKind"] == "CronTabList"
    made = await api.create(crontab(image="i"))
    assert made.resource == RESOURCE
    assert made.tree()["spec"] == {"cronSpec": "* * * * */5", "image": "i", "replicas": 1}
    assert [each.name for each in (await api.list(RESOURCE, "default")).items] == ["a"]


async def test_objects_are_refused_without_a_definition(api):
    with pytest.raises(errors.NotFound, match='no kind "CronTab"'):
        await api.create(crontab())
    with pytest.raises(errors.NotFound, match=RESOURCE):
        await api.list(RESOURCE)


async def test_objects_that_the_schema_forbids_are_refused_with_every_field(api):
    await api.create(definition())
    with pytest.raises(errors.Invalid) as refused:
        await api.create(crontab(replicas=20, image=1, cronSpec="x"))
    assert {field.path for field in refused.value.fields} == {"spec.replicas", "spec.image", "spec.cronSpec"}
    with pytest.raises(errors.Invalid, match="unknown field"):
        await api.create(crontab(foo=1))


async def test_a_generation_counts_everything_but_metadata_and_status(api):
    await api.create(definition())
    made = (await api.create(crontab())).tree()
    assert made["metadata"]["generation"] == 1
    made["metadata"]["labels"] = {"a": "b"}
    made = (await api.update(made)).tree()
    assert made["metadata"]["generation"] == 1
    made = (await api.update_status({**made, "status": {"replicas": 1}, "spec": {"cronSpec": "ignored"}})).tree()
    assert (made["metadata"]["generation"], made["status"]) == (1, {"replicas": 1})
    made["spec"]["replicas"] = 2
    made = (await api.update({**made, "status": {"replicas": 9}})).tree()
    assert (made["metadata"]["generation"], made["status"], made["spec"]["replicas"]) == (2, {"replicas": 1}, 2)


async def test_a_status_without_a_subresource_is_a_field_like_others(api):
    await api.create(definition(versions=[{**VERSION, "subresources": {}}]))
    made = (await api.create({**crontab(), "status": {"replicas": 1}})).tree()
    assert made["status"] == {"replicas": 1}
    made["status"]["replicas"] = 2
    assert (await api.update(made)).tree()["metadata"]["generation"] == 2
    with pytest.raises(errors.Invalid, match="have no status"):
        await api.update_status(made)
    applied, _ = await api.apply({**crontab("b"), "status": {"replicas": 3}})
    assert applied.tree()["status"] == {"replicas": 3}


async def test_a_status_is_judged_by_the_schema(api):
    await api.create(definition())
    made = (await api.create(crontab())).tree()
    with pytest.raises(errors.Invalid, match=r"status\.replicas"):
        await api.update_status({**made, "status": {"replicas": "many"}})


async def test_patches_merge_by_the_schema_and_strategic_ones_are_refused(api):
    await api.create(definition())
    await api.create(crontab(ports=[{"name": "a", "port": 1}]))

    async def patch(kind, body, **how):
        patched = await api.patch(RESOURCE, "default", "a", kind, json.dumps(body).encode(), **how)
        return patched.tree()["spec"]

    assert (await patch("merge", {"spec": {"image": "i"}}))["image"] == "i"
    assert "image" not in await patch("json", [{"op": "remove", "path": "/spec/image"}])
    ports = {**crontab(), "spec": {"ports": [{"name": "b", "port": 2}]}}
    applied = await patch("apply", ports, field_manager="me")
    assert [each["name"] for each in applied["ports"]] == ["a", "b"]
    with pytest.raises(errors.Invalid, match="no strategic merge patch"):
        await patch("strategic", {"spec": {}})
    with pytest.raises(errors.Invalid, match=r"spec\.replicas"):
        await patch("merge", {"spec": {"replicas": 99}})


async def test_apply_merges_with_what_others_changed(api):
    await api.create(definition())
    await api.apply(crontab(image="1"))
    await api.patch(RESOURCE, "default", "a", "merge", b'{"spec":{"replicas":5}}')
    applied, outcome = await api.apply(crontab())
    assert outcome == "configured"
    assert applied.tree()["spec"] == {"cronSpec": "* * * * */5", "replicas": 5}


async def test_versions_show_the_same_object_and_are_stored_as_one(api):
    later = {**VERSION, "name": "v2", "storage": False}
    await api.create(definition(versions=[VERSION, later]))
    await api.create(crontab("b", api_version="stable.example.com/v2"))
    found = await api.get(RESOURCE, "default", "b")
    assert found.tree()["apiVersion"] == "stable.example.com/v1"
    stored = await api.get(DEFINITIONS, "", RESOURCE)
    tree = stored.tree()
    for version in tree["spec"]["versions"]:
        version["storage"] = version["name"] == "v2"
    changed = await api.update(tree)
    assert changed.tree()["status"]["storedVersions"] == ["v1", "v2"]
    assert (await api.get(RESOURCE, "default", "b")).tree()["apiVersion"] == "stable.example.com/v2"
    tree = changed.tree()
    tree["spec"]["versions"] = [version for version in tree["spec"]["versions"] if version["name"] == "v2"]
    with pytest.raises(errors.Invalid, match=r"storedVersions\[0\].*missing from spec.versions"):
        await api.update(tree)


async def test_a_default_that_comes_later_shows_in_objects_that_were_there(api):
    await api.create(definition())
    await api.create(crontab())
    tree = (await api.get(DEFINITIONS, "", RESOURCE)).tree()
    spec = tree["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["image"]["default"] = "standard"
    await api.update(tree)
    assert (await api.get(RESOURCE, "default", "a")).tree()["spec"]["image"] == "standard"
    assert (await api.list(RESOURCE)).items[0].tree()["spec"]["image"] == "standard"


async def test_two_definitions_never_share_a_name(api):
    await api.create(definition())
    other = await api.create(definition(names={"plural": "others", "singular": "other", "kind": "Other"}))
    assert condition(other, "NamesAccepted") | {"lastTransitionTime": ""} == {
        "type": "NamesAccepted",
        "status": "False",
        "reason": "ShortNamesConflict",
        "message": '"ct" is already in use',
        "lastTransitionTime": "",
    }
    assert condition(other, "Established")["status"] == "False"
    with pytest.raises(errors.NotFound):
        await api.list("others.stable.example.com")
    elsewhere = await api.create(definition(group="elsewhere.example.com"))
    assert condition(elsewhere, "Established")["status"] == "True"
    tree = (await api.get(DEFINITIONS, "", RESOURCE)).tree()
    tree["spec"]["names"]["shortNames"] = []
    await api.update(tree)
    again = await api.update((await api.get(DEFINITIONS, "", "others.stable.example.com")).tree())
    assert condition(again, "Established")["status"] == "True"


async def test_names_clients_build_paths_of_never_change(api):
    tree = (await api.create(definition())).tree()
    tree["spec"]["scope"] = "Cluster"
    tree["spec"]["names"]["kind"] = "Other"
    with pytest.raises(errors.Invalid) as refused:
        await api.update(tree)
    assert {field.path for field in refused.value.fields} == {"spec.scope", "spec.names.kind"}


async def test_a_definition_that_is_being_deleted_takes_no_objects_and_waits_for_those_there_are(api):
    await api.create(definition())
    await api.create(crontab())
    gone = await api.delete(DEFINITIONS, "", RESOURCE)
    assert gone.tree()["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert condition(gone, "Terminating")["status"] == "True"
    with pytest.raises(errors.NotReady, match="terminating"):
        await api.create(crontab("b"))
    tree = (await api.get(DEFINITIONS, "", RESOURCE)).tree()
    del tree["metadata"]["finalizers"]
    with pytest.raises(errors.Conflict, match="there still are"):
        await api.update(tree)
    await api.delete(RESOURCE, "default", "a")
    await api.update(tree)
    with pytest.raises(errors.NotFound):
        await api.list(RESOURCE)
    assert condition(await api.create(definition()), "Established")["status"] == "True"


async def test_a_transaction_may_make_a_kind_and_objects_of_it(cluster, api):
    writes = [Write("apply", definition()), Write("apply", crontab()), Write("create", crontab("b", image="i"))]
    result = await cluster.core.transaction(ADMIN, writes)
    assert [each.outcome for each in result.results] == ["created"] * 3, result
    assert [each.name for each in (await api.list(RESOURCE)).items] == ["a", "b"]


async def test_collections_quotas_and_selectors_work_as_for_other_kinds(api):
    await api.create(definition())
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q", "namespace": "default"}}
    await api.create({**quota, "spec": {"hard": {f"count/{RESOURCE}": "2"}}})
    for name in ("a", "b"):
        tree = crontab(name)
        tree["metadata"]["labels"] = {"app": name}
        await api.create(tree)
    with pytest.raises(errors.Forbidden, match="exceeded quota"):
        await api.create(crontab("c"))
    assert [each.name for each in (await api.list(RESOURCE, label_selector="app=b")).items] == ["b"]
    assert [each.name for each in (await api.list(RESOURCE, field_selector="metadata.name=a")).items] == ["a"]
    with pytest.raises(errors.Invalid, match=r"spec\.image"):
        await api.list(RESOURCE, field_selector="spec.image=a")
    async for _ in api.delete_collection(Collection(RESOURCE, "default")):
        pass
    assert (await api.list(RESOURCE)).items == ()
    await api.create(crontab("c"))


async def test_a_dry_run_stores_nothing(api):
    await api.create(definition())
    shown = await api.create(crontab(), dry_run=True)
    assert at(shown.tree(), "spec.replicas") == 1
    assert (await api.list(RESOURCE)).items == ()


async def test_other_kinds_are_as_they_were(api):
    await api.create(definition())
    assert (await api.create(config_map("a"))).resource == "configmaps"


async def test_a_watch_ends_after_the_last_object_when_the_definition_goes(api):
    await api.create(definition())
    await api.create(crontab())
    stream = api.watch(RESOURCE)
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert [event.type for event in await anext(stream)] == ["ADDED"]
        assert [event.type for event in await anext(stream)] == ["BOOKMARK"]
        ending = asyncio.ensure_future(rest_of(stream))
        tree = (await api.get(DEFINITIONS, "", RESOURCE)).tree()
        await api.update({**tree, "metadata": {**tree["metadata"], "labels": {"a": "b"}}})  # which ends nothing
        await api.delete(RESOURCE, "default", "a")
        await api.delete(DEFINITIONS, "", RESOURCE)
        tree = (await api.get(DEFINITIONS, "", RESOURCE)).tree()
        await api.update({**tree, "metadata": {**tree["metadata"], "finalizers": []}})
        types, error = await ending
    assert types == ["DELETED"]
    assert isinstance(error, errors.Expired)
    assert str(error) == f'"{RESOURCE}" is not served any more, or not in all of its versions: list again'


async def test_a_watch_ends_when_a_version_is_not_served_any_more(api):
    await api.create(definition(versions=[VERSION, {**VERSION, "name": "v2", "storage": False}]))
    stream = api.watch(RESOURCE)
    async with asyncio.timeout(DEADLINE_SECONDS):
        await anext(stream)
        ending = asyncio.ensure_future(rest_of(stream))
        tree = (await api.get(DEFINITIONS, "", RESOURCE)).tree()
        tree["spec"]["versions"][1]["served"] = False
        await api.update(tree)
        _, error = await ending
    assert isinstance(error, errors.Expired)


async def test_a_version_that_says_neither_whether_it_is_served_nor_stored_is_neither(api):
    bare = {name: value for name, value in VERSION.items() if name not in {"served", "storage"}} | {"name": "v2"}
    stored = (await api.create(definition(versions=[VERSION, bare]))).tree()
    assert [(each["served"], each["storage"]) for each in stored["spec"]["versions"]] == [(True, True), (False, False)]
    await api.create(crontab())
    stream = api.watch(RESOURCE)
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert [event.type for event in await anext(stream)][:1] == ["ADDED"]
    await stream.aclose()


@pytest.mark.parametrize("pattern", ["(a+)+$", "[ab]*a[ab]{900}-"])
async def test_a_hostile_pattern_refuses_objects_and_holds_nobody_up(api, pattern):
    made = definition()
    spec = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["image"]["pattern"] = pattern
    await api.create(made)
    text = "".join("ab"[number * number % 7 % 2] for number in range(50_000)) + "-b"
    with pytest.raises(errors.Invalid, match=r"spec\.image"):
        await api.create(crontab(image=text))
    assert (await api.create(config_map("next"))).name == "next"


async def test_a_pattern_of_another_language_is_refused(api):
    made = definition()
    spec = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["image"]["pattern"] = "^(?!a)"
    with pytest.raises(errors.Invalid, match=r"pattern: .* must be a valid regular expression: invalid perl operator"):
        await api.create(made)


async def rest_of(stream):
    """The types of what comes until the watch ends, but for bookmarks, and how it ends."""
    types = []
    try:
        async for batch in stream:
            types += [event.type for event in batch if event.type != "BOOKMARK"]
    except errors.ApiError as error:
        return types, error


async def test_a_version_that_does_not_say_whether_it_is_served_disturbs_no_watch(api):
    silent = {name: value for name, value in VERSION.items() if name != "served"}
    await api.create(definition(versions=[VERSION, {**silent, "name": "v2", "storage": False}]))
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert [event.type for event in await anext(api.watch(RESOURCE))] == ["BOOKMARK"]
