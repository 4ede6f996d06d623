"""Which pod has which address of this node's range. Decisions are values in, values out; time is an argument.

An address is used again as late as possible, and never within a minute: caches and connections of others may still
believe in its last owner. The file is only a memory for that; what pods really have is in the kernel.
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass, field
from pathlib import Path

from netplugin.protocol import NetworkFailure

COOL_DOWN_SECONDS = 60.0
_FIRST_OFFSET = 2  # .0 is the node's own inside VXLAN, .1 stays free for whoever expects a gateway there


@dataclass(frozen=True, slots=True)
class Allocation:
    """A pod's address and the namespace it was given to."""

    address: str
    netns_path: str


@dataclass(slots=True)
class Addresses:
    """Allocations by pod uid, and when addresses without a pod were given back (seconds since the epoch)."""

    allocations: dict[str, Allocation] = field(default_factory=dict)
    released: dict[str, float] = field(default_factory=dict)

    def allocate(self, pod_uid: str, netns_path: str, pod_range: str, now: float) -> str:
        """Return the pod's address, the same one when asked again.

        Addresses never used come first, in order, then the one free for longest. NetworkFailure when there is none.
        """
        known = self.allocations.get(pod_uid)
        address = known.address if known else self._free(ipaddress.IPv4Network(pod_range), now)
        self.released.pop(address, None)
        self.allocations[pod_uid] = Allocation(address, netns_path)
        return address

    def release(self, pod_uid: str, now: float) -> None:
        """Give the pod's address back, if it has one."""
        allocation = self.allocations.pop(pod_uid, None)
        if allocation is not None:
            self.released[allocation.address] = now

    def _free(self, network: ipaddress.IPv4Network, now: float) -> str:
        taken = {allocation.address for allocation in self.allocations.values()}
        # The node may have got another range since: what was used there does not matter any more.
        self.released = {
            address: min(time, now)
            for address, time in self.released.items()
            if ipaddress.IPv4Address(address) in network
        }
        first, last = int(network.network_address) + _FIRST_OFFSET, int(network.broadcast_address) - 1
        for number in range(first, last + 1):
            address = str(ipaddress.IPv4Address(number))
            if address not in taken and address not in self.released:
                return address
        oldest = min(self.released, key=lambda each: (self.released[each], each), default=None)
        if oldest is not None and now - self.released[oldest] >= COOL_DOWN_SECONDS:
            return oldest
        raise NetworkFailure(
            f"no free pod address in {network}: {len(taken)} in use, {len(self.released)} given back less than"
            f" {COOL_DOWN_SECONDS:.0f} s ago; give the node a larger range or fewer pods"
        )


def to_json(addresses: Addresses) -> str:
    """Return what `from_json` reads."""
    pods = {uid: [each.address, each.netns_path] for uid, each in addresses.allocations.items()}
    return json.dumps({"version": 1, "pods": pods, "released": addresses.released})


def from_json(text: str) -> Addresses:
    """Return the addresses in `text`; ValueError when it is damaged or of a later version."""
    tree = json.loads(text)
    try:
        if tree["version"] != 1:
            raise ValueError(f"version {tree['version']!r} is not known")
        allocations = {str(uid): Allocation(str(address), str(path)) for uid, (address, path) in tree["pods"].items()}
        released = {str(address): float(time) for address, time in tree["released"].items()}
        for address in (*released, *(each.address for each in allocations.values())):
            ipaddress.IPv4Address(address)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an address file: {error!r}") from error
    return Addresses(allocations, released)


def load(path: Path) -> Addresses:
    """Return what was saved at `path`, nothing if there is no file; ValueError as `from_json`."""
    try:
        return from_json(path.read_text())
    except FileNotFoundError:
        return Addresses()


def save(path: Path, addresses: Addresses) -> None:
    """Write atomically, without waiting for the disk: after a crash of the machine no pod has its address anyway."""
    temporary = path.with_suffix(".new")
    temporary.write_text(to_json(addresses))
    temporary.replace(path)
