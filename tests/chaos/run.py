"""One chaos run: a lab, clients and watchers on it, faults until the time is over, and the verdict."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import uvloop

from api.errors import AlreadyExists, ApiError, Unavailable, Unknown
from component import kubeconfig
from component.client import ObjectList
from component.env import system_env
from component.rpc import Tls
from component.rpc_client import RpcClient
from lab import cluster as labs
from lab.layout import Lab
from tests.chaos.faults import Fault, Faults, attempt
from tests.chaos.ports import Pinned, Roaming
from tests.chaos.verdict import Verdict, complaints, judge
from tests.chaos.watchers import Sightings, Watcher, caught_up
from tests.chaos.workload import Client, Recording

NAMESPACE = "chaos"
PATIENCE_SECONDS = 60.0  # for everything to be well again: other work may share the machine
CLIENT_SECONDS = 6.0
LONG_SECONDS = 3.0  # a wait for a write after everything was healed that is worth a line
OVERLAP_PART = 0.2
DISK_MEBIBYTES = 512

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, how much, and from which seed. `requests_per_second` is of all clients together.

    A run goes on, up to twice as long, until there were `least_faults`: on a slow machine each takes longer.
    """

    seconds: float
    seed: int
    clients_per_address: int = 3
    requests_per_second: float = 220.0
    pause_seconds: float = 4.0
    least_faults: int = 0


@dataclass
class Story:
    """What was done to the lab, and when, on the clock of the recording."""

    faults: list[tuple[float, float, str]] = field(default_factory=list)
    stalls: list[str] = field(default_factory=list)
    longest_recovery_seconds: float = 0.0


