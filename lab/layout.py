"""Names, paths and addresses of a lab. Pure: the same lab always gets the same answers.

Everything a lab leaves on the machine can be found again from its name alone: namespaces, links and the nft table
start with its prefix, files lie below its two folders.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Role = Literal["replica", "node"]

MAX_LABS = 10
MAX_HOSTS = 100
STATE_ROOT = Path("/var/lib/timonier-lab")
RUN_ROOT = Path("/run/timonier-lab")


class LabProblem(Exception):
    """The lab cannot do this; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """The address ranges of one lab: its switch, its pods and its Services."""

    hosts: str
    pods: str
    services: str


def ranges(slot: int) -> Ranges:
    """The ranges of the lab in slot 0 to MAX_LABS - 1; labs side by side never overlap."""
    return Ranges(f"172.30.{slot}.0/24", f"10.{244 - slot}.0.0/16", f"10.{96 + slot}.0.0/16")


def free_slot(taken: Iterable[int], routes: Iterable[str]) -> int:
    """The first slot that no other lab has and whose ranges overlap no route of this machine; LabProblem."""
    networks = [ipaddress.ip_network(route, strict=False) for route in routes]
    used = set(taken)
    for slot in range(MAX_LABS):
        wanted = [ipaddress.ip_network(each) for each in (ranges(slot).hosts, ranges(slot).pods, ranges(slot).services)]
        if slot not in used and not any(a.overlaps(b) for a in wanted for b in networks if a.version == b.version):
            return slot
    raise LabProblem(f"all {MAX_LABS} address slots overlap routes of this machine or belong to other labs")


@dataclass(frozen=True, slots=True)
class Host:
    """One host of a lab. `number` is the last part of its address."""

    lab: str
    name: str
    role: Role
    number: int
    slot: int

    @property
    def address(self) -> str:
        """Its address on the lab's switch."""
        return str(ipaddress.ip_network(ranges(self.slot).hosts)[self.number])

    @property
    def namespace(self) -> str:
        """The name of its network namespace below /run/netns."""
        return f"{prefix(self.lab)}-{self.name}"

    @property
    def state_dir(self) -> Path:
        """Its disk: survives a kill."""
        return STATE_ROOT / self.lab / self.name

    @property
    def run_dir(self) -> Path:
        """Its /run: gone after a kill."""
        return RUN_ROOT / self.lab / self.name

    @property
    def control_socket(self) -> Path:
        """Where its holder listens."""
        return self.run_dir / "holder.sock"


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab's name, slot and hosts. Replicas have disks of their own of `disk_mebibytes`, unless that is 0."""

    name: str
    slot: int
    replicas: int
    nodes: int
    egress: bool = True
    disk_mebibytes: int = 0

    @property
    def hosts(self) -> tuple[Host, ...]:
        """Replicas r1.. at .1 and up, nodes n1.. at .101 and up."""
        return (
            *(Host(self.name, f"r{i}", "replica", i, self.slot) for i in range(1, self.replicas + 1)),
            *(Host(self.name, f"n{i}", "node", MAX_HOSTS + i, self.slot) for i in range(1, self.nodes + 1)),
        )

    def host(self, name: str) -> Host:
        """The host of that name; LabProblem names those there are."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise LabProblem(f"lab {self.name!r} has no host {name!r}; it has: {', '.join(h.name for h in self.hosts)}")

    @property
    def ranges(self) -> Ranges:
        """Its address ranges."""
        return ranges(self.slot)

    @property
    def gateway(self) -> str:
        """This machine's address on the lab's switch."""
        return str(ipaddress.ip_network(self.ranges.hosts)[254])

    @property
    def state_dir(self) -> Path:
        """Files that stay until `down`."""
        return STATE_ROOT / self.name

    @property
    def run_dir(self) -> Path:
        """Files that a reboot of this machine removes."""
        return RUN_ROOT / self.name

    @property
    def admin_conf(self) -> Path:
        """The administrator's kubeconfig."""
        return self.state_dir / "admin.conf"

    @property
    def switch(self) -> str:
        """The namespace that joins the hosts."""
        return f"{prefix(self.name)}-switch"

    @property
    def uplink(self) -> str:
        """This machine's link to the switch; at most 15 characters."""
        return f"tl{hashlib.sha256(self.name.encode()).hexdigest()[:8]}"

    @property
    def table(self) -> str:
        """The nft table for egress."""
        return f"timonier_lab_{self.name.replace('-', '_')}"


def prefix(lab: str) -> str:
    """What every namespace of the lab starts with."""
    return f"timlab-{lab}"


def check_name(name: str) -> str:
    """Return the name if a lab can have it; LabProblem."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?", name):
        raise LabProblem(f"lab name {name!r}: use at most 20 of a-z, 0-9 and '-', not at the ends")
    return name
