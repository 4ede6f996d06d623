"""What admission webhooks are asked about, and as what."""

from __future__ import annotations

import asyncio

import pytest

from component.client import Binding, Collection
from tests.api_server import ADMIN, node, pod
from tests.waiting import DEADLINE_SECONDS
from tests.webhook_rig import GROUP, MERGE, PODS, serving_rig
from tests.webhook_server import (
    allow,
    deny,
    labelling,
    patching,
)

pytestmark = pytest.mark.slow

EVERYTHING = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}


@pytest.fixture
async def rig(tmp_path):
    async with serving_rig(tmp_path) as made:
        yield made


async def test_subresources_are_asked_about_as_what_they_are(rig):
    await rig.validate("/validate", allow, EVERYTHING)
    await rig.local.create(node("n1"))
    await rig.create()
    rig.server.asked.clear()
    assert await rig.core.bind(ADMIN, [Binding("default", "web", "", "n1")]) == [None]
    status = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "status": {"phase": "Running"}}
    await rig.rest.ask("PATCH", f"{PODS}/web/status", status, headers=MERGE)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"}}
    assert (await rig.rest.ask("POST", f"{PODS}/web/eviction", eviction)).status == 201
    told = [
        (r["operation"], r["resource"]["resource"], r["subResource"], r["kind"]["kind"]) for _, r in rig.server.asked
    ]
    assert told == [
        ("CREATE", "pods", "binding", "Binding"),
        ("UPDATE", "pods", "status", "Pod"),
        ("CREATE", "pods", "eviction", "Eviction"),
    ]
    assert rig.server.asked[1][1]["object"]["status"]["phase"] == "Running"


async def test_a_webhook_decides_about_a_scale(rig):
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod("x")["spec"]},
        },
    }
    base = "/apis/apps/v1/namespaces/default/deployments"
    await rig.rest.ask("POST", base, deployment)
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["deployments/scale"]}
    await rig.mutate("/mutate", patching({"op": "replace", "path": "/spec/replicas", "value": 3}), rule)
    scaled = await rig.rest.ask("PATCH", f"{base}/web/scale", {"spec": {"replicas": 9}}, headers=MERGE)
    assert scaled.tree["spec"]["replicas"] == 3
    [request] = rig.server.requests("/mutate")
    assert request["oldObject"]["spec"]["replicas"] == 1
    assert request["kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}


async def test_a_command_runs_only_when_the_webhook_lets_it(rig):
    await rig.create()
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CONNECT"], "resources": ["pods/exec"]}
    await rig.validate("/validate", deny("no shells here"), rule)
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    answer = await rig.rest.ask(
        "GET", f"{PODS}/web/exec?command=sh&command=-c&stdout=1", headers=headers | {"Sec-WebSocket-Key": "a" * 24}
    )
    assert (answer.status, answer.tree["reason"]) == (403, "Forbidden")
    [request] = rig.server.requests("/validate")
    assert request["object"] == {
        "apiVersion": "v1",
        "kind": "PodExecOptions",
        "command": ["sh", "-c"],
        "stdout": True,
    }
    assert (request["operation"], request["options"]) == ("CONNECT", None)


async def test_nobody_is_asked_about_the_configurations_themselves(rig):
    await rig.validate("/validate", deny(), EVERYTHING)
    await rig.mutate("/mutate", deny(), EVERYTHING)
    path = f"{GROUP}/validatingwebhookconfigurations/validate"
    assert (await rig.rest.ask("DELETE", path)).status == 200
    assert not rig.server.asked


async def test_a_dry_run_is_told_and_stores_nothing(rig):
    await rig.mutate("/mutate", labelling("seen"))
    answer = await rig.create(query="?dryRun=All")
    assert (answer.status, answer.tree["metadata"]["labels"]) == (201, {"seen": "yes"})
    [request] = rig.server.requests("/mutate")
    assert request["dryRun"] is True
    assert request["options"]["dryRun"] == ["All"]
    assert (await rig.rest.ask("GET", f"{PODS}/web")).status == 404


async def test_selectors_choose_namespaces_and_objects(rig):
    await rig.validate("/spaces", allow, namespaceSelector={"matchLabels": {"watched": "yes"}})
    await rig.validate("/objects", allow, objectSelector={"matchLabels": {"app": "web"}})
    await rig.create()
    assert not rig.server.asked
    await rig.rest.ask(
        "PATCH", "/api/v1/namespaces/default", {"metadata": {"labels": {"watched": "yes"}}}, headers=MERGE
    )
    await rig.rest.ask("PATCH", f"{PODS}/web", {"metadata": {"labels": {"app": "web"}}}, headers=MERGE)
    assert sorted(path for path, _ in rig.server.asked) == ["/objects", "/spaces"]
    await rig.rest.ask("PATCH", f"{PODS}/web", {"metadata": {"labels": None}}, headers=MERGE)
    assert len(rig.server.requests("/objects")) == 2, "the labels that it had count, too"


def lamp_definition():
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"watts": {"type": "integer"}}}},
    }
    versions = [
        {"name": name, "served": True, "storage": name == "v2", "schema": {"openAPIV3Schema": schema}}
        for name in ("v2", "v1")
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "lamps.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "lamps", "singular": "lamp", "kind": "Lamp", "listKind": "LampList"},
            "versions": versions,
        },
    }


async def test_custom_objects_are_shown_in_the_version_that_the_rule_names(rig):
    made = await rig.rest.ask("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", lamp_definition())
    assert made.status == 201, made.text
    rule = {"apiGroups": ["example.com"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["lamps"]}
    await rig.mutate("/mutate", patching({"op": "add", "path": "/spec/watts", "value": 9}), rule)
    await rig.validate("/exact", allow, rule, matchPolicy="Exact")
    lamp = {"apiVersion": "example.com/v2", "kind": "Lamp", "metadata": {"name": "desk"}, "spec": {}}
    async with asyncio.timeout(DEADLINE_SECONDS):
        while (
            answer := await rig.rest.ask("POST", "/apis/example.com/v2/namespaces/default/lamps", lamp)
        ).status == 404:
            await asyncio.sleep(0.05)
    assert answer.status == 201, answer.text
    assert (answer.tree["apiVersion"], answer.tree["spec"]) == ("example.com/v2", {"watts": 9})
    [request] = rig.server.requests("/mutate")
    assert request["object"]["apiVersion"] == "example.com/v1"
    assert (request["kind"]["version"], request["requestKind"]["version"]) == ("v1", "v2")
    assert (request["resource"]["version"], request["requestResource"]["version"]) == ("v1", "v2")
    assert not rig.server.requests("/exact")


async def test_collections_are_deleted_one_by_one_and_each_can_be_refused(rig):
    await rig.create(pod("keep"))
    await rig.create(pod("go"))
    await rig.validate(answer=lambda request: {"allowed": request["name"] != "keep"})
    results, _ = await rig.core.delete_collection(ADMIN, Collection("pods", "default"))
    assert sorted((each.object.name, each.error is None) for each in results) == [("go", True), ("keep", False)]
