"""Replicated writes through the gRPC API, beside a three-member etcd in the same run.

Both sides: three members on loopback, mutual TLS to clients and between members, fsync before every acknowledgement,
the same Python client code at the leader, values of 1 KB under names of their own. They take turns (A B A B), so that
what else the machine does hits both; the median of the rounds is shown. Ours authenticates, authorises, decodes,
defaults, validates and indexes an object; etcd stores bytes.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from api.errors import ApiError
from api.v1 import apiserver_pb2 as pb
from api.v1 import resource_pb2
from bench import etcd as peer
from bench.processes import cpu_seconds
from bench.replicas import Replicas, leader_of
from bench.report import Report, fsync_ms, own_cpu_seconds, percentile, run_part, until, version_of
from component import rpc
from component.rpc import Tls

CLIENTS = (1, 16, 64)
CHANNELS = 4
VALUE_BYTES = 1024
START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Round:
    """One side under load for a while."""

    per_second: float
    p50_ms: float
    p99_ms: float
    client_cpu_percent: float
    server_us_a_write: float


class Side:
    """One system under test: where its leader is, what a write looks like, whose CPU time counts."""

    def __init__(self, address: str, tls: Tls | None, method: str, pids: list[int]) -> None:
        self._channels = [rpc.channel(address, tls) for _ in range(CHANNELS)]
        self._calls = [channel.unary_unary(method) for channel in self._channels]
        self._pids = pids
        self.written = 0

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()

    async def load(self, clients: int, seconds: float, request: Callable[[int], bytes]) -> Round:
        """So many clients write one after the other for so long."""
        latencies: list[float] = []

        async def client(call: Callable[..., Awaitable[bytes]]) -> None:
            while time.perf_counter() < end:
                self.written += 1
                body = request(self.written)
                sent = time.perf_counter()
                await call(body, timeout=30)
                latencies.append(time.perf_counter() - sent)

        own, servers, began = own_cpu_seconds(), cpu_seconds(self._pids), time.perf_counter()
        end = began + seconds
        await asyncio.gather(*(client(self._calls[number % CHANNELS]) for number in range(clients)))
        wall = time.perf_counter() - began
        return Round(
            len(latencies) / wall,
            percentile(latencies, 0.5) * 1e3,
            percentile(latencies, 0.99) * 1e3,
            (own_cpu_seconds() - own) / wall * 100,
            (cpu_seconds(self._pids) - servers) / len(latencies) * 1e6,
        )


def create(number: int) -> bytes:
    """A CreateRequest of a ConfigMap whose JSON has VALUE_BYTES."""
    head = (
        f'{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"c{number}","namespace":"default",'
        f'"uid":"{uuid.UUID(int=number, version=4)}"}},"data":{{"value":"'
    )
    body = head + "x" * (VALUE_BYTES - len(head) - 3) + '"}}'
    request: bytes = pb.CreateRequest(object=resource_pb2.Resource(json=body)).SerializeToString()
    return request


def put(number: int) -> bytes:
    """A PutRequest of as many bytes."""
    return peer.put(b"/registry/configmaps/default/c%d" % number, b"x" * VALUE_BYTES)


async def bench(report: Report, quick: bool) -> None:
    seconds, rounds = (1.0, 1) if quick else (3.0, 3)
    folder = Path(tempfile.mkdtemp(prefix="timonier-bench-"))
    replicas, etcd = Replicas(folder / "replicas"), peer.Etcd(folder / "etcd", time.time())
    try:
        report.setting(
            f"{version_of(peer.BINARY, '--version')}; fdatasync p50 {fsync_ms(folder):.2f} ms in {folder.parent}"
        )
        report.setting(
            f"three members each on loopback, mutual TLS everywhere, fsync; {VALUE_BYTES} bytes a write, {rounds} rounds "
            f"of {seconds:g} s in turns, medians; {CHANNELS} connections to the leader; load generator: 1 process, uvloop"
        )
        replicas.start()
        etcd.start()
        async with replicas.client() as client:
            leader = await until(lambda: _leader(client), START_SECONDS, "three replicas ready")
            ours = Side(replicas.endpoints[leader], replicas.tls, "/api.v1.ApiServer/Create", replicas.pids())
            theirs = Side(etcd.endpoints[await etcd.leader()], etcd.tls, peer.PUT, etcd.pids)
            try:
                await _idle(report, replicas, etcd, seconds)
                await _compare(report, ours, theirs, seconds, rounds)
            finally:
                await ours.close()
                await theirs.close()
            stored = len((await client.list("configmaps", "default")).items)
            report.say(f"  {ours.written} ConfigMaps acknowledged, {stored} listed; etcd {theirs.written} keys")
            if stored < ours.written:
                raise SystemExit("bench: acknowledged writes are missing")
    finally:
        replicas.stop()
        etcd.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def _leader(client) -> str:
    try:
        return await leader_of(client)
    except ApiError:
        return ""


async def _idle(report: Report, replicas: Replicas, etcd: peer.Etcd, seconds: float) -> None:
    sides = {"timonier": replicas.pids(), "etcd": etcd.pids}
    before = {name: cpu_seconds(pids) for name, pids in sides.items()}
    await asyncio.sleep(seconds)
    used = {name: (cpu_seconds(pids) - before[name]) / seconds * 100 for name, pids in sides.items()}
    report.figure("CPU of all members, idle", used["timonier"], "% of core", peer=used["etcd"], peer_name="etcd")


async def _compare(report: Report, ours: Side, theirs: Side, seconds: float, rounds: int) -> None:
    for side, request in ((ours, create), (theirs, put)):
        await side.load(16, seconds / 3, request)  # warm up
    rows = []
    for clients in CLIENTS:
        pairs = [
            (await ours.load(clients, seconds, create), await theirs.load(clients, seconds, put)) for _ in range(rounds)
        ]
        medians = [_median([pair[side] for pair in pairs]) for side in (0, 1)]
        for name, each in zip(("timonier", "etcd"), medians, strict=True):
            rows.append(
                (
                    f"{name}, {clients} clients",
                    each.per_second,
                    each.p50_ms,
                    each.p99_ms,
                    each.server_us_a_write,
                    each.client_cpu_percent,
                )
            )
        report.figure(
            f"writes a second, {clients} clients",
            medians[0].per_second,
            "/s",
            peer=medians[1].per_second,
            peer_name="etcd",
        )
        report.figure(
            f"write p50, {clients} clients", medians[0].p50_ms, "ms", peer=medians[1].p50_ms, peer_name="etcd"
        )
    report.table(("", "writes/s", "p50 ms", "p99 ms", "servers us/write", "client CPU %"), rows)


def _median(rounds: list[Round]) -> Round:
    return Round(*(statistics.median(getattr(each, name) for each in rounds) for name in Round.__slots__))


def main() -> None:
    run_part("writes", __doc__ or "", bench)


if __name__ == "__main__":
    main()
