"""Programs in pods with unmodified clients of Kubernetes: a program of the official library, and an operator of kopf."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path

import kopf
import kubernetes

from api.errors import NotFound
from tests.crontabs import crontab, definition
from tests.e2e.cluster import Space, eventually
from tests.e2e.host_python import host_python, library_of

CRDS = "customresourcedefinitions", "apiextensions.k8s.io"
RBAC = "rbac.authorization.k8s.io"
PROGRAM = """
import datetime, sys, time
from kubernetes import client, config, watch
from kubernetes.config.incluster_config import SERVICE_CERT_FILENAME, SERVICE_TOKEN_FILENAME, InClusterConfigLoader

def attempt(call, *words, **options):
    # The API may be busy electing a leader because of another test.
    while True:
        try:
            return call(*words, **options)
        except client.ApiException as error:
            if error.status < 500 and error.status != 429:
                return error
            print("retrying:", error.status, file=sys.stderr, flush=True)
        except Exception as error:
            print("retrying:", error, file=sys.stderr, flush=True)
        time.sleep(0.2)

config.load_incluster_config()
core, here = client.CoreV1Api(), sys.argv[1]
start = attempt(core.list_namespaced_config_map, here).metadata.resource_version
attempt(core.create_namespaced_config_map, here, {"metadata": {"name": "made"}, "data": {"by": "a pod"}})
attempt(core.patch_namespaced_config_map, "made", here, {"data": {"by": "the pod"}})
seen = []
while len(seen) < 2:
    for event in watch.Watch().stream(core.list_namespaced_config_map, here, resource_version=start, timeout_seconds=20):
        if event["object"].metadata.name == "made":
            seen.append((event["type"], event["object"].data["by"]))
        start = event["object"].metadata.resource_version
        if len(seen) == 2:
            break
print("seen", seen, flush=True)
print("refused", attempt(core.list_namespaced_secret, here).status, flush=True)

loader, settings = InClusterConfigLoader(SERVICE_TOKEN_FILENAME, SERVICE_CERT_FILENAME), client.Configuration()
loader.load_and_set(settings)
stale = client.CoreV1Api(client.ApiClient(settings))
loader.token = "bearer of-a-token-that-has-expired"
print("expired", attempt(stale.read_namespaced_config_map, "made", here).status, flush=True)
loader.token_expires_at = datetime.datetime.now()
print("refreshed", attempt(stale.read_namespaced_config_map, "made", here).data["by"], flush=True)
"""
OPERATOR = """
import kopf

GROUP = "{group}"

@kopf.on.create(GROUP, "v1", "crontabs")
def created(spec, body, **_):
    kopf.info(body, reason="Seen", message="it is there")
    return {{"made": spec["cronSpec"]}}

@kopf.on.update(GROUP, "v1", "crontabs")
def updated(spec, patch, **_):
    patch.status["replicas"] = spec["replicas"]

@kopf.on.delete(GROUP, "v1", "crontabs")
def deleted(body, **_):
    kopf.info(body, reason="Gone", message="it was let go")
