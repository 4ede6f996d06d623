"""The proxy subresources: HTTP to pods and Services through the API, to a real server on loopback."""

from __future__ import annotations

import gzip
import random

import aiohttp
import pytest
from aiohttp import web

from controlplane.apiserver.backends import choose
from controlplane.apiserver.pod_network import PodNetwork
from tests.api_server import pod
from tests.local_pods import LocalPods, ready_service
from tests.rest_server import serving_rest

pytestmark = pytest.mark.slow

DEFAULT = "/api/v1/namespaces/default"


class Backend:
    """Tells what it was asked; /big is 3 MB, /away redirects, /zip is compressed, /broken ends too early."""

    def __init__(self):
        self.asked = []

    async def answer(self, request):
        self.asked.append((request.method, request.raw_path, dict(request.headers), await request.text()))
        match request.path:
            case "/big":
                return web.Response(body=b"x" * 3_000_000)
            case "/away":
                return web.Response(status=302, headers={"Location": "/login?next=1"})
            case "/zip":
                return web.Response(body=gzip.compress(b"small"), headers={"Content-Encoding": "gzip"})
            case "/broken":
                response = web.StreamResponse(headers={"Content-Length": "100"})
                await response.prepare(request)
                await response.write(b"half")
                request.transport.abort()
                return response
        return web.Response(status=299, text=f"{request.method} {request.raw_path}", headers={"X-Own": "yes"})


class Rig:
    def __init__(self, rest, backend, streams):
        self.rest, self.backend, self.streams = rest, backend, streams

    async def ask(self, method, path, body=None, **options):
        return await self.rest.ask(method, DEFAULT + path, body, **options)


@pytest.fixture
async def rig(tmp_path):
    streams, backend = LocalPods(), Backend()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", backend.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    streams.port = runner.addresses[0][1]
    state = None
    rng = random.Random(1)
    pods = PodNetwork(streams, lambda *place: choose(state(), *place, rng))
    try:
        async with serving_rest(tmp_path, streams, pods=pods) as rest:
            state = lambda: rest.cluster.replica.state  # noqa: E731 - the state is there when somebody asks
            yield Rig(rest, backend, streams)
        await pods.close()
    finally:
        await runner.cleanup()
    assert streams.open == 0, "connections into pods are left over"


async def test_a_service_answers_at_the_path_behind_the_proxy(rig):
    await ready_service(rig.rest.cluster.local, "web", 80, 8080)
    for name in ("web", "web:80", "web:main", "http:web:80"):
        answer = await rig.ask("GET", f"/services/{name}/proxy/a/b%2Fc?limit=nonsense&x=%20")
        assert (answer.status, answer.text) == (299, "GET /a/b%2Fc?limit=nonsense&x=%20")
        assert answer.headers["X-Own"] == "yes"
    assert rig.streams.opened == [("web-0", 8080)], "one connection serves all requests"


async def test_every_method_and_its_body_reach_a_pod(rig):
    await rig.ask("POST", "/pods", pod("a", containers=[{"name": "c", "image": "i", "ports": [{"containerPort": 81}]}]))
    await rig.ask("POST", "/pods", pod("b"))
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = await rig.ask(method, "/pods/b:8080/proxy/", '{"number": 1}')
        assert (answer.status, answer.text) == (299, f"{method} /")
        assert rig.backend.asked[-1][3] == '{"number": 1}'
    head = await rig.ask("HEAD", "/pods/b:8080/proxy/")
    assert (head.status, head.text) == (299, "")
    refused = await rig.ask("GET", "/pods/a/proxy/")
    assert (refused.status, refused.tree["reason"]) == (503, "ServiceUnavailable")
    assert "error trying to reach service: error forwarding port 81 to pod a" in refused.tree["message"]


async def test_what_lets_a_caller_in_is_not_handed_on(rig):
    await rig.ask("POST", "/pods", pod("b"))
    headers = {"Authorization": "Bearer 0123456789abcdef", "X-Mine": "1", "Impersonate-User": "jane", "TE": "trailers"}
    answer = await rig.ask("GET", "/pods/b:8080/proxy/", headers=headers)
    assert answer.status == 403, "jane may not"
    del headers["Impersonate-User"]
    assert (await rig.ask("GET", "/pods/b:8080/proxy/", headers=headers)).status == 299
    [(_, _, seen, _)] = rig.backend.asked
    assert seen["X-Mine"] == "1"
    assert not {"Authorization", "TE"} & seen.keys()
    assert seen["X-Forwarded-Uri"] == f"{DEFAULT}/pods/b:8080/proxy/"


async def test_answers_come_as_they_are(rig):
    await rig.ask("POST", "/pods", pod("b"))
    assert len((await rig.ask("GET", "/pods/b:8080/proxy/big")).text) == 3_000_000
    zipped = await rig.ask("GET", "/pods/b:8080/proxy/zip")
    assert (zipped.headers["Content-Encoding"], zipped.text) == ("gzip", "small")
    away = await rig.ask("GET", "/pods/b:8080/proxy/away", allow_redirects=False)
    assert (away.status, away.headers["Location"]) == (302, f"{DEFAULT}/pods/b:8080/proxy/login?next=1")
    with pytest.raises(aiohttp.ClientError):
        await rig.ask("GET", "/pods/b:8080/proxy/broken")


async def test_without_a_path_the_caller_is_sent_to_the_slash(rig):
    await rig.ask("POST", "/pods", pod("b"))
    answer = await rig.ask("GET", "/pods/b:8080/proxy?a=b", allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (301, f"{DEFAULT}/pods/b:8080/proxy/?a=b")


async def test_what_cannot_be_reached_is_told_as_a_status(rig):
    await ready_service(rig.rest.cluster.local, "idle", 80, 8080, ready=False)
    for path, code, message in (
        ("/services/idle/proxy/", 503, 'no endpoints available for service "idle"'),
        ("/services/none/proxy/", 404, 'services "none" not found'),
        ("/services/idle:81/proxy/", 404, 'service "idle" has no port "81"'),
        ("/services/ftp:idle:80/proxy/", 400, "is not [http:|https:]NAME[:PORT]"),
        ("/pods/none/proxy/", 404, 'pods "none" not found'),
    ):
        answer = await rig.ask("GET", path)
        assert (answer.status, answer.tree["kind"]) == (code, "Status"), answer.text
        assert message in answer.tree["message"]


async def test_the_right_to_a_pod_is_not_the_right_to_its_proxy(rig):
    await rig.ask("POST", "/pods", pod("b"))
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"}}
    group = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]}]
    assert (await rig.rest.ask("POST", f"{group}/roles", {**role, "rules": rules})).status == 201
    binding = {
        **role,
        "kind": "RoleBinding",
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "jane"}],
    }
    assert (await rig.rest.ask("POST", f"{group}/rolebindings", binding)).status == 201
    jane = rig.rest.session(rig.rest.keys.client("jane"))
    assert (await rig.ask("GET", "/pods/b", session=jane)).status == 200
    answer = await rig.ask("GET", "/pods/b:8080/proxy/", session=jane)
    assert answer.status == 403
    assert 'cannot get resource "pods/proxy"' in answer.tree["message"]
    assert not rig.backend.asked


async def test_upgrades_are_refused_by_name(rig):
    await rig.ask("POST", "/pods", pod("b"))
    answer = await rig.ask("GET", "/pods/b:8080/proxy/", headers={"Connection": "Upgrade", "Upgrade": "websocket"})
    assert (answer.status, answer.tree["reason"]) == (501, "NotImplemented")
