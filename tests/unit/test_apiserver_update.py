"""Update and status update: preconditions, what users own, generations, no-ops, finalizers."""

from __future__ import annotations

import pytest

from api import errors
from api.scheme import by_resource
from controlplane.apiserver.objects import put_of, tree_of
from tests.api_server import config_map, node, pod


def deployment(name="a", replicas=1):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "a"}},
            "template": {
                "metadata": {"labels": {"app": "a"}},
                "spec": {"containers": [{"name": "main", "image": "app:1"}]},
            },
        },
    }


async def test_sending_back_what_was_read_writes_nothing(api, cluster):
    created = await api.create(deployment())
    assert await api.update(created.tree()) == created
    assert cluster.replica.state.revision == created.revision


async def test_a_stale_resource_version_is_a_conflict_that_names_the_stored_one(api):
    first = await api.create(config_map("a", {"k": "1"}))
    second = await api.update({**first.tree(), "data": {"k": "2"}})
    with pytest.raises(errors.Conflict, match=f"is {second.revision}, not {first.revision}"):
        await api.update({**first.tree(), "data": {"k": "3"}})


async def test_without_a_resource_version_the_last_writer_wins(api):
    await api.create(config_map("a", {"k": "1"}))
    assert (await api.update(config_map("a", {"k": "2"}))).tree()["data"] == {"k": "2"}


async def test_another_uid_is_a_conflict(api):
    await api.create(config_map("a"))
    with pytest.raises(errors.Conflict, match="deleted and made anew"):
        await api.update(config_map("a", {"k": "1"}, uid="other"))


@pytest.mark.parametrize("text", ["abc", "-1", "1.5", "٣"])
async def test_a_resource_version_that_is_no_number_is_refused(api, text):
    await api.create(config_map("a"))
    with pytest.raises(errors.Invalid, match=r"metadata\.resourceVersion"):
        await api.update(config_map("a", resourceVersion=text))


async def test_identity_and_history_stay_whatever_is_sent(api):
    created = (await api.create(pod("a"))).tree()
    sent = pod("a", metadata={"labels": {"x": "y"}, "creationTimestamp": "2001-01-01T00:00:00Z", "generation": 9})
    sent["spec"] = created["spec"]
    metadata = (await api.update(sent)).tree()["metadata"]
    for name in ("uid", "creationTimestamp", "generation"):
        assert metadata[name] == created["metadata"][name]
    assert metadata["labels"] == {"x": "y"}


async def test_an_update_leaves_the_status_alone(api):
    tree = (await api.create(deployment())).tree()
    await api.update_status({**tree, "status": {"replicas": 3}})
    updated = await api.update({**deployment(replicas=2), "status": {"replicas": 99}})
    assert updated.tree()["status"] == {"replicas": 3}


async def test_a_status_update_leaves_everything_else_alone(api):
    created = (await api.create(deployment())).tree()
    sent = {**created, "metadata": {**created["metadata"], "labels": {"x": "y"}}, "status": {"replicas": 3}}
    sent["spec"] = {**sent["spec"], "replicas": 9}
    updated = (await api.update_status(sent)).tree()
    assert updated["status"] == {"replicas": 3}
    assert (updated["spec"], updated["metadata"].get("labels")) == (created["spec"], None)


async def test_kinds_without_a_status_have_no_status_update(api):
    created = await api.create(config_map("a"))
    with pytest.raises(errors.Invalid, match="have no status"):
        await api.update_status(created.tree())


async def test_the_generation_counts_changes_of_the_spec_only(api):
    tree = (await api.create(deployment())).tree()
    tree["metadata"]["labels"] = {"x": "y"}
    tree = (await api.update(tree)).tree()
    assert tree["metadata"]["generation"] == 1
    tree = (await api.update_status({**tree, "status": {"replicas": 1}})).tree()
    assert tree["metadata"]["generation"] == 1
    tree["spec"]["replicas"] = 5
    assert (await api.update(tree)).tree()["metadata"]["generation"] == 2


async def test_a_field_that_is_removed_is_gone(api):
    tree = (await api.create(config_map("a", {"k": "1", "l": "2"}))).tree()
    del tree["data"]["l"]
    assert (await api.update(tree)).tree()["data"] == {"k": "1"}


async def test_a_bad_status_is_refused_by_field(api):
    tree = (await api.create(deployment())).tree()
    with pytest.raises(errors.Invalid, match=r"status\.replicas"):
        await api.update_status({**tree, "status": {"replicas": "many"}})


