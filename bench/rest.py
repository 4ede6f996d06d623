"""The API over HTTPS, as Kubernetes' clients speak it, beside the same verbs over gRPC: create, update, get, list, delete, watch.

Both go to the leader of the same three replicas, with the same objects, in turns. The HTTPS client is aiohttp with one
connection for each client, as HTTP/1.1 has it; gRPC shares a few. The aims are `bench.api`'s: what kube-apiserver did elsewhere.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import ssl
import statistics
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp

from api.errors import ApiError
from bench import api_calls
from bench.api import REFERENCE, REFERENCE_CREATE_US, REFERENCE_WATCH_MS, watch_delays
from bench.api_calls import CHANGING, LISTED, STANDING, VALUE_BYTES, WATCHED
from bench.load import CALL_SECONDS, CHANNELS, Measured, Side
from bench.replicas import Replicas, leader_of
from bench.report import Report, fsync_ms, run_part, until
from component.rpc import API_SERVER_NAME

CLIENTS = (1, 16, 64)
HTTPS_PORT = 6443
START_SECONDS = 30.0
WATCH = "watch"
DELETE_SECONDS = 60.0  # all that was created
VERBS = "create", "update", "get", "list", "delete"


class Https(Side):
    """The leader's HTTPS port; a "channel" is a session with as many connections as it has clients."""

    def __init__(self, address: str, context: ssl.SSLContext, processes: Mapping[str, list[int]]) -> None:
        self.name = "https"
        self.url = f"https://{address}:{HTTPS_PORT}/api/v1/namespaces"
        self.channels = [
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context, limit=0),
                timeout=aiohttp.ClientTimeout(total=CALL_SECONDS),
                auto_decompress=False,
            )
            for _ in range(CHANNELS)
        ]
        self._processes = processes

    async def ask(self, session: aiohttp.ClientSession, method: str, path: str, body: bytes | None = None) -> bytes:
        headers = {"Content-Type": "application/json"} if body else {}
        async with session.request(
            method, self.url + path, data=body, headers=headers, server_hostname=API_SERVER_NAME
        ) as response:
            data = await response.read()
            if response.status >= 400:
                raise SystemExit(f"bench: {method} {path}: {response.status} {data[:300]!r}")
            return data

    async def create(self, number: int, session: aiohttp.ClientSession, namespace: str = CHANGING) -> None:
        await self.ask(session, "POST", f"/{namespace}/configmaps", _config_map(number))

    async def update(self, number: int, session: aiohttp.ClientSession) -> None:
        """To another value in every turn round the standing objects."""
        body = _config_map(number % LISTED, chr(ord("a") + number // LISTED % 20))
        await self.ask(session, "PUT", f"/{STANDING}/configmaps/c{number % LISTED}", body)

    async def delete(self, number: int, session: aiohttp.ClientSession) -> None:
        await self.ask(session, "DELETE", f"/{CHANGING}/configmaps/c{number}")

    async def get(self, number: int, session: aiohttp.ClientSession) -> None:
        await self.ask(session, "GET", f"/{STANDING}/configmaps/c{number % LISTED}")

    async def create_watched(self, number: int, session: aiohttp.ClientSession) -> None:
        await self.create(number, session, WATCHED)

    async def watch(self) -> AsyncIterator[int | None]:
        """Numbers of what is created, after a None once what is there has been told."""
        query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        url = f"{self.url}/{WATCHED}/configmaps?{query}"
        async with self.channels[0].get(url, server_hostname=API_SERVER_NAME) as response:
            async for line in response.content:
                event = json.loads(line)
                name = event["object"]["metadata"].get("name")
                if event["type"] == "BOOKMARK":
                    yield None
                elif name != api_calls.OF_EVERY_NAMESPACE:
                    yield int(name[1:])

    async def list(self, _number: int, session: aiohttp.ClientSession) -> None:
        await self.ask(session, "GET", f"/{STANDING}/configmaps")


def _config_map(number: int, filling: str = "x") -> bytes:
    tree = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"c{number}"}, "data": {"value": ""}}
    tree["data"]["value"] = filling * (VALUE_BYTES - len(json.dumps(tree)))
    return json.dumps(tree).encode()


async def bench(report: Report, quick: bool) -> None:
    seconds, rounds = (0.5, 1) if quick else (1.5, 3)
    folder = Path(tempfile.mkdtemp(prefix="timonier-bench-"))
    replicas = Replicas(folder / "replicas")
    try:
        report.setting(
            f"three replicas on loopback, fsync (p50 {fsync_ms(folder):.2f} ms), TLS; {VALUE_BYTES} bytes an object, "
            f"{rounds} rounds of {seconds:g} s a verb in turns, medians; lists of {LISTED}"
        )
        replicas.start()
        leader = await _leader(replicas)
        api = replicas.pids(leader)[1]
        others = [pid for name in replicas.addresses for pid in replicas.pids(name) if pid != api]
        processes = {"API": [api], "others": others}
        grpc_side = Side("grpc", replicas.endpoints[leader], replicas.tls, processes)
        https = Https(replicas.addresses[leader], _context(replicas, folder), processes)
        try:
            await _run(report, grpc_side, https, seconds, rounds)
        finally:
            await grpc_side.close()
            await https.close()
    finally:
        replicas.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def _leader(replicas: Replicas) -> str:
    async with replicas.client() as client:

        async def leading() -> str:
            with contextlib.suppress(ApiError):
                return await leader_of(client)
            return ""

        return await until(leading, START_SECONDS, "three replicas ready")


