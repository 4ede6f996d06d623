"""The faults of a chaos run: what each does to a lab and how it ends. Chosen by a seeded generator."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from lab import cluster as labs
from lab import disks, faults, freezing, machine, network, partitions
from lab.layout import Host, Lab, LabProblem

PROCESSES = ("raft", "api")
LEADER_PART = 0.5


@dataclass(frozen=True, slots=True)
class Fault:
    """`begin` and `end` may be called once each; `seconds` is how long it should last."""

    title: str
    begin: Callable[[], object]
    end: Callable[[], object]
    seconds: float


class Faults:
    """Draws faults for the replicas of a lab."""

    def __init__(self, lab: Lab, rng: random.Random) -> None:
        self._lab = lab
        self._rng = rng
        self._replicas = [host for host in lab.hosts if host.role == "replica"]
        self._kinds: list[tuple[int, Callable[[Host], Fault]]] = [
            (5, self._kill_one),
            (4, self._kill_both),
            (1, self._kill_all),
            (3, self._freeze_process),
            (2, self._freeze_host),
            (3, self._isolate),
            (2, self._cut_pair),
            (3, self._one_way),
            (2, self._pull_link),
            (2, self._restart),
            (1, self._power_cycle),
            (2, self._slow_disk),
            *([(2, self._full_disk)] if lab.disk_mebibytes else []),
        ]

    def draw(self, leader: str) -> Fault:
        """The next fault; every second one hits the leader, when there is one."""
        victim = self._rng.choice(self._replicas)
        if leader and self._rng.random() < LEADER_PART:
            victim = self._lab.host(leader)
        kinds = [kind for _, kind in self._kinds]
        (kind,) = self._rng.choices(kinds, [weight for weight, _ in self._kinds])
        return kind(victim)

    def heal(self) -> None:
        """End whatever is in force, also what a fault could not end itself."""
        for host in self._replicas:
            if not machine.holder_pid(host):
                labs.start_host(self._lab, host)
        faults.heal(self._lab, tuple(self._replicas), everything=True)
        for host in self._replicas:
            for process in PROCESSES:
                machine.ask(host, {"do": "start", "process": process})

    def _lasting(self) -> float:
        return self._rng.uniform(0.5, 5.0)

    def _others(self, host: Host) -> list[Host]:
        return [each for each in self._replicas if each != host]

    def _kill_one(self, host: Host) -> Fault:
        process = self._rng.choice(PROCESSES)
        return Fault(f"kill {process} of {host.name}", lambda: labs.kill_process(host, process), _nothing, 0.5)

    def _kill_both(self, host: Host) -> Fault:
        return Fault(f"kill both of {host.name}", lambda: _kill([host]), _nothing, 0.5)

    def _kill_all(self, _host: Host) -> Fault:
        return Fault("kill both of all replicas", lambda: _kill(self._replicas), _nothing, 1.0)

    def _freeze_process(self, host: Host) -> Fault:
        process = self._rng.choice(PROCESSES)
        return Fault(
            f"freeze {process} of {host.name}",
            lambda: freezing.freeze(host, process),
            lambda: freezing.thaw(host),
            self._lasting(),
        )

    def _freeze_host(self, host: Host) -> Fault:
        return Fault(f"freeze {host.name}", lambda: freezing.freeze(host), lambda: freezing.thaw(host), self._lasting())

    def _isolate(self, host: Host) -> Fault:
        return self._cut(f"cut {host.name} from its peers", [host], self._others(host), one_way=False)

    def _cut_pair(self, host: Host) -> Fault:
        other = self._rng.choice(self._others(host))
        return self._cut(f"cut {host.name} and {other.name}", [host], [other], one_way=False)

    def _one_way(self, host: Host) -> Fault:
        others = self._others(host)
        if self._rng.random() < 0.5:
            return self._cut(f"cut what {host.name} sends to its peers", [host], others, one_way=True)
        return self._cut(f"cut what peers send to {host.name}", others, [host], one_way=True)

    def _cut(self, title: str, ones: list[Host], others: list[Host], *, one_way: bool) -> Fault:
        return Fault(
            title,
            lambda: partitions.partition(self._lab, ones, others, one_way=one_way),
            lambda: partitions.heal(self._lab, self._replicas),
            self._lasting(),
        )

    def _pull_link(self, host: Host) -> Fault:
        return Fault(
            f"pull the cable of {host.name}",
            lambda: network.cut_link(self._lab, host, up=False),
            lambda: network.cut_link(self._lab, host, up=True),
            self._lasting(),
        )

    def _restart(self, host: Host) -> Fault:
        return Fault(f"stop {host.name} in order", lambda: _switch(host, "stop"), lambda: _switch(host, "start"), 1.0)

    def _power_cycle(self, host: Host) -> Fault:
        return Fault(
            f"power off {host.name}",
            lambda: labs.kill_host(self._lab, host),
            lambda: labs.start_host(self._lab, host),
            self._lasting(),
        )

    def _slow_disk(self, host: Host) -> Fault:
        writes = self._rng.choice((5, 20, 50))
        return Fault(
            f"slow disk of {host.name}, {writes} writes a second",
            lambda: disks.slow(host, writes),
            lambda: disks.normal(host),
            self._lasting(),
        )

    def _full_disk(self, host: Host) -> Fault:
        return Fault(f"full disk of {host.name}", lambda: disks.full(host), lambda: disks.normal(host), self._lasting())


def _kill(hosts: list[Host]) -> None:
    running = [machine.ask(host, {"do": "status"})["processes"] for host in hosts]
    for each in running:
        for process in PROCESSES:
            if pid := each[process]["pid"]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _switch(host: Host, verb: str) -> None:
    for process in reversed(PROCESSES) if verb == "stop" else PROCESSES:
        machine.ask(host, {"do": verb, "process": process})


def _nothing() -> None:
    pass


def attempt(step: Callable[[], object]) -> str:
    """Do a step of a fault; what prevented it, "" when nothing did: another fault may be in the way."""
    try:
        step()
    except LabProblem as problem:
        return str(problem)
    return ""
