"""Admission webhooks: what becomes of their answers, how they fail, and how they are reached."""

from __future__ import annotations

import asyncio
import json

import pytest

from api.errors import Failed, Forbidden
from component.client import Write
from tests.api_server import ADMIN, config_map, pod
from tests.local_pods import ready_service
from tests.waiting import DEADLINE_SECONDS, eventually
from tests.webhook_rig import GROUP, MERGE, PODS, serving_rig
from tests.webhook_server import (
    allow,
    deny,
    hook,
    labelling,
    mutating,
    patching,
    serving_webhooks,
    validating,
)

pytestmark = pytest.mark.slow


@pytest.fixture
async def rig(tmp_path):
    async with serving_rig(tmp_path) as made:
        yield made


async def test_a_webhook_changes_what_is_created_and_the_next_ones_see_it(rig):
    await rig.mutate("/b", labelling("b"))
    await rig.mutate("/a", labelling("a"))
    await rig.validate()
    answer = await rig.create(pod("web", metadata={"labels": {"app": "web"}}))
    assert answer.status == 201, answer.text
    labels = {"app": "web", "a": "yes", "b": "yes"}
    assert answer.tree["metadata"]["labels"] == labels
    assert [path for path, _ in rig.server.asked] == ["/a", "/b", "/validate"]
    assert rig.server.requests("/b")[0]["object"]["metadata"]["labels"] == {"app": "web", "a": "yes"}
    assert rig.server.requests("/validate")[0]["object"]["metadata"]["labels"] == labels


async def test_a_review_says_what_kubernetes_documents(rig):
    await rig.validate()
    await rig.create()
    await rig.rest.ask("PATCH", f"{PODS}/web?fieldManager=me", {"metadata": {"labels": {"x": "1"}}}, headers=MERGE)
    await rig.rest.ask("DELETE", f"{PODS}/web", {"gracePeriodSeconds": 0})
    created, updated, deleted = rig.server.requests("/validate")
    resource = {"group": "", "version": "v1", "resource": "pods"}
    for request, operation in ((created, "CREATE"), (updated, "UPDATE"), (deleted, "DELETE")):
        assert request["operation"] == operation
        assert request["resource"] == request["requestResource"] == resource
        assert request["kind"] == request["requestKind"] == {"group": "", "version": "v1", "kind": "Pod"}
        assert (request["namespace"], request["name"], request["dryRun"]) == ("default", "web", False)
        assert request["userInfo"]["username"] == ADMIN.user
        assert set(request["userInfo"]["groups"]) == {"system:masters", "system:authenticated"}
        assert request["options"]["apiVersion"] == "meta.k8s.io/v1"
        assert "subResource" not in request
    assert created["oldObject"] is None
    assert created["options"]["kind"] == "CreateOptions"
    assert updated["oldObject"]["metadata"]["resourceVersion"] == updated["object"]["metadata"]["resourceVersion"]
    assert "labels" not in updated["oldObject"]["metadata"]
    assert updated["options"] == {"apiVersion": "meta.k8s.io/v1", "kind": "UpdateOptions", "fieldManager": "me"}
    assert deleted["object"] is None
    assert deleted["oldObject"]["metadata"]["labels"] == {"x": "1"}
    assert deleted["options"]["gracePeriodSeconds"] == 0
    assert len({request["uid"] for request in (created, updated, deleted)}) == 3


APPLY = {"Content-Type": "application/apply-patch+yaml"}


async def test_a_refusal_has_the_code_and_the_words_of_the_webhook(rig):
    await rig.validate(answer=deny("no pods on Fridays"))
    answer = await rig.create()
    assert (answer.status, answer.tree["reason"]) == (403, "Forbidden")
    assert answer.tree["message"] == 'admission webhook "validate.example.com" denied the request: no pods on Fridays'
    with pytest.raises(Forbidden, match="no pods on Fridays"):
        await rig.local.create(pod("web"))
    rig.server.answers["/validate"] = lambda _request: {"allowed": False}
    answer = await rig.create()
    assert (answer.status, answer.tree["reason"]) == (400, "BadRequest")
    assert answer.tree["message"].endswith("denied the request without explanation")
    assert (await rig.rest.ask("GET", PODS)).tree["items"] == []


