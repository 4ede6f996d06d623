"""The API under 1 to 256 clients beside a three-member etcd: create, update, get, list, delete, and the delay of a watch.

Both sides: three members on loopback, mutual TLS to clients and between members, fsync before every acknowledgement,
linearizable reads, the same Python client code at the leader. They take turns, so that what else the machine does hits
both; the median of the rounds is shown. Ours authenticates, authorises, decodes, defaults, validates and indexes an
object and answers with it; etcd stores bytes. Kubernetes' figures are printed as a reference: measured elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc.aio

from api.errors import ApiError
from bench import api_calls
from bench import etcd as peer
from bench.api_calls import LISTED, VALUE_BYTES, Verbs
from bench.load import CHANNELS, Call, Measured, Side
from bench.processes import cpu_seconds
from bench.replicas import Replicas, leader_of
from bench.report import Report, fsync_ms, percentile, run_part, until, version_of

CLIENTS = (1, 16, 64, 256)
START_SECONDS = 30.0
WATCH_END_SECONDS = 10.0

REFERENCE: Mapping[str, Mapping[int, float]] = {
    "create": {1: 433, 16: 940, 64: 1325},
    "update": {1: 610, 16: 1457, 64: 1773},
    "get": {1: 1134, 16: 3311, 64: 3931},
    "delete": {1: 493, 16: 1330, 64: 1458},
}
"""kube-apiserver 1.20 with a three-member etcd, operations a second, on a quiet machine of two cores like ours."""
REFERENCE_ONE_ETCD = {1: 659, 16: 1877, 64: 2144}  # creates, its etcd of one member
REFERENCE_CREATE_US = 700.0  # CPU of its control plane, at 16 clients
REFERENCE_WATCH_MS = 1.9
REFERENCE_LIST_MS = 68.0  # 34 to 68, 2,000 objects


@dataclass(frozen=True, slots=True)
class Contender:
    """A side with its words."""

    side: Side
    verbs: Verbs


Rows = dict[tuple[str, int, str], list[Measured]]  # verb, clients, side: a measurement a round


async def bench(report: Report, quick: bool) -> None:
    seconds, rounds, sizes = (0.5, 1, (1, 16, 64)) if quick else (1.2, 3, CLIENTS)
    folder = Path(tempfile.mkdtemp(prefix="timonier-bench-"))
    replicas, etcd = Replicas(folder / "replicas"), peer.Etcd(folder / "etcd", time.time())
    try:
        _settings(report, folder, seconds, rounds)
        replicas.start()
        etcd.start()
        async with replicas.client() as client:

            async def leading() -> str:
                with contextlib.suppress(ApiError):
                    return await leader_of(client)
                return ""

            leader = await until(leading, START_SECONDS, "three replicas ready")
        ours = Contender(_our_side(replicas, leader), api_calls.timonier())
        theirs = Contender(_their_side(etcd, await etcd.leader()), api_calls.etcd())
        try:
            await _idle(report, {"timonier": replicas.pids(), "etcd": etcd.pids}, seconds * 3)
            await _prepare(ours, theirs)
            rows = await _measure((ours, theirs), sizes, rounds, seconds)
        finally:
            await ours.side.close()
            await theirs.side.close()
        _tell(report, rows, sizes)
    finally:
        replicas.stop()
        etcd.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _settings(report: Report, folder: Path, seconds: float, rounds: int) -> None:
    report.setting(
        f"{version_of(peer.BINARY, '--version')}; fdatasync p50 {fsync_ms(folder):.2f} ms in {folder.parent}"
    )
    report.setting(
        f"three members each on loopback, mutual TLS everywhere, fsync; {VALUE_BYTES} bytes an object, {rounds} rounds of "
        f"{seconds:g} s a verb in turns, medians; {CHANNELS} connections to the leader; load generator: 1 process, uvloop"
    )


def _our_side(replicas: Replicas, leader: str) -> Side:
    followers = [name for name in replicas.addresses if name != leader]
    raft, api = replicas.pids(leader)
    processes = {
        "leader API": [api],
        "leader Raft": [raft],
        "2 x API": [replicas.pids(name)[1] for name in followers],
        "2 x Raft": [replicas.pids(name)[0] for name in followers],
    }
    return Side("timonier", replicas.endpoints[leader], replicas.tls, processes)


def _their_side(etcd: peer.Etcd, leader: str) -> Side:
    followers = [etcd.pid(name) for name in etcd.names if name != leader]
    return Side("etcd", etcd.endpoints[leader], etcd.tls, {"leader": [etcd.pid(leader)], "2 x follower": followers})


async def _idle(report: Report, sides: Mapping[str, Sequence[int]], seconds: float) -> None:
    before = {name: cpu_seconds(pids) for name, pids in sides.items()}
    await asyncio.sleep(seconds)
    used = {name: (cpu_seconds(pids) - before[name]) / seconds * 100 for name, pids in sides.items()}
    report.figure("CPU of all members, idle", used["timonier"], "% of core", peer=used["etcd"], peer_name="etcd")


async def _prepare(ours: Contender, theirs: Contender) -> None:
    """The objects that are listed, read and updated; both sides must return all of them in one answer."""
    await api_calls.make_namespaces(ours.side)
    for each in (ours, theirs):
        await each.side.load(16, 120.0, each.verbs.stand, range(LISTED))
        if (found := await each.verbs.listed(each.side)) != LISTED:
            raise SystemExit(f"bench: {each.side.name} lists {found} of {LISTED} objects")


async def _measure(contenders: Sequence[Contender], sizes: Sequence[int], rounds: int, seconds: float) -> Rows:
    rows: Rows = {}
    for turn in range(rounds):
        for place, clients in enumerate(sizes):
            numbers = range((turn * len(sizes) + place) << 20, (turn * len(sizes) + place + 1) << 20)
            for each in contenders:
                measured = await _round(each, clients, seconds, numbers)
                for verb, found in measured.items():
                    rows.setdefault((verb, clients, each.side.name), []).append(found)
    return rows


async def _round(contender: Contender, clients: int, seconds: float, numbers: range) -> dict[str, Measured]:
    """Every verb once, with that many clients. What was created is deleted in the end."""
    side, verbs = contender.side, contender.verbs
    measured = {"create": await side.load(clients, seconds, verbs.create, numbers)}
    made = measured["create"].calls
    for verb, call in (("update", verbs.update), ("get", verbs.get), ("list", verbs.list)):
        measured[verb] = await side.load(clients, seconds, call, numbers)
    measured["delete"] = await side.load(clients, 60.0, verbs.delete, numbers[:made])
    measured["watch"] = await watch_delays(side, verbs.watch, verbs.create_watched, clients, seconds / 2, numbers)
    return measured


async def watch_delays(
    side: Side,
    watched: Callable[[Side], AsyncIterator[int | None]],
    created: Call,
    clients: int,
    seconds: float,
    numbers: range,
) -> Measured:
    """From the call of a create to its event in a watch, while that many clients create."""
    called: dict[int, float] = {}
    seen: dict[int, float] = {}
    events = watched(side)

    async def watch() -> None:
        async for number in events:
            seen[number] = time.perf_counter()

    async def create(number: int, channel: grpc.aio.Channel) -> None:
        called[number] = time.perf_counter()
        await created(number, channel)

    async def all_seen() -> bool:
        return seen.keys() >= called.keys()

    async with asyncio.timeout(START_SECONDS):
        while await anext(events) is not None:
            pass  # what earlier rounds left there
    watching = asyncio.ensure_future(watch())
    try:
        found = await side.load(clients, seconds, create, numbers)
        await until(all_seen, WATCH_END_SECONDS, f"{side.name}: every create seen by the watch")
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    delays = [seen[number] - at for number, at in called.items()]
    p50, p99 = percentile(delays, 0.5), percentile(delays, 0.99)
    return Measured(found.calls, found.per_second, p50, p99, found.own_cpu, found.cpu)


def _tell(report: Report, rows: Rows, sizes: Sequence[int]) -> None:
    for verb in ("create", "update", "get", "list", "delete", "watch"):
        table = []
        for clients in sizes:
            for name, found in ((name, rows[verb, clients, name]) for name in ("timonier", "etcd")):
                table.append(
                    (
                        f"{name}, {clients} clients",
                        _median(found, lambda each: each.per_second),
                        _median(found, lambda each: each.p50, 1e3),
                        _median(found, lambda each: each.p99, 1e3),
                        _median(found, lambda each: each.servers_cpu, 1e6),
                        _median(found, lambda each: each.own_cpu, 1e6),
                    )
                )
        what = "creates/s, delay from call to event" if verb == "watch" else "calls/s, latency of a call"
        report.say(f"  {verb}: {what}, CPU of all members and of the load generator for a call")
        report.table(("", "per s", "p50 ms", "p99 ms", "servers us", "client us"), table)
    _tell_processes(report, rows, sizes)
    _tell_reference(report, rows, sizes)


def _tell_processes(report: Report, rows: Rows, sizes: Sequence[int]) -> None:
    names = list(rows["create", sizes[0], "timonier"][0].cpu)
    table = [
        (
            f"{clients} clients",
            *(_median(rows["create", clients, "timonier"], _cpu_of(name), 1e6) for name in names),
        )
        for clients in sizes
    ]
    report.say("  CPU of a create, us in each process of ours")
    report.table(("", *names), table)


def _tell_reference(report: Report, rows: Rows, sizes: Sequence[int]) -> None:
    """Figures whose aim is the reference."""
    for verb, by_clients in REFERENCE.items():
        for clients in (each for each in sizes if each in by_clients):
            ours, theirs = (
                _median(rows[verb, clients, name], lambda each: each.per_second) for name in ("timonier", "etcd")
            )
            name, aim = f"{verb}s a second, {clients} clients", by_clients[clients]
            report.figure(name, ours, "/s", peer=theirs, peer_name="etcd", aim=aim, least=True)
    for clients in (each for each in sizes if each in REFERENCE_ONE_ETCD):
        ours = _median(rows["create", clients, "timonier"], lambda each: each.per_second)
        report.say(
            f"  creates/s, {clients} clients: {ours:,.0f}; reference with one etcd: {REFERENCE_ONE_ETCD[clients]}"
        )
    cpu_us = _median(rows["create", 16, "timonier"], lambda each: each.servers_cpu, 1e6)
    report.figure("CPU of a create, all processes, 16 clients", cpu_us, "us", aim=REFERENCE_CREATE_US)
    list_ms = _median(rows["list", 1, "timonier"], lambda each: each.p50, 1e3)
    report.figure(f"list of {LISTED}, p50", list_ms, "ms", aim=REFERENCE_LIST_MS)
    watch_ms = _median(rows["watch", 1, "timonier"], lambda each: each.p50, 1e3)
    report.figure("watch delay, call to event, p50", watch_ms, "ms", aim=REFERENCE_WATCH_MS)
    report.say("  aims: kube-apiserver 1.20 with a three-member etcd, measured elsewhere on a quiet machine like this")


def _cpu_of(name: str) -> Callable[[Measured], float]:
    return lambda each: each.cpu[name]


def _median(rounds: Sequence[Measured], value: Callable[[Measured], float], scale: float = 1.0) -> float:
    return statistics.median(map(value, rounds)) * scale


def main() -> None:
    run_part("api", __doc__ or "", bench)


if __name__ == "__main__":
    main()
