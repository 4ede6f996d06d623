"""A well-behaved client alone, and beside one that takes more than its share.

That is a tight loop, 10,000 watches while they open and when they stand, slow readers, large objects, or large lists.

Both are users of the same class. The well-behaved one gets, creates and lists a little, one call after the other, over
gRPC and over HTTPS; the bad ones are processes of their own (`bench.bad_clients`). Compare the rows of one run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc.aio

from api.v1 import apiserver_pb2 as pb
from api.v1 import resource_pb2
from bench.https_side import Https
from bench.load import CALL_SECONDS, Side, over_grpc
from bench.processes import cpu_seconds
from bench.replicas import Replicas, leading
from bench.report import Report, percentile, run_part
from component import pki
from component.rpc import Tls

BAD = {
    "tight": "64 connections in a tight loop",
    "watches": "10,000 watches",
    "slow": "64 slow readers",
    "large": "900 kB objects",
    "lists": "lists of 2,000",
}
WATCHES_OPEN_SECONDS = 15.0
ROOT = Path(__file__).resolve().parents[1]
FRONTS = "grpc", "https"
LARGE_OBJECTS, LARGE_VALUE_BYTES = 100, 200_000  # what slow readers ask for: 20 MB
MANY_OBJECTS = 2_000
WARM_SECONDS = 3.0
_API = "/api.v1.ApiServer/"


class Good:
    """The well-behaved user: one call at a time, a pause after each."""

    def __init__(self, grpc_side: Side, https: Https) -> None:
        channel = grpc_side.channels[0]
        self._get, self._create = channel.unary_unary(_API + "Get"), channel.unary_unary(_API + "Create")
        self._https = https
        self._number = 0

    async def calls(self, front: str, seconds: float) -> dict[str, list[float]]:
        """Latencies in seconds by verb."""
        found: dict[str, list[float]] = {"get": [], "create": []}
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for verb, latencies in found.items():
                self._number += 1
                began = time.perf_counter()
                await self._call(front, verb, f"good{self._number}")
                latencies.append(time.perf_counter() - began)
                await asyncio.sleep(0.005)
        return found

    async def _call(self, front: str, verb: str, name: str) -> None:
        if front == "grpc" and verb == "get":
            request = pb.GetRequest(resource="configmaps", namespace="default", name="standing")
            await self._get(request.SerializeToString(), timeout=CALL_SECONDS)
        elif front == "grpc":
            request = pb.CreateRequest(object=resource_pb2.Resource(json=_config_map(name)))
            await self._create(request.SerializeToString(), timeout=CALL_SECONDS)
        elif verb == "get":
            await self._https.ask(self._https.channels[0], "GET", "/default/configmaps/standing")
        else:
            await self._https.ask(self._https.channels[0], "POST", "/default/configmaps", _config_map(name).encode())


def _config_map(name: str, namespace: str = "default", value: str = "x") -> str:
    metadata = {"name": name, "namespace": namespace}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"value": value}})


@contextlib.asynccontextmanager
async def beside(kind: str, front: str, given: dict[str, str], tell: dict[str, float]) -> AsyncIterator[None]:
    """A bad client at work; what it got done stands in `tell` afterwards."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bench.bad_clients", kind, front, json.dumps(given)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        await process.stdout.readline()
        yield
        process.stdin.close()
        async with asyncio.timeout(30):
            tell.update(json.loads(await process.stdout.readline()))
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def bench(report: Report, quick: bool) -> None:
    seconds = 2.0 if quick else 8.0
    folder = Path(tempfile.mkdtemp(prefix="timonier-bench-"))
    replicas = Replicas(folder / "replicas")
    try:
        replicas.start()
        async with replicas.client() as client:
            leader = await leading(client)
        ca = replicas.ca
        good, given = _user(ca, "good", folder), _files(ca, folder, replicas, leader)
        processes = {"API": [replicas.pids(leader)[1]]}
        grpc_side = over_grpc("grpc", replicas.endpoints[leader], good, processes)
        https = Https(replicas.addresses[leader], good, processes)
        try:
            await _prepare(grpc_side)
            report.setting(f"three replicas on loopback, TLS; {2 * seconds:g} s a row; both users in system:masters")
            status = grpc_side.channels[0].unary_unary(_API + "ClusterStatus")
            await _run(report, Rows(Good(grpc_side, https), status, processes["API"], seconds), given)
        finally:
            await grpc_side.close()
            await https.close()
    finally:
        replicas.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _user(ca: pki.KeyPair, name: str, folder: Path) -> Tls:
    pair = pki.issue(ca, name, time.time(), groups=["system:masters"])
    for end, data in (("crt", pair.cert_pem), ("key", pair.key_pem)):
        (folder / f"{name}.{end}").write_bytes(data)
    return Tls(ca.cert_pem, pair.cert_pem, pair.key_pem)


