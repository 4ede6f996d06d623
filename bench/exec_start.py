"""How long `exec` of `true` takes from the call to the exit code, over gRPC and HTTPS, beside `podman exec` on the same node.

One replica and one node of a lab, one container. Each round runs the command in each way, one after the other, so that
they see the same machine. Connections are there already, as those of a program that runs many commands are.

- gRPC: as `tim exec` without the start of its process
- HTTPS: a WebSocket of its own (v5.channel.k8s.io), as kubectl and the Python client open one for each command
- podman exec: the program, on the same storage, with the start of its process
- OCI runtime: `crun exec` as conmon calls it, with the start of its process; what probes go through
"""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import tempfile
import time
from collections import defaultdict

import aiohttp

from api.errors import NotFound
from api.v1.apiserver_pb2 import ExecStart
from bench.labs import nodes, running_lab
from bench.report import Report, percentile, run_part
from component import kubeconfig
from component.env import system_env
from component.rpc import API_SERVER_NAME
from lab import cluster, machine
from lab.images import BUSYBOX

ROUNDS = 40
READY_SECONDS = 60.0
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "idle", "namespace": "default"},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "main", "image": BUSYBOX, "command": ["sleep", "100000"]}],
    },
}


async def grpc_exec(client):
    start = ExecStart(namespace="default", pod="idle", container="main", command=["true"])
    async for frame in client.exec(start):
        if frame.WhichOneof("frame") == "exit_code":
            assert frame.exit_code == 0
            return
    raise SystemExit("bench: the command did not end")


async def https_exec(session, url):
    options = {"protocols": ("v5.channel.k8s.io",), "server_hostname": API_SERVER_NAME}
    async with session.ws_connect(url, **options) as socket:
        async for message in socket:
            if message.data[:1] == b"\x03":
                assert json.loads(message.data[1:])["status"] == "Success", message.data
                return
    raise SystemExit("bench: the command did not end")


def program(words, environment):
    done = subprocess.run(words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"bench: {' '.join(words[-6:])}: {done.stderr.decode()}")
    return done.stdout.decode()


class Node:
    """Programs on the node, below Timonier."""

    def __init__(self, lab, host):
        podman = cluster.podman_of(lab, host)
        flags = podman.command()
        self._podman = machine.enter(host, flags[: flags.index("system")])
        self._environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **podman.environment()}
        self._runtime = machine.enter(host, [podman_runtime(flags)])
        self.container = self.podman("ps", "--no-trunc", "--format", "{{.ID}}").split()[0]

    def podman(self, *words):
        return program([*self._podman, *words], self._environment)

    def oci(self, *words):
        return program([*self._runtime, *words], self._environment)


def podman_runtime(flags):
    """The OCI runtime that Podman was told of, or its usual one."""
    return flags[flags.index("--runtime") + 1] if "--runtime" in flags else "crun"


async def until_ready(client):
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        conditions = (await client.get("pods", "default", "idle")).tree().get("status", {}).get("conditions", ())
        if any(each["type"] == "Ready" and each["status"] == "True" for each in conditions):
            return
        await asyncio.sleep(0.05)
    raise SystemExit("bench: the pod did not get ready")


async def measure(lab, rounds):
    env = system_env()
    found = kubeconfig.resolve(kubeconfig.read(lab.admin_conf), lab.admin_conf)
    context = ssl.create_default_context(cadata=found.ca_pem.decode())
    with tempfile.NamedTemporaryFile() as file:
        file.write(found.cert_pem + found.key_pem)
        file.flush()
        context.load_cert_chain(file.name)
    address = found.endpoints[0].rpartition(":")[0]
    path = "/api/v1/namespaces/default/pods/idle/exec?command=true&container=main&stdout=true&stderr=true"
    took = defaultdict(list)
    async with (
        cluster.client_of(lab, env) as client,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
    ):
        await client.create(POD)
        await until_ready(client)
        node = await asyncio.to_thread(Node, lab, nodes(lab)[0])
        ways = {
            "gRPC": lambda: grpc_exec(client),
            "HTTPS": lambda: https_exec(session, f"https://{address}:6443{path}"),
            "podman exec": lambda: asyncio.to_thread(node.podman, "exec", node.container, "true"),
            "OCI runtime": lambda: asyncio.to_thread(node.oci, "exec", node.container, "true"),
        }
        for number in range(rounds + 1):
            for name, way in ways.items():
                began = time.perf_counter()
                await way()
                if number:  # the first round warms caches
                    took[name].append((time.perf_counter() - began) * 1e3)
        await client.delete("pods", "default", "idle", grace_seconds=0)
        while True:
            try:
                await client.get("pods", "default", "idle")
            except NotFound:
                return took


def bench(report: Report, quick: bool) -> None:
    rounds = 10 if quick else ROUNDS
    report.setting(f"exec of `true` in a container of busybox, {rounds} rounds; one replica and one node of a lab")
    with running_lab(replicas=1, nodes=1) as lab:
        took = asyncio.run(measure(lab, rounds))
    columns = ("way", "p50 ms", "p90 ms", "least ms")
    report.table(
        columns, [(way, percentile(all_, 0.5), percentile(all_, 0.9), min(all_)) for way, all_ in took.items()]
    )
    peer = percentile(took["podman exec"], 0.5)
    for way in ("gRPC", "HTTPS"):
        value = percentile(took[way], 0.5)
        report.figure(f"exec of true over {way}, p50", value, "ms", peer=peer, peer_name="podman exec")


if __name__ == "__main__":
    run_part("exec_start", __doc__ or "", bench)
