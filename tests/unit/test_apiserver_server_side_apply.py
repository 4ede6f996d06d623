"""Server-side apply through the core: preconditions, defaults, status, other ways of writing, and what it leaves behind."""

from __future__ import annotations

import json

import pytest
from msgspec import structs

from api import errors
from api.wellknown import LAST_APPLIED_ANNOTATION
from tests.api_server import ADMIN, config_map

CONTAINER = {"name": "main", "image": "app:1"}


def deployment(*containers, **spec):
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": list(containers)}}
    spec = {"selector": {"matchLabels": {"app": "a"}}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": spec}


@pytest.fixture
def applies(api):
    """Applies an object as a manager."""

    async def apply(manager, tree, **options):
        resource = {"ConfigMap": "configmaps", "Deployment": "deployments.apps", "Secret": "secrets"}[tree["kind"]]
        body = json.dumps(tree).encode()
        name = tree["metadata"]["name"]
        return await api.patch(resource, "default", name, "apply", body, field_manager=manager, **options)

    return apply


def entries(stored):
    return {
        (entry["manager"], entry["operation"], entry.get("subresource", "")): entry["fieldsV1"]
        for entry in stored.tree()["metadata"].get("managedFields", ())
    }


async def test_applying_makes_the_object_with_its_defaults_and_one_owner(applies):
    stored = await applies("me", deployment(CONTAINER))
    tree = stored.tree()
    assert tree["spec"]["replicas"] == 1
    (owned,) = entries(stored).values()
    assert "f:replicas" not in owned["f:spec"]
    assert owned["f:spec"]["f:template"]["f:spec"]["f:containers"] == {
        'k:{"name":"main"}': {".": {}, "f:image": {}, "f:name": {}}
    }
    (entry,) = tree["metadata"]["managedFields"]
    assert (entry["fieldsType"], entry["apiVersion"], entry["operation"]) == ("FieldsV1", "apps/v1", "Apply")
    assert entry["time"] == tree["metadata"]["creationTimestamp"]


async def test_applying_the_same_again_makes_no_revision(applies):
    first = await applies("me", deployment(CONTAINER))
    assert (await applies("me", deployment(CONTAINER))).revision == first.revision


async def test_what_was_read_can_be_applied_again_by_anybody(applies):
    stored = await applies("me", deployment(CONTAINER))
    tree = stored.tree()
    del tree["metadata"]["managedFields"]
    again = await applies("you", tree)
    assert {**again.tree(), "metadata": None} == {**tree, "metadata": None}
    assert (await applies("you", tree | {"metadata": {"name": "a"}})).tree()["metadata"]["generation"] == 1


async def test_a_conflict_names_fields_and_managers_until_it_is_forced(applies):
    await applies("me", deployment(CONTAINER, replicas=2))
    with pytest.raises(errors.Conflict) as refused:
        await applies("you", deployment({**CONTAINER, "image": "app:2"}, replicas=3))
    assert [each.path for each in refused.value.fields] == [
        ".spec.replicas",
        '.spec.template.spec.containers[name="main"].image',
    ]
    stored = await applies("you", deployment({**CONTAINER, "image": "app:2"}, replicas=3), force=True)
    assert stored.tree()["spec"]["replicas"] == 3
    assert stored.tree()["metadata"]["generation"] == 2
    assert "f:replicas" not in entries(stored)["me", "Apply", ""]["f:spec"]


async def test_a_field_that_is_withdrawn_falls_back_to_its_default(applies):
    await applies("me", deployment(CONTAINER, replicas=3, strategy={"type": "Recreate"}))
    spec = (await applies("me", deployment(CONTAINER))).tree()["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "RollingUpdate")


async def test_a_probe_that_is_withdrawn_goes_with_its_defaults(applies):
    await applies("me", deployment({**CONTAINER, "livenessProbe": {"httpGet": {"port": 80}}}))
    spec = (await applies("me", deployment(CONTAINER))).tree()["spec"]
    assert "livenessProbe" not in spec["template"]["spec"]["containers"][0]


async def test_objects_that_were_never_applied_on_the_server_keep_no_owners(api):
    created = await api.create({**config_map("a", {"x": "1"})})
    tree = created.tree()
    tree["data"] = {"x": "2"}
    assert "managedFields" not in (await api.update(tree)).tree()["metadata"]


async def test_other_writes_take_over_what_they_change_once_there_are_owners(applies, cluster):
    stored = await applies("me", deployment(CONTAINER, replicas=2))
    tree = stored.tree()
    tree["spec"]["replicas"] = 5
    stored = await cluster.core.update(structs.replace(ADMIN, manager="scaler"), tree)
    assert entries(stored)["scaler", "Update", ""] == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in entries(stored)["me", "Apply", ""]["f:spec"]
    patch = json.dumps({"metadata": {"labels": {"x": "y"}}}).encode()
    stored = await cluster.core.patch(ADMIN, "deployments.apps", "default", "a", "merge", patch)
    assert entries(stored)[ADMIN.user, "Update", ""] == {"f:metadata": {"f:labels": {"f:x": {}}}}
    with pytest.raises(errors.Conflict, match=r'"scaler" using apps/v1: \.spec\.replicas'):
        await applies("me", deployment(CONTAINER, replicas=2))


async def test_the_status_has_owners_of_its_own(applies, cluster):
    stored = await applies("me", deployment(CONTAINER))
    tree = stored.tree()
    tree["status"] = {"observedGeneration": 1}
    stored = await cluster.core.update_status(structs.replace(ADMIN, manager="controller"), tree)
    assert entries(stored)["controller", "Update", "status"] == {"f:status": {"f:observedGeneration": {}}}
    status = {**deployment(), "status": {"replicas": 1, "observedGeneration": 1}}
    stored = await applies("other", status, subresource="status")
    assert stored.tree()["status"] == {"observedGeneration": 1, "replicas": 1}
    assert entries(stored)["other", "Apply", "status"] == {"f:status": {"f:observedGeneration": {}, "f:replicas": {}}}
    assert stored.tree()["spec"]["template"]["spec"]["containers"][0]["image"] == "app:1"
    with pytest.raises(errors.Conflict, match='"other" with subresource "status"'):
        await applies("third", {**deployment(), "status": {"replicas": 2}}, subresource="status")


async def test_the_status_of_what_is_not_there_cannot_be_applied(applies):
    with pytest.raises(errors.NotFound):
        await applies("me", {**deployment(), "status": {"replicas": 1}}, subresource="status")


async def test_what_tim_applied_by_itself_before_is_its_own_and_the_annotation_follows(api, applies):
    await api.apply(deployment(CONTAINER, replicas=2))
    stored = await applies("tim", deployment(CONTAINER))
    tree = stored.tree()
    assert tree["spec"]["replicas"] == 1
    assert json.loads(tree["metadata"]["annotations"][LAST_APPLIED_ANNOTATION])["spec"].get("replicas") is None
    back, outcome = await api.apply(deployment(CONTAINER))
    assert (outcome, back.revision) == ("unchanged", stored.revision)


async def test_what_others_applied_by_themselves_was_there_before(api, applies):
    await api.apply(config_map("a", {"x": "1"}))
    with pytest.raises(errors.Conflict, match=r'"before-first-apply" using v1: \.data\.x'):
        await applies("me", config_map("a", {"x": "2"}))
    stored = await applies("me", config_map("a", {"x": "2"}), force=True)
    assert entries(stored)["me", "Apply", ""] == {"f:data": {"f:x": {}}}


async def test_applying_on_the_client_counts_as_a_write_of_its_own_name(api, applies):
    await applies("tim", config_map("a", {"x": "1"}))
    await api.apply(config_map("a", {"x": "2"}))
    stored = await api.get("configmaps", "default", "a")
    assert (f"{ADMIN.user}-client-side-apply", "Update", "") in entries(stored)


async def test_string_data_of_a_secret_is_owned_as_its_data(applies):
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    stored = await applies("me", {**secret, "stringData": {"a": "1", "b": "2"}})
    assert entries(stored)["me", "Apply", ""] == {"f:data": {"f:a": {}, "f:b": {}}}
    stored = await applies("me", {**secret, "stringData": {"a": "1"}})
    assert stored.tree()["data"] == {"a": "MQ=="}


async def test_preconditions_hold_when_applying(applies):
    stored = await applies("me", config_map("a", {"x": "1"}))
    stale = {**config_map("a", {"x": "2"}), "metadata": {"name": "a", "resourceVersion": str(stored.revision - 1)}}
    with pytest.raises(errors.Conflict, match="read it again"):
        await applies("me", stale)
    other = {**config_map("a", {"x": "2"}), "metadata": {"name": "a", "uid": "other"}}
    with pytest.raises(errors.Conflict, match="made anew"):
        await applies("me", other)
    with pytest.raises(errors.Conflict, match="leave out the uid"):
        await applies("me", {**config_map("b", {}), "metadata": {"name": "b", "uid": "some"}})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"metadata": {"name": "a", "managedFields": [{}]}}, "metadata.managedFields: Forbidden"),
        ({"metadata": {"name": "b"}}, 'metadata.name: Invalid value: the request is for "a"'),
        ({"kind": "Secret"}, 'kind: Invalid value: the request is for "ConfigMap"'),
        ({"dat": {}}, 'unknown field, did you mean "data"'),
    ],
)
async def test_a_configuration_that_cannot_be_meant_is_refused_by_field(api, change, why):
    body = json.dumps({**config_map("a", {"x": "1"}), **change}).encode()
    with pytest.raises(errors.Invalid) as refused:
        await api.patch("configmaps", "default", "a", "apply", body, field_manager="me")
    assert why in str(refused.value)


