"""A webhook as it is run in practice: a pod behind a Service, on a node that listens on nothing."""

from __future__ import annotations

import base64
import itertools
import json
import ssl
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from component import pki
from component.rpc import API_SERVER_NAME
from tests.e2e.cluster import Space, eventually
from tests.e2e.host_python import host_python
from tests.webhook_server import hook, mutating

PROGRAM = """
import base64, http.server, json, ssl

class Hook(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.say(b"a webhook lives here")

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
        data = request["object"].get("data", {})
        patch = [{"op": "add", "path": "/metadata/labels", "value": {"seen": "yes"}}]
        response = {"uid": request["uid"], "allowed": "bad" not in data, "status": {"code": 403, "message": "bad is bad"}}
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
        self.say(json.dumps(review).encode())

    def say(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

server = http.server.ThreadingHTTPServer(("", 8443), Hook)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/keys/tls.crt", "/keys/tls.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


def run_webhook(space: Space) -> str:
    """A pod that is one, behind the Service `hook`; returns the bundle to trust it by."""
    ca = pki.make_ca("hooks-authority", time.time())
    pair = pki.issue(ca, "hook", time.time(), dns_names=[f"hook.{space.name}.svc"])
    keys = {"tls.crt": pair.cert_pem.decode(), "tls.key": pair.key_pem.decode()}
    volumes, mounts = host_python()
    container = {
        "name": "main",
        "image": "localhost/busybox:1",
        "command": [str(Path(sys.executable).resolve()), "-c", PROGRAM],
        "volumeMounts": [*mounts, {"name": "keys", "mountPath": "/keys"}],
        "readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 1},
    }
    spec = {
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
        "volumes": [*volumes, {"name": "keys", "secret": {"secretName": "keys"}}],
    }
    ports = [{"name": "https", "port": 443, "targetPort": 8443}]
    for tree in (
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": keys},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "hook", "labels": {"app": "hook"}}, "spec": spec},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "hook"},
            "spec": {"selector": {"app": "hook"}, "ports": ports},
        },
    ):
        space.apply(json.dumps(tree))
    space.wait_ready("hook")
    space.wait_endpoints("hook", 1)
    return base64.b64encode(ca.cert_pem).decode()


def raw(space: Space, path: str, folder: Path) -> str:
    """What one replica answers at a path, as the administrator."""
    tree = yaml.safe_load(space.cluster.lab.admin_conf.read_text())
    cluster, user = tree["clusters"][0]["cluster"], tree["users"][0]["user"]
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    context.check_hostname = False  # the certificate is for API_SERVER_NAME, wherever the replica is
    for name in ("certificate", "key"):
        (folder / name).write_bytes(base64.b64decode(user[f"client-{name}-data"]))
    context.load_cert_chain(folder / "certificate", folder / "key")
    assert cluster["tls-server-name"] == API_SERVER_NAME
    try:
        with urllib.request.urlopen(cluster["server"] + path, context=context, timeout=30) as answer:
            return answer.read().decode()
    except OSError as error:
        return str(error)


@pytest.mark.slow
def test_a_webhook_in_a_pod_decides_what_is_stored_and_answers_through_the_proxy(space, tmp_path):
    bundle = run_webhook(space)
    client = {"service": {"namespace": space.name, "name": "hook"}, "caBundle": bundle}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    mine = {"matchLabels": {"kubernetes.io/metadata.name": space.name}}
    made = hook("hook", client, rule, namespaceSelector=mine, timeoutSeconds=30)

    def create(name: str, key: str):
        tree = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {key: "1"}}
        return space.tim("create", "-f", "-", stdin=json.dumps(tree), check=False)

    numbers = itertools.count()

    def create_late() -> str:
        return create(f"late-{next(numbers)}", "good").err

    def asked() -> bool:
        """A replica that has not heard of the webhook yet does not ask it."""
        name = f"good-{next(numbers)}"
        if create(name, "good").code:
            return False
        return space.get("configmaps", name)["metadata"].get("labels") == {"seen": "yes"}

    try:
        space.apply(json.dumps(mutating(space.name, made)))
        eventually("it is asked", asked, explain=create_late)
        refused = create("bad", "bad")
        assert (refused.code, refused.err.count("\n")) == (1, 1)
        assert 'admission webhook "hook.example.com" denied the request: bad is bad' in refused.err
        page = f"/api/v1/namespaces/{space.name}/services/https:hook:443/proxy/"
        eventually(
            "the same pod answers through the proxy",
            lambda: raw(space, page, tmp_path) == "a webhook lives here",
            explain=lambda: raw(space, page, tmp_path),
        )
        space.tim("delete", "pod", "hook")
        eventually("nobody is left to be asked", lambda: "failed calling webhook" in create_late())
    finally:
        space.cluster.tim("delete", "mutatingwebhookconfiguration", space.name)
