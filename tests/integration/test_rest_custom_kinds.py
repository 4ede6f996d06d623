"""Custom kinds over HTTPS as Kubernetes' clients meet them: discovery, schemas, tables, patches, scale, versions."""

from __future__ import annotations

import pytest

from tests.api_server import NoStreams
from tests.crontabs import VERSION, crontab, definition
from tests.rest_server import serving_rest

pytestmark = pytest.mark.slow

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GROUP = "/apis/stable.example.com"
CRONTABS = f"{GROUP}/v1/namespaces/default/crontabs"
OLD = {
    "name": "v1beta1",
    "served": True,
    "storage": False,
    "deprecated": True,
    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
}


@pytest.fixture
async def rest(tmp_path):
    async with serving_rest(tmp_path, NoStreams()) as rest:
        yield rest


async def made(rest, path, tree):
    answer = await rest.ask("POST", path, tree)
    assert answer.status == 201, answer.text
    return answer.tree


def patch_of(kind):
    return {"headers": {"Content-Type": f"application/{kind}"}}


async def test_discovery_and_schemas_change_with_the_definition(rest):
    assert (await rest.ask("GET", GROUP)).status == 404
    before = await rest.ask("GET", "/openapi/v2")
    await made(rest, DEFINITIONS, definition(versions=[VERSION, OLD]))
    group = (await rest.ask("GET", GROUP)).tree
    assert [each["version"] for each in group["versions"]] == ["v1", "v1beta1"]
    rows = {each["name"]: each for each in (await rest.ask("GET", f"{GROUP}/v1")).tree["resources"]}
    assert rows.keys() == {"crontabs", "crontabs/status", "crontabs/scale"}
    assert rows["crontabs"]["shortNames"] == ["ct"]
    accept = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
    found = (await rest.ask("GET", "/apis", headers=accept)).tree["items"]
    assert "stable.example.com" in [each["metadata"].get("name") for each in found]
    after = await rest.ask("GET", "/openapi/v2")
    assert before.headers["ETag"] != after.headers["ETag"]
    schema = after.tree["definitions"]["com.example.stable.v1.CronTab"]
    assert schema["properties"]["spec"]["properties"]["cronSpec"]["description"] == "When."
    packed = {"Accept": "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"}
    async with rest.admin.get(rest.url + "/openapi/v2", headers=packed) as answer:
        assert b"com.example.stable.v1.CronTab" in await answer.read()
    document = (await rest.ask("GET", "/openapi/v3/apis/stable.example.com/v1")).tree
    patches = document["paths"][f"{GROUP}/v1/namespaces/{{namespace}}/crontabs/{{name}}"]["patch"]["requestBody"]
    assert "application/strategic-merge-patch+json" not in patches["content"]
    assert document["components"]["schemas"]["com.example.stable.v1.CronTab"]["required"] == ["spec"]


async def test_unknown_fields_are_dropped_and_told_of_unless_the_client_is_strict(rest):
    await made(rest, DEFINITIONS, definition())
    answer = await rest.ask("POST", CRONTABS, crontab(foo=1))
    assert answer.tree["spec"] == {"cronSpec": "* * * * */5", "replicas": 1}
    assert answer.headers["Warning"] == '299 - "unknown field \\"spec.foo\\""'
    strict = await rest.ask("POST", f"{CRONTABS}?fieldValidation=Strict", crontab("b", foo=1))
    assert (strict.status, strict.tree["details"]["causes"][0]["field"]) == (422, "spec.foo")
    ignored = await rest.ask("POST", f"{CRONTABS}?fieldValidation=Ignore", crontab("b", foo=1))
    assert (ignored.status, "Warning" in ignored.headers) == (201, False)
    steps = [{"op": "add", "path": "/spec/bar", "value": 1}, {"op": "add", "path": "/spec/image", "value": "i"}]
    patched = await rest.ask("PATCH", f"{CRONTABS}/b", steps, **patch_of("json-patch+json"))
    assert patched.tree["spec"] == {"cronSpec": "* * * * */5", "replicas": 1, "image": "i"}
    assert 'unknown field \\"spec.bar\\"' in patched.headers["Warning"]


async def test_a_strategic_merge_patch_is_of_no_type_that_custom_kinds_take(rest):
    await made(rest, DEFINITIONS, definition())
    await made(rest, CRONTABS, crontab())
    answer = await rest.ask("PATCH", f"{CRONTABS}/a", {"spec": {}}, **patch_of("strategic-merge-patch+json"))
    assert (answer.status, answer.tree["reason"]) == (415, "UnsupportedMediaType")


async def test_tables_have_the_columns_of_the_definition(rest):
    await made(rest, DEFINITIONS, definition())
    await made(rest, CRONTABS, crontab())
    table = (await rest.ask("GET", CRONTABS, headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})).tree
    shown = [(each["name"], each["type"], each["priority"]) for each in table["columnDefinitions"]]
    assert shown[1:] == [("Spec", "string", 0), ("Replicas", "integer", 0), ("Image", "string", 1), ("Age", "date", 0)]
    (cells,) = [row["cells"] for row in table["rows"]]
    assert cells[:4] == ["a", "* * * * */5", 1, None]
    assert cells[4].endswith("s")


async def test_a_scale_is_read_and_set_where_the_definition_says(rest):
    await made(rest, DEFINITIONS, definition())
    await made(rest, CRONTABS, crontab())
    status = {**crontab(), "status": {"replicas": 1, "labelSelector": "app=a"}}
    assert (await rest.ask("PUT", f"{CRONTABS}/a/status", status)).status == 200
    scale = (await rest.ask("GET", f"{CRONTABS}/a/scale")).tree
    assert (scale["spec"], scale["status"]) == ({"replicas": 1}, {"replicas": 1, "selector": "app=a"})
    scale["spec"]["replicas"] = 4
    assert (await rest.ask("PUT", f"{CRONTABS}/a/scale", scale)).tree["spec"] == {"replicas": 4}
    scale["metadata"].pop("resourceVersion")
    scale["spec"]["replicas"] = 40
    assert (await rest.ask("PUT", f"{CRONTABS}/a/scale", scale)).status == 422


async def test_every_served_version_shows_each_object_as_its_own(rest):
    await made(rest, DEFINITIONS, definition(versions=[VERSION, OLD]))
    old = CRONTABS.replace("/v1/", "/v1beta1/")
    answer = await rest.ask("POST", old, crontab(api_version="stable.example.com/v1beta1", free=1))
    assert (answer.status, answer.tree["apiVersion"]) == (201, "stable.example.com/v1beta1")
    assert answer.headers["Warning"] == '299 - "stable.example.com/v1beta1 CronTab is deprecated"'
    found = (await rest.ask("GET", f"{CRONTABS}/a")).tree
    assert (found["apiVersion"], found["spec"]["replicas"]) == ("stable.example.com/v1", 1)
    listed = (await rest.ask("GET", old)).tree
    assert (listed["kind"], listed["items"][0]["apiVersion"]) == ("CronTabList", "stable.example.com/v1beta1")
    assert (await rest.ask("GET", CRONTABS.replace("/v1/", "/v2/"))).status == 404
