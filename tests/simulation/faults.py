"""Faults, drawn from the seed: which of them a run has at all, when they come and how long they last."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster, Host

KINDS = (
    "power_cut",
    "power_cut_all",
    "laggard",
    "storm",
    "kill_raft",
    "kill_api",
    "isolate",
    "cut_one_way",
    "cut_link",
    "cut_clients",
    "reset",
    "delay",
    "slow_disk",
    "broken_disk",
    "full_disk",
    "freeze_raft",
    "freeze_api",
    "freeze_host",
    "clock_jump",
)
EFFECTS = (
    "messages dropped",
    "messages late",
    "slow messages",
    "messages behind a partition",
    "messages behind a one-way cut",
    "reconnects",
    "unsynced bytes at a power cut",
    "torn logs repaired",
    "slow syncs",
    "processes ended by their disk",
)
"""What they bring about, as a cluster counts it: a fault that hits nothing proves nothing."""


class Faults:
    """One fault after the other, some overlapping; `stop` ends them all and mends everything."""

    def __init__(self, cluster: Cluster, kinds: list[str], pause_seconds: tuple[float, float]) -> None:
        self._cluster = cluster
        self._kinds = kinds
        self._pause_seconds = pause_seconds
        self._rng = cluster.simulator.rng("faults")
        self._cuts: dict[int, set[tuple[str, str]]] = {}
        self._number = 0
        self._stopped = False
        self._due = ["power_cut_all", "laggard", "storm"]  # in every run
        self._storming = False
        self._rng.shuffle(self._due)
        self.done: list[str] = []

    async def run(self) -> None:
        while not self._stopped:
            await asyncio.sleep(self._rng.uniform(*self._pause_seconds))
            if self._stopped:
                return
            needed = bool(self._due) and self._rng.random() < 0.5
            kind = self._due[-1] if needed else self._rng.choice(self._kinds)
            work = asyncio.ensure_future(getattr(self, f"_{kind}")(self._victim()))
            self._cluster.simulator.trace("fault", kind)
            self._cluster.counts[kind] += 1
            self.done.append(kind)
            if needed or self._rng.random() < 0.75:
                await work
            if needed and (kind != "laggard" or self._cluster.recorder.installs or self.done.count(kind) >= 3):
                self._due.pop()

    @property
    def all_kinds_done(self) -> bool:
        """Whether everything was done that belongs to every run."""
        return not self._due

    def stop(self) -> None:
        """No more faults; what is down comes up, what is cut heals."""
        self._stopped = True
        self._storming = False
        self._cuts.clear()
        self._cluster.network.slow.clear()
        self._apply_cuts(keep_held=True)
        for host in self._cluster.hosts.values():
            host.disk.slow = host.disk.failing = host.disk.full = False
            host.armed = False
            self._thaw(host)
            host.start()

    def _victim(self) -> Host:
        leader = self._cluster.leader()
        if leader is not None and self._rng.random() < 0.5:
            return leader
        return self._rng.choice(list(self._cluster.hosts.values()))

    async def _pause(self, shortest: float, longest: float) -> None:
        """Often short, sometimes long."""
        await asyncio.sleep(shortest + (longest - shortest) * self._rng.random() ** 3)

    # Crashes

    async def _power_cut(self, host: Host) -> None:
        host.power_cut()
        await self._pause(0.02, 2.0)
        host.start()

    async def _power_cut_all(self, _host: Host) -> None:
        for each in self._cluster.hosts.values():
            each.power_cut()
        for each in self._cluster.hosts.values():
            await self._pause(0.01, 0.2)
            each.start()

    async def _laggard(self, host: Host) -> None:
        """One is away until the others have compacted what it lacks."""
        last_index = host.raft.log.last_index if host.raft is not None else 0
        host.power_cut()
        for step in range(60):
            await asyncio.sleep(0.1)
            others = [each for each in self._cluster.hosts.values() if each is not host and each.raft is not None]
            if others and all(each.raft.log.first_index > last_index + 1 for each in others):
                break
            for each in others:
                if each.api is not None and each.api_loop is not None and step % 5 == 0:
                    each.api_loop.call_soon(each.api.snapshot)  # of its process: what kills that ends it
        host.start()
        await asyncio.sleep(1.0)

    async def _kill_raft(self, host: Host) -> None:
        if self._rng.random() < 0.5:
            host.armed = True
            await self._pause(0.1, 1.0)
            host.armed = False
        host.kill_raft()
        await self._pause(0.005, 1.5)
        host.start_raft()
        host.armed = not self._stopped and self._rng.random() < 0.3  # and once more when it has caught up

    async def _storm(self, _host: Host) -> None:
        """Elections all the time, on links of which some are slow: who wins is cut off or killed, who votes starts anew."""
        if self._storming:
            return
        self._storming = True
        end = self._cluster.simulator.now + self._rng.uniform(*self._cluster.plan.storm_seconds)
        while self._cluster.simulator.now < end:
            self._slow_some_links()
            leader = self._cluster.leader()
            if leader is not None and self._rng.random() < 0.7:
                self._strike(leader)
            await asyncio.sleep(self._rng.uniform(0.2, 0.8))
        self._storming = False
        self._cluster.network.slow.clear()

    def _slow_some_links(self) -> None:
        names = list(self._cluster.hosts)
        for link in [(a, b) for a in names for b in names if a != b]:
            longest = self._rng.choice((0.002, 0.002, 0.002, 0.06, 0.6))
            self._cluster.network.slow[link] = (longest / 4, longest)

    def _strike(self, host: Host) -> None:
        others = [name for name in self._cluster.hosts if name != host.name]
        links = {*((host.name, other) for other in others), *((other, host.name) for other in others)}
        self._cluster.simulator.world.create_task(self._cut(links, 0.1, 1.0))

    def elected(self, host: Host) -> None:
        """Somebody won: in a storm that is a moment to strike."""
        if not self._storming:
            return
        draw = self._rng.random()
        world = self._cluster.simulator.world
        if draw < 0.4:
            self._strike(host)
        elif draw < 0.75:
            world.call_later(self._rng.uniform(0.0, 0.05), self._bounce, host, self._rng.uniform(0.1, 0.8))

    def voted(self, host: Host) -> None:
        """Somebody voted: the same."""
        if self._storming and self._rng.random() < 0.35:
            world = self._cluster.simulator.world
            world.call_later(self._rng.uniform(0.0, 0.01), self._bounce, host, self._rng.uniform(0.002, 0.02))

    def _bounce(self, host: Host, away_seconds: float) -> None:
        if self._storming:
            self._cluster.counts["kill_raft"] += 1
            host.kill_raft()
            self._cluster.simulator.world.call_later(away_seconds, host.start_raft)

    async def _kill_api(self, host: Host) -> None:
        host.kill_api()
        await self._pause(0.01, 1.5)
        host.start_api()

    async def _broken_disk(self, host: Host) -> None:
        host.disk.failing = True
        await self._pause(0.05, 0.6)
        host.disk.failing = False
        host.start_raft()

    async def _full_disk(self, host: Host) -> None:
        """Writes end in the middle, and so does the process; who supervises it tries to start it all the time."""
        host.disk.full = True
        for _ in range(self._rng.randrange(1, 6)):
            await asyncio.sleep(self._rng.uniform(0.05, 0.3))
            host.start_raft()
        host.disk.full = False
        host.start_raft()

    # The network

    async def _isolate(self, host: Host) -> None:
        others = [name for name in self._cluster.hosts if name != host.name]
        await self._cut({*((host.name, other) for other in others), *((other, host.name) for other in others)})

    async def _cut_one_way(self, host: Host) -> None:
        others = [name for name in self._cluster.hosts if name != host.name]
        outwards = self._rng.random() < 0.5
        await self._cut({(host.name, other) if outwards else (other, host.name) for other in others})

    async def _cut_link(self, host: Host) -> None:
        other = self._rng.choice([name for name in self._cluster.hosts if name != host.name])
        await self._cut({(host.name, other), (other, host.name)})

    async def _cut_clients(self, host: Host) -> None:
        clients = self._cluster.client_names
        await self._cut({*((host.name, each) for each in clients), *((each, host.name) for each in clients)})

    async def _cut(self, links: set[tuple[str, str]], shortest: float = 0.1, longest: float = 3.0) -> None:
        self._number += 1
        number = self._number
        self._cuts[number] = links
        self._apply_cuts(keep_held=True)
        await self._pause(shortest, longest)
        if self._cuts.pop(number, None) is None:
            return
        keep = self._rng.random() < 0.5
        if not keep:
            for pair in sorted({(min(link), max(link)) for link in links}):
                self._cluster.links.break_session(*pair)
        self._apply_cuts(keep_held=keep)

    def _apply_cuts(self, *, keep_held: bool) -> None:
        self._cluster.network.change(cut=set().union(*self._cuts.values()), keep_held=keep_held)

    async def _reset(self, host: Host) -> None:
        for other in self._cluster.hosts:
            if other != host.name:
                self._cluster.links.break_session(host.name, other)

    async def _delay(self, host: Host) -> None:
        """Some directions of some links become slow, up to seconds."""
        slow = self._cluster.network.slow
        longest = self._rng.choice((0.01, 0.1, 0.5, 1.5))
        links = [(host.name, o) for o in self._cluster.hosts if o != host.name]
        links += [(o, host.name) for o in self._cluster.hosts if o != host.name]
        chosen = [link for link in links if self._rng.random() < 0.5]
        for link in chosen:
            slow[link] = (longest / 10, longest)
        await self._pause(0.2, 3.0)
        for link in chosen:
            slow.pop(link, None)

    # Slowness

    async def _slow_disk(self, host: Host) -> None:
        host.disk.slow = True
        await self._pause(0.2, 2.5)
        host.disk.slow = False

    async def _freeze_raft(self, host: Host) -> None:
        await self._freeze(host, raft=True, api=False)

    async def _freeze_api(self, host: Host) -> None:
        await self._freeze(host, raft=False, api=True)

    async def _freeze_host(self, host: Host) -> None:
        await self._freeze(host, raft=True, api=True)

    async def _freeze(self, host: Host, *, raft: bool, api: bool) -> None:
        if raft and host.raft is not None:
            host.raft.loop.freeze()
        if api and host.api_loop is not None:
            host.api_loop.freeze()
        await self._pause(0.05, 3.0)
        self._thaw(host)

    def _thaw(self, host: Host) -> None:
        for loop in (host.raft.loop if host.raft else None, host.api_loop):
            if loop is not None and loop.frozen:
                loop.thaw()

    async def _clock_jump(self, host: Host) -> None:
        host.clock_offset += self._rng.choice((-86400.0, -60.0, -1.0, 1.0, 60.0, 3600.0, 86400.0))
