"""Replicated 1 KB writes and failover of three Raft processes, beside three members of etcd in the same run.

Ours: fsync, mutual TLS between replicas, each API end a process of its own, writes through the local socket.
etcd: default fsync, mutual TLS, a Python gRPC client at the leader. `bench.api` measures both through gRPC.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from bench import etcd as peer
from bench.load import over_grpc, unary
from bench.report import Report, fsync_ms, percentile, run_part
from component.log import configure
from controlplane.raft.link import SocketLog
from controlplane.raft.protocol import Snapshot
from tests.integration.raft_processes import RaftProcesses

CLIENTS = (1, 16, 64)
VALUE_BYTES = 1024


class Worker:
    """One API end: applies nothing, writes when told to, and reports the first write of each leadership."""

    def __init__(self, path, name):
        self._log = SocketLog(Path(path), name)
        self._waiting = {}
        self._number = 0
        self._led_term = 0
        self._applied = (0, 0)

    async def run(self):
        await self._log.connect((0, 0), self._entries, self._status, self._install)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async for line in reader:
            order = json.loads(line)
            say({"result": await self._load(order["clients"], order["seconds"])})
        await self._log.close()

    def _entries(self, entries):
        now = time.perf_counter()
        for entry in entries:
            waiting = self._waiting.pop(entry.data[:16], None)
            if waiting is not None and not waiting.done():
                waiting.set_result(now)
        self._applied = (entries[-1].index, entries[-1].term)

    async def _install(self, snapshot: Snapshot):
        self._applied = (snapshot.index, snapshot.term)

    def _status(self, status):
        say({"follows": status.leader, "time": time.monotonic()})
        if status.leading and status.term != self._led_term:
            self._led_term = status.term
            self._first = asyncio.ensure_future(self._first_write(status.term))

    async def _first_write(self, term):
        await self._write(term)
        say({"wrote": term, "time": time.monotonic()})

    def _write(self, term):
        self._number += 1
        data = os.getpid().to_bytes(8, "big") + self._number.to_bytes(8, "big") + bytes(VALUE_BYTES - 16)
        done = asyncio.get_running_loop().create_future()
        self._waiting[data[:16]] = done
        self._log.propose(data, term, done.cancel)
        return done

    async def _load(self, clients, seconds):
        term, latencies = self._log.status.term, []
        start = time.perf_counter()

        async def client():
            while time.perf_counter() < start + seconds:
                sent = time.perf_counter()
                await self._write(term)
                latencies.append(time.perf_counter() - sent)

        await asyncio.gather(*(client() for _ in range(clients)))
        return {
            "writes_per_second": len(latencies) / (time.perf_counter() - start),
            "p50_ms": percentile(latencies, 0.5) * 1e3,
        }


def say(fact):
    sys.stdout.write(json.dumps(fact) + "\n")
    sys.stdout.flush()


class Ours:
    """The controller's view: three Raft processes and their three workers."""

    def __init__(self, folder):
        self.cluster = RaftProcesses(folder, 3)
        self.workers = {}
        self.facts = {name: [] for name in self.cluster.names}

    async def start(self):
        self.cluster.start()
        for name in self.cluster.names:
            self.workers[name] = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bench.raft_log", "--worker", str(self.cluster.socket_path(name)), name),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        self._listening = [asyncio.ensure_future(self._listen(name)) for name in self.cluster.names]

    async def _listen(self, name):
        async for line in self.workers[name].stdout:
            self.facts[name].append(json.loads(line))

    async def fact(self, key, since, names=None, seconds=20.0):
        """The first fact with `key` after `since` (monotonic seconds) of one of the workers: (name, fact)."""
        async with asyncio.timeout(seconds):
            while True:
                for name in names or self.cluster.names:
                    for fact in self.facts[name]:
                        if fact.get(key) and fact.get("time", since) >= since:
                            return name, fact
                await asyncio.sleep(0.002)

    async def leader(self):
        return (await self.fact("wrote", 0))[0]

    async def load(self, name, clients, seconds):
        facts = self.facts[name]
        done = len(facts)
        self.workers[name].stdin.write(json.dumps({"clients": clients, "seconds": seconds}).encode() + b"\n")
        await self.workers[name].stdin.drain()
        async with asyncio.timeout(seconds + 20):
            while not any("result" in fact for fact in facts[done:]):  # noqa: ASYNC110 - facts come from another process
                await asyncio.sleep(0.01)
        return next(fact["result"] for fact in facts[done:] if "result" in fact)

    def last_leader(self):
        """Who wrote first in the latest term; leadership may have moved by itself on a busy machine."""
        writes = [(fact["wrote"], name) for name, facts in self.facts.items() for fact in facts if fact.get("wrote")]
        return max(writes)[1]

    async def failovers(self, kills):
        times_ms = []
        for _ in range(kills):
            await asyncio.sleep(random.uniform(1.0, 1.5))
            victim, start = self.last_leader(), time.monotonic()
            self.cluster.kill(victim)
            _, fact = await self.fact("wrote", start)
            times_ms.append((fact["time"] - start) * 1e3)
            restarted = time.monotonic()
            self.cluster.start(victim)
            await self.fact("follows", restarted, [victim])  # or the next kill would leave no quorum
        return sorted(times_ms)

    async def stop(self):
        for worker in self.workers.values():
            worker.stdin.close()
        for worker in self.workers.values():
            await worker.wait()
        await asyncio.gather(*self._listening)
        self.cluster.close()