class Run:
    """Everything a run holds open."""

    def __init__(self, lab: Lab, plan: Plan, tell: Tell) -> None:
        self.lab = lab
        self._plan = plan
        self._tell = tell
        self._env = system_env()
        found = kubeconfig.resolve(kubeconfig.read(lab.admin_conf), lab.admin_conf)
        self._tls = Tls(found.ca_pem, found.cert_pem, found.key_pem)
        self._addresses = {host.name: f"{host.address}:7443" for host in lab.hosts if host.role == "replica"}
        self.recording = Recording(NAMESPACE)
        self.sightings = Sightings()
        self._watchers: list[Watcher] = []
        self.story = Story()

    async def run(self) -> Verdict:
        """Load, faults, heal, verdict."""
        async with self._client() as client:
            with contextlib.suppress(AlreadyExists):
                await client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
            stop = asyncio.Event()
            watching = [asyncio.create_task(watcher.run(stop)) for watcher in self._make_watchers()]
            start = await self._watching()
            load = [asyncio.create_task(each.run()) for each in self._make_clients()]
            try:
                await self._work(client)
            finally:
                self.recording.stopped = True
                await asyncio.gather(*load)
                problems = await self._settled()
                stop.set()
                await asyncio.gather(*watching)
        final = await self._listed()
        rows = self.sightings.rows(self.recording.asked)
        watched = [segment for watcher in self._watchers for segment in watcher.watched]
        verdict = judge(self.recording, rows, watched, final, start)
        verdict.problems += [*problems, *self.sightings.problems, *self.story.stalls]
        verdict.problems += complaints(sorted(self.lab.state_dir.glob("r*/log/*.log")))
        verdict.figures |= {
            "faults": len(self.story.faults),
            "longest wait for a write after a fault, s": round(self.story.longest_recovery_seconds, 1),
            "changes seen by watchers": sum(len(each.events) for each in watched),
            "watches started over from a list": sum(watcher.expired for watcher in self._watchers),
        }
        return verdict

    def _client(self, *addresses: str) -> RpcClient:
        listed = list(addresses) or list(self._addresses.values())
        return RpcClient(listed, self._tls, self._env, timeout_seconds=CLIENT_SECONDS)

    def _make_watchers(self) -> list[Watcher]:
        made = {name: self._client(address) for name, address in self._addresses.items()} | {"any": self._client()}
        self._watchers = [
            Watcher(f"watcher of {name}", client, NAMESPACE, self.sightings) for name, client in made.items()
        ]
        return self._watchers

    async def _watching(self) -> int:
        """Return the newest revision from which a watcher begins, once all have begun. The namespace is empty so far."""
        end_time = time.monotonic() + PATIENCE_SECONDS
        while not all(watcher.watched for watcher in self._watchers):
            assert time.monotonic() < end_time, "the replicas answer no list"
            await asyncio.sleep(0.02)
        return max(watcher.revision for watcher in self._watchers)

    def _make_clients(self) -> list[Client]:
        count = self._plan.clients_per_address
        ports = [Pinned(address, self._tls) for address in self._addresses.values() for _ in range(count)]
        roaming = [Roaming(self._rotated(number), self._tls, self._env, CLIENT_SECONDS) for number in range(count)]
        every = [*ports, *roaming]
        rate = self._plan.requests_per_second / len(every)
        return [
            Client(f"c{number}", port, self.recording, rate, random.Random(f"{self._plan.seed}-{number}"))
            for number, port in enumerate(every)
        ]

    def _rotated(self, number: int) -> list[str]:
        addresses = list(self._addresses.values())
        turn = number % len(addresses)
        return addresses[turn:] + addresses[:turn]

    async def _work(self, client: RpcClient) -> None:
        rng = random.Random(self._plan.seed)
        faults = Faults(self.lab, rng)
        began = time.monotonic()
        while not self.story.stalls and not self._over(time.monotonic() - began):
            chosen = [faults.draw(await self._leader(client))]
            if rng.random() < OVERLAP_PART:
                chosen.append(faults.draw(""))
            await self._inflict(chosen, began)
            await asyncio.to_thread(faults.heal)
            await self._wait_for_a_write(chosen)
            await asyncio.sleep(rng.uniform(0.2, 2 * self._plan.pause_seconds))

    def _over(self, seconds: float) -> bool:
        enough = len(self.story.faults) >= self._plan.least_faults
        return seconds >= self._plan.seconds * (1 if enough else 2)

    async def _inflict(self, chosen: list[Fault], began: float) -> None:
        for fault in chosen:
            begin_time = time.monotonic()
            problem = await asyncio.to_thread(attempt, fault.begin)
            self._tell(f"{begin_time - began:7.1f} s  {fault.title}{f' ({problem})' if problem else ''}")
            if not problem:
                self.story.faults.append((begin_time, begin_time + fault.seconds, fault.title))
        await asyncio.sleep(max(fault.seconds for fault in chosen))
        for fault in chosen:
            await asyncio.to_thread(attempt, fault.end)

    async def _wait_for_a_write(self, chosen: list[Fault]) -> None:
        healed_time = time.monotonic()
        while self.recording.acknowledged_time < healed_time:
            waited = time.monotonic() - healed_time
            if waited > PATIENCE_SECONDS:
                after = " and ".join(fault.title for fault in chosen)
                self.story.stalls.append(f"no write was acknowledged for {waited:.0f} s after {after}")
                return
            await asyncio.sleep(0.02)
        waited = time.monotonic() - healed_time
        if waited > LONG_SECONDS:
            self._tell(f"           {waited:.1f} s until a write")
        self.story.longest_recovery_seconds = max(self.story.longest_recovery_seconds, waited)

    async def _leader(self, client: RpcClient) -> str:
        with contextlib.suppress(ApiError):
            status = await client.cluster_status()
            return next((each.id for each in status.replicas if each.role == "leader"), "")
        return ""

    async def _settled(self) -> list[str]:
        """Wait until a write is acknowledged again and every watcher has seen it."""
        port = Roaming(self._rotated(0), self._tls, self._env, CLIENT_SECONDS)
        last = Client("last", port, self.recording, 1.0, random.Random(self._plan.seed))
        revision = await last.write_last(PATIENCE_SECONDS)
        if not revision:
            return ["the cluster took no write after everything was healed"]
        return await caught_up(self._watchers, revision, PATIENCE_SECONDS)

    async def _listed(self) -> dict[str, ObjectList]:
        """What every replica answers by itself, each as soon as it can."""
        found = {}
        for name, address in self._addresses.items():
            port = Pinned(address, self._tls)
            end_time = time.monotonic() + PATIENCE_SECONDS
            while name not in found and time.monotonic() < end_time:
                with contextlib.suppress(Unavailable, Unknown):
                    found[name] = await port.list(NAMESPACE)
                await asyncio.sleep(0.05)
            await port.close()
        return found


def run(plan: Plan, tell: Tell, keep: Path) -> Verdict:
    """Make a lab, run the plan on it, remove it; the logs of a run that found something are copied to `keep`."""
    name = f"chaos-{plan.seed % 10**6}-{os.getpid()}"
    try:
        lab = labs.up(name, 3, 0, system_env(), lambda _line: None, egress=False, disk_mebibytes=DISK_MEBIBYTES)
        running = Run(lab, plan, tell)
        verdict = uvloop.run(running.run())
        if verdict.problems:
            _keep(running, verdict, keep)
    finally:
        labs.down(name, tell=lambda _line: None)
    return verdict


def _keep(running: Run, verdict: Verdict, folder: Path) -> None:
    """The logs of all processes, and the whole history, for whoever looks for the cause."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for host in running.lab.hosts:
        shutil.copytree(host.state_dir / "log", folder / host.name)
    with (folder / "history.jsonl").open("wb") as file:
        for each in (*running.story.faults, *running.recording.asked, *running.sightings.seen.values()):
            file.write(msgspec.json.encode(each) + b"\n")
    (folder / "problems.txt").write_text("\n".join(verdict.problems) + "\n", encoding="utf-8")
