"""kubectl as it is installed, unmodified and with the lab's own kubeconfig, against a real cluster.

Only commands that send JSON in every version: for some that make objects out of options, newer ones know nothing but protobuf.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.crontabs import crontab, definition
from tests.e2e.cluster import TIM, Done, Space, eventually, run
from tests.e2e.test_pods import FOREVER, pod
from tests.waiting import DEADLINE_SECONDS

KUBECTL = shutil.which("kubectl")

pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")


LABELS = {"app": "web"}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "labels": LABELS},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": LABELS},
        "template": {
            "metadata": {"labels": LABELS},
            # Nothing that an old kubectl does not know: `rollout undo` would drop it.
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{"name": "main", "image": "localhost/busybox:1", "command": ["sh", "-c", FOREVER]}],
            },
        },
    },
}


class Kubectl:
    """kubectl in one namespace, with a home of its own."""

    def __init__(self, space: Space, home) -> None:
        self.space = space
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TMPDIR": str(home),  # where `kubectl edit` leaves what it could not save
            "KUBECONFIG": str(space.cluster.lab.admin_conf),
        }

    def __call__(self, *words: str, stdin: str = "", code: int = 0) -> Done:
        command = [KUBECTL, "-n", self.space.name, *words]
        done = run(command, stdin=stdin, environment=self.environment)
        assert done.code == code, f"kubectl {' '.join(words)}: exit code {done.code}: {done.err}{done.out}"
        return done

    def tree(self, *words: str) -> dict:
        return json.loads(self(*words, "-o", "json").out)


@pytest.fixture
def kubectl(space: Space, tmp_path) -> Kubectl:
    return Kubectl(space, tmp_path)


def test_a_deployment_lives_from_apply_to_delete(kubectl, tmp_path):
    manifest = str(tmp_path / "web.json")
    Path(manifest).write_text(json.dumps(DEPLOYMENT), encoding="utf-8")
    assert "deployment.apps/web created" in kubectl("apply", "-f", manifest).out
    assert "successfully rolled out" in kubectl("rollout", "status", "deployment/web").out
    assert "deployment.apps/web unchanged" in kubectl("apply", "-f", manifest).out
    kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=60s")
    rows = kubectl("get", "deployments,pods", "-o", "wide").out
    assert "UP-TO-DATE" in rows
    assert "NODE" in rows
    assert "Running" in rows
    assert "StrategyType:" in kubectl("describe", "deployment", "web").out
    kubectl("scale", "deployment", "web", "--replicas=1")
    eventually("it is scaled", lambda: kubectl.tree("get", "deployment", "web")["status"].get("readyReplicas") == 1)
    kubectl("label", "deployment", "web", "tier=front")
    assert kubectl("get", "deployment", "-l", "tier=front", "-o", "name").out == "deployment.apps/web\n"
    kubectl("set", "env", "deployment/web", "COLOUR=red")
    kubectl("rollout", "status", "deployment/web")
    assert "2" in kubectl("rollout", "history", "deployment/web").out
    kubectl("rollout", "undo", "deployment/web")
    kubectl("rollout", "status", "deployment/web")
    assert "web" in kubectl("get", "events").out
    kubectl("delete", "-f", manifest)
    assert kubectl("get", "deployment", "web", code=1).err.startswith("Error from server (NotFound)")


def test_a_pod_shows_its_log(kubectl):
    kubectl("create", "-f", "-", stdin=pod("shell", "echo one; echo two; " + FOREVER))
    kubectl("wait", "--for=condition=Ready", "pod/shell", "--timeout=60s")
    eventually("it printed", lambda: kubectl("logs", "shell").out == "one\ntwo\n")
    assert kubectl("logs", "shell", "--tail=1").out == "two\n"
    assert "Container ID:" in kubectl("describe", "pod", "shell").out
    kubectl("delete", "pod", "shell", "--grace-period=1")


SPDY = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}
"""What every kubectl before 1.31 does."""


@pytest.mark.parametrize("how", [{}, SPDY], ids=["websocket", "spdy"])
def test_a_pod_takes_commands(kubectl, how):
    kubectl.environment |= how
    kubectl("create", "-f", "-", stdin=pod("shell", FOREVER))
    kubectl("wait", "--for=condition=Ready", "pod/shell", "--timeout=60s")
    done = kubectl("exec", "-i", "shell", "--", "sh", "-c", "cat; echo err >&2; exit 7", stdin="through\n", code=7)
    assert done.out == "through\n"
    assert "err\n" in done.err
    kubectl("delete", "pod", "shell", "--grace-period=1")


@pytest.mark.parametrize("how", [{}, SPDY], ids=["websocket", "spdy"])
def test_the_one_session_with_input_of_a_container_is_had_by_attaching(kubectl, how):
    kubectl.environment |= how
    once = pod("once", "cat; echo end", "restartPolicy: Never", container="stdin: true\n      stdinOnce: true")
    kubectl("create", "-f", "-", stdin=once)
    kubectl("wait", "--for=condition=Ready", "pod/once", "--timeout=60s")
    assert kubectl("attach", "-i", "once", stdin="typed\n").out == "typed\nend\n"
    eventually("it ended", lambda: kubectl.tree("get", "pod", "once")["status"]["phase"] == "Succeeded")
    assert kubectl("logs", "once").out == "typed\nend\n"


SERVER = "mkdir /w && echo hello > /w/index.html && exec httpd -f -p 8080 -h /w"


@contextmanager
def forwarding(*words: str, environment: dict[str, str]) -> Iterator[str]:
    """A program that forwards a port, as the URL at which it listens."""
    process = subprocess.Popen(words, stdout=subprocess.PIPE, env=environment, text=True)
    try:
        line = process.stdout.readline()  # only once it listens, or has ended
        assert line.startswith("Forwarding from 127.0.0.1:"), line
        yield f"http://{line.split()[2]}/"
    finally:
        process.kill()
        process.communicate()


def fetched(url: str) -> bytes:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(url, timeout=DEADLINE_SECONDS) as answer:
        return answer.read()


def test_ports_of_pods_are_reached_from_outside_by_kubectl_and_tim(kubectl):
    space = kubectl.space
    space.apply(pod("web", SERVER))
    space.wait_ready("web")
    eventually("it serves", lambda: space.exec("web", "wget", "-qO-", "localhost:8080", check=False).out == "hello\n")
    words = (KUBECTL, "-n", space.name, "port-forward", "pod/web", ":8080", "--address=127.0.0.1")
    for how in ({}, SPDY):
        with forwarding(*words, environment=kubectl.environment | how) as url:
            assert [fetched(url) for _ in range(3)] == [b"hello\n"] * 3
    words = (TIM, "port-forward", "-n", space.name, "web", ":8080", "--address=127.0.0.1")
    with forwarding(*words, environment=space.cluster.environment()) as url:
        assert [fetched(url) for _ in range(3)] == [b"hello\n"] * 3


def test_what_is_refused_says_why(kubectl):
    bad = pod("bad", FOREVER, "restartPolicy: Sometimes")
    assert "spec.restartPolicy" in kubectl("apply", "--validate=false", "-f", "-", stdin=bad, code=1).err
    assert "NotFound" in kubectl("get", "pods", "absent", code=1).err
    assert "absent" in kubectl("get", "absents", code=1).err


def test_a_kind_of_ones_own_lives_from_its_definition_to_the_end_of_its_objects(kubectl):
    """Its definition and objects come by kubectl, are used by both programs, and go with their namespace and definition."""
    group = f"{kubectl.space.name}.example.com"  # definitions have no namespace: each run has a group of its own
    name = f"crontabs.{group}"
    tree = definition(group=group)
    one = crontab(api_version=f"{group}/v1", image="one") | {"metadata": {"name": "a", "finalizers": ["example.com/f"]}}
    try:
        kubectl("apply", "-f", "-", stdin=json.dumps(tree))
        kubectl("wait", "--for=condition=Established", f"crd/{name}", "--timeout=60s")
        kubectl("apply", "-f", "-", stdin=json.dumps(one))
        one["spec"]["image"] = "two"
        assert "configured" in kubectl("apply", "-f", "-", stdin=json.dumps(one)).out
        assert "two" in kubectl("get", name, "-o", "wide").out
        told = kubectl("apply", "-f", "-", stdin=json.dumps({**one, "spec": {"cronSpec": "x"}}), code=1).err
        assert "spec.cronSpec in body should match" in told
        space, other = kubectl.space, f"{kubectl.space.name}-b"
        kubectl("create", "namespace", other)
        space.cluster.tim("apply", "-n", other, "-f", "-", stdin=json.dumps({**one, "metadata": {"name": "b"}}))
        kubectl("delete", "namespace", other)
        assert kubectl.tree("get", name, "-A")["items"][0]["metadata"]["name"] == "a"
        assert "two" in space.tim("get", name, "a", "-o", "wide").out
        space.tim("patch", name, "a", "--type", "merge", "-p", '{"metadata":{"finalizers":null}}')
        kubectl("delete", "crd", name)
        assert "NotFound" in kubectl("get", "crd", name, code=1).err
    finally:
        kubectl("delete", "crd", name, "--ignore-not-found", "--wait=false")
