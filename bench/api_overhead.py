"""What the API server adds to a write, beside its floors: an empty TLS echo, and committing bytes with no API at all.

    python -m bench.api_overhead [--writes 2000]

One process, one replica, a log without peers and disk: what is left is our own CPU and gRPC's, client included.
Numbers are of this machine: compare ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import tempfile
import time
from pathlib import Path

import grpc
import grpc.aio
import uvloop

from component import rpc
from controlplane.apiserver.server import SERVER_OPTIONS
from controlplane.commands import Check, Envelope, Key, Put
from tests.api_server import ADMIN, pod, running_cluster

CLIENTS = (1, 16, 64)


async def timed(label, writes, clients, call):
    """Run `call(name)` so often from so many tasks; print wall time and CPU of this process per call."""

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
    p50 = sorted(latencies)[count // 2]
    print(
        f"{label:22s} {clients:3d} clients {count / wall:7.0f}/s  p50 {p50 * 1e3:6.2f} ms  "
        f"CPU {cpu / count * 1e6:6.0f} us a call"
    )


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


async def run(writes):
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, uvloop, pods of 1 KB")
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
            for label, call in calls.items():
                for clients in CLIENTS:
                    await timed(label, writes, clients, call)
            began = time.perf_counter()
            listed = await client.list("pods")
            print(f"list of {len(listed.items)} pods over gRPC: {(time.perf_counter() - began) * 1e3:.0f} ms")
            await channel.close(None)
            await server.stop(0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writes", type=int, default=2_000)
    uvloop.run(run(parser.parse_args().writes))
