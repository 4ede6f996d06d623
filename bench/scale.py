"""A large cluster as plain objects: 5,000 nodes and 100,000 pods on three replicas.

What a replica's processes hold, how long its event loop is held at most, what a list and watches cost, how long a
snapshot takes and a replica that was killed needs to be back. Pods are bound when they are created, and no agent
runs: the API, the log and the controllers' caches are measured, not the scheduler. The load goes to the leader. A
three-member etcd that stores the same JSON before, in the same run, is the floor.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from api.errors import Unavailable, Unknown
from bench import scale_etcd
from bench.processes import Memory, cpu_seconds, memory
from bench.replicas import Replicas, leading
from bench.report import Report, percentile, run_part, until
from bench.scale_etcd import Floor
from component.client import TransactionResult, Write
from component.env import system_env
from component.rpc_client import RpcClient

NODES, PODS, NAMESPACES, OWNERS = 5_000, 100_000, 20, 200
POD_RANGE = "10.0.0.0/11"  # with room for 8,192 nodes
AT_ONCE = 50  # objects in a transaction of the load
WRITERS = 4
WATCHERS = 100
CHANGES = 200  # that all of them see
LOOP_PAUSE_MS = 50.0
START_SECONDS = 120.0
SETTLING_SECONDS = 2.0  # for a hundred streams to be opened


async def bench(report: Report, quick: bool) -> None:
    nodes, pods = (500, 5_000) if quick else (NODES, PODS)
    folder = Path(tempfile.mkdtemp(prefix="timonier-bench-"))
    replicas = Replicas(folder / "replicas", probed=True, pod_range=POD_RANGE)
    report.setting(
        f"three replicas on loopback, mutual TLS, fsync; {nodes:,} nodes, {pods:,} pods in {NAMESPACES} namespaces, "
        f"transactions of {AT_ONCE} by {WRITERS} writers"
    )
    try:
        spaces = [_space(number) for number in range(NAMESPACES)]
        floor = await scale_etcd.measure(folder / "etcd", _everything(nodes, pods), spaces)
        report.say(f"  {floor.stored_megabytes:.0f} MB of JSON")
        replicas.start()
        async with replicas.client() as client:
            leader = await leading(client, START_SECONDS)
        async with RpcClient([replicas.endpoints[leader]], replicas.tls, system_env()) as client:
            cluster = Scale(report, replicas, leader, client, floor)
            cluster.memory("empty", floor.megabytes_empty)
            await cluster.fill(nodes, pods)
            cluster.memory("filled", floor.megabytes)
            await cluster.list_all(pods)
            await cluster.watch_all(pods)
            await cluster.watch_changes()
            await cluster.restart(next(name for name in replicas.addresses if name != leader))
            cluster.memory("at the end", floor.megabytes)
            cluster.pauses()
    finally:
        replicas.stop()
        shutil.rmtree(folder, ignore_errors=True)


class Scale:
    """One run: every step measures something of the same cluster."""

    def __init__(self, report: Report, replicas: Replicas, leader: str, client: RpcClient, floor: Floor) -> None:
        self._report = report
        self._replicas = replicas
        self._leader = leader
        self._client = client
        self._floor = floor
        self._phases: list[tuple[str, float, float]] = []

    @contextlib.contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self._phases.append((name, began, time.monotonic()))

    def _beside(self, name: str, value: float, unit: str, floor: float, floor_name: str = "etcd") -> None:
        self._report.figure(name, value, unit, peer=floor, peer_name=floor_name)

    def memory(self, when: str, floor: float) -> None:
        """Of the largest replica."""
        largest = Memory(0.0, 0.0, 0.0)
        for name in self._replicas.addresses:
            raft, api = (memory(pid) for pid in self._replicas.pids(name))
            self._report.say(f"    {name} {when}: Raft {raft.pss:.0f} MB, API {api.pss:.0f} MB PSS")
            largest = max(largest, raft + api, key=lambda each: each.pss)
        self._beside(f"largest replica, both processes, {when}", largest.pss, "MB PSS", floor, "etcd member")

    async def fill(self, nodes: int, pods: int) -> None:
        """Create everything."""
        trees = [*_everything(nodes, pods)]
        with self._phase("filling"):
            await self._client.transaction([Write("create", tree) for tree in trees[:NAMESPACES]])
            began, used = time.perf_counter(), cpu_seconds(self._replicas.pids())
            await self._write(trees[NAMESPACES:])
            seconds = time.perf_counter() - began
            self._beside("objects created a second", (nodes + pods) / seconds, "/s", self._floor.per_second)
            cpu = cpu_seconds(self._replicas.pids()) - used
            floor = self._floor.cpu_microseconds
            self._beside("CPU of all processes, an object", cpu / (nodes + pods) * 1e6, "us", floor)

    async def _write(self, trees: Sequence[dict]) -> None:
        batches = iter([trees[start : start + AT_ONCE] for start in range(0, len(trees), AT_ONCE)])

        async def writer() -> None:
            for batch in batches:
                done = await self._stored(batch)
                if not done.committed:
                    raise SystemExit(f"bench: refused: {next(each.error for each in done.results if each.error)}")

        await asyncio.gather(*(writer() for _ in range(WRITERS)))

    async def _stored(self, batch: Sequence[dict]) -> TransactionResult:
        """Create; on a machine so busy that leadership moves meanwhile, again, in a way that may be repeated."""
        try:
            return await self._client.transaction([Write("create", tree) for tree in batch])
        except (Unavailable, Unknown) as error:
            self._report.say(f"    interrupted: {error}")

        async def again() -> TransactionResult | None:
            with contextlib.suppress(Unavailable, Unknown):
                return await self._client.transaction([Write("apply", tree) for tree in batch])
            return None

        done: TransactionResult = await until(again, START_SECONDS, "a write after an interruption")
        return done

    async def list_all(self, pods: int) -> None:
        """Every pod at one revision, in pages as large as they come."""
        with self._phase("listing"):
            used, began = cpu_seconds(self._replicas.pids(self._leader)), time.perf_counter()
            found = await self._client.list("pods")
            seconds = time.perf_counter() - began
            used = cpu_seconds(self._replicas.pids(self._leader)) - used
        if len(found.items) != pods:
            raise SystemExit(f"bench: {len(found.items)} of {pods} pods are listed")
        self._beside(f"list of {pods:,} pods", seconds * 1e3, "ms", self._floor.list_milliseconds)
        self._beside("CPU of the leader for it", used * 1e3, "ms", self._floor.list_cpu_milliseconds)

    async def watch_all(self, pods: int) -> None:
        """One watch that begins with every pod there is."""
        with self._phase("watching all"):
            began, seen = time.perf_counter(), 0
            async with contextlib.aclosing(self._client.watch("pods")) as batches:
                async for batch in batches:
                    seen += sum(event.type == "ADDED" for event in batch)
                    if batch and batch[-1].type == "BOOKMARK":
                        break
        if seen < pods:
            raise SystemExit(f"bench: a watch begins with {seen} of {pods} pods")
        milliseconds, floor = (time.perf_counter() - began) * 1e3, self._floor.list_milliseconds
        self._beside(f"watch of {pods:,} pods until all were sent", milliseconds, "ms", floor, "list of etcd")

    async def watch_changes(self) -> None:
        """Many watchers of one ConfigMap, beside all the pods: the delay of each event and the CPU it costs.

        Not of pods, which the node lifecycle controller still changes: their nodes have no agents.
        """
        tree = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": _space(0)}, "data": {}}
        revision = (await self._client.create(tree)).revision
        sent: list[float] = []
        answered: list[float] = []
        delays: list[float] = []

        async def watch() -> None:
            async with contextlib.aclosing(self._client.watch("configmaps", revision=revision)) as batches:
                async for batch in batches:
                    for event in batch:
                        if event.object is not None:
                            number = int(event.object.tree()["data"]["change"])
                            delays.append(time.perf_counter() - sent[number - 1])
                            if number == CHANGES:
                                return

        async def change(watching: Sequence[asyncio.Future[None]] = ()) -> float:
            """Make all changes, until all have seen them; returns the leader's CPU meanwhile."""
            nonlocal revision
            used = cpu_seconds(self._replicas.pids(self._leader))
            sent.clear()
            answered.clear()
            for number in range(1, CHANGES + 1):
                tree["data"] = {"change": str(number)}
                sent.append(time.perf_counter())
                stored = await self._client.update(tree)
                answered.append(time.perf_counter() - sent[-1])
            async with asyncio.timeout(START_SECONDS):
                await asyncio.gather(*watching)
            revision = stored.revision
            return cpu_seconds(self._replicas.pids(self._leader)) - used

        unwatched = await change()
        with self._phase("watching changes"):
            watching = [asyncio.ensure_future(watch()) for _ in range(WATCHERS)]
            await asyncio.sleep(SETTLING_SECONDS)
            used = await change(watching)
        for name, share in ((f"event at {WATCHERS} watchers, p50", 0.5), ("the same, p99", 0.99)):
            self._beside(name, percentile(delays, share) * 1e3, "ms", percentile(answered, share) * 1e3, "its write")
        self._report.figure(
            "CPU of the leader, an event and watcher", (used - unwatched) / CHANGES / WATCHERS * 1e6, "us"
        )

    async def restart(self, follower: str) -> None:
        """kill -9 of both processes of a follower; then it comes back from snapshot and log."""
        with self._phase("restarting"):
            self._replicas.kill(follower)
            await self._write([_pod(number, 1, prefix="late") for number in range(500)])
            began = time.perf_counter()
            self._replicas.start(follower)
            async with self._replicas.client() as client:
                await leading(client, START_SECONDS)
            seconds = time.perf_counter() - began
            self._beside("restart of a follower until it has caught up", seconds, "s", self._floor.restart_seconds)

    def pauses(self) -> None:
        """The longest time for which an API process's loop did not come round, by step; and the snapshots."""
        rows, pauses = [], [Pause()]
        for phase, began, end in self._phases:
            found = [self._pauses(name, began, end) for name in self._replicas.addresses]
            pauses += itertools.chain(*found)
            rows.append((phase, *(max(each, default=Pause()).cell() for each in found)))
        self._report.say(
            "  longest pause of the API loop, ms (of it garbage collection; stolen from all cores meanwhile)"
        )
        self._report.table(("", *self._replicas.addresses), rows)
        self._report.figure("longest pause of an API loop", max(pauses).ms, "ms", aim=LOOP_PAUSE_MS)
        own = max(each for each in pauses if not each.stolen_ms)
        self._report.figure("the same, of pauses in which the host stole nothing", own.ms, "ms")
        written = [
            line
            for name in self._replicas.addresses
            for line in self._replicas.log(name, "api")
            if line.get("event") == "snapshot_written"
        ]
        if written:
            largest = max(written, key=lambda line: line["size_bytes"])
            megabytes = largest["size_bytes"] / 2**20
            self._beside("largest snapshot", megabytes, "MB", self._floor.stored_megabytes, "JSON of all objects")
            self._report.figure("writing it, beside everything else", largest["took_seconds"], "s")

    def _pauses(self, name: str, began: float, end: float) -> list[Pause]:
        lines = (map(float, line.split()) for line in self._replicas.probe(name).read_text("ascii").splitlines())
        return [Pause(*(each * 1e3 for each in seconds)) for at, *seconds in lines if began <= at <= end]


