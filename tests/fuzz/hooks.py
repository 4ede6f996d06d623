"""Webhooks that answer anything: on this machine's address in a lab, asked by its replicas about what is labelled for them."""

from __future__ import annotations

import base64
import json
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from component import pki
from tests.fuzz.asking import Asker
from tests.fuzz.trees import mutate
from tests.webhook_server import hook, mutating, validating

LABEL = "fuzz-hook"
MAPS = "/api/v1/namespaces/default/configmaps"
RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}
SLOW_SECONDS = 2.0  # of a webhook that has one second
FORBIDDEN_PATHS = (
    *("/metadata/name", "/metadata/uid", "/metadata/namespace", "/metadata/resourceVersion", "/metadata/generation"),
    *("/metadata/creationTimestamp", "/metadata/deletionTimestamp", "/metadata/managedFields", "/kind", "/apiVersion"),
    *("", "/metadata", "/data", "/nothing", "/data/a/b/c", "/metadata/ownerReferences", "/metadata/finalizers"),
)
VALUES = (None, "x", 7, {}, [], {"a": 1}, ["a"], "2030-01-01T00:00:00Z", "x" * 300_000, 10**30)
REFUSED_TO_ASK = ("failed calling webhook", "admission webhook")

HookClient = Callable[[str], dict[str, str]]
"""Path of a webhook -> how a configuration names it."""

Sent = tuple[int, dict[str, str], bytes]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    rng: random.Random

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        review = json.loads(self.rfile.read(length))
        try:
            code, headers, body = answer(review, self.rng)
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
        except (ConnectionError, ssl.SSLError):
            self.close_connection = True
        if headers.get("Connection") == "close":
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


def answer(review: dict[str, Any], rng: random.Random) -> Sent:
    """What one call gets: code, headers, body; sometimes late."""
    plain = {"uid": review["request"]["uid"], "allowed": True}
    return rng.choice((_odd, _bytes, _coded, _denied, _late, _cut, _warned, _mutated, *[_patched] * 5))(plain, rng)


def _odd(_plain: dict[str, Any], rng: random.Random) -> Sent:
    return _json(200, rng.choice((None, 1, [], "x", {}, {"response": None}, {"response": {"uid": 1}})))


def _bytes(_plain: dict[str, Any], rng: random.Random) -> Sent:
    data = rng.choice((b"", b"\xff\xfe", b"[" * 100_000, b"{" * 50_000, b'{"a":1e999}', b"x" * 5_000_000))
    return 200, _headers(data), data


def _coded(plain: dict[str, Any], rng: random.Random) -> Sent:
    return _review(rng.choice((200, 201, 302, 404, 418, 500, 503)), plain)


def _denied(plain: dict[str, Any], rng: random.Random) -> Sent:
    status = {"code": rng.choice((0, 99, 200, 302, 401, 403, 409, 418, 422, 429, 499, -1, 10**12, "x"))}
    status |= {"message": rng.choice(("no", "", "a\nb\x00", "é" * 5000)), "reason": "Odd"}
    return _review(200, plain | {"allowed": False, "status": status})


def _late(plain: dict[str, Any], _rng: random.Random) -> Sent:
    time.sleep(SLOW_SECONDS)
    return _review(200, plain)


def _cut(_plain: dict[str, Any], _rng: random.Random) -> Sent:
    return 200, {"Content-Length": "999999", "Connection": "close"}, b'{"apiVersion":'


def _warned(plain: dict[str, Any], rng: random.Random) -> Sent:
    warnings = rng.choice((["a\r\nX: y"], ["é" * 9000], ["w"] * 5000, "x", [None], ["\ud800", "\x00"]))
    return _review(200, plain | {"warnings": warnings})


def _mutated(plain: dict[str, Any], rng: random.Random) -> Sent:
    return _review(200, mutate({"response": plain}, rng).get("response"))


