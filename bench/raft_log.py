"""Replicated 1 KB writes and failover of three Raft processes, beside three members of etcd in the same run.

    python bench/raft_log.py [--seconds 3] [--kills 10] [--no-etcd]

Ours: fsync, mutual TLS between replicas, each API end a process of its own, writes through the local socket.
etcd: the system's /usr/bin/etcd, default fsync, plain HTTP/2, a Python gRPC client at the leader.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from component.log import configure
from controlplane.raft.link import SocketLog
from controlplane.raft.protocol import Snapshot
from tests.integration.raft_processes import RaftProcesses, free_ports

CLIENTS = (1, 16, 64)
VALUE_BYTES = 1024


def summary(clients, latencies, elapsed, cpu_seconds=None):
    latencies.sort()
    count = len(latencies)
    row = {
        "clients": clients,
        "writes_per_second": round(count / elapsed),
        "p50_ms": round(latencies[count // 2] * 1e3, 2),
        "p99_ms": round(latencies[int(count * 0.99)] * 1e3, 2),
    }
    if cpu_seconds is not None:
        row["client_cpu_percent"] = round(100 * cpu_seconds / elapsed)
    return row


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


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
        start, cpu = time.perf_counter(), cpu_seconds()

        async def client():
            while time.perf_counter() < start + seconds:
                sent = time.perf_counter()
                await self._write(term)
                latencies.append(time.perf_counter() - sent)

        await asyncio.gather(*(client() for _ in range(clients)))
        return summary(clients, latencies, time.perf_counter() - start, cpu_seconds() - cpu)


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
                *(sys.executable, __file__, "--worker", str(self.cluster.socket_path(name)), name),
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


class Etcd:
    """Three members on loopback ports."""

    def __init__(self, folder):
        ports = free_ports(6)
        members = ",".join(f"m{number}=http://127.0.0.1:{ports[number]}" for number in range(3))
        self.endpoints = [f"127.0.0.1:{port}" for port in ports[3:]]
        self._processes = []
        for number, endpoint in enumerate(self.endpoints):
            peer = f"http://127.0.0.1:{ports[number]}"
            with (folder / f"etcd-{number}.log").open("wb") as output:
                self._processes.append(
                    subprocess.Popen(
                        [
                            *("setpriv", "--pdeathsig", "KILL", "/usr/bin/etcd", "--name", f"m{number}"),
                            *("--data-dir", str(folder / f"m{number}"), "--initial-cluster", members),
                            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                            *("--listen-client-urls", f"http://{endpoint}"),
                            *("--advertise-client-urls", f"http://{endpoint}"),
                        ],
                        stdout=output,
                        stderr=output,
                    )
                )

    async def leader(self):
        """Field 4 of StatusResponse is the leader's member id, field 2 of the header the member's own."""
        async with asyncio.timeout(30):
            while True:
                for endpoint in self.endpoints:
                    async with grpc.aio.insecure_channel(endpoint) as channel:
                        try:
                            reply = await channel.unary_unary("/etcdserverpb.Maintenance/Status")(b"", timeout=2)
                        except grpc.aio.AioRpcError:
                            continue
                    fields = decode(reply)
                    if fields.get(4) and decode(fields[1]).get(2) == fields[4]:
                        return endpoint
                await asyncio.sleep(0.1)

    async def load(self, endpoint, clients, seconds):
        value, latencies = bytes(VALUE_BYTES), []
        channels = [grpc.aio.insecure_channel(endpoint) for _ in range(4)]
        puts = [channel.unary_unary("/etcdserverpb.KV/Put") for channel in channels]
        start, cpu = time.perf_counter(), cpu_seconds()

        async def client(number):
            count = 0
            while time.perf_counter() < start + seconds:
                sent = time.perf_counter()
                key = b"k%d-%d" % (number, count % 100)
                await puts[number % 4](field(1, key) + field(2, value))
                latencies.append(time.perf_counter() - sent)
                count += 1

        await asyncio.gather(*(client(number) for number in range(clients)))
        row = summary(clients, latencies, time.perf_counter() - start, cpu_seconds() - cpu)
        for channel in channels:
            await channel.close()
        return row

    def stop(self):
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()


def varint(number):
    encoded = b""
    while number > 127:
        encoded += bytes([number & 127 | 128])
        number >>= 7
    return encoded + bytes([number])


def field(number, value):
    return bytes([number << 3 | 2]) + varint(len(value)) + value


def decode(message):
    """Protobuf without a schema: field number -> integer or bytes."""
    fields, position = {}, 0

    def read():
        nonlocal position
        number = shift = 0
        while True:
            byte = message[position]
            position += 1
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number

    while position < len(message):
        tag = read()
        value = read()
        if tag & 7 == 2:
            value, position = message[position : position + value], position + value
        fields[tag >> 3] = value
    return fields


def fsync_ms(folder):
    """The disk's own floor: p50 of a 1 KB write and fdatasync."""
    times = []
    with (folder / "probe").open("wb", buffering=0) as file:
        for _ in range(200):
            start = time.perf_counter()
            file.write(bytes(VALUE_BYTES))
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - start)
    return sorted(times)[100] * 1e3


def show(title, rows):
    for row in rows:
        print(
            f"{title:<28}{row['clients']:>8}{row['writes_per_second']:>10}{row['p50_ms']:>10.2f}{row['p99_ms']:>10.2f}"
            f"{row['client_cpu_percent']:>9} %"
        )


async def bench(options):
    folder = Path(tempfile.mkdtemp(prefix="raft-bench-", dir=options.folder))
    load = os.getloadavg()[0]
    print(
        f"three members on one machine: {os.cpu_count()} cores, {platform.platform()}, load {load:.1f}, "
        f"fdatasync p50 {fsync_ms(folder):.2f} ms in {folder.parent}"
    )
    print(
        f"values of {VALUE_BYTES} bytes, {options.seconds} s each; election 0.3-0.6 s; ours: mTLS, fdatasync per turn"
    )
    print(f"{'':<28}{'clients':>8}{'writes/s':>10}{'p50 ms':>10}{'p99 ms':>10}{'client CPU':>11}")
    try:
        ours = Ours(folder)
        await ours.start()
        try:
            leader = await ours.leader()
            show("timonier raft, mTLS, fsync", [await ours.load(leader, count, options.seconds) for count in CLIENTS])
            times_ms = await ours.failovers(options.kills) if options.kills else []
        finally:
            await ours.stop()
        if not options.no_etcd:
            etcd = Etcd(folder)
            try:
                endpoint = await etcd.leader()
                show("etcd, plain, fsync", [await etcd.load(endpoint, count, options.seconds) for count in CLIENTS])
            finally:
                etcd.stop()
        if times_ms:
            count = len(times_ms)
            print(
                f"kill -9 of the leader's Raft process to the next acknowledged write, ms: min {times_ms[0]:.0f}, "
                f"p50 {times_ms[count // 2]:.0f}, p90 {times_ms[int(count * 0.9)]:.0f}, max {times_ms[-1]:.0f}, n={count}"
            )
    finally:
        shutil.rmtree(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--no-etcd", action="store_true")
    parser.add_argument("--folder", default=None, help="where the data goes; default: the temporary folder")
    parser.add_argument("--worker", nargs=2, metavar=("SOCKET", "REPLICA"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    configure("bench", level="critical")
    uvloop.run(Worker(*options.worker).run() if options.worker else bench(options))


if __name__ == "__main__":
    main()
