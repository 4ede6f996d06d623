"""The Kubernetes-compatible API over real HTTPS, byte by byte: paths, verbs, errors, forms."""

from __future__ import annotations

import asyncio
import gzip
import json

import aiohttp
import pytest
import yaml

from tests.api_server import config_map, node, pod
from tests.rest_server import serving_rest

pytestmark = pytest.mark.slow

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
SETS = "/apis/apps/v1/namespaces/default/replicasets"
MERGE = {"headers": {"Content-Type": "application/merge-patch+json"}}
TABLE = {"headers": {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}}


@pytest.fixture
async def rest(tmp_path):
    async with serving_rest(tmp_path) as rest:
        yield rest


def replica_set(name, replicas=1):
    template = {"metadata": {"labels": {"app": "a"}}, "spec": pod("x")["spec"]}
    selector = {
        "matchLabels": {"app": "a"},
        "matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["2", "1"]}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": selector, "template": template},
    }


async def test_what_is_created_can_be_read_listed_changed_and_deleted(rest):
    created = await rest.ask("POST", MAPS, config_map("a", {"k": "1"}))
    assert created.status == 201
    assert created.tree["metadata"]["namespace"] == "default"
    read = await rest.ask("GET", f"{MAPS}/a")
    assert (read.status, read.tree) == (200, created.tree)
    tree = read.tree | {"data": {"k": "2"}}
    updated = await rest.ask("PUT", f"{MAPS}/a", tree)
    assert (updated.status, updated.tree["data"]) == (200, {"k": "2"})
    assert int(updated.tree["metadata"]["resourceVersion"]) > int(created.tree["metadata"]["resourceVersion"])
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


async def test_who_waits_to_be_asked_for_a_body_is_asked_for_it(rest):
    created = await rest.ask("POST", MAPS, config_map("a", {"k": "1"}), expect100=True)
    assert created.status == 201


async def test_somebody_unknown_learns_health_and_version_only(rest):
    stranger = rest.session(None)
    for path in ("/healthz", "/livez", "/readyz", "/version"):
        assert (await rest.ask("GET", path, session=stranger)).status == 200
    for path in ("/api", "/apis", "/api/v1", PODS, "/apis/apps/v1"):
        answer = await rest.ask("GET", path, session=stranger)
        assert (answer.status, answer.tree["reason"]) == (401, "Unauthorized")