def _patched(plain: dict[str, Any], rng: random.Random) -> Sent:
    return _review(200, plain | _patch(rng))


def _patch(rng: random.Random) -> dict[str, Any]:
    operations: Any = [
        {"op": rng.choice(("add", "replace", "remove", "test", "copy", "move")), "path": rng.choice(FORBIDDEN_PATHS)}
        | {"value": rng.choice(VALUES), "from": rng.choice(FORBIDDEN_PATHS)}
        for _ in range(rng.choice((1, 1, 2, 5)))
    ]
    text = json.dumps(rng.choice((operations, operations, operations, {"a": 1}, None, [operations])))
    encoded = base64.b64encode(text.encode()).decode()
    return {
        "patchType": rng.choice(("JSONPatch", "JSONPatch", "JSONPatch", "Other")),
        "patch": rng.choice((encoded, encoded, "!")),
    }


def _review(code: int, response: Any) -> Sent:
    return _json(code, {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})


def _json(code: int, tree: Any) -> Sent:
    data = json.dumps(tree).encode()
    return code, _headers(data), data


def _headers(data: bytes) -> dict[str, str]:
    return {"Content-Type": "application/json", "Content-Length": str(len(data)), "Location": "https://127.0.0.1:1/"}


@contextmanager
def serving(address: str, folder: Path, rng: random.Random) -> Iterator[HookClient]:
    """Such a webhook at an address; yields what a configuration says of a path there."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = pki.make_ca("fuzz", time.time())
    pair = pki.issue(authority, "hook", time.time(), addresses=[address])
    (folder / "hook.crt").write_bytes(pair.cert_pem)
    (folder / "hook.key").write_bytes(pair.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "hook.crt", folder / "hook.key")
    handler = type("Handler", (_Handler,), {"rng": rng})
    server = ThreadingHTTPServer((address, 0), handler)
    server.handle_error = lambda *_: None  # callers that give up are what this is for
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    bundle = base64.b64encode(authority.cert_pem).decode()
    try:
        yield lambda path: {"url": f"https://{address}:{server.server_address[1]}{path}", "caBundle": bundle}
    finally:
        server.shutdown()
        server.server_close()


class Hooked:
    """Writes what webhooks are asked about."""

    def __init__(self, asker: Asker, client: HookClient) -> None:
        self._asker, self._rng, self._client = asker, asker.rng, client

    def prepare(self) -> None:
        """Two configurations, one of them forgiving."""
        for made, policy in ((mutating, "Ignore"), (validating, "Fail"), (mutating, "Fail"), (validating, "Ignore")):
            name = f"fuzz-{policy.lower()}"
            tree = made(name, hook(name, self._client(f"/{name}"), RULE, failurePolicy=policy, timeoutSeconds=1))
            tree["webhooks"][0]["objectSelector"] = {"matchLabels": {LABEL: policy.lower()}}
            plural = "mutatingwebhookconfigurations" if made is mutating else "validatingwebhookconfigurations"
            self._asker.ask("POST", f"/apis/admissionregistration.k8s.io/v1/{plural}", tree)

    def write(self) -> None:
        """One object that they are asked about; forgiven failures leave it as it was sent."""
        policy = self._rng.choice(("ignore", "fail"))
        name = f"hooked-{self._rng.randrange(40)}"
        tree = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "labels": {LABEL: policy}},
            "data": {"a": "b"},
        }
        method, where = self._rng.choice((("POST", MAPS), ("PUT", f"{MAPS}/{name}"), ("DELETE", f"{MAPS}/{name}")))
        answer = self._asker.ask(method, where, None if method == "DELETE" else tree, allowed=REFUSED_TO_ASK)
        if answer is None or answer.status_code not in {200, 201} or method == "DELETE":
            return
        stored = answer.json()
        if stored.get("kind") != "ConfigMap" or stored["metadata"]["name"] != name:
            self._asker.findings.add("webhook", "another name or kind was stored", {"answer": answer.text[:3000]})