async def test_unknown_fields_of_a_newer_member_survive_and_do_not_block(api, cluster):
    """An older API reads, changes and writes an object that a newer one stored."""
    kind = by_resource("configmaps")
    tree = tree_of((await api.create(config_map("a"))).json)
    tree["novelty"] = {"deep": True}
    await cluster.replica.commit([put_of(kind, tree)])
    read = (await api.get("configmaps", "default", "a")).tree()
    read["data"] = {"k": "1"}
    updated = await api.update(read)
    assert updated.tree()["novelty"] == {"deep": True}
    with pytest.raises(errors.Invalid, match="invention"):
        await api.update({**updated.tree(), "invention": 1})


async def test_removing_the_last_finalizer_of_a_terminating_object_deletes_it(api, cluster):
    await api.create(config_map("a", finalizers=["example.com/one", "example.com/two"]))
    tree = (await api.delete("configmaps", "default", "a")).tree()
    tree["metadata"]["finalizers"] = ["example.com/two"]
    tree = (await api.update(tree)).tree()
    assert "deletionTimestamp" in tree["metadata"]
    tree["metadata"]["finalizers"] = []
    gone = await api.update(tree)
    assert gone.revision == cluster.replica.state.revision
    with pytest.raises(errors.NotFound):
        await api.get("configmaps", "default", "a")


async def test_removing_finalizers_of_a_living_object_only_removes_them(api):
    tree = (await api.create(config_map("a", finalizers=["example.com/one"]))).tree()
    tree["metadata"]["finalizers"] = []
    await api.update(tree)
    assert (await api.get("configmaps", "default", "a")).name == "a"


async def test_a_terminating_object_takes_no_new_finalizers(api):
    await api.create(config_map("a", finalizers=["example.com/one"]))
    tree = (await api.delete("configmaps", "default", "a")).tree()
    tree["metadata"]["finalizers"].append("example.com/two")
    with pytest.raises(errors.Invalid, match=r"example.com/two"):
        await api.update(tree)


async def test_a_terminating_object_can_still_be_changed(api):
    await api.create(config_map("a", finalizers=["example.com/one"]))
    tree = (await api.delete("configmaps", "default", "a")).tree()
    tree["data"] = {"k": "1"}
    updated = (await api.update(tree)).tree()
    assert updated["data"] == {"k": "1"}
    assert updated["metadata"]["deletionTimestamp"] == tree["metadata"]["deletionTimestamp"]


async def test_a_name_is_needed(api):
    with pytest.raises(errors.Invalid, match=r"metadata\.name"):
        await api.update({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}})


async def test_a_dry_run_of_an_update_stores_nothing(api):
    created = await api.create(config_map("a", {"k": "1"}))
    planned = await api.update(config_map("a", {"k": "2"}), dry_run=True)
    assert planned.tree()["data"] == {"k": "2"}
    assert await api.get("configmaps", "default", "a") == created


async def test_a_pod_keeps_its_tolerations_and_account_when_an_update_leaves_them_out(api):
    await api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}})
    created = await api.create(pod("a", serviceAccountName="robot"))
    updated = await api.update(pod("a", metadata={"labels": {"x": "y"}}))
    spec = updated.tree()["spec"]
    assert (spec["serviceAccountName"], len(spec["tolerations"])) == ("robot", 2)
    assert spec == created.tree()["spec"], "the volume with the account's token, too"


async def test_a_status_that_somebody_wrote_by_hand_is_completed_as_kubernetes_does(api):
    partial = {"nodeInfo": {"kernelVersion": "6.1"}, "conditions": [{"type": "Mine"}]}
    tree = (await api.create({**node("n1"), "status": partial})).tree()
    for told in (tree, (await api.update_status({**tree, "status": partial})).tree()):
        assert told["status"]["nodeInfo"]["kernelVersion"] == "6.1"
        assert told["status"]["nodeInfo"]["bootID"] == ""
        assert told["status"]["conditions"] == [{"type": "Mine", "status": ""}]
    patch = b'{"status": {"addresses": [{"type": "Hostname"}]}}'
    patched = await api.patch("nodes", "", "n1", "merge", patch, subresource="status")
    assert patched.tree()["status"]["addresses"] == [{"type": "Hostname", "address": ""}]
