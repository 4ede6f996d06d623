"""The API over HTTPS and gRPC under 1 to 256 clients beside a three-member etcd: every verb, and the delay of a watch.

All sides: three members on loopback, mutual TLS to clients and between members, fsync before every acknowledgement,
linearizable reads, a Python client in this process at the leader. They take turns within every verb, so that what else
the machine does hits all; the median of the rounds is shown, and how far they lie apart. HTTPS and gRPC are two doors
of the same three replicas. Ours authenticates, authorises, decodes, defaults, validates and indexes an object and answers with
it; etcd stores bytes. Kubernetes' figures, measured elsewhere, are what those of HTTPS are held against.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from bench import api_calls
from bench import etcd as peer
from bench.api_calls import LISTED, VALUE_BYTES, Verbs
from bench.api_figures import Rows, tell
from bench.https_side import Https
from bench.leaders import Leaders
from bench.load import CHANNELS, Measured, Side, Unavailable, over_grpc
from bench.processes import cpu_seconds
from bench.replicas import Replicas, leading
from bench.report import Report, fsync_ms, percentile, run_part, until, version_of

CLIENTS = (1, 16, 64, 256)
VERBS_FOR_A_WHILE = ("create", "update", "get", "list")
WATCH_BEGIN_SECONDS = 30.0
WATCH_END_SECONDS = 10.0
PREPARE_SECONDS = 120.0
DELETE_SECONDS = 60.0  # all that was created
WARM_SECONDS = 0.2
ATTEMPTS = 4  # at a round, if leaders do not stay in office: a machine that stands still for a second


@dataclass(frozen=True, slots=True)
class Contender:
    """A side with its words."""

    side: Side
    verbs: Verbs


async def bench(report: Report, quick: bool) -> None:
    seconds, rounds = (0.4, 1) if quick else (1.0, 5)
    folder = Path(tempfile.mkdtemp(prefix="timonier-bench-"))
    replicas, etcd = Replicas(folder / "replicas"), peer.Etcd(folder / "etcd", time.time())
    try:
        _settings(report, folder, seconds, rounds)
        replicas.start()
        etcd.start()
        async with replicas.client() as client:
            leader = await leading(client)
        leaders = Leaders(replicas, leader, etcd, await etcd.leader())
        contenders = _contenders(replicas, leader, etcd, leaders.theirs)
        try:
            await _idle(report, {"timonier": replicas.pids(), "etcd": etcd.pids}, seconds * 3)
            await _prepare(contenders)
            rows = await _measure(report, contenders, leaders, rounds, seconds)
        finally:
            for each in contenders:
                await each.side.close()
        tell(report, rows, CLIENTS)
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
        f"{seconds:g} s a verb in turns, medians"
    )
    report.setting(
        f"load generator: 1 process, uvloop, at the leaders; gRPC to ours and etcd on {CHANNELS} connections, HTTPS on one "
        "for each client, all opened before; whoever is refused with 429 comes again when told to"
    )


def _contenders(replicas: Replicas, leader: str, etcd: peer.Etcd, etcd_leader: str) -> tuple[Contender, ...]:
    """HTTPS and gRPC at the same three replicas, and etcd."""
    followers = [name for name in replicas.addresses if name != leader]
    raft, api = replicas.pids(leader)
    ours = {
        "leader API": [api],
        "leader Raft": [raft],
        "2 x API": [replicas.pids(name)[1] for name in followers],
        "2 x Raft": [replicas.pids(name)[0] for name in followers],
    }
    theirs = {
        "leader": [etcd.pid(etcd_leader)],
        "2 x follower": [etcd.pid(name) for name in etcd.names if name != etcd_leader],
    }
    https = Https(replicas.addresses[leader], replicas.tls, ours)
    return (
        Contender(https, https.verbs()),
        Contender(over_grpc("grpc", replicas.endpoints[leader], replicas.tls, ours), api_calls.timonier()),
        Contender(over_grpc("etcd", etcd.endpoints[etcd_leader], etcd.tls, theirs), api_calls.etcd()),
    )


async def _idle(report: Report, sides: Mapping[str, Sequence[int]], seconds: float) -> None:
    before = {name: cpu_seconds(pids) for name, pids in sides.items()}
    await asyncio.sleep(seconds)
    used = {name: (cpu_seconds(pids) - before[name]) / seconds * 100 for name, pids in sides.items()}
    report.figure("CPU of all members, idle", used["timonier"], "% of core", peer=used["etcd"], peer_name="etcd")


async def _prepare(contenders: Sequence[Contender]) -> None:
    """The objects that are listed, read and updated; all sides must return all of them in one answer."""
    https, grpc, etcd = contenders
    await api_calls.make_namespaces(grpc.side)
    for each in (grpc, etcd):
        await each.side.load(16, PREPARE_SECONDS, each.verbs.stand, range(LISTED))
    for each in (https, grpc, etcd):
        if (found := await each.verbs.listed(each.side)) != LISTED:
            raise SystemExit(f"bench: {each.side.name} lists {found} of {LISTED} objects")


async def _measure(
    report: Report, contenders: Sequence[Contender], leaders: Leaders, rounds: int, seconds: float
) -> Rows:
    """Every round begins with another contender."""
    rows: Rows = {}
    numbers = (range(used << 20, (used + 1) << 20) for used in count(1))
    for turn in range(rounds):
        report.say(f"  round {turn + 1} of {rounds}")
        first = turn % len(contenders)
        order = [*contenders[first:], *contenders[:first]]
        for clients in CLIENTS:
            for (verb, name), found in (await _in_office(report, leaders, order, clients, seconds, numbers)).items():
                rows.setdefault((verb, clients, name), []).append(found)
    return rows


async def _in_office(
    report: Report,
    leaders: Leaders,
    order: Sequence[Contender],
    clients: int,
    seconds: float,
    numbers: Iterator[range],
) -> dict[tuple[str, str], Measured]:
    """A round throughout which both leaders led; one in which they did not is told, and measured again."""
    for _ in range(ATTEMPTS):
        try:
            found = await _round(order, clients, seconds, [next(numbers) for _ in order])
        except Unavailable as error:
            why = str(error)
        else:
            if await leaders.unchanged():
                return found
            why = "another leader"
        report.say(f"  {clients} clients once more, for {why}")
        await leaders.restore()
    raise SystemExit(
        f"bench: with {clients} clients leaders never stayed in office for a round: the machine stands still"
    )


async def _round(
    order: Sequence[Contender], clients: int, seconds: float, numbers: Sequence[range]
) -> dict[tuple[str, str], Measured]:
    """Every verb once by verb and side, with that many clients. What was created is deleted in the end."""
    found: dict[tuple[str, str], Measured] = {}
    turns = list(zip(order, numbers, strict=True))
    for each, own in turns:
        await each.side.load(clients, WARM_SECONDS, each.verbs.get, own)  # opens as many connections as it takes
    for verb in VERBS_FOR_A_WHILE:
        for each, own in turns:
            found[verb, each.side.name] = await each.side.load(clients, seconds, getattr(each.verbs, verb), own)
    for each, own in turns:
        made = own[: found["create", each.side.name].calls]
        found["delete", each.side.name] = await each.side.load(clients, DELETE_SECONDS, each.verbs.delete, made)
    for each, own in turns:
        found["watch", each.side.name] = await _watch_delays(each, clients, seconds / 2, own)
    return found


async def _watch_delays(contender: Contender, clients: int, seconds: float, numbers: range) -> Measured:
    """From the call of a create to its event in a watch, while that many clients create."""
    side, verbs = contender.side, contender.verbs
    called: dict[int, float] = {}
    seen: dict[int, float] = {}
    events = verbs.watch(side)

    async def watch() -> None:
        async for number in events:
            seen[number] = time.perf_counter()

    async def create(number: int, channel: Any) -> None:
        called[number] = time.perf_counter()
        await verbs.create_watched(number, channel)

    async def all_seen() -> bool:
        return seen.keys() >= called.keys()

    async with asyncio.timeout(WATCH_BEGIN_SECONDS):
        while await anext(events) is not None:
            pass
    watching = asyncio.ensure_future(watch())
    try:
        found = await side.load(clients, seconds, create, numbers)
        await until(all_seen, WATCH_END_SECONDS, f"{side.name}: every create seen by the watch")
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    await side.load(clients, DELETE_SECONDS, verbs.delete_watched, numbers[: found.calls])
    delays = [seen[number] - at for number, at in called.items()]
    p50, p99 = percentile(delays, 0.5), percentile(delays, 0.99)
    return replace(found, p50=p50, p99=p99)


def main() -> None:
    run_part("api", __doc__ or "", bench)


if __name__ == "__main__":
    main()