def _context(replicas: Replicas, folder: Path) -> ssl.SSLContext:
    certificate, key = folder / "client.crt", folder / "client.key"
    certificate.write_bytes(replicas.tls.cert_pem)
    key.write_bytes(replicas.tls.key_pem)
    context = ssl.create_default_context(cadata=replicas.tls.ca_pem.decode())
    context.load_cert_chain(certificate, key)
    return context


async def _run(report: Report, grpc_side: Side, https: Https, seconds: float, rounds: int) -> None:
    verbs = api_calls.timonier()
    await api_calls.make_namespaces(grpc_side)
    await grpc_side.load(16, 120.0, verbs.stand, range(LISTED))
    calls = {
        "grpc": (grpc_side, {verb: getattr(verbs, verb) for verb in VERBS}),
        "https": (https, {verb: getattr(https, verb) for verb in VERBS}),
    }
    rows: dict[tuple[str, int, str], list[Measured]] = {}
    for turn in range(rounds * len(CLIENTS)):
        clients, made = CLIENTS[turn % len(CLIENTS)], dict[str, range]()
        for place, (verb, (name, (side, known))) in enumerate(itertools.product(VERBS, calls.items())):
            at = (turn * len(VERBS) * len(calls) + place) << 20
            numbers = made[name] if verb == "delete" else range(at, at + (1 << 20))
            found = await side.load(clients, DELETE_SECONDS if verb == "delete" else seconds, known[verb], numbers)
            if verb == "create":
                made[name] = numbers[: found.calls]
            rows.setdefault((verb, clients, name), []).append(found)
        watching = (grpc_side, verbs.watch, verbs.create_watched), (https, Https.watch, https.create_watched)
        for place, (side, watched, created) in enumerate(watching):
            at = (2 * turn + place + 1) << 32  # far from the other verbs' numbers
            found = await watch_delays(side, watched, created, clients, seconds / 2, range(at, at + (1 << 20)))
            rows.setdefault((WATCH, clients, side.name), []).append(found)
    _tell(report, rows)


def _tell(report: Report, rows: Mapping[tuple[str, int, str], list[Measured]]) -> None:
    sides = "grpc", "https"
    for verb in (*VERBS, WATCH):
        what = "creates a second, delay from call to event" if verb == WATCH else "calls a second, latency"
        table = [_row(f"{name}, {clients} clients", rows[verb, clients, name]) for clients in CLIENTS for name in sides]
        report.say(f"  {verb}: {what}, CPU of the leader's API process, of all six and of the load generator")
        report.table(("", "per s", "p50 ms", "p99 ms", "API us", "all us", "client us"), table)
        for clients in CLIENTS if verb != WATCH else ():
            peer, ours = (statistics.median(each.per_second for each in rows[verb, clients, name]) for name in sides)
            report.figure(
                f"{verb}s a second over HTTPS, {clients} clients",
                ours,
                "/s",
                peer=peer,
                peer_name="gRPC",
                aim=REFERENCE.get(verb, {}).get(clients),
                least=True,
            )
    peer_ms, delay_ms = (statistics.median(each.p50 for each in rows[WATCH, 1, name]) * 1e3 for name in sides)
    report.figure(
        "watch over HTTPS, call to event, p50", delay_ms, "ms", peer=peer_ms, peer_name="gRPC", aim=REFERENCE_WATCH_MS
    )
    cpu_us = statistics.median(each.servers_cpu for each in rows["create", 16, "https"]) * 1e6
    report.figure("CPU of a create over HTTPS, all processes, 16 clients", cpu_us, "us", aim=REFERENCE_CREATE_US)


def _row(name: str, found: list[Measured]) -> tuple[object, ...]:
    values = (
        (lambda each: each.per_second, 1.0),
        (lambda each: each.p50, 1e3),
        (lambda each: each.p99, 1e3),
        (lambda each: each.cpu["API"], 1e6),
        (lambda each: each.servers_cpu, 1e6),
        (lambda each: each.own_cpu, 1e6),
    )
    return name, *(statistics.median(map(value, found)) * scale for value, scale in values)


def main() -> None:
    run_part("rest", __doc__ or "", bench)


if __name__ == "__main__":
    main()