async def allow_developers(rest, rules):
    """Bind a role of these rules to the group."""
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"}, "rules": rules}
    group = {"kind": "Group", "name": "developers", "apiGroup": "rbac.authorization.k8s.io"}
    reference = {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"}
    binding = {"metadata": {"name": "r"}, "roleRef": reference, "subjects": [group]}
    for plural, tree in (("roles", role), ("rolebindings", binding)):
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/default/{plural}"
        assert (await rest.ask("POST", path, tree)).status == 201


async def test_who_may_do_something_to_a_part_of_an_object_need_not_read_the_whole(rest):
    parts = ["pods/status", "pods/ephemeralcontainers"]
    await allow_developers(
        rest,
        [
            {"apiGroups": [""], "resources": parts, "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["pods/exec", "pods/portforward"], "verbs": ["create"]},
        ],
    )
    await rest.ask("POST", PODS, pod("a"))
    jane = rest.session(rest.keys.client("jane", "developers"))
    assert (await rest.ask("GET", f"{PODS}/a", session=jane)).status == 403
    for part in parts:
        answer = await rest.ask("GET", f"{PODS}/a/{part.partition('/')[2]}", session=jane)
        assert (answer.status, answer.tree["kind"]) == (200, "Pod")
    for wanted, protocol in (("exec?command=true", "v5.channel.k8s.io"), ("portforward?ports=80", "v4.channel.k8s.io")):
        with pytest.raises(aiohttp.WSServerHandshakeError) as missing:
            await jane.ws_connect(f"{rest.url}{PODS}/b/{wanted}", protocols=(protocol,))
        assert missing.value.status == 404


async def test_who_may_only_read_is_told_what_he_may_not(rest):
    rules = [
        {"apiGroups": [""], "resources": ["configmaps", "pods/exec", "pods/portforward"], "verbs": ["get", "list"]}
    ]
    await allow_developers(rest, rules)
    reader = rest.session(rest.keys.client("jane", "developers"))
    assert (await rest.ask("GET", MAPS, session=reader)).status == 200
    for method, path in (
        ("POST", MAPS),
        ("DELETE", f"{MAPS}/a"),
        ("GET", "/api/v1/secrets"),
        ("PUT", f"{MAPS}/a"),
        ("GET", f"{PODS}/a/exec?command=true"),
        ("GET", f"{PODS}/a/portforward?ports=80"),
    ):
        answer = await rest.ask(method, path, config_map("a") if method != "GET" else None, session=reader)
        assert (answer.status, answer.tree["reason"]) == (403, "Forbidden")
        assert "jane" in answer.tree["message"]


async def test_a_pod_is_refused_with_the_path_of_every_bad_field(rest):
    answer = await rest.ask("POST", PODS, pod("a", restartPolicy="Sometimes", colour="red"))
    assert (answer.status, answer.tree["reason"]) == (422, "Invalid")
    details = answer.tree["details"]
    assert (details["name"], details["kind"]) == ("a", "Pod")
    assert "spec.colour" in [cause["field"] for cause in details["causes"]]


WRONG = [
    ("GET", "/api/v1/podz", None, 404, "NotFound"),
    ("GET", "/api/v2/pods", None, 404, "NotFound"),
    ("GET", "/apis/apps/v2/deployments", None, 404, "NotFound"),
    ("GET", "/api/v1/namespaces/default/nodes", None, 404, "NotFound"),
    ("GET", "/api/v1/pods/a", None, 404, "NotFound"),
    ("GET", f"{PODS}/a/nosuch", None, 404, "NotFound"),
    ("GET", f"{MAPS}/a/scale", None, 404, "NotFound"),
    ("GET", f"{MAPS}/a/b/c", None, 404, "NotFound"),
    ("GET", "/api/v1//pods", None, 404, "NotFound"),
    ("GET", "/metrics-nobody-has", None, 404, "NotFound"),
    ("POST", "/api/v1/configmaps", config_map("a"), 405, "MethodNotAllowed"),
    ("POST", f"{MAPS}/a", config_map("a"), 405, "MethodNotAllowed"),
    ("PUT", MAPS, config_map("a"), 405, "MethodNotAllowed"),
    ("POST", "/apis/apps", {}, 405, "MethodNotAllowed"),
    ("POST", MAPS, config_map("kubernetes", namespace="other"), 400, "BadRequest"),
    ("POST", MAPS, pod("a"), 400, "BadRequest"),
    ("POST", MAPS, [], 400, "BadRequest"),
    ("POST", MAPS, "{", 400, "BadRequest"),
    ("POST", MAPS, '{"data":{"k":"1","k":"2"}}', 400, "BadRequest"),
    ("POST", MAPS, '{"metadata": "x"}', 400, "BadRequest"),
    ("PUT", f"{MAPS}/a", config_map("b"), 400, "BadRequest"),
    ("PUT", f"{MAPS}/no", config_map("no"), 404, "NotFound"),
    ("POST", "/api/v1/namespaces", {"metadata": {"name": "default"}}, 409, "AlreadyExists"),
    ("POST", MAPS, {"metadata": {}}, 422, "Invalid"),
    ("DELETE", "/api/v1/namespaces/default", None, 403, "Forbidden"),
    ("DELETE", "/api/v1/namespaces/default/services/kubernetes", {"preconditions": {"uid": "x"}}, 409, "Conflict"),
    ("DELETE", f"{MAPS}/a", {"propagationPolicy": "Sideways"}, 400, "BadRequest"),
    ("DELETE", f"{MAPS}/a", {"gracePeriod": 5}, 400, "BadRequest"),
    ("DELETE", f"{MAPS}/a?orphanDependents=true&propagationPolicy=Orphan", None, 400, "BadRequest"),
    ("GET", f"{MAPS}?labelSelector=a+in+(", None, 400, "BadRequest"),
    ("GET", f"{MAPS}?fieldSelector=spec.colour%3Dred", None, 400, "BadRequest"),
    ("GET", f"{MAPS}?labelSelecter=a%3Db", None, 400, "BadRequest"),
    ("GET", f"{MAPS}?continue=rubbish", None, 400, "BadRequest"),
    ("GET", f"{MAPS}?limit=-1", None, 400, "BadRequest"),
    ("GET", f"{MAPS}?resourceVersion=x", None, 400, "BadRequest"),
    ("GET", f"{MAPS}?resourceVersionMatch=Exact", None, 400, "BadRequest"),
    ("GET", f"{MAPS}?watch=perhaps", None, 400, "BadRequest"),
    ("GET", f"{MAPS}?watch=1&sendInitialEvents=true", None, 400, "BadRequest"),
    ("GET", f"{MAPS}?sendInitialEvents=true&resourceVersionMatch=NotOlderThan", None, 400, "BadRequest"),
    ("GET", f"{MAPS}?watch=1&labelSelector=a+in+(", None, 400, "BadRequest"),
    ("POST", f"{MAPS}?dryRun=Some", config_map("a"), 400, "BadRequest"),
    ("POST", f"{MAPS}?fieldValidation=Maybe", config_map("a"), 400, "BadRequest"),
    ("GET", f"{PODS}/no/log?stream=Stderr", None, 400, "BadRequest"),
    ("GET", f"{PODS}/no/exec?command=true", None, 400, "BadRequest"),
    ("POST", f"{PODS}/no/binding", {"target": {"name": "n1"}}, 404, "NotFound"),
    ("POST", f"{PODS}/no/binding", {"target": {"kind": "Pod", "name": "n1"}}, 400, "BadRequest"),
    ("POST", f"{PODS}/no/eviction", {"metadata": {"name": "no"}}, 404, "NotFound"),
    ("DELETE", f"{PODS}/no/binding", None, 405, "MethodNotAllowed"),
]


async def test_what_is_wrong_comes_back_as_what_it_is(rest):
    for method, path, body, status, reason in WRONG:
        answer = await rest.ask(method, path, body)
        told = answer.tree
        found = method, path, answer.status, told["kind"], told["reason"], told["code"]
        assert found == (method, path, status, "Status", reason, status)
        assert told["message"]


async def test_a_body_in_protobuf_is_read_and_answered_in_json(rest):
    protobuf = {"headers": {"Content-Type": "application/vnd.kubernetes.protobuf"}}
    body = b'k8s\x00\n\x0f\n\x02v1\x12\tConfigMap\x12\x1b\n\x11\n\x01c\x12\x00\x1a\x00"\x00*\x002\x008\x00B\x00\x12\x06\n\x01a\x12\x01b\x1a\x00"\x00'
    answer = await rest.ask("POST", MAPS, body, **protobuf)
    assert (answer.status, answer.tree["data"]) == (201, {"a": "b"})
    answer = await rest.ask("POST", MAPS, b"k8s\x00", **protobuf)
    assert (answer.status, answer.tree["reason"]) == (400, "BadRequest")


async def test_bodies_of_other_forms_are_refused_by_name(rest):
    answer = await rest.ask("POST", MAPS, b"<a/>", headers={"Content-Type": "application/xml"})
    assert (answer.status, answer.tree["reason"]) == (415, "UnsupportedMediaType")
    assert (await rest.ask("PATCH", f"{MAPS}/a", {})).status == 415
    accept = {"headers": {"Accept": "application/vnd.kubernetes.protobuf"}}
    assert (await rest.ask("GET", MAPS, **accept)).status == 406
    both = {"headers": {"Accept": "application/vnd.kubernetes.protobuf,application/json;q=0.5"}}
    assert (await rest.ask("GET", MAPS, **both)).headers["Content-Type"] == "application/json"


async def test_a_body_over_the_limit_is_refused_whole_or_packed(rest):
    large = json.dumps(config_map("a", {"k": "x" * (4 << 20)})).encode()
    for data, coding in ((large, {}), (gzip.compress(large), {"Content-Encoding": "gzip"})):
        headers = {"Content-Type": "application/json", **coding}
        answer = await rest.ask("POST", MAPS, data, headers=headers)
        assert (answer.status, answer.tree["reason"]) == (413, "RequestEntityTooLarge")
    rubbish = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert (await rest.ask("POST", MAPS, b"no gzip at all", headers=rubbish)).status == 400
    assert (await rest.ask("GET", MAPS)).status == 200


async def test_a_body_that_cannot_be_unpacked_and_that_nobody_reads_leaves_no_traceback(rest, caplog):
    rubbish = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert (await rest.ask("POST", "/apis/nobody/v1/things", b"no gzip at all", headers=rubbish)).status == 404
    assert (await rest.ask("GET", "/api/v1/namespaces/default")).status == 200
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("value", [False, 0, [], {}])
async def test_what_the_path_says_does_not_stand_in_for_what_is_wrong_in_the_object(rest, value):
    refused = await rest.ask("POST", MAPS, config_map("a", namespace=value))
    assert (refused.status, refused.tree["reason"]) == (400, "BadRequest")
    assert "namespace" in refused.tree["message"]


async def test_yaml_goes_in_and_comes_out(rest):
    text = yaml.safe_dump(config_map("a", {"k": "1"}))
    created = await rest.ask("POST", MAPS, text, headers={"Content-Type": "application/yaml"})
    assert created.status == 201
    read = await rest.ask("GET", f"{MAPS}/a", headers={"Accept": "application/yaml"})
    assert read.headers["Content-Type"] == "application/yaml"
    assert yaml.safe_load(read.text) == created.tree
    bad = await rest.ask("POST", MAPS, "a: [", headers={"Content-Type": "application/yaml"})
    assert (bad.status, bad.tree["reason"]) == (400, "BadRequest")
    assert "body:2:" in bad.tree["message"]


async def test_a_dry_run_stores_nothing(rest):
    created = await rest.ask("POST", f"{MAPS}?dryRun=All", config_map("a"))
    assert (created.status, created.tree["metadata"]["name"]) == (201, "a")
    assert (await rest.ask("GET", f"{MAPS}/a")).status == 404
    await rest.ask("POST", MAPS, config_map("a"))
    assert (await rest.ask("DELETE", f"{MAPS}/a", {"dryRun": ["All"]})).status == 200
    assert (await rest.ask("PATCH", f"{MAPS}/a?dryRun=All", {"data": {"k": "1"}}, **MERGE)).tree["data"] == {"k": "1"}
    assert (await rest.ask("GET", f"{MAPS}/a")).tree["data"] == {}


async def test_unknown_fields_are_refused_dropped_with_a_warning_or_dropped(rest):
    tree = config_map("a", {"k": "1"}) | {"colour": "red"}
    for mode in ("", "?fieldValidation=Strict"):
        assert (await rest.ask("POST", MAPS + mode, tree)).status == 422
    warned = await rest.ask("POST", f"{MAPS}?fieldValidation=Warn", tree)
    assert (warned.status, warned.tree.get("colour")) == (201, None)
    assert warned.headers["Warning"] == '299 - "unknown field \\"colour\\""'
    ignored = await rest.ask("PUT", f"{MAPS}/a?fieldValidation=Ignore", tree)
    assert (ignored.status, ignored.headers.get("Warning")) == (200, None)
    patched = await rest.ask("PATCH", f"{MAPS}/a?fieldValidation=Warn", {"shape": 1, "data": {"k": "2"}}, **MERGE)
    assert (patched.status, patched.tree["data"]) == (200, {"k": "2"})
    assert "shape" in patched.headers["Warning"]
    twice = '{"metadata":{"name":"c"},"data":{"k":"1","k":"2"}}'
    assert (await rest.ask("POST", f"{MAPS}?fieldValidation=Ignore", twice)).tree["data"] == {"k": "2"}
    wrong = await rest.ask("POST", f"{MAPS}?fieldValidation=Ignore", config_map("b") | {"data": 1})
    assert wrong.status == 422


async def test_patches_of_every_type(rest):
    await rest.ask("POST", MAPS, config_map("a", {"k": "1"}))

    async def patch(content_type, body):
        return await rest.ask("PATCH", f"{MAPS}/a", body, headers={"Content-Type": content_type})

    replaced = await patch("application/json-patch+json", [{"op": "replace", "path": "/data/k", "value": "2"}])
    assert replaced.tree["data"] == {"k": "2"}
    assert (await patch("application/merge-patch+json", {"data": {"l": "3"}})).tree["data"] == {"k": "2", "l": "3"}
    strategic = await patch("application/strategic-merge-patch+json", {"data": {"$patch": "replace", "m": "4"}})
    assert strategic.tree["data"] == {"m": "4"}


async def test_who_applies_owns_fields_until_somebody_takes_them_by_force(rest):
    async def apply(manager, data, options="", name="a"):
        text = yaml.safe_dump(config_map(name, data))
        path = f"{MAPS}/{name}?fieldManager={manager}{options}"
        return await rest.ask("PATCH", path, text, headers={"Content-Type": "application/apply-patch+yaml"})

    made = await apply("one", {"k": "1"})
    assert made.status == 201
    assert made.tree["metadata"]["managedFields"][0]["manager"] == "one"
    assert (await apply("one", {"k": "1"})).status == 200
    conflict = await apply("two", {"k": "2"})
    assert (conflict.status, conflict.tree["reason"]) == (409, "Conflict")
    assert [cause["field"] for cause in conflict.tree["details"]["causes"]] == [".data.k"]
    assert conflict.tree["details"]["causes"][0]["reason"] == "FieldManagerConflict"
    assert (await apply("two", {"k": "2"}, "&force=true")).tree["data"] == {"k": "2"}
    assert (await apply("", {"k": "2"})).status == 400
    assert (await rest.ask("PATCH", f"{MAPS}/a?force=true", {"data": {}}, **MERGE)).status == 400


async def test_a_collection_is_deleted_by_its_labels(rest):
    for name in "abc":
        await rest.ask("POST", MAPS, config_map(name, labels={"kept": str(name == "b")}))
    deleted = await rest.ask("DELETE", f"{MAPS}?labelSelector=kept%3DFalse")
    assert (deleted.status, [each["metadata"]["name"] for each in deleted.tree["items"]]) == (200, ["a", "c"])
    assert (await rest.ask("GET", f"{MAPS}/b")).status == 200
    for path, body in ((f"{MAPS}?resourceVersion=1", None), (MAPS, {"preconditions": {"uid": "u"}})):
        assert (await rest.ask("DELETE", path, body)).status == 400


async def test_a_list_comes_in_pages_of_one_version(rest):
    for name in "abcde":
        await rest.ask("POST", MAPS, config_map(name, labels={"page": "yes"}))
    first = await rest.ask("GET", f"{MAPS}?labelSelector=page%3Dyes&limit=2")
    assert [each["metadata"]["name"] for each in first.tree["items"]] == ["a", "b"]
    await rest.ask("DELETE", f"{MAPS}/c")
    token = first.tree["metadata"]["continue"]
    second = await rest.ask("GET", f"{MAPS}?labelSelector=page%3Dyes&limit=3&continue={token}")
    assert [each["metadata"]["name"] for each in second.tree["items"]] == ["c", "d", "e"]
    assert second.tree["metadata"] == {"resourceVersion": first.tree["metadata"]["resourceVersion"]}
    version = first.tree["metadata"]["resourceVersion"]
    exact = await rest.ask("GET", f"{MAPS}?resourceVersion={version}&resourceVersionMatch=Exact")
    assert "c" in [each["metadata"]["name"] for each in exact.tree["items"]]
    for options in (f"resourceVersion={version}", "resourceVersion=0", ""):
        names = [each["metadata"]["name"] for each in (await rest.ask("GET", f"{MAPS}?{options}")).tree["items"]]
        assert "c" not in names


async def test_a_version_that_has_not_come_yet_says_so_to_lists_and_gets(rest):
    await rest.ask("POST", MAPS, config_map("a"))
    asked = (rest.ask("GET", f"{path}?resourceVersion=99999999") for path in (MAPS, f"{MAPS}/a"))
    for answer in await asyncio.gather(*asked):
        assert (answer.status, answer.tree["reason"]) == (504, "Timeout")
        assert answer.tree["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_a_large_list_is_sent_in_pieces_and_packed_when_the_client_can_unpack(rest):
    for number in range(20):
        await rest.ask("POST", MAPS, config_map(f"a{number:02}", {"k": "x" * 50_000}))
    plain = await rest.ask("GET", MAPS, headers={"Accept-Encoding": "identity"})
    packed = await rest.ask("GET", MAPS)
    assert (plain.headers.get("Content-Encoding"), packed.headers.get("Content-Encoding")) == (None, "gzip")
    assert plain.text == packed.text
    assert len(plain.tree["items"]) == 20
    one = await rest.ask("GET", f"{MAPS}/a00", headers={"Accept-Encoding": "gzip"})
    assert one.headers.get("Content-Encoding") is None
    too_long = await rest.ask("GET", MAPS, headers={"Accept": "application/yaml"})
    assert too_long.status == 406


async def test_objects_are_shown_as_rows_or_by_their_metadata(rest):
    await rest.ask("POST", PODS, pod("a"))
    table = (await rest.ask("GET", PODS, **TABLE)).tree
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    names = [column["name"] for column in table["columnDefinitions"]]
    assert dict(zip(names, table["rows"][0]["cells"], strict=True))["Status"] == "Pending"
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    whole = (await rest.ask("GET", f"{PODS}?includeObject=Object", **TABLE)).tree
    assert whole["rows"][0]["object"]["spec"]["containers"][0]["name"] == "main"
    single = (await rest.ask("GET", f"{PODS}/a", **TABLE)).tree
    assert [row["cells"][0] for row in single["rows"]] == ["a"]
    partial = {"headers": {"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}}
    listed = (await rest.ask("GET", PODS, **partial)).tree
    assert listed["kind"] == "PartialObjectMetadataList"
    assert set(listed["items"][0]) == {"kind", "apiVersion", "metadata"}


async def test_a_scale_sets_the_number_of_replicas_and_nothing_else(rest):
    await rest.ask("POST", SETS, replica_set("a"))
    scale = (await rest.ask("GET", f"{SETS}/a/scale")).tree
    assert (scale["kind"], scale["spec"], scale["status"]["replicas"]) == ("Scale", {"replicas": 1}, 0)
    assert scale["status"]["selector"] == "app=a,x notin (1,2)"
    updated = await rest.ask("PUT", f"{SETS}/a/scale", scale | {"spec": {"replicas": 3}})
    assert (updated.status, updated.tree["spec"]) == (200, {"replicas": 3})
    stale = await rest.ask("PUT", f"{SETS}/a/scale", scale | {"spec": {"replicas": 4}})
    assert (stale.status, stale.tree["reason"]) == (409, "Conflict")
    patched = await rest.ask("PATCH", f"{SETS}/a/scale", {"spec": {"replicas": 5}}, **MERGE)
    assert patched.tree["spec"] == {"replicas": 5}
    steps = [{"op": "replace", "path": "/spec/replicas", "value": 6}]
    headers = {"Content-Type": "application/json-patch+json"}
    assert (await rest.ask("PATCH", f"{SETS}/a/scale", steps, headers=headers)).tree["spec"] == {"replicas": 6}
    assert (await rest.ask("GET", f"{SETS}/a")).tree["spec"]["replicas"] == 6
    for bad in ({"spec": {"replicas": "many"}}, {"spec": {"copies": 1}}, {"metadata": {"name": "b"}}):
        assert (await rest.ask("PATCH", f"{SETS}/a/scale", bad, **MERGE)).status == 400
    assert (await rest.ask("PATCH", f"{SETS}/a/scale", {"spec": {"replicas": -1}}, **MERGE)).status == 422


async def test_a_status_is_written_alone(rest):
    await rest.ask("POST", SETS, replica_set("a"))
    tree = (await rest.ask("GET", f"{SETS}/a/status")).tree
    tree["spec"]["replicas"], tree["status"] = 7, {"replicas": 2}
    updated = (await rest.ask("PUT", f"{SETS}/a/status", tree)).tree
    assert (updated["spec"]["replicas"], updated["status"]["replicas"]) == (1, 2)
    patched = await rest.ask("PATCH", f"{SETS}/a/status", {"status": {"replicas": 3}}, **MERGE)
    assert patched.tree["status"]["replicas"] == 3


async def test_a_pod_is_bound_evicted_and_deleted_with_its_grace(rest):
    await rest.ask("POST", "/api/v1/nodes", node("n1"))
    await rest.cluster.local.update_status(node("n1"))
    await rest.ask("POST", PODS, pod("a"))
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "a"},
        "target": {"kind": "Node", "name": "n1"},
    }
    bound = await rest.ask("POST", f"{PODS}/a/binding", binding)
    assert (bound.status, bound.tree["status"]) == (201, "Success")
    assert (await rest.ask("GET", f"{PODS}/a")).tree["spec"]["nodeName"] == "n1"
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a", "namespace": "default"}}
    assert (await rest.ask("POST", f"{PODS}/a/eviction", eviction)).status == 201
    going = await rest.ask("GET", f"{PODS}/a")
    assert going.tree["metadata"]["deletionGracePeriodSeconds"] == 30
    gone = await rest.ask("DELETE", f"{PODS}/a?gracePeriodSeconds=0")
    assert (gone.status, gone.tree["kind"]) == (200, "Pod")
    assert (await rest.ask("GET", f"{PODS}/a")).status == 404


async def test_discovery_names_every_kind_and_what_can_be_done_with_it(rest):
    groups = [group["name"] for group in (await rest.ask("GET", "/apis")).tree["groups"]]
    assert groups[0] == "apps"
    assert (await rest.ask("GET", "/api")).tree["versions"] == ["v1"]
    assert (await rest.ask("GET", "/apis/apps")).tree["preferredVersion"] == {
        "groupVersion": "apps/v1",
        "version": "v1",
    }
    core = {each["name"]: each for each in (await rest.ask("GET", "/api/v1")).tree["resources"]}
    assert core["pods"]["shortNames"] == ["po"]
    assert {"create", "list", "watch"} <= set(core["pods"]["verbs"])
    assert (core["pods/eviction"]["group"], core["pods/eviction"]["verbs"]) == ("policy", ["create"])
    assert core["pods/log"]["verbs"] == ["get"]
    apps = {each["name"] for each in (await rest.ask("GET", "/apis/apps/v1")).tree["resources"]}
    assert {"deployments", "deployments/scale", "deployments/status", "replicasets"} <= apps
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    found = await rest.ask("GET", "/apis", headers={"Accept": accept})
    assert "as=APIGroupDiscoveryList" in found.headers["Content-Type"]
    resources = {each["resource"]: each for each in found.tree["items"][0]["versions"][0]["resources"]}
    assert [each["subresource"] for each in resources["deployments"]["subresources"]] == ["scale", "status"]


async def test_every_kind_has_a_path_with_all_of_its_verbs(rest):
    groups = (await rest.ask("GET", "/apis")).tree["groups"]
    places = ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]
    for place in places:
        for each in (await rest.ask("GET", place)).tree["resources"]:
            if "list" in each["verbs"]:
                listed = await rest.ask("GET", f"{place}/{each['name']}")
                assert (listed.status, listed.tree["kind"]) == (200, each["kind"] + "List")


async def test_a_name_is_made_up_on_request_and_text_may_be_spread_out(rest):
    created = await rest.ask("POST", f"{MAPS}?pretty=true", {"metadata": {"generateName": "a-"}})
    assert created.tree["metadata"]["name"].startswith("a-")
    assert "\n  " in created.text


async def test_logs_come_as_text(rest):
    answer = await rest.ask("GET", f"{PODS}/a/log?tailLines=5&container=main&follow=true")
    assert (answer.status, answer.text) == (200, "log of default/a\n")
    assert answer.headers["Content-Type"] == "text/plain"
