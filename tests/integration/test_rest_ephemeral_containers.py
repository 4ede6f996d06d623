"""Ephemeral containers over real HTTPS: the subresource, its forms, and the webhooks that are asked about it."""

from __future__ import annotations

import pytest

from controlplane.apiserver.webhook_calls import WebhookCalls
from tests.api_server import pod
from tests.rest_server import serving_rest
from tests.webhook_server import deny, hook, mutating, patching, serving_webhooks, validating

pytestmark = pytest.mark.slow

PODS = "/api/v1/namespaces/default/pods"
PART = f"{PODS}/a/ephemeralcontainers"
HOOKS = "/apis/admissionregistration.k8s.io/v1"
RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["pods/ephemeralcontainers"]}
DEBUG = {"name": "debug", "image": "d:1", "targetContainerName": "main", "stdin": True, "tty": True, "resources": {}}
STRATEGIC = {"headers": {"Content-Type": "application/strategic-merge-patch+json"}}


@pytest.fixture
async def hooks(tmp_path):
    async with serving_webhooks(tmp_path) as server:
        yield server


@pytest.fixture
async def rest(tmp_path):
    calls = WebhookCalls(lambda: None)
    async with serving_rest(tmp_path, webhooks=calls) as rest:
        assert (await rest.ask("POST", PODS, pod("a"))).status == 201
        yield rest
    await calls.close()


def with_debug(tree, *containers):
    return {**tree, "spec": {**tree["spec"], "ephemeralContainers": [*containers]}}


async def test_the_subresource_is_read_patched_and_put_as_a_pod(rest):
    read = await rest.ask("GET", PART)
    assert (read.status, read.tree["kind"]) == (200, "Pod")
    patched = await rest.ask("PATCH", PART, {"spec": {"ephemeralContainers": [DEBUG]}}, **STRATEGIC)
    assert patched.status == 200, patched.text
    assert patched.tree["spec"]["ephemeralContainers"][0]["targetContainerName"] == "main"
    stale = await rest.ask("PUT", PART, with_debug(read.tree, DEBUG))
    assert stale.status == 409
    put = await rest.ask("PUT", PART, with_debug(patched.tree, DEBUG, {"name": "more", "image": "d:1"}))
    assert (put.status, [each["name"] for each in put.tree["spec"]["ephemeralContainers"]]) == (200, ["debug", "more"])
    assert (await rest.ask("GET", f"{PODS}/a")).tree == put.tree
    refused = await rest.ask("PUT", PART, with_debug(put.tree, {**DEBUG, "ports": [{"containerPort": 80}]}))
    assert refused.status == 422
    assert "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container" in refused.text
    for method in ("POST", "DELETE"):
        assert (await rest.ask(method, PART, {})).status == 405


async def test_discovery_tells_of_it_and_only_of_pods(rest):
    rows = {each["name"]: each for each in (await rest.ask("GET", "/api/v1")).tree["resources"]}
    row = rows["pods/ephemeralcontainers"]
    assert (row["kind"], row["verbs"]) == ("Pod", ["get", "patch", "update"])
    assert [name for name in rows if name.endswith("/ephemeralcontainers")] == ["pods/ephemeralcontainers"]
    paths = (await rest.ask("GET", "/openapi/v2")).tree["paths"]
    own = paths["/api/v1/namespaces/{namespace}/pods/{name}/ephemeralcontainers"]
    assert own["patch"]["operationId"] == "patchCoreV1NamespacedPodEphemeralcontainers"
    assert (await rest.ask("GET", "/api/v1/namespaces/default/services/kubernetes/ephemeralcontainers")).status == 404


def field(number, content):
    """One field of a protobuf message, under 128 bytes long."""
    content = content.encode() if isinstance(content, str) else content
    tag = number << 3 | 2
    return (bytes([tag]) if tag < 128 else bytes([tag & 127 | 128, tag >> 7])) + bytes([len(content)]) + content


async def test_pods_with_them_are_read_from_protobuf(rest):
    common = field(1, "debug") + field(2, "d:1")
    spec = field(34, field(1, common) + field(2, "main"))
    raw = field(1, field(1, "a") + field(3, "default")) + field(2, spec)
    body = b"k8s\0" + field(1, field(1, "v1") + field(2, "Pod")) + field(2, raw)
    put = await rest.ask("PUT", PART, body, headers={"Content-Type": "application/vnd.kubernetes.protobuf"})
    assert put.status == 200, put.text
    [container] = put.tree["spec"]["ephemeralContainers"]
    assert (container["name"], container["image"], container["targetContainerName"]) == ("debug", "d:1", "main")


async def test_webhooks_are_asked_about_the_subresource_and_may_change_nothing_else(rest, hooks):
    hooks.answers["/mutate"] = patching(
        {"op": "add", "path": "/spec/ephemeralContainers/0/env", "value": [{"name": "A", "value": "b"}]},
        {"op": "add", "path": "/metadata/labels", "value": {"x": "y"}},
    )
    hooks.answers["/judge"] = deny("no debugging today")
    changes = mutating("mutate", hook("mutate", hooks.client("/mutate"), RULE))
    assert (await rest.ask("POST", f"{HOOKS}/mutatingwebhookconfigurations", changes)).status == 201
    patched = await rest.ask("PATCH", PART, {"spec": {"ephemeralContainers": [DEBUG]}}, **STRATEGIC)
    assert patched.status == 200, patched.text
    assert patched.tree["spec"]["ephemeralContainers"][0]["env"] == [{"name": "A", "value": "b"}]
    assert "labels" not in patched.tree["metadata"]
    [request] = hooks.requests("/mutate")
    assert (request["operation"], request["subResource"]) == ("UPDATE", "ephemeralcontainers")
    assert "ephemeralContainers" not in request["oldObject"]["spec"]
    judges = validating("judge", hook("judge", hooks.client("/judge"), RULE))
    assert (await rest.ask("POST", f"{HOOKS}/validatingwebhookconfigurations", judges)).status == 201
    denied = await rest.ask("PATCH", PART, {"spec": {"ephemeralContainers": [{**DEBUG, "name": "b"}]}}, **STRATEGIC)
    assert (denied.status, "no debugging today" in denied.text) == (403, True)
