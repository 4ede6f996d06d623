"""What a Service answers while its pods are replaced, scaled and taken away: every request is answered."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.e2e.cluster import EXAMPLES, Cluster, Space, condition, eventually, tell
from tests.e2e.load import Load, Request

TOGGLES = 30


@pytest.fixture
def web(space: Space) -> Space:
    """Three web pods behind a Service, and a pod to ask from."""
    space.apply((EXAMPLES / "web.yaml").read_text())
    space.apply(client())
    space.wait_pods("app=web", 3)
    space.wait_ready("client")
    space.wait_endpoints("web", 3)
    for source in ("n1", "", space.pod("client")):
        space.wait_answers(source, "web", answers=3)
    return space


def client(host: str = "") -> str:
    """A pod that does nothing, for its network."""
    selector = f"nodeSelector: {{kubernetes.io/hostname: {host}}}" if host else ""
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: client}}
spec:
  terminationGracePeriodSeconds: 0
  {selector}
  containers: [{{name: main, image: "localhost/busybox:1", command: [sleep, "3600"]}}]
"""


@contextmanager
def load_from_everywhere(space: Space, title: str) -> Iterator[list[Load]]:
    """Load on the VIP from a pod, from a host and from the machine; afterwards none may be lost."""
    address = space.vip("web")
    sources = {"pod": space.pod("client"), "host": "n2", "machine": ""}
    with ExitStack() as stack:
        loads = [stack.enter_context(space.cluster.load(source, address)) for source in sources.values()]
        yield loads
        for load in loads:  # what comes after the change is part of it
            after = load.total() + 20
            eventually("the load goes on", lambda load=load, after=after: load.total() > after)
    for name, load in zip(sources, loads, strict=True):
        tell(load.report(f"{title}, from {name}"))
    assert [load.failures for load in loads] == [[], [], []]


def test_a_rolling_update_under_load_loses_no_request(web):
    with load_from_everywhere(web, "rolling update"):
        web.tim("apply", "-f", str(EXAMPLES / "web-v2.yaml"))
        web.tim("rollout status", "deployment/web", "--timeout", "60s")
    with web.cluster.load("n1", web.vip("web")) as load:
        # The last old pod, which is going, may be left out by the node's rules a moment after the rollout is over.
        eventually("only new pods answer", lambda: versions(load.requests()[-30:]) == ["2"] * 30)
        before = len(load.requests())
        eventually("requests", lambda: load.total() > before + 30)
    assert set(versions(load.requests()[before:])) == {"2"}


def versions(requests: list[Request]) -> list[str]:
    """Of the pods that answered; a problem stands for itself."""
    return [each.problem or each.answer.partition(" ")[0] for each in requests]


def test_scaling_up_and_down_under_load_loses_no_request(web):
    with load_from_everywhere(web, "scaling 3 to 2 to 3"):
        for count in (2, 3, 2, 3):
            web.tim("scale", "deployment/web", "--replicas", str(count))
            web.wait_pods("app=web", count)
            web.wait_endpoints("web", count)


def test_endpoints_toggled_under_load_lose_no_request(web):
    """Endpoints of a Service without a selector, so that only the nodes' rules change."""
    pods = web.pods("app=web")
    web.apply(
        "{apiVersion: v1, kind: Service, metadata: {name: toggled}, spec: {ports: [{port: 80, targetPort: 8080}]}}"
    )
    write_slice(web.cluster, web, pods)
    address = web.wait_answers("n2", "toggled", answers=3)
    with ExitStack() as stack:
        sources = {"pod": web.pod("client"), "host": "n2", "machine": ""}
        loads = [
            stack.enter_context(web.cluster.load(source, address, interval_seconds=0.001))
            for source in sources.values()
        ]
        for number in range(TOGGLES):
            write_slice(web.cluster, web, pods[: 2 + number % 2])
            before = [load.total() for load in loads]
            eventually(
                "requests between two changes",
                lambda before=before: all(load.total() > 10 + count for load, count in zip(loads, before, strict=True)),
            )
    for name, load in zip(sources, loads, strict=True):
        tell(load.report(f"{TOGGLES} toggles between 2 and 3 endpoints, from {name}"))
    assert [load.failures for load in loads] == [[], [], []]


