"""Events over HTTPS in both forms: one object, two names; as recorders and the Python client use them."""

from __future__ import annotations

import asyncio
import gc
import json

import pytest
from kubernetes import client, config

from tests import rbac
from tests.rest_server import USER_TOKEN, serving_rest

pytestmark = [
    pytest.mark.slow,
    # The client leaves connections to the garbage collector, which the test therefore calls.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

CORE = "/api/v1/namespaces/default/events"
OTHER = "/apis/events.k8s.io/v1/namespaces/default/events"
STRATEGIC = {"headers": {"Content-Type": "application/strategic-merge-patch+json"}}
DEADLINE_SECONDS = 60


@pytest.fixture
async def rest(tmp_path):
    async with serving_rest(tmp_path) as rest:
        yield rest


def event(name="e", **more):
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": "default"},
        "eventTime": "2026-11-21T10:00:00.000001Z",
        "reportingController": "example.dev/robot",
        "reportingInstance": "robot-1",
        "action": "Turning",
        "reason": "Turned",
        "type": "Normal",
        "note": "turned left",
        "regarding": {"kind": "Pod", "namespace": "default", "name": "web"},
        **more,
    }


async def test_one_object_is_served_in_both_forms(rest):
    created = await rest.ask("POST", OTHER, event())
    assert created.status == 201, created.text
    assert created.tree["apiVersion"] == "events.k8s.io/v1"
    assert created.tree["note"] == "turned left"
    core = (await rest.ask("GET", f"{CORE}/e")).tree
    assert core["apiVersion"] == "v1"
    assert (core["message"], core["involvedObject"]["name"]) == ("turned left", "web")
    assert core["reportingComponent"] == "example.dev/robot"
    assert (await rest.ask("GET", f"{OTHER}/e")).tree == created.tree
    listed = (await rest.ask("GET", OTHER)).tree
    assert (listed["kind"], listed["apiVersion"], listed["items"]) == ("EventList", "events.k8s.io/v1", [created.tree])
    assert (await rest.ask("DELETE", f"{OTHER}/e")).status == 200
    assert (await rest.ask("GET", f"{CORE}/e")).status == 404


async def test_an_event_of_the_core_group_is_served_by_the_other(rest):
    core = {
        "metadata": {"name": "old", "namespace": "default"},
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "web"},
        "message": "m",
        "count": 3,
        "source": {"component": "c"},
        "lastTimestamp": "2026-11-21T10:00:00Z",
    }
    assert (await rest.ask("POST", CORE, core)).status == 201
    other = (await rest.ask("GET", f"{OTHER}/old")).tree
    assert (other["note"], other["deprecatedCount"], other["deprecatedSource"]) == ("m", 3, {"component": "c"})
    assert other["eventTime"] is None


async def test_a_recorder_counts_by_patching_the_series(rest):
    await rest.ask("POST", OTHER, event())
    series = {"series": {"count": 2, "lastObservedTime": "2026-11-21T10:01:00.000000Z"}}
    patched = await rest.ask("PATCH", f"{OTHER}/e", series, **STRATEGIC)
    assert (patched.status, patched.tree["series"]["count"]) == (200, 2)
    tree = patched.tree | {"note": "turned right"}
    assert (await rest.ask("PUT", f"{OTHER}/e", tree)).tree["note"] == "turned right"
    assert (await rest.ask("GET", f"{CORE}/e")).tree["message"] == "turned right"
    assert (await rest.ask("PUT", f"{OTHER}/e", tree)).status == 409
    gone = await rest.ask("PATCH", f"{OTHER}/other", series, **STRATEGIC)
    assert (gone.status, gone.tree["reason"]) == (404, "NotFound")  # recorders then create it


async def test_what_is_wrong_is_told_in_the_words_of_the_form(rest):
    bare = event()
    del bare["reportingInstance"]
    refused = await rest.ask("POST", OTHER, bare)
    assert (refused.status, refused.tree["reason"]) == (422, "Invalid")
    assert "reportingInstance: Required value" in refused.text
    assert 'in events.k8s.io/v1 it is \\"note\\"' in (await rest.ask("POST", OTHER, event(message="x"))).text
    assert "unknown field" in (await rest.ask("POST", OTHER, event(nonsense="x"))).text
    wrong = await rest.ask("GET", OTHER, params={"fieldSelector": "involvedObject.name=web"})
    assert (wrong.status, "regarding.name" in wrong.text) == (400, True), wrong.text


