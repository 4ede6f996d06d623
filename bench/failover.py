"""How long nothing can be written after kill -9 of the leader, both processes of it, beside etcd's leader.

One client writes in a loop through the product's own client. The time is from the kill to the first acknowledgement of a
write that began after it. The killed member is started again and all are well before the next kill. Every
acknowledged write must be there at the end.
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
from bench.replicas import Replicas, leader_of
from bench.report import Report, percentile, run_part, until
from component import rpc

READY_SECONDS = 60.0
SETTLE_SECONDS = (1.0, 2.0)
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
    rounds = 3 if quick else 10
    report.setting(
        f"three members on loopback, mutual TLS, fsync, one writer of small objects; {rounds} kills each; etcd: "
        f"election time-out 1,000 ms (its default), a client that tries the next member after {ATTEMPT_SECONDS * 1e3:.0f} ms"
    )
    folder = Path(tempfile.mkdtemp(prefix="timonier-bench-"))
    try:
        ours = await _replicas(report, folder / "replicas", rounds)
        theirs = await _etcd(folder / "etcd", rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    rows = [
        (name, *(percentile(times, each) for each in (0, 0.5, 0.95, 1)), " ".join(f"{each:.0f}" for each in times))
        for name, times in (("timonier", ours), ("etcd", theirs))
    ]
    report.table(("ms", "min", "p50", "p95", "max", "all"), rows)
    for name, fraction, aim in (("p50", 0.5, 200), ("p95", 0.95, None), ("max", 1, 1000)):
        report.figure(
            f"kill -9 to next acknowledged write, {name}",
            percentile(ours, fraction),
            "ms",
            peer=percentile(theirs, fraction),
            peer_name="etcd",
            aim=aim,
        )


async def _replicas(report: Report, folder: Path, rounds: int) -> list[float]:
    replicas = Replicas(folder)
    times = []
    try:
        replicas.start()
        async with replicas.client() as client, replicas.client() as watcher:

            async def leader() -> str:
                try:
                    return await leader_of(watcher)
                except ApiError:
                    return ""

            async def write(number: int) -> None:
                metadata = {"name": f"w{number}", "namespace": "default"}
                try:
                    await client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
                except AlreadyExists:
                    raise RuntimeError(f"w{number} exists: it was stored twice or acknowledged late") from None

            await until(leader, READY_SECONDS, "three replicas ready")
            async with writing(write) as writer:
                for _ in range(rounds):
                    victim = await until(leader, READY_SECONDS, "three replicas ready")
                    await asyncio.sleep(random.uniform(*SETTLE_SECONDS))
                    times.append(await _kill(writer, lambda: replicas.kill(victim)))  # noqa: B023 - called at once
                    replicas.start(victim)
            await until(leader, READY_SECONDS, "three replicas ready")
            stored = {item.name for item in (await client.list("configmaps", "default")).items}
            missing = [number for _, _, number in writer.acknowledged if f"w{number}" not in stored]
            report.say(
                f"  {len(writer.acknowledged)} writes acknowledged, {writer.refused} refused, {len(missing)} missing"
            )
            if missing:
                raise SystemExit(f"bench: acknowledged writes are missing: {missing[:10]}")
    finally:
        replicas.stop()
    return times


async def _etcd(folder: Path, rounds: int) -> list[float]:
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
            for _ in range(rounds):
                await until(etcd.all_follow, READY_SECONDS, "three members that know one leader")
                await asyncio.sleep(random.uniform(*SETTLE_SECONDS))
                victim = await etcd.leader()
                times.append(await _kill(writer, lambda: etcd.kill(victim)))  # noqa: B023 - called at once
                etcd.start(victim)
        for channel in channels:
            await channel.close()
    finally:
        etcd.stop()
    return times


async def _kill(writer: Writer, kill: Callable[[], None]) -> float:
    """Kill; milliseconds until a write is acknowledged that began when the member was gone."""
    kill_time = time.monotonic()
    kill()
    gone_time = time.monotonic()

    async def wrote() -> float | None:
        return writer.next_write(gone_time)

    written_time: float = await until(wrote, READY_SECONDS, "a write after the kill")
    return (written_time - kill_time) * 1e3


def main() -> None:
    run_part("failover", __doc__ or "", bench)


if __name__ == "__main__":
    main()