async def test_every_way_of_writing_asks(rig):
    await rig.mutate("/mutate", labelling("seen"))
    await rig.validate()
    await rig.create(pod("created"))
    applied = await rig.rest.ask("PATCH", f"{PODS}/applied?fieldManager=me", json.dumps(pod("applied")), headers=APPLY)
    assert applied.status in {200, 201}, applied.text
    done = await rig.core.transaction(ADMIN, [Write("create", pod("t1")), Write("apply", pod("t2"))])
    assert done.committed
    await rig.local.apply(pod("plain"))
    pods = (await rig.rest.ask("GET", PODS)).tree["items"]
    assert {each["metadata"]["name"] for each in pods} == {"created", "applied", "t1", "t2", "plain"}
    assert all(each["metadata"]["labels"] == {"seen": "yes"} for each in pods)
    rig.server.asked.clear()
    assert (await rig.rest.ask("DELETE", PODS)).status == 200
    told = [(each["operation"], each["name"]) for each in rig.server.requests("/validate")]
    assert sorted(told) == [("DELETE", name) for name in ("applied", "created", "plain", "t1", "t2")]


async def test_one_refused_write_of_a_transaction_leaves_nothing(rig):
    await rig.validate(answer=lambda request: {"allowed": request["name"] != "bad"})
    done = await rig.core.transaction(ADMIN, [Write("create", pod("good")), Write("create", pod("bad"))])
    assert not done.committed
    assert 'webhook "validate.example.com" denied' in str(done.results[1].error)
    assert not (await rig.local.list("pods")).items


async def test_a_webhook_that_nobody_serves_is_told_by_its_address(rig):
    await rig.configure(validating("gone", hook("gone", {"url": "https://127.0.0.1:1/gone"})))
    assert 'gone?timeout=10s": dial tcp 127.0.0.1:1: connection refused' in (await rig.create()).tree["message"]


async def test_a_webhook_that_fails_refuses_or_is_ignored_by_its_policy(rig):
    await rig.validate("/missing", allow)
    del rig.server.answers["/missing"]
    answer = await rig.create()
    assert (answer.status, answer.tree["reason"]) == (500, "InternalError")
    url = f"https://127.0.0.1:{rig.server.port}/missing?timeout=10s"
    assert answer.tree["message"] == (
        'Internal error occurred: failed calling webhook "missing.example.com": failed to call webhook: '
        f'Post "{url}": the server answered 404 Not Found: nobody here'
    )
    with pytest.raises(Failed, match="failed calling webhook"):
        await rig.local.create(pod("web"))
    path = f"{GROUP}/validatingwebhookconfigurations/missing"
    change = [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]
    changed = await rig.rest.ask("PATCH", path, change, headers={"Content-Type": "application/json-patch+json"})
    assert changed.status == 200, changed.text
    assert (await rig.create()).status == 201


@pytest.mark.parametrize(
    ("response", "told"),
    [
        ({"uid": "another"}, "expected response.uid="),
        ({"allowed": True, "patch": "W10="}, "response.patch but not response.patchType"),
        ({"allowed": True, "patchType": "JSONPatch"}, "response.patchType but not response.patch"),
        ({"allowed": True, "patchType": "Merge", "patch": "e30="}, "invalid response.patchType"),
        ({"allowed": "perhaps"}, "it is no AdmissionReview"),
    ],
)
async def test_nonsense_counts_as_a_failure(rig, response, told):
    await rig.mutate(answer=lambda _request: response)
    answer = await rig.create()
    assert answer.status == 500
    assert "received invalid webhook response" in answer.tree["message"]
    assert told in answer.tree["message"]


async def test_patches_that_do_not_fit_store_nothing(rig):
    await rig.mutate()
    for operation, told in (
        ({"op": "remove", "path": "/spec/nothing"}, "its patch cannot be applied"),
        ({"op": "replace", "path": "/metadata/name", "value": "other"}, "metadata.name: Forbidden"),
        ({"op": "add", "path": "/spec/colour", "value": "red"}, "spec.colour"),
    ):
        rig.server.answers["/mutate"] = patching(operation)
        answer = await rig.create()
        assert answer.status == 500, answer.text
        assert told in answer.tree["message"]
    rig.server.answers["/mutate"] = patching({"op": "replace", "path": "/spec/containers", "value": []})
    answer = await rig.create()
    assert (answer.status, answer.tree["reason"]) == (422, "Invalid")


async def test_what_a_webhook_adds_is_defaulted_and_completed_by_the_plugins(rig):
    sidecar = {"name": "proxy", "image": "proxy:1"}
    await rig.mutate(answer=patching({"op": "add", "path": "/spec/containers/-", "value": sidecar}))
    main, added = (await rig.create()).tree["spec"]["containers"]
    assert added["terminationMessagePath"] == "/dev/termination-log"
    assert added["volumeMounts"] == main["volumeMounts"]


