"""OpenAPI over HTTPS, and kubectl that validates, explains and compares by it. Any kubectl from 1.20 on will do."""

from __future__ import annotations

import asyncio
import os
import shutil

import pytest

from api.openapi import protobuf
from tests.api_server import pod
from tests.rest_server import serving_rest

pytestmark = pytest.mark.slow

POD = """
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers: [{name: web, image: "example.com/web:1"}]
"""


@pytest.fixture
async def rest(tmp_path):
    async with serving_rest(tmp_path) as rest:
        yield rest


async def test_version_2_is_one_document_which_clients_keep_by_its_tag(rest):
    answer = await rest.ask("GET", "/openapi/v2")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.tree["definitions"]["io.k8s.api.core.v1.Pod"]["properties"]["spec"]["$ref"].endswith(".PodSpec")
    again = await rest.ask("GET", "/openapi/v2", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status, again.text) == (304, "")


@pytest.mark.parametrize("asked", sorted(protobuf.ASKED_TYPES))
async def test_version_2_comes_as_protobuf_when_that_is_asked_for(rest, asked):
    headers = {"Accept": f"{asked}, application/json;q=0.5"}
    async with rest.admin.get(f"{rest.url}/openapi/v2", headers=headers) as answer:
        assert answer.headers["Content-Type"] == protobuf.MEDIA_TYPE
        assert (await answer.read()).startswith(b"\x0a\x032.0")  # field 1, three bytes: swagger


async def test_version_3_has_an_index_and_a_document_for_each_group_version(rest):
    index = (await rest.ask("GET", "/openapi/v3")).tree["paths"]
    for path in ("api/v1", "apis/apps/v1"):
        document = await rest.ask("GET", index[path]["serverRelativeURL"])
        assert document.tree["openapi"] == "3.0.0"
        assert "immutable" in document.headers["Cache-Control"]
        assert all(each.startswith(f"/{path}/") for each in document.tree["paths"])
    plain = await rest.ask("GET", "/openapi/v3/apis/apps/v1")
    assert "Cache-Control" not in plain.headers
    missing = await rest.ask("GET", "/openapi/v3/apis/none/v1")
    assert (missing.status, missing.tree["reason"]) == (404, "NotFound")


async def test_every_resource_of_discovery_has_its_paths(rest):
    paths = (await rest.ask("GET", "/openapi/v2")).tree["paths"]
    for root in ("/api/v1", "/apis/apps/v1"):
        for row in (await rest.ask("GET", root)).tree["resources"]:
            plural, _, part = row["name"].partition("/")
            scope = "/namespaces/{namespace}" if row["namespaced"] else ""
            path = f"{root}{scope}/{plural}" + (f"/{{name}}/{part}" if part else "")
            assert path in paths, row["name"]


async def test_somebody_unknown_gets_no_documents_and_other_forms_are_refused(rest):
    assert (await rest.ask("GET", "/openapi/v2", session=rest.session(None))).status == 401
    assert (await rest.ask("GET", "/openapi/v3", headers={"Accept": "text/html"})).status == 406


async def kubectl(rest, *words, given=""):
    """(exit code, both outputs) of a real kubectl."""
    environment = os.environ | {"HOME": str(rest.folder), "KUBECONFIG": str(rest.kubeconfig())}
    process = await asyncio.create_subprocess_exec(
        "kubectl",
        *words,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate(given.encode())
    return process.returncode, output.decode()


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl (Debian: kubernetes-client)")
async def test_kubectl_validates_explains_and_compares(rest):
    assert (await rest.ask("POST", "/api/v1/namespaces/default/pods", pod("other"))).status == 201
    code, text = await kubectl(rest, "apply", "-f", "-", given=POD)
    assert (code, text.strip()) == (0, "pod/web created"), text
    code, text = await kubectl(rest, "apply", "-f", "-", given=POD)
    assert (code, text.strip()) == (0, "pod/web unchanged"), text
    code, text = await kubectl(rest, "create", "-f", "-", given=POD.replace("spec:", "spec:\n  colour: red"))
    assert code != 0
    assert "colour" in text
    code, text = await kubectl(rest, "explain", "pod.spec.restartPolicy")
    assert code == 0, text
    assert "Always, OnFailure or Never" in text
    code, text = await kubectl(rest, "diff", "-f", "-", given=POD.replace("web:1", "web:2"))
    assert code == 1, text
    assert "+  - image: example.com/web:2" in text
    assert "-  resourceVersion" not in text
