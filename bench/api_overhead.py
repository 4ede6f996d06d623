"""What the API server adds to a write, beside its floors: an empty TLS echo, and committing bytes with no API at all.

One process, one replica, a log without peers and disk: what is left is our own CPU and gRPC's, client included.
Numbers are of this machine: compare ratios.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import grpc
import grpc.aio

from bench.report import Report, percentile, run_part
from component import rpc
from controlplane.apiserver.server import SERVER_OPTIONS
from controlplane.commands import Check, Envelope, Key, Put
from tests.api_server import ADMIN, pod, running_cluster

CLIENTS = (1, 16, 64)


async def timed(label, writes, clients, call):
    """Run `call(name)` so often from so many tasks: calls a second, p50 in ms, CPU time of this process per call in us."""

    async def work(client):
        for index in range(writes // clients):
            began = time.perf_counter()
            await call(f"{label.replace(' ', '-')}-{clients}-{client}-{index}")
            latencies.append(time.perf_counter() - began)

    latencies: list[float] = []
    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(work(client) for client in range(clients)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    count = len(latencies)
    return count / wall, percentile(latencies, 0.5) * 1e3, cpu / count * 1e6


async def echo_server(keys):
    async def echo(request, _context):
        return request

    server = grpc.aio.server(options=SERVER_OPTIONS)
    handler = grpc.unary_unary_rpc_method_handler(echo)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Floor", {"Echo": handler}),))
    credentials = grpc.ssl_server_credentials(
        [(keys.server.key_pem, keys.server.cert_pem)], keys.server.ca_pem, require_client_auth=True
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    return server, port


async def bench(report: Report, quick: bool) -> None:
    writes = 640 if quick else 2_560
    report.setting(f"uvloop, pods of 1 KB, {writes} calls each; one replica over a log without disk or peers")
    with tempfile.TemporaryDirectory() as folder:
        async with running_cluster(Path(folder)) as cluster:
            server, port = await echo_server(cluster.keys)
            channel = rpc.channel(f"127.0.0.1:{port}", cluster.keys.admin)
            echo, client = channel.unary_unary("/bench.Floor/Echo"), cluster.client()
            body = b"x" * 1000

            async def commit(name):
                key = Key("floor", "default", name)
                await cluster.replica.commit((Check(key, absent=True), Put(Envelope(key, name), body)))

            calls = {
                "TLS echo of 1 KB": lambda _name: echo(body),
                "commit alone": commit,
                "create in process": lambda name: cluster.core.create(ADMIN, pod(name.lower())),
                "create over gRPC": lambda name: client.create(pod(name.lower())),
                "get over gRPC": lambda _name: client.get("namespaces", "", "default"),
            }
            rows, cpu_us = [], {}
            for label, call in calls.items():
                for clients in CLIENTS:
                    each, p50_ms, cpu_us[label] = await timed(label, writes, clients, call)
                    rows.append((f"{label}, {clients} clients", each, p50_ms, cpu_us[label]))
            report.table(("", "calls/s", "p50 ms", "CPU us/call"), rows)
            for label in ("create over gRPC", "get over gRPC"):
                report.figure(
                    f"{label}, CPU with client",
                    cpu_us[label],
                    "us",
                    peer=cpu_us["TLS echo of 1 KB"],
                    peer_name="TLS echo",
                )
            began = time.perf_counter()
            listed = await client.list("pods")
            report.figure(f"list of {len(listed.items)} pods", (time.perf_counter() - began) * 1e3, "ms")
            await channel.close(None)
            await server.stop(0)


def main() -> None:
    run_part("api_overhead", __doc__ or "", bench)


if __name__ == "__main__":
    main()