async def test_a_webhook_that_wants_to_is_asked_again_after_others_changed_the_object(rig):
    await rig.mutate("/a", labelling("a"), reinvocationPolicy="IfNeeded")
    await rig.mutate("/b", labelling("b"))
    await rig.mutate("/c", labelling("c"))
    assert (await rig.create()).tree["metadata"]["labels"] == {"a": "yes", "b": "yes", "c": "yes"}
    assert [path for path, _ in rig.server.asked] == ["/a", "/b", "/c", "/a"]


async def test_warnings_reach_the_client(rig):
    await rig.validate(answer=lambda _request: {"allowed": True, "warnings": ["mind the gap", "x" * 300]})
    told = (await rig.create()).headers.getall("Warning")
    assert told == ['299 - "mind the gap"', f'299 - "{"x" * 256}"']


async def test_annotations_and_ignored_failures_reach_the_audit_log(rig):
    await rig.validate("/a", lambda _request: {"allowed": True, "auditAnnotations": {"risk": "low"}})
    await rig.validate("/b", lambda _request: {"nonsense": True, "uid": ""}, failurePolicy="Ignore")
    assert (await rig.create()).status == 201
    notes = await rig.told(201)
    assert notes["a.example.com/risk"] == "low"
    assert "received invalid webhook response" in notes["failed-open.validating.webhook.admission.k8s.io/b.example.com"]
    await rig.create()
    assert await rig.told(409) == {}, "what another request noted is not told again"


async def test_slow_webhooks_are_given_up_and_hold_nobody_else(rig):
    release = asyncio.Event()

    async def slow(_request):
        await release.wait()
        return {"allowed": True}

    await rig.validate(answer=slow, timeoutSeconds=1)
    creating = asyncio.ensure_future(rig.create())
    async with asyncio.timeout(DEADLINE_SECONDS):
        # A second may be too short for the first connection.
        await eventually(lambda: rig.server.asked or creating.done())
        assert (await rig.rest.ask("POST", "/api/v1/namespaces/default/configmaps", config_map("c"))).status == 201
        answer = await creating
    release.set()
    assert answer.status == 500
    assert "no answer within 1 s" in answer.tree["message"]


async def test_validating_webhooks_are_asked_at_the_same_time(rig):
    together = asyncio.Barrier(2)

    async def meet(_request):
        async with asyncio.timeout(DEADLINE_SECONDS):
            await together.wait()
        return {"allowed": True}

    await rig.validate("/one", meet, timeoutSeconds=30)
    await rig.validate("/two", meet, timeoutSeconds=30)
    assert (await rig.create()).status == 201


# Behind a Service


async def test_a_webhook_behind_a_service_is_reached_through_its_pods_node(rig):
    await ready_service(rig.local, "hook", 443, 8443)
    rig.server.answers["/label"] = labelling("tunnel")
    await rig.configure(mutating("m", hook("m", rig.server.behind_service("/label"))))
    for name in ("a", "b", "c"):
        assert (await rig.create(pod(name))).tree["metadata"]["labels"] == {"tunnel": "yes"}
    assert rig.streams.opened == [("hook-0", 8443)], "one connection serves all calls"


@pytest.mark.parametrize(
    ("setup", "told"),
    [
        ({}, 'services "hook" not found'),
        ({"ready": False}, 'no endpoints available for service "hook"'),
        ({"target_port": 81}, "error forwarding port 81 to pod hook-0: connection refused"),
    ],
)
async def test_a_service_that_cannot_be_reached_says_why(rig, setup, told):
    if setup:
        await ready_service(rig.local, "hook", 443, **{"target_port": 8443, **setup})
    await rig.configure(validating("v", hook("v", rig.server.behind_service("/v"))))
    answer = await rig.create()
    assert answer.status == 500
    assert 'Post "https://hook.default.svc/v?timeout=10s"' in answer.tree["message"]
    assert told in answer.tree["message"]


async def test_certificates_of_others_are_not_trusted(rig, tmp_path):
    await ready_service(rig.local, "hook", 443, 8443)
    (tmp_path / "other").mkdir()
    async with serving_webhooks(tmp_path / "other") as other:
        for client in (rig.server.behind_service("/v"), rig.server.client("/v")):
            wrong = {**client, "caBundle": other.bundle}
            await rig.local.apply(validating("v", hook("v", wrong)))
            answer = await rig.create()
            assert answer.status == 500
            assert "failed to verify certificate" in answer.tree["message"]
    assert not rig.server.asked