"""


def rule(group: str, resources: list[str], *verbs: str) -> dict:
    return {"apiGroups": [group], "resources": resources, "verbs": list(verbs)}


def account(space: Space, name: str, *rules: dict) -> None:
    """A service account that may do this in the namespace."""
    space.apply(json.dumps({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}))
    grant(space, name, "Role", name, *rules)


def grant(space: Space, name: str, kind: str, role: str, *rules: dict) -> None:
    """A role, which may be a ClusterRole, and its binding to a service account of the namespace."""
    subject = {"kind": "ServiceAccount", "name": name, "namespace": space.name}
    head = {"apiVersion": f"{RBAC}/v1", "metadata": {"name": role}}
    space.apply(json.dumps({**head, "kind": kind, "rules": list(rules)}))
    reference = {"apiGroup": RBAC, "kind": kind, "name": role}
    space.apply(json.dumps({**head, "kind": f"{kind}Binding", "roleRef": reference, "subjects": [subject]}))


def python_pod(name: str, *words: str, restart: str = "Never") -> str:
    """A pod of the machine's Python with the libraries of the tests, as a service account of the same name."""
    library = library_of(kopf, kubernetes)
    volumes, mounts = host_python(library)
    container = {
        "name": "main",
        "image": "localhost/busybox:1",
        "command": [str(Path(sys.executable).resolve()), *words],
        "env": [{"name": "PYTHONPATH", "value": library}, {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"}],
        "volumeMounts": mounts,
    }
    spec = {
        "serviceAccountName": name,
        "restartPolicy": restart,
        "terminationGracePeriodSeconds": 2,
        "containers": [container],
        "volumes": volumes,
    }
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def test_the_official_client_works_in_a_pod_with_what_it_finds_there(space):
    account(space, "worker", rule("", ["configmaps"], "get", "list", "watch", "create", "patch"))
    space.apply(python_pod("worker", "-c", PROGRAM, space.name))
    ended = space.wait_phase("worker", "Succeeded", "Failed")
    said = [line for line in space.logs("worker").splitlines() if not line.startswith("retrying:")]
    assert said == [
        "seen [('ADDED', 'a pod'), ('MODIFIED', 'the pod')]",
        "refused 403",
        "expired 401",
        "refreshed the pod",
    ]
    assert ended["status"]["phase"] == "Succeeded"


def test_an_operator_in_a_pod_follows_an_object_from_its_creation_to_its_end(space):
    group = f"{space.name}.example.com"
    crd = definition(group=group)
    cluster, kind = space.cluster, f"crontabs.{group}"
    cluster.apply(json.dumps(crd))
    try:
        account(
            space,
            "operator",
            rule(group, ["*"], "get", "list", "watch", "patch"),
            rule("", ["events"], "create"),
        )
        # What kopf asks for beside: with less it tries again for a minute, and goes on without.
        looking = rule("", ["namespaces"], "list", "watch"), rule(CRDS[1], [CRDS[0]], "list", "watch")
        grant(space, "operator", "ClusterRole", space.name, *looking)
        source = OPERATOR.format(group=group)
        start = (
            f"import sys; open('/tmp/cron.py', 'w').write({source!r}); sys.argv = ['kopf', 'run', '-n', {space.name!r}"
        )
        start += ", '--standalone', '/tmp/cron.py']; import runpy; runpy.run_module('kopf', run_name='__main__')"
        space.apply(python_pod("operator", "-c", start, restart="OnFailure"))
        eventually("the kind is served", lambda: cluster.tim("get", kind, check=False).code == 0)
        tree = crontab(api_version=f"{group}/v1") | {"metadata": {"name": "a"}}
        space.tim("create", "-f", "-", stdin=json.dumps(tree))

        def object_(field):
            out = space.tim("get", kind, "a", "-o", f"jsonpath={{{field}}}", check=False)
            return out.out.strip()

        def told():
            return {
                each["reason"] for each in cluster.list("events", space.name) if each["involvedObject"]["name"] == "a"
            }

        log = lambda: space.tim("logs", "operator", check=False)  # noqa: E731 - only for a failure
        eventually("it was seen", lambda: object_(".status.created.made") == "* * * * */5", explain=log)
        space.tim("patch", kind, "a", "--type", "merge", "-p", '{"spec": {"replicas": 3}}')
        eventually("it was followed", lambda: object_(".status.replicas") == "3", explain=log)
        space.tim("delete", kind, "a", "--no-wait")
        eventually("it was let go", lambda: "NotFound" in space.tim("get", kind, "a", check=False).err, explain=log)
        eventually("events were written", lambda: {"Seen", "Gone"} <= told(), explain=log)
    finally:
        made = (".".join(CRDS), kind), (f"clusterroles.{RBAC}", space.name), (f"clusterrolebindings.{RBAC}", space.name)
        for resource, name in made:
            with suppress(NotFound):
                cluster.call(cluster.client.delete(resource, "", name))