async def test_watches_lists_and_tables_select_by_the_fields_of_the_form(rest):
    await rest.ask("POST", OTHER, event("a"))
    await rest.ask("POST", OTHER, event("b", regarding={"kind": "Pod", "namespace": "default", "name": "db"}))
    for path, field in ((OTHER, "regarding.name"), (CORE, "involvedObject.name")):
        listed = await rest.ask("GET", path, params={"fieldSelector": f"{field}=db,type=Normal"})
        assert [each["metadata"]["name"] for each in listed.tree["items"]] == ["b"]
    options = {"watch": "1", "fieldSelector": "regarding.name=db", "timeoutSeconds": "60"}
    async with rest.admin.get(rest.url + OTHER, params=options) as response:
        seen = json.loads(await response.content.readline())
    assert (seen["type"], seen["object"]["apiVersion"]) == ("ADDED", "events.k8s.io/v1")
    assert seen["object"]["note"] == "turned left"
    headers = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    table = await rest.ask("GET", OTHER, params={"includeObject": "Object"}, headers=headers)
    assert [each["object"]["note"] for each in table.tree["rows"]] == ["turned left"] * 2
    assert "turned left" in table.tree["rows"][0]["cells"]


async def test_who_may_record_in_one_group_needs_nothing_in_the_other(rest):
    role = rbac.role("recorder", rbac.rule("create get list patch", "events", "events.k8s.io"), namespace="default")
    binding = rbac.binding("recorder", "Role/recorder", "User:jane", namespace="default")
    for path, tree in (("roles", role), ("rolebindings", binding)):
        made = await rest.ask("POST", f"/apis/rbac.authorization.k8s.io/v1/namespaces/default/{path}", tree)
        assert made.status == 201, made.text
    jane = {"headers": {"Authorization": f"Bearer {USER_TOKEN}"}, "session": rest.session(None)}
    assert (await rest.ask("POST", OTHER, event(), **jane)).status == 201
    assert (await rest.ask("GET", OTHER, **jane)).status == 200
    patch = {"headers": jane["headers"] | STRATEGIC["headers"], "session": jane["session"]}
    assert (await rest.ask("PATCH", f"{OTHER}/e", {"reason": "x"}, **patch)).status == 200
    refused = await rest.ask("GET", CORE, **jane)
    assert refused.status == 403
    assert (await rest.ask("DELETE", f"{OTHER}/e", **jane)).status == 403


async def test_discovery_and_schemas_know_both(rest):
    resources = (await rest.ask("GET", "/apis/events.k8s.io/v1")).tree["resources"]
    assert [(each["name"], each["kind"]) for each in resources] == [("events", "Event")]
    schema = (await rest.ask("GET", "/openapi/v3/apis/events.k8s.io/v1")).tree["components"]["schemas"]
    assert "note" in schema["io.k8s.api.events.v1.Event"]["properties"]


async def test_the_python_client_records_and_reads(rest):
    path = str(rest.kubeconfig())

    def calls():
        with config.new_client_from_config(path) as api:
            events = client.EventsV1Api(api)
            made = events.create_namespaced_event("default", event())
            assert made.note == "turned left"
            patched = events.patch_namespaced_event("e", "default", {"note": "again"})
            assert patched.note == "again"
            assert [each.reason for each in events.list_event_for_all_namespaces().items] == ["Turned"]
            found = client.CoreV1Api(api).list_namespaced_event("default", field_selector="involvedObject.name=web")
            assert [each.message for each in found.items] == ["again"]
            assert events.delete_namespaced_event("e", "default")["status"] == "Success"
            api.rest_client.pool_manager.clear()

    async with asyncio.timeout(DEADLINE_SECONDS):
        await asyncio.to_thread(calls)
    gc.collect()
