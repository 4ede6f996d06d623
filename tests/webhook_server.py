"""A real webhook for tests: HTTPS on a loopback port, what it says set by the test, what it was asked kept."""

from __future__ import annotations

import base64
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from component import pki

SERVICE_HOST = "hook.default.svc"


def allow(_request, **more) -> dict:
    return {"allowed": True, **more}


def deny(message="not today", code=403):
    return lambda _request: {"allowed": False, "status": {"code": code, "message": message}}


def patching(*operations):
    """Always the same change."""
    text = base64.b64encode(json.dumps(operations).encode()).decode()
    return lambda _request: {"allowed": True, "patchType": "JSONPatch", "patch": text}


def labelling(name, value="yes"):
    """Puts a label on whatever comes."""

    def answer(request):
        labels = request["object"]["metadata"].get("labels", {}) | {name: value}
        return patching({"op": "add", "path": "/metadata/labels", "value": labels})(request)

    return answer


class WebhookServer:
    """`answers` says by path what the response is to be; a path that is not there is a 404. `asked` is (path, request)."""

    def __init__(self, ca: pki.KeyPair) -> None:
        self.ca = ca
        self.port = 0
        self.connections: set = set()
        self.answers: dict[str, Callable] = {}
        self.asked: list[tuple[str, dict]] = []

    def requests(self, path: str) -> list[dict]:
        return [request for where, request in self.asked if where == path]

    def client(self, path: str) -> dict:
        """How a configuration names it by URL."""
        return {"url": f"https://127.0.0.1:{self.port}{path}", "caBundle": self.bundle}

    def behind_service(self, path: str) -> dict:
        """How a configuration names it as a Service."""
        service = {"namespace": "default", "name": "hook", "path": path}
        return {"service": service, "caBundle": self.bundle}

    @property
    def bundle(self) -> str:
        return base64.b64encode(self.ca.cert_pem).decode()

    async def _answer(self, http: web.Request) -> web.StreamResponse:
        self.connections.add(http.transport)
        review = await http.json()
        self.asked.append((http.path, review["request"]))
        answer = self.answers.get(http.path)
        if answer is None:
            raise web.HTTPNotFound(text="nobody here")
        response = answer(review["request"])
        if isinstance(response, web.StreamResponse):
            return response
        if not isinstance(response, dict):
            response = await response
        response = {"uid": review["request"]["uid"], **response}
        return web.json_response({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})


@asynccontextmanager
async def serving_webhooks(folder: Path) -> AsyncIterator[WebhookServer]:
    """A webhook that listens, with a certificate for loopback and for the Service `hook`."""
    ca = pki.make_ca("webhooks", time.time())
    pair = pki.issue(ca, "hook", time.time(), dns_names=[SERVICE_HOST], addresses=["127.0.0.1"])
    (folder / "hook.crt").write_bytes(pair.cert_pem)
    (folder / "hook.key").write_bytes(pair.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "hook.crt", folder / "hook.key")
    server = WebhookServer(ca)
    app = web.Application(client_max_size=8 << 20)
    app.router.add_post("/{path:.*}", server._answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()


PODS_RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["pods"]}


def hook(name: str, client: dict, *rules, **more) -> dict:
    return {
        "name": f"{name}.example.com",
        "clientConfig": client,
        "rules": list(rules or [PODS_RULE]),
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        **more,
    }


def mutating(name: str, *hooks) -> dict:
    return _configuration("Mutating", name, hooks)


def validating(name: str, *hooks) -> dict:
    return _configuration("Validating", name, hooks)


def _configuration(kind: str, name: str, hooks) -> dict:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": f"{kind}WebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": list(hooks),
    }
