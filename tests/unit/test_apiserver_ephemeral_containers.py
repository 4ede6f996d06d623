"""Adding ephemeral containers through the subresource: additions only, and nothing else of what is sent."""

from __future__ import annotations

import asyncio
import json

import pytest

from api import errors
from controlplane.admission.request import Identity
from controlplane.apiserver.local_client import LocalClient
from tests.api_server import ADMIN, pod, running_core
from tests.rbac import binding, role, rule

PART = "ephemeralcontainers"


@pytest.fixture
async def core(tmp_path):
    async with running_core(tmp_path) as cluster:
        yield cluster.core


@pytest.fixture
async def stored(core):
    return (await core.create(ADMIN, pod("a"))).tree()


def body(*names, **fields):
    return {"spec": {"ephemeralContainers": [{"name": name, "image": "d:1", **fields} for name in names]}}


async def patch(core, change, patch_type="strategic", part=PART, **how):
    data = json.dumps(change).encode()
    return (await core.patch(ADMIN, "pods", "default", "a", patch_type, data, subresource=part, **how)).tree()


def names(tree):
    return [each["name"] for each in tree["spec"].get("ephemeralContainers", [])]


async def test_every_form_of_patch_adds_some(core, stored):
    tree = await patch(core, body("one"))
    assert tree["metadata"]["generation"] == stored["metadata"]["generation"] + 1
    assert tree["spec"]["ephemeralContainers"][0]["terminationMessagePolicy"] == "File"
    await patch(
        core, [{"op": "add", "path": "/spec/ephemeralContainers/-", "value": {"name": "two", "image": "d"}}], "json"
    )
    there = (await core.reads.get(ADMIN, "pods", "default", "a")).tree()["spec"]["ephemeralContainers"]
    tree = await patch(core, {"spec": {"ephemeralContainers": [*there, {"name": "three", "image": "d"}]}}, "merge")
    assert names(tree) == ["one", "two", "three"]


async def test_several_who_add_one_at_once_all_succeed(core, stored):
    await asyncio.gather(*(patch(core, body(f"d{number}")) for number in range(4)))
    tree = (await core.reads.get(ADMIN, "pods", "default", "a")).tree()
    assert sorted(names(tree)) == ["d0", "d1", "d2", "d3"]


async def test_what_is_there_can_neither_go_nor_change(core, stored):
    await patch(core, body("one"))
    for change, why in (({"spec": {"ephemeralContainers": None}}, "removed"), (body("one", tty=True), "changed")):
        with pytest.raises(errors.Invalid, match=f'existing ephemeral containers "one" may not be {why}'):
            await patch(core, change, "merge")


async def test_nothing_else_of_what_is_sent_counts(core, stored):
    sent = {**stored, "spec": {**stored["spec"], **body("one")["spec"], "hostname": "other"}}
    sent["metadata"] = {**sent["metadata"], "labels": {"a": "b"}}
    tree = (await core.update_ephemeral(ADMIN, sent)).tree()
    assert names(tree) == ["one"]
    assert "hostname" not in tree["spec"]
    assert "labels" not in tree["metadata"]


async def test_a_stale_update_is_a_conflict(core, stored):
    await patch(core, body("one"))
    with pytest.raises(errors.Conflict):
        await core.update_ephemeral(ADMIN, {**stored, "spec": {**stored["spec"], **body("two")["spec"]}})


async def test_the_ordinary_ways_add_none(core, stored):
    with pytest.raises(errors.Invalid, match=r"spec\.ephemeralContainers: Forbidden: cannot be set on create"):
        await core.create(ADMIN, pod("b", **body("one")["spec"]))
    with pytest.raises(errors.Invalid, match=r"spec\.ephemeralContainers: Forbidden: pod updates may not change"):
        await patch(core, body("one"), part="")
    with pytest.raises(errors.Invalid, match=r"spec\.ephemeralContainers: Forbidden: pod updates may not change"):
        await core.update(ADMIN, {**stored, "spec": {**stored["spec"], **body("one")["spec"]}})


async def test_a_pod_that_has_ended_or_is_going_takes_none(core, stored):
    local = LocalClient(core, ADMIN)
    held = {"metadata": {"finalizers": ["example.com/hold"]}}
    await core.patch(ADMIN, "pods", "default", "a", "merge", json.dumps(held).encode())
    current = (await local.get("pods", "default", "a")).tree()
    await local.update_status({**current, "status": {"phase": "Failed"}})
    with pytest.raises(errors.Invalid, match=r"spec\.ephemeralContainers: Forbidden: the pod has ended"):
        await patch(core, body("one"))
    current = (await local.get("pods", "default", "a")).tree()
    await local.update_status({**current, "status": {"phase": "Pending"}})
    await local.delete("pods", "default", "a")
    with pytest.raises(errors.Invalid, match=r"spec\.ephemeralContainers: Forbidden: the pod is being deleted"):
        await patch(core, body("one"))


async def test_a_dry_run_stores_nothing_and_the_same_again_changes_nothing(core, stored):
    assert names(await patch(core, body("one"), dry_run=True)) == ["one"]
    assert names((await core.reads.get(ADMIN, "pods", "default", "a")).tree()) == []
    first = await patch(core, body("one"))
    assert (await patch(core, body("one")))["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_only_pods_have_them_and_nothing_is_applied_to_them(core, stored):
    with pytest.raises(errors.Invalid, match="there is: status"):
        await core.patch(ADMIN, "services", "default", "a", "merge", b"{}", subresource=PART)
    applied = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, **body("one")}
    with pytest.raises(errors.Invalid, match="that can be applied; there is: status"):
        await patch(core, applied, "apply")


async def test_what_the_namespace_enforces_holds_for_them(core, stored):
    level = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}}
    await core.patch(ADMIN, "namespaces", "", "default", "merge", json.dumps(level).encode())
    with pytest.raises(errors.Forbidden, match='container "one" must not set'):
        await patch(core, body("one", securityContext={"privileged": True}))
    assert names(await patch(core, body("one"))) == ["one"]


async def test_it_takes_a_permission_of_its_own(core, stored):
    jane, local = Identity("jane"), LocalClient(core, ADMIN)
    await local.create(role("pods", rule("get patch update", "pods pods/exec"), namespace="default"))
    await local.create(binding("jane", "Role/pods", "User:jane", namespace="default"))
    data = json.dumps(body("one")).encode()
    with pytest.raises(errors.Forbidden, match='cannot patch resource "pods/ephemeralcontainers"'):
        await core.patch(jane, "pods", "default", "a", "strategic", data, subresource=PART)
    sent = {**stored, "spec": {**stored["spec"], **body("one")["spec"]}}
    with pytest.raises(errors.Forbidden, match='cannot update resource "pods/ephemeralcontainers"'):
        await core.update_ephemeral(jane, sent)
    await local.create(role("debug", rule("patch", "pods/ephemeralcontainers"), namespace="default"))
    await local.create(binding("debug", "Role/debug", "User:jane", namespace="default"))
    patched = await core.patch(jane, "pods", "default", "a", "strategic", data, subresource=PART)
    assert names(patched.tree()) == ["one"]