@dataclass(frozen=True, order=True, slots=True)
class Pause:
    """What `bench.probed_api` wrote of one pause, in milliseconds."""

    ms: float = 0.0
    collecting_ms: float = 0.0
    stolen_ms: float = 0.0

    def cell(self) -> str:
        return f"{self.ms:.0f} ({self.collecting_ms:.0f}; {self.stolen_ms:.0f})"


def _everything(nodes: int, pods: int) -> Iterator[dict]:
    """The objects in the order in which they are created; namespaces first."""
    yield from map(_namespace, range(NAMESPACES))
    yield from map(_node, range(nodes))
    yield from (_pod(number, nodes) for number in range(pods))


def _space(number: int) -> str:
    return f"team-{number % NAMESPACES}"


def _namespace(number: int) -> dict:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _space(number)}}


def _node(number: int) -> dict:
    labels = {"kubernetes.io/hostname": f"n{number}", "topology.kubernetes.io/zone": f"z{number % 3}"}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"n{number}", "labels": labels}}


def _pod(number: int, nodes: int, prefix: str = "web") -> dict:
    """As a ReplicaSet's pods look: a few labels, one container with requests."""
    owner = number % OWNERS
    resources = {"requests": {"cpu": "100m", "memory": "64Mi"}}
    container = {"name": "web", "image": "registry.example/team/web:1.2.3", "resources": resources}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{prefix}-{owner}-{number}",
            "namespace": _space(owner),
            "labels": {"app": f"web-{owner}", "pod-template-hash": f"{owner:08x}"},
        },
        "spec": {"nodeName": f"n{number % nodes}", "containers": [container]},
    }


def main() -> None:
    run_part("scale", __doc__ or "", bench)


if __name__ == "__main__":
    main()
