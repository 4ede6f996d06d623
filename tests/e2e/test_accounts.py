"""What a program in a pod can ask the API, with nothing but what it finds in its container."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import pytest

from tests.e2e.cluster import eventually
from tests.e2e.disk import files_with
from tests.e2e.host_python import host_python
from tests.e2e.test_pods import FOREVER, pod

FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"

# As in-cluster clients do: the Service's address, the mounted certificate authority and token. The API may be busy
# electing a leader because of another test.
PROGRAM = f"""
import json, os, ssl, time, urllib.error, urllib.request

def read(name):
    with open("{FOLDER}/" + name) as file:
        return file.read()

def ask(path):
    request = urllib.request.Request(server + path, headers={{"Authorization": "Bearer " + read("token")}})
    while True:
        try:
            with urllib.request.urlopen(request, context=trust, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code < 500:
                return json.load(error)
        except OSError as error:
            print("retrying:", error, flush=True)
        time.sleep(0.5)

server = "https://{{KUBERNETES_SERVICE_HOST}}:{{KUBERNETES_SERVICE_PORT}}".format(**os.environ)
trust = ssl.create_default_context(cafile="{FOLDER}/ca.crt")
here = "/api/v1/namespaces/" + read("namespace")
print("found", ask(here + "/configmaps/colours")["data"]["sky"], flush=True)
print("refused", ask(here + "/secrets")["message"], flush=True)
"""


def _reader(name: str) -> list[dict]:
    """A service account that may read ConfigMaps."""
    rbac = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "Role",
            "metadata": {"name": name},
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}],
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name}],
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "colours"}, "data": {"sky": "blue"}},
    ]


def _applied(space, *trees: dict) -> None:
    for tree in trees:
        for subject in tree.get("subjects", ()):
            subject["namespace"] = space.name
        space.apply(json.dumps(tree))


@pytest.mark.slow
def test_a_program_in_a_pod_reads_the_api_through_its_service_as_its_account(space):
    volumes, mounts = host_python()
    container = {
        "name": "main",
        "image": "localhost/busybox:1",
        "command": [str(Path(sys.executable).resolve()), "-c", PROGRAM],
        "volumeMounts": mounts,
    }
    spec = {"serviceAccountName": "reader", "restartPolicy": "Never", "containers": [container], "volumes": volumes}
    asking = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "asking"}, "spec": spec}
    _applied(space, *_reader("reader"), asking)
    space.wait_phase("asking", "Succeeded", "Failed")
    lines = [line for line in space.logs("asking").splitlines() if not line.startswith("retrying:")]
    user = f"system:serviceaccount:{space.name}:reader"
    assert lines == [
        "found blue",
        (
            f'refused secrets is forbidden: User "{user}" cannot list resource "secrets" in API group "" '
            f'in the namespace "{space.name}"'
        ),
    ]


@pytest.mark.slow
def test_the_token_of_a_pod_is_bound_to_it_and_not_on_the_disk_of_its_node(space):
    space.apply(pod("holder", FOREVER))
    found = space.wait_ready("holder")
    token = space.exec("holder", "cat", f"{FOLDER}/token").out
    payload = token.split(".")[1]
    bound = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["kubernetes.io"]
    assert bound["pod"] == {"name": "holder", "uid": found["metadata"]["uid"]}
    assert bound["node"]["name"] == found["spec"]["nodeName"]
    assert bound["serviceaccount"]["name"] == "default"
    host = space.cluster.lab.host(found["spec"]["nodeName"])
    signature = token.rpartition(".")[2]
    disk = [host.state_dir / "agent"]
    assert files_with(disk, found["metadata"]["uid"]), "the search finds what its agent remembers"
    assert files_with(disk, signature) == []
    eventually("the replica says so, too", lambda: space.tim("create token", "default").out.count(".") == 2)
