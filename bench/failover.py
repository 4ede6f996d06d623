"""How long nothing can be written, and nobody acts, after kill -9 of the leader, both processes of it; beside etcd's leader.

One client writes in a loop through the product's own client. The time is from the kill to the first acknowledgement of a
write that began after it. Another client then makes a Deployment: its time is from the kill until its pods are bound
(`control_loops`). The killed member is started again and all are well before the next kill. Every acknowledged write must
be there at the end.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc.aio

from api.errors import AlreadyExists, ApiError
from bench import etcd as peer
from bench.control_loops import playing_nodes, pods_bound
from bench.replicas import READY_SECONDS, Replicas, leading
from bench.report import Report, percentile, run_part, until
from component import rpc

SETTLE_SECONDS = (1.0, 2.0)
KILLS, QUICK_KILLS = 20, 3
WRITE_AIMS_MS = {"p50": (0.5, 100.0), "p95": (0.95, None), "p99": (0.99, 1_000.0)}
ACT_AIMS_MS = {"p50": (0.5, None), "p99": (0.99, 1_000.0)}
ATTEMPT_SECONDS = 0.25  # of one try at an etcd member


@dataclass
class Writer:
    """Writes in a loop until told to stop and remembers when what was acknowledged."""

    write: Callable[[int], Awaitable[None]]
    acknowledged: list[tuple[float, float, int]] = field(default_factory=list)  # when it began, when it was, number
    refused: int = 0
    stopped: bool = False

    async def run(self) -> None:
        for number in itertools.count():
            if self.stopped:
                return
            began = time.monotonic()
            try:
                await self.write(number)
            except ApiError:
                self.refused += 1
                continue
            self.acknowledged.append((began, time.monotonic(), number))

    def next_write(self, gone_time: float) -> float | None:
        """When the first write that began after `gone_time` was acknowledged; None: not yet."""
        return next((acknowledged for began, acknowledged, _ in self.acknowledged if began > gone_time), None)


@asynccontextmanager
async def writing(write: Callable[[int], Awaitable[None]]):
    writer = Writer(write)
    task = asyncio.ensure_future(writer.run())
    try:
        yield writer
    finally:
        writer.stopped = True
        await task


async def bench(report: Report, quick: bool) -> None:
    kills = QUICK_KILLS if quick else KILLS
    report.setting(
        f"three members on loopback, mutual TLS, fsync, one writer of small objects; {kills} kills each (the p99 is the worst of "
        f"them); etcd: election time-out 1,000 ms (its default), a client that tries the next member after {ATTEMPT_SECONDS * 1e3:.0f} ms"
    )
    folder = Path(tempfile.mkdtemp(prefix="timonier-bench-"))
    try:
        ours, acting = await _replicas(report, folder / "replicas", kills)
        theirs = await _etcd(folder / "etcd", kills)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    rows = [
        (name, *(percentile(times, each) for each in (0, 0.5, 0.95, 1)), " ".join(f"{each:.0f}" for each in times))
        for name, times in (("timonier", ours), ("etcd", theirs), ("timonier, Deployment's pods bound", acting))
    ]
    report.table(("ms", "min", "p50", "p95", "max", "all"), rows)
    for name, (share, aim) in WRITE_AIMS_MS.items():
        value, peers = percentile(ours, share), percentile(theirs, share)
        what = f"kill -9 to next acknowledged write, {name} of {kills}"
        report.figure(what, value, "ms", peer=peers, peer_name="etcd", aim=aim)
    for name, (share, aim) in ACT_AIMS_MS.items():
        value, writes = percentile(acting, share), percentile(ours, share)
        what = f"kill -9 to a Deployment's pods bound, {name} of {kills}"
        report.figure(what, value, "ms", peer=writes, peer_name="next write", aim=aim)
    report.say(
        "  reference: Kubernetes with default leases on such a machine has controllers act again after 16.5 to 20 s"
    )


async def _replicas(report: Report, folder: Path, kills: int) -> tuple[list[float], list[float]]:
    """Milliseconds until the next write, and until a new Deployment's pods are bound, of every kill."""
    replicas = Replicas(folder)
    writes, acts = [], []
    try:
        replicas.start()
        async with replicas.client() as client, replicas.client() as watcher, replicas.client() as deployer:

            async def write(number: int) -> None:
                metadata = {"name": f"w{number}", "namespace": "default"}
                try:
                    await client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
                except AlreadyExists:
                    raise RuntimeError(f"w{number} exists: it was stored twice or acknowledged late") from None

            await leading(watcher)
            async with playing_nodes(replicas.ca, [*replicas.endpoints.values()]), writing(write) as writer:
                await pods_bound(deployer, "before")
                for number in range(kills):
                    victim = await leading(watcher)
                    await asyncio.sleep(random.uniform(*SETTLE_SECONDS))
                    kill_time, gone_time = _killed(lambda: replicas.kill(victim))  # noqa: B023 - called at once
                    written_time, bound_time = await asyncio.gather(
                        _written(writer, gone_time), pods_bound(deployer, f"after-{number}")
                    )
                    writes.append((written_time - kill_time) * 1e3)
                    acts.append((bound_time - kill_time) * 1e3)
                    replicas.start(victim)
            await leading(watcher)
            _check(report, writer, {item.name for item in (await client.list("configmaps", "default")).items})
    finally:
        replicas.stop()
    return writes, acts


def _check(report: Report, writer: Writer, stored: set[str]) -> None:
    """Every acknowledged write is stored, or the part fails."""
    missing = [number for _, _, number in writer.acknowledged if f"w{number}" not in stored]
    report.say(f"  {len(writer.acknowledged)} writes acknowledged, {writer.refused} refused, {len(missing)} missing")
    if missing:
        raise SystemExit(f"bench: acknowledged writes are missing: {missing[:10]}")


async def _etcd(folder: Path, kills: int) -> list[float]:
    etcd = peer.Etcd(folder, time.time())
    times = []
    try:
        etcd.start()
        channels = [rpc.channel(endpoint, etcd.tls) for endpoint in etcd.endpoints.values()]
        puts = itertools.cycle([channel.unary_unary(peer.PUT) for channel in channels])
        put = next(puts)

        async def write(number: int) -> None:
            nonlocal put
            while True:
                try:
                    await put(peer.put(b"w%d" % number, b"x"), timeout=ATTEMPT_SECONDS)
                except grpc.aio.AioRpcError:
                    put = next(puts)
                    await asyncio.sleep(0.005)
                else:
                    return

        await etcd.leader()
        async with writing(write) as writer:
            for _ in range(kills):
                await until(etcd.all_follow, READY_SECONDS, "three members that know one leader")
                await asyncio.sleep(random.uniform(*SETTLE_SECONDS))
                victim = await etcd.leader()
                kill_time, gone_time = _killed(lambda: etcd.kill(victim))  # noqa: B023 - called at once
                times.append((await _written(writer, gone_time) - kill_time) * 1e3)
                etcd.start(victim)
        for channel in channels:
            await channel.close()
    finally:
        etcd.stop()
    return times


def _killed(kill: Callable[[], None]) -> tuple[float, float]:
    """Monotonic times: of the kill, and when the member was gone."""
    kill_time = time.monotonic()
    kill()
    return kill_time, time.monotonic()


async def _written(writer: Writer, gone_time: float) -> float:
    """When the first write was acknowledged that began when the member was gone."""

    async def wrote() -> float | None:
        return writer.next_write(gone_time)

    written_time: float = await until(wrote, READY_SECONDS, "a write after the kill")
    return written_time


def main() -> None:
    run_part("failover", __doc__ or "", bench)


if __name__ == "__main__":
    main()
