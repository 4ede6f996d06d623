"""The Kubernetes-compatible API over real HTTPS, byte by byte: paths, verbs, errors, forms."""

from __future__ import annotations

import pytest

from tests.api_server import config_map, pod
from tests.rest_server import serving_rest

pytestmark = pytest.mark.slow

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


@pytest.fixture
async def rest(tmp_path):
    async with serving_rest(tmp_path) as rest:
        yield rest


async def test_what_is_created_can_be_read_listed_changed_and_deleted(rest):
    created = await rest.ask("POST", MAPS, config_map("a", {"k": "1"}))
    assert created.status == 201
    assert created.tree["metadata"]["namespace"] == "default"
    read = await rest.ask("GET", f"{MAPS}/a")
    assert (read.status, read.tree) == (200, created.tree)
    tree = read.tree | {"data": {"k": "2"}}
    updated = await rest.ask("PUT", f"{MAPS}/a", tree)
    assert (updated.status, updated.tree["data"]) == (200, {"k": "2"})
    assert updated.tree["metadata"]["resourceVersion"] > created.tree["metadata"]["resourceVersion"]
    stale = await rest.ask("PUT", f"{MAPS}/a", tree)
    assert (stale.status, stale.tree["reason"]) == (409, "Conflict")
    listed = await rest.ask("GET", MAPS)
    assert (listed.tree["kind"], listed.tree["apiVersion"]) == ("ConfigMapList", "v1")
    assert updated.tree in listed.tree["items"]
    deleted = await rest.ask("DELETE", f"{MAPS}/a")
    assert deleted.tree["status"] == "Success"
    assert deleted.tree["details"]["uid"] == created.tree["metadata"]["uid"]
    gone = await rest.ask("GET", f"{MAPS}/a")
    assert gone.status == 404
    assert gone.tree == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'configmaps "a" not found',
        "reason": "NotFound",
        "details": {"name": "a", "kind": "configmaps"},
        "code": 404,
    }


async def test_somebody_unknown_learns_health_and_version_only(rest):
    stranger = rest.session(None)
    for path in ("/healthz", "/livez", "/readyz", "/version"):
        assert (await rest.ask("GET", path, session=stranger)).status == 200
    for path in ("/api", "/apis", "/api/v1", PODS, "/apis/apps/v1"):
        answer = await rest.ask("GET", path, session=stranger)
        assert (answer.status, answer.tree["reason"]) == (401, "Unauthorized")


async def test_a_pod_is_refused_with_the_path_of_every_bad_field(rest):
    answer = await rest.ask("POST", PODS, pod("a", restartPolicy="Sometimes", colour="red"))
    assert (answer.status, answer.tree["reason"]) == (422, "Invalid")
    details = answer.tree["details"]
    assert (details["name"], details["kind"]) == ("a", "Pod")
    assert "spec.colour" in [cause["field"] for cause in details["causes"]]
