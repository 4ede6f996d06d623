"""A well-behaved client alone, and beside one that takes more than its share: a tight loop, 10,000 watches, slow reads, large objects.

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
from pathlib import Path

from api.v1 import apiserver_pb2 as pb
from api.v1 import resource_pb2
from bench.load import CALL_SECONDS, Side
from bench.processes import cpu_seconds
from bench.replicas import Replicas
from bench.report import Report, own_cpu_seconds, percentile, run_part
from bench.rest import Https, _context, _leader
from component import pki
from component.rpc import Tls

BAD = {
    "tight": "64 connections in a tight loop",
    "watches": "10,000 watches",
    "slow": "64 slow readers",
    "large": "1.5 MB objects",
}
ROOT = Path(__file__).resolve().parents[1]
FRONTS = "grpc", "https"
LARGE_OBJECTS, LARGE_VALUE_BYTES = 100, 200_000  # what slow readers ask for: 20 MB
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
    seconds = 4.0 if quick else 15.0
    folder = Path(tempfile.mkdtemp(prefix="timonier-bench-"))
    replicas = Replicas(folder / "replicas")
    try:
        replicas.start()
        leader = await _leader(replicas)
        ca = pki.KeyPair(*((folder / "replicas" / "r1" / "pki" / f"ca.{end}").read_bytes() for end in ("crt", "key")))
        good, given = _user(ca, "good", folder), _files(ca, folder, replicas, leader)
        replicas.tls = good
        processes = {"API": [replicas.pids(leader)[1]]}
        grpc_side = Side("grpc", replicas.endpoints[leader], good, processes)
        https = Https(replicas.addresses[leader], _context(replicas, folder), processes)
        try:
            await _prepare(grpc_side)
            report.setting(f"three replicas on loopback, TLS; {seconds:g} s a row; both users in system:masters")
            await _run(report, Good(grpc_side, https), given, seconds, processes["API"])
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
    objects = [large, _config_map("standing")]
    objects += [_config_map(f"c{number}", "large", "x" * LARGE_VALUE_BYTES) for number in range(LARGE_OBJECTS)]
    for each in objects:
        request = pb.ApplyRequest(object=resource_pb2.Resource(json=each))
        await apply(request.SerializeToString(), timeout=CALL_SECONDS)


async def _run(report: Report, good: Good, given: dict[str, str], seconds: float, api: list[int]) -> None:
    alone = {front: await good.calls(front, seconds) for front in FRONTS}
    rows = [_row("alone", alone, 0.0, "")]
    for kind, title in BAD.items():
        for bad_front in FRONTS:
            told: dict[str, float] = {}
            async with beside(kind, bad_front, given, told):
                await asyncio.sleep(WARM_SECONDS)
                used, own, began = cpu_seconds(api), own_cpu_seconds(), time.perf_counter()
                found = {front: await good.calls(front, seconds / 2) for front in FRONTS}
                share = (cpu_seconds(api) - used) / (time.perf_counter() - began)
                own = own_cpu_seconds() - own
            said = ", ".join(f"{name} {value:,.4g}" for name, value in told.items())
            rows.append(_row(f"{title}, {bad_front}", found, share, f"{said}; own CPU {own:.1f} s"))
            for front in FRONTS:
                report.figure(
                    f"get over {front} beside {title}, {bad_front}, p99",
                    percentile(found[front]["get"], 0.99) * 1e3,
                    "ms",
                    peer=percentile(alone[front]["get"], 0.99) * 1e3,
                    peer_name="alone",
                )
    report.say(
        "  the well-behaved client: p50 and p99 in ms; CPU share of the leader's API process; what the bad one did"
    )
    columns = [f"{front} {verb} {each}" for front in FRONTS for verb in ("get", "create") for each in ("p50", "p99")]
    report.table(("", *columns, "API CPU", "bad"), rows)


def _row(name: str, found: dict[str, dict[str, list[float]]], share: float, said: str) -> tuple[object, ...]:
    values = [
        percentile(found[front][verb], fraction) * 1e3
        for front in FRONTS
        for verb in ("get", "create")
        for fraction in (0.5, 0.99)
    ]
    return name, *values, share, said


def main() -> None:
    run_part("fairness", __doc__ or "", bench)


if __name__ == "__main__":
    main()