async def bench(report: Report, quick: bool) -> None:
    seconds, kills = (1.0, 3) if quick else (3.0, 10)
    folder = Path(tempfile.mkdtemp(prefix="timonier-bench-"))
    report.setting(
        f"three members on loopback, mutual TLS, fsync (fdatasync p50 {fsync_ms(folder):.2f} ms); values of {VALUE_BYTES} "
        f"bytes, {seconds:g} s each; no API above the log; {kills} kills of the leader's Raft process"
    )
    try:
        ours = Ours(folder)
        await ours.start()
        try:
            leader = await ours.leader()
            rows = {count: await ours.load(leader, count, seconds) for count in CLIENTS}
            times_ms = await ours.failovers(kills)
        finally:
            await ours.stop()
        etcd = peer.Etcd(folder / "etcd", time.time())
        try:
            etcd.start()
            side = over_grpc("etcd", etcd.endpoints[await etcd.leader()], etcd.tls, {"members": etcd.pids})
            put = unary(peer.PUT, lambda number: peer.put(b"c%d" % number, b"x" * VALUE_BYTES))
            theirs = {
                count: await side.load(count, seconds, put, range(turn << 24, (turn + 1) << 24))
                for turn, count in enumerate(CLIENTS)
            }
            await side.close()
        finally:
            etcd.stop()
    finally:
        shutil.rmtree(folder)
    for count, row in rows.items():
        other = theirs[count]
        report.figure(
            f"log alone, writes a second, {count} clients",
            row["writes_per_second"],
            "/s",
            peer=other.per_second,
            peer_name="etcd through gRPC",
        )
        report.figure(
            f"log alone, write p50, {count} clients",
            row["p50_ms"],
            "ms",
            peer=other.p50 * 1e3,
            peer_name="etcd through gRPC",
        )
    for name, fraction in (("p50", 0.5), ("p95", 0.95), ("max", 1)):
        report.figure(f"kill -9 of the Raft process to next write, {name}", percentile(times_ms, fraction), "ms")


def main() -> None:
    configure("bench", level="critical")
    if "--worker" in sys.argv:
        uvloop.run(Worker(*sys.argv[2:4]).run())
    else:
        run_part("raft_log", __doc__ or "", bench)


if __name__ == "__main__":
    main()
