"""Create: what the API fills in, what it refuses, and what a repetition gives."""

from __future__ import annotations

import pytest

from api import errors
from component.client import Binding
from tests.api_server import config_map, pod


async def test_a_new_object_gets_uid_creation_time_and_revision(api):
    created = (await api.create(config_map("a"))).tree()["metadata"]
    assert len(created["uid"]) == 36
    assert created["creationTimestamp"].endswith("Z")
    assert int(created["resourceVersion"]) > 0


async def test_only_kinds_with_a_spec_have_a_generation(api):
    assert (await api.create(pod("a"))).tree()["metadata"]["generation"] == 1
    assert "generation" not in (await api.create(config_map("a"))).tree()["metadata"]


async def test_the_revision_is_not_stored_in_the_json(api):
    created = await api.create(config_map("a"))
    assert b"resourceVersion" not in created.json


async def test_metadata_that_only_the_api_writes_is_replaced(api):
    forged = config_map(
        "a", creationTimestamp="2001-01-01T00:00:00Z", deletionTimestamp="2001-01-01T00:00:00Z", generation=7
    )
    metadata = (await api.create(forged)).tree()["metadata"]
    assert metadata["creationTimestamp"] != "2001-01-01T00:00:00Z"
    assert "deletionTimestamp" not in metadata
    assert "generation" not in metadata


async def test_nulls_are_absent(api):
    created = await api.create({**config_map("a", creationTimestamp=None), "data": {"k": "v", "gone": None}})
    assert created.tree()["data"] == {"k": "v"}


async def test_the_status_of_a_create_is_ignored(api):
    created = await api.create({**pod("a"), "status": {"phase": "Running", "podIP": "1.2.3.4"}})
    assert created.tree()["status"] == {"phase": "Pending", "qosClass": "BestEffort"}


async def test_the_namespace_is_default_when_none_is_given(api):
    assert (await api.create(config_map("a"))).namespace == "default"
    assert (await api.create(config_map("b", namespace=""))).namespace == "default"


async def test_cluster_scoped_kinds_take_no_namespace(api):
    with pytest.raises(errors.Invalid, match="have no namespace"):
        await api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "namespace": "x"}})


async def test_a_name_that_is_taken_is_refused(api):
    await api.create(config_map("a"))
    with pytest.raises(errors.AlreadyExists, match='configmaps "a" already exists'):
        await api.create(config_map("a"))


async def test_repeating_a_create_with_its_uid_gives_the_object_there_is(api):
    first = await api.create(config_map("a", uid="11111111-1111-4111-8111-111111111111"))
    again = await api.create(config_map("a", {"other": "data"}, uid="11111111-1111-4111-8111-111111111111"))
    assert again == first


async def test_a_uid_that_is_none_is_refused(api):
    with pytest.raises(errors.Invalid, match=r"metadata\.uid"):
        await api.create(config_map("a", uid="no spaces please"))


async def test_a_new_object_has_no_resource_version(api):
    with pytest.raises(errors.Invalid, match=r"metadata\.resourceVersion"):
        await api.create(config_map("a", resourceVersion="5"))


async def test_a_name_is_made_from_generate_name(api):
    created = await api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "web-"}})
    assert created.name.startswith("web-")
    assert len(created.name) == 9
    assert created.tree()["metadata"]["name"] == created.name


async def test_a_long_generate_name_is_cut_so_that_the_name_fits(api):
    tree = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "a" * 70}}
    assert len((await api.create(tree)).name) == 63


async def test_a_name_or_generate_name_is_required(api):
    with pytest.raises(errors.Invalid, match=r"metadata\.name"):
        await api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}})


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({}, "apiVersion"),
        ({"apiVersion": "v1"}, "kind"),
        ({"apiVersion": "v1", "kind": "ConfigMap"}, "metadata"),
        ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": "x"}, "metadata"),
        ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": 5}}, r"metadata\.name"),
        ({"apiVersion": 1, "kind": "ConfigMap", "metadata": {"name": "a"}}, "apiVersion"),
        ([], "an object is needed"),
    ],
)
async def test_what_is_no_object_is_refused_in_words(api, tree, message):
    with pytest.raises(errors.Invalid, match=message):
        await api.create(tree)


async def test_a_wrong_api_version_names_the_right_one(api):
    with pytest.raises(errors.NotFound, match='use apiVersion "apps/v1"'):
        await api.create({"apiVersion": "v1", "kind": "Deployment", "metadata": {"name": "a"}})


async def test_all_wrong_fields_are_named_at_once(api):
    with pytest.raises(errors.Invalid) as caught:
        await api.create({**config_map("a"), "dat": {}, "immutable": "yes"})
    assert [field.path for field in caught.value.fields] == ["dat", "immutable"]


async def test_a_dry_run_tells_what_would_be_and_stores_nothing(api, cluster):
    before = cluster.replica.state.revision
    planned = await api.create(config_map("a"), dry_run=True)
    assert (planned.name, planned.revision) == ("a", 0)
    assert cluster.replica.state.revision == before
    with pytest.raises(errors.Invalid):
        await api.create(config_map("A"), dry_run=True)


async def test_an_object_over_the_limit_is_refused_with_both_sizes(api):
    large = pod("a")
    large["spec"]["containers"][0]["env"] = [{"name": "X", "value": "x" * (1 << 21)}]
    with pytest.raises(errors.TooLarge, match="1572864"):
        await api.create(large)


async def test_a_pod_that_names_its_node_is_charged_without_limit(api, cluster):
    await api.create(pod("a", nodeName="n1"))
    assert cluster.replica.state.ledger("node/n1") == {"pods": 1}


async def test_a_pod_gets_the_default_account_and_tolerations(api):
    spec = (await api.create(pod("a"))).tree()["spec"]
    assert spec["serviceAccountName"] == "default"
    assert [each["tolerationSeconds"] for each in spec["tolerations"]] == [5, 5]


async def test_nothing_is_created_in_a_namespace_that_goes(api):
    await api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}})
    await api.delete("namespaces", "", "x")
    with pytest.raises(errors.Forbidden, match="is being deleted"):
        await api.create(config_map("a", namespace="x"))


async def test_the_envelope_repeats_what_the_object_says(api, cluster):
    tree = pod(
        "a",
        nodeName="n1",
        metadata={
            "labels": {"app": "web"},
            "finalizers": ["example.com/hold"],
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u1"}],
        },
    )
    await api.create(tree)
    (stored,) = cluster.replica.state.scan("pods")
    envelope = stored.envelope
    assert (envelope.labels, envelope.finalizers, envelope.owners, envelope.node) == (
        {"app": "web"},
        ("example.com/hold",),
        ("u1",),
        "n1",
    )
    await api.delete("pods", "default", "a")
    (stored,) = cluster.replica.state.scan("pods")
    assert stored.envelope.deletion_time == stored.body.decode().split('"deletionTimestamp":"')[1][:20]


async def test_a_write_of_an_epoch_that_is_over_is_refused(cluster):
    late = type(cluster.local)(cluster.core, cluster.local._identity, epoch=99)
    with pytest.raises(errors.Conflict, match="epoch"):
        await late.create(config_map("a"))
    with pytest.raises(errors.NotFound):
        await cluster.local.get("configmaps", "default", "a")


async def test_bindings_of_an_epoch_that_is_over_are_refused_one_by_one(cluster):
    pod_object = await cluster.local.create(pod("a"))
    await cluster.local.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
    late = type(cluster.local)(cluster.core, cluster.local._identity, epoch=99)
    (error,) = await late.bind([Binding("default", "a", pod_object.uid, "n1")])
    assert isinstance(error, errors.Conflict)