def _files(ca: pki.KeyPair, folder: Path, replicas: Replicas, leader: str) -> dict[str, str]:
    """What a bad client is told."""
    _user(ca, "bad", folder)
    (folder / "ca.crt").write_bytes(ca.cert_pem)
    names = {"ca": "ca.crt", "cert": "bad.crt", "key": "bad.key"}
    files = {name: str(folder / file) for name, file in names.items()}
    return {**files, "address": replicas.endpoints[leader], "url": f"https://{replicas.addresses[leader]}:6443"}


async def _prepare(side: Side) -> None:
    """The object that is read, and the large list."""
    apply = side.channels[0].unary_unary(_API + "Apply")
    large = '{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"large"}}'
    many = '{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"many"}}'
    objects = [large, many, _config_map("standing")]
    objects += [_config_map(f"c{number}", "large", "x" * LARGE_VALUE_BYTES) for number in range(LARGE_OBJECTS)]
    for each in objects:
        request = pb.ApplyRequest(object=resource_pb2.Resource(json=each))
        await apply(request.SerializeToString(), timeout=CALL_SECONDS)
    transaction = side.channels[0].unary_unary(_API + "Transaction")
    for start in range(0, MANY_OBJECTS, MANY_OBJECTS // 4):
        many = [_config_map(f"m{start + number}", "many", "x" * 500) for number in range(MANY_OBJECTS // 4)]
        writes = [pb.Operation(create=resource_pb2.Resource(json=each)) for each in many]
        await transaction(pb.TransactionRequest(operations=writes).SerializeToString(), timeout=CALL_SECONDS)


@dataclass
class Row:
    """What the well-behaved client saw: latencies by front end and verb; and what the leader and the bad client did."""

    name: str
    found: dict[str, dict[str, list[float]]]
    api_share: float
    terms: int  # how often leadership changed
    told: dict[str, float]

    @property
    def cells(self) -> tuple[object, ...]:
        """The row of the table."""
        values = [
            percentile(self.found[front][verb], fraction) * 1e3
            for front in FRONTS
            for verb in ("get", "create")
            for fraction in (0.5, 0.99)
        ]
        said = ", ".join(f"{name} {value:,.4g}" for name, value in self.told.items())
        return self.name, *values, self.api_share, self.terms, said


class Rows:
    """Measures one row after the other."""

    def __init__(self, good: Good, status: grpc.aio.UnaryUnaryMultiCallable, api: list[int], seconds: float) -> None:
        self._good = good
        self._status = status
        self._api = api
        self._seconds = seconds
        self.all: list[Row] = []

    async def measure(self, name: str, told: dict[str, float]) -> None:
        """Let the well-behaved client work."""
        term, used, began = await self._term(), cpu_seconds(self._api), time.perf_counter()
        found = {front: await self._good.calls(front, self._seconds) for front in FRONTS}
        share = (cpu_seconds(self._api) - used) / (time.perf_counter() - began)
        self.all.append(Row(name, found, share, await self._term() - term, told))

    async def _term(self) -> int:
        answer = await self._status(pb.ClusterStatusRequest().SerializeToString(), timeout=CALL_SECONDS)
        return max(each.term for each in pb.ClusterStatusResponse.FromString(answer).replicas)


async def _run(report: Report, rows: Rows, given: dict[str, str]) -> None:
    await rows.measure("alone", {})
    for kind, title in BAD.items():
        for front in FRONTS:
            told: dict[str, float] = {}
            async with beside(kind, front, given, told):
                if kind == "watches":
                    await rows.measure(f"{title} opening, {front}", told)
                    await asyncio.sleep(WATCHES_OPEN_SECONDS)
                else:
                    await asyncio.sleep(WARM_SECONDS)
                await rows.measure(f"{title}, {front}", told)
    alone = rows.all[0].found
    for row in rows.all[1:]:
        for front in FRONTS:
            report.figure(
                f"get over {front} beside {row.name}, p99",
                percentile(row.found[front]["get"], 0.99) * 1e3,
                "ms",
                peer=percentile(alone[front]["get"], 0.99) * 1e3,
                peer_name="alone",
            )
    report.say(
        "  the well-behaved client: p50 and p99 in ms; CPU share of the leader's API process; new terms; what the bad one did"
    )
    columns = [f"{front} {verb} {each}" for front in FRONTS for verb in ("get", "create") for each in ("p50", "p99")]
    report.table(("", *columns, "API CPU", "terms", "bad"), [row.cells for row in rows.all])


def main() -> None:
    run_part("fairness", __doc__ or "", bench)


if __name__ == "__main__":
    main()
