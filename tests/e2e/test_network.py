"""Pods, hosts and Services reach each other as Kubernetes says."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter

import pytest

from tests.e2e.cluster import Cluster, Space, eventually, run, tell
from tests.e2e.test_rollouts import client

CGI = r"""
mkdir -p /www/cgi-bin
printf '#!/bin/sh\necho "Content-Type: text/plain"; echo; echo "$REMOTE_ADDR"\n' > /www/cgi-bin/me
chmod +x /www/cgi-bin/me
exec httpd -f -p 8080 -h /www
"""
UDP_ECHO = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 9999))
print("bound", flush=True)
while True:
    data, peer = server.recvfrom(2000)
    server.sendto(f"{sys.argv[1]} {peer[0]}".encode(), peer)
"""
UDP_ASK = """
import socket, sys
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(3)
client.sendto(b"?", (sys.argv[1], int(sys.argv[2])))
print(client.recv(2000).decode())
"""


def web_on(name: str, host: str) -> str:
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: web}}}}
spec:
  terminationGracePeriodSeconds: 1
  nodeSelector: {{kubernetes.io/hostname: {host}}}
  containers: [{{name: main, image: "localhost/web:1"}}]
"""


def service(name: str, app: str, more: str = "", ports: str = "[{port: 80, targetPort: 8080}]") -> str:
    return (
        f"{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, "
        f"spec: {{selector: {{app: {app}}}, ports: {ports}{more}}}}}"
    )


@pytest.fixture
def pair(space: Space) -> Space:
    """A web pod on n1 and one on n2, and a client on n1."""
    for text in (web_on("a", "n1"), web_on("b", "n2"), client("n1"), service("web", "web")):
        space.apply(text)
    for name in ("a", "b", "client"):
        space.wait_ready(name)
    space.wait_endpoints("web", 2)
    return space


def fetch(space: Space, pod: str, url: str):
    return space.exec(pod, "wget", "-qO-", url, check=False)


def test_a_pod_sees_the_address_of_the_pod_that_asks_across_nodes(space):
    space.apply(cgi_server("echo", "n2"))
    space.apply(client("n1"))
    address = space.wait_ready("client")["status"]["podIP"]
    target = space.wait_ready("echo")["status"]["podIP"]
    eventually(
        "it serves",
        lambda: (
            fetch(space, "client", f"http://{target}:8080/cgi-bin/me").out.strip().strip("[]").removeprefix("::ffff:")
            == address
        ),
    )
    space.apply(service("echo", "echo"))
    space.wait_endpoints("echo", 1)
    vip = space.vip("echo")
    eventually(
        "through the VIP, too",
        lambda: (
            fetch(space, "client", f"http://{vip}/cgi-bin/me").out.strip().strip("[]").removeprefix("::ffff:")
            == address
        ),
    )


def test_a_vip_answers_from_pods_hosts_and_the_machine_and_reaches_all_endpoints(pair):
    for source in (pair.pod("client"), pair.pod("a"), "n1", "n2", "n3", ""):
        pair.wait_answers(source, "web", answers=2)


def test_names_of_services_resolve_in_pods(pair):
    for name in ("web", f"web.{pair.name}", f"web.{pair.name}.svc.cluster.local"):
        eventually(name, lambda name=name: fetch(pair, "client", f"http://{name}/").out.startswith("1 "))

    def refused() -> bool:
        """Not so when no answer came in the few seconds that nslookup waits for one."""
        missing = pair.exec("client", "nslookup", f"absent.{pair.name}.svc.cluster.local", check=False)
        assert missing.code == 1, missing
        return "NXDOMAIN" in missing.out + missing.err

    eventually("a name that is nobody's is told so", refused)


def test_a_headless_service_resolves_to_its_pods(pair):
    pair.apply(service("heads", "web", ", clusterIP: None"))
    wanted = {pair.pod(name)["status"]["podIP"] for name in ("a", "b")}

    def resolved() -> set[str]:
        shown = pair.exec("client", "nslookup", f"heads.{pair.name}.svc.cluster.local", check=False).out
        return {word for word in shown.split() if word in wanted}

    eventually("both addresses", lambda: resolved() == wanted)


def test_session_affinity_keeps_a_client_at_one_endpoint(pair):
    pair.apply(service("sticky", "web", ", sessionAffinity: ClientIP"))
    pair.wait_endpoints("sticky", 2)
    address = pair.wait_answers("n3", "sticky")
    with pair.cluster.load("n3", address, interval_seconds=0.002) as load:
        eventually("forty requests", lambda: load.total() > 40)
    assert len(load.answers()) == 1
    assert not load.failures


def test_a_service_without_endpoints_is_refused_at_once(pair):
    pair.apply(service("empty", "nobody"))
    address = pair.vip("empty")
    for source in (pair.pod("client"), "n2"):

        def refused(source=source) -> bool:
            with pair.cluster.load(source, address) as load:
                pass
            request = load.requests()[-1]
            return request.problem == "ConnectionRefusedError" and request.seconds < 1

        eventually("refused at once", refused)


def test_a_service_of_several_ports_and_named_target_ports(space):
    text = web_on("multi", "n3").replace(
        '"localhost/web:1"', '"localhost/web:1", ports: [{name: http, containerPort: 8080}]'
    )
    space.apply(text)
    space.apply(
        service("multi", "web", ports="[{name: a, port: 80, targetPort: http}, {name: b, port: 81, targetPort: 8080}]")
    )
    space.wait_endpoints("multi", 1)
    for port in (80, 81):
        space.wait_answers("n1", "multi", port)


def test_udp_services_reach_their_pods(pair):
    cluster = pair.cluster
    pair.apply(service("udp", "web", ports="[{port: 53, targetPort: 9999, protocol: UDP}]"))
    pair.wait_endpoints("udp", 2)
    address = pair.vip("udp")
    servers = [
        subprocess.Popen(
            [*cluster.enter_pod(pair.pod(name)), sys.executable, "-Ic", UDP_ECHO, name], stdout=subprocess.PIPE
        )
        for name in ("a", "b")
    ]
    try:
        for each in servers:
            assert each.stdout.readline() == b"bound\n"

        def ask() -> str:
            return run(
                [*cluster.enter_pod(pair.pod("client")), sys.executable, "-Ic", UDP_ASK, address, "53"]
            ).out.strip()

        seen: Counter[str] = Counter()

        def both() -> bool:
            seen[ask()] += 1
            return {answer.split()[0] for answer in seen if answer} == {"a", "b"}

        eventually("both answer", both)
        assert {answer.split()[1] for answer in seen if answer} == {pair.pod("client")["status"]["podIP"]}
    finally:
        for each in servers:
            each.kill()
            each.wait()
            each.stdout.close()


def test_a_host_network_pod_has_the_address_of_its_host(space):
    space.apply(client("n2").replace("nodeSelector", "hostNetwork: true\n  nodeSelector"))
    pod = space.wait_ready("client")
    assert pod["status"]["podIP"] == pod["status"]["hostIP"] == space.cluster.lab.host("n2").address


def test_the_api_is_a_service(cluster: Cluster):
    assert cluster.get("services", "default", "kubernetes")["spec"]["clusterIP"]
    shown = cluster.in_host(
        "n1",
        "curl",
        "-sk",
        "-m",
        "30",
        f"https://{cluster.get('services', 'default', 'kubernetes')['spec']['clusterIP']}/livez",
    )
    assert shown.out


def test_a_new_service_answers_soon_after_its_pods_are_ready(pair):
    began = time.monotonic()
    pair.apply(service("fresh", "web"))
    pair.wait_answers("n3", "fresh")
    tell(f"a new Service of running pods answers on a third node after {(time.monotonic() - began) * 1000:.0f} ms")


def cgi_server(name: str, host: str) -> str:
    body = "".join(f"          {line}\n" for line in CGI.strip().splitlines())
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  terminationGracePeriodSeconds: 1
  nodeSelector: {{kubernetes.io/hostname: {host}}}
  containers:
    - name: main
      image: localhost/busybox:1
      command:
        - sh
        - -c
        - |
{body}"""