def test_a_broken_image_stops_the_rollout_and_undo_heals_it(web):
    before = {pod["metadata"]["uid"] for pod in web.pods("app=web")}
    broken = (EXAMPLES / "web.yaml").read_text().replace("localhost/web:1", "localhost/web:absent")
    with load_from_everywhere(web, "broken image and undo"):
        web.apply(broken)
        stuck = web.tim("rollout status", "deployment/web", "--timeout", "3s", check=False)
        assert stuck.code == 1
        assert "timed out" in stuck.err
        eventually("the reason is shown", lambda: re.search("ErrImagePull|ImagePullBackOff", web.tim("get pods").out))
        states = {pod["metadata"]["uid"]: condition(pod, "Ready") for pod in web.pods("app=web")}
        assert {uid for uid, ready in states.items() if ready == "True"} == before
        assert len(states) == 4
        web.tim("rollout undo", "deployment/web")
        web.tim("rollout status", "deployment/web", "--timeout", "60s")
    assert {pod["metadata"]["uid"] for pod in web.wait_pods("app=web", 3)} == before


def test_recreate_ends_all_pods_before_it_starts_new_ones(space):
    manifest = (
        (EXAMPLES / "web.yaml").read_text().replace("  replicas: 3", "  replicas: 2\n  strategy: {type: Recreate}")
    )
    space.apply(manifest)
    old = {pod["metadata"]["uid"] for pod in space.wait_pods("app=web", 2)}
    space.apply(manifest.replace("localhost/web:1", "localhost/web:2"))
    seen_mixed = []

    def replaced() -> bool:
        pods = {pod["metadata"]["uid"]: pod for pod in space.cluster.list("pods", space.name, "app=web")}
        running = {uid for uid, pod in pods.items() if pod["status"]["phase"] not in {"Succeeded", "Failed"}}
        if running & old and pods.keys() - old:
            seen_mixed.append({uid: (pod["metadata"], pod["status"]) for uid, pod in pods.items()})
        ready = [pod for pod in pods.values() if condition(pod, "Ready") == "True"]
        return len(ready) == 2 and not pods.keys() & old

    eventually("two new pods", replaced)
    assert not seen_mixed


def test_history_restart_and_undo_to_a_revision(space):
    manifest = (EXAMPLES / "web.yaml").read_text()
    space.apply(manifest)
    space.tim("rollout status", "deployment/web", "--timeout", "60s")
    space.apply(manifest.replace("localhost/web:1", "localhost/web:2"))
    space.tim("rollout status", "deployment/web", "--timeout", "60s")
    lines = space.tim("rollout history", "deployment/web").out.splitlines()
    assert [line.split()[0] for line in lines if line[:1].isdigit()] == ["1", "2"]
    space.tim("rollout undo", "deployment/web", "--to-revision", "1")
    space.tim("rollout status", "deployment/web", "--timeout", "60s")
    images = {pod["spec"]["containers"][0]["image"] for pod in space.pods("app=web")}
    assert images == {"localhost/web:1"}
    before = {pod["metadata"]["uid"] for pod in space.pods("app=web")}
    space.tim("rollout restart", "deployment/web")
    space.tim("rollout status", "deployment/web", "--timeout", "60s")
    after = {pod["metadata"]["uid"] for pod in space.wait_pods("app=web", 3)}
    assert not before & after


def write_slice(cluster: Cluster, space: Space, pods: list[dict]) -> None:
    """Make `pods` the endpoints of the Service `toggled`."""
    endpoints = [
        {"addresses": [pod["status"]["podIP"]], "conditions": {"ready": True}, "nodeName": pod["spec"]["nodeName"]}
        for pod in pods
    ]
    tree = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "toggled-1", "labels": {"kubernetes.io/service-name": "toggled"}},
        "addressType": "IPv4",
        "ports": [{"port": 8080, "protocol": "TCP", "name": ""}],
        "endpoints": endpoints,
    }
    cluster.apply(json.dumps(tree), space.name)