async def test_elements_that_cannot_be_told_apart_are_refused_when_applying(applies):
    env = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    with pytest.raises(errors.Invalid, match=r'containers\[name="main"\].env: Invalid value: .*another name'):
        await applies("me", deployment({**CONTAINER, "env": env}))


@pytest.mark.parametrize("manager", ["", "x" * 129, "a\nb"])
async def test_who_applies_has_to_say_as_whom(applies, manager):
    with pytest.raises(errors.Invalid, match="fieldManager"):
        await applies(manager, config_map("a", {}))


async def test_only_what_is_applied_can_be_forced(api):
    await api.create(config_map("a", {}))
    with pytest.raises(errors.Invalid, match="force: Forbidden"):
        await api.patch("configmaps", "default", "a", "merge", b"{}", force=True)


@pytest.mark.parametrize(("body", "why"), [(b"[1", "not JSON"), (b"3", "is an object"), (b"a: b", "not JSON")])
async def test_what_is_no_object_cannot_be_applied(api, body, why):
    with pytest.raises(errors.Invalid, match=why):
        await api.patch("configmaps", "default", "a", "apply", body, field_manager="me")


async def test_owners_are_kept_by_clients_that_know_nothing_of_them_and_forgotten_on_request(api, applies):
    await applies("me", config_map("a", {"x": "1"}))
    stored = await api.update(config_map("a", {"x": "1", "y": "2"}))
    assert ("me", "Apply", "") in entries(stored)
    reset = stored.tree()
    reset["metadata"]["managedFields"] = [{}]
    assert entries(await api.update(reset)) == {}


async def test_owners_may_be_written_but_only_in_their_form(api, applies):
    stored = await applies("me", config_map("a", {"x": "1"}))
    tree = stored.tree()
    tree["metadata"]["managedFields"][0]["manager"] = "you"
    assert list(entries(await api.update(tree))) == [("you", "Apply", "")]
    tree["metadata"].pop("resourceVersion")
    tree["metadata"]["managedFields"][0]["operation"] = "Replace"
    with pytest.raises(errors.Invalid, match=r"metadata.managedFields\[0\]: Invalid value: operation must be"):
        await api.update(tree)


async def test_a_dry_run_stores_nothing(api, applies):
    stored = await applies("me", config_map("a", {"x": "1"}), dry_run=True)
    assert stored.revision == 0
    with pytest.raises(errors.NotFound):
        await api.get("configmaps", "default", "a")
