"""Which endpoints stand behind each virtual IP, and in which slot. Pure: inputs and the slots of before, slots of now.

The kernel picks a slot at random, so a VIP's endpoints are numbered from 0 without gaps. Slots are stable: whatever
stays keeps its number where it can, so that a change touches few elements. Nothing here knows how nftables writes it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netplugin.protocol import Endpoint, ServicePort

PROTOCOLS = ("tcp", "udp")


class VipKey(NamedTuple):
    """What a client asks for: "10.96.0.10", "tcp", 80."""

    address: str
    protocol: str
    port: int


class Backend(NamedTuple):
    """Where a connection goes instead."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Vip:
    """A VIP with at least one slot. `affinity_seconds` 0: every connection is picked anew."""

    slots: tuple[Backend, ...]
    affinity_seconds: int = 0


def choose(endpoints: Iterable[Endpoint]) -> list[Backend]:
    """Return the endpoints that get new connections, in order of address, each once.

    The ready ones; if there is none, those that terminate but still serve (KEP-1669): better a pod on its way out
    than nobody. Addresses that are not IPv4 are another family's and left out.
    """
    usable = [each for each in endpoints if _ipv4(each.address) and 0 < each.port < 65536]
    chosen = [each for each in usable if each.ready] or [each for each in usable if each.serving and each.terminating]
    return sorted({Backend(each.address, each.port) for each in chosen})


def assign_slots(before: Sequence[Backend], chosen: Sequence[Backend]) -> tuple[Backend, ...]:
    """Return `chosen` in slots, moving as few of `before` as possible.

    A newcomer takes the hole of one that left; a hole without a newcomer is filled from the last slot.
    """
    keep = set(chosen)
    newcomers = [each for each in chosen if each not in set(before)]
    slots: list[Backend | None] = [each if each in keep else None for each in before]
    for index, slot in enumerate(slots):
        if slot is None and newcomers:
            slots[index] = newcomers.pop(0)
    slots.extend(newcomers)
    index = 0
    while index < len(slots):
        if slots[index] is not None:
            index += 1
            continue
        last = slots.pop()
        if index < len(slots):
            slots[index] = last
    return tuple(slot for slot in slots if slot is not None)


class VipTable:
    """The VIPs of the last inputs, kept so that a sync costs what changed and not what exists."""

    def __init__(self, service_range: str) -> None:
        self._range = ipaddress.IPv4Network(service_range)
        self._ports: dict[VipKey, ServicePort] = {}
        self._vips: dict[VipKey, Vip] = {}

    def adopt(self, vips: Mapping[VipKey, Vip]) -> None:
        """Start from slots found in the kernel."""
        self._ports = {}
        self._vips = dict(vips)

    def update(self, services: Iterable[ServicePort]) -> dict[VipKey, Vip]:
        """Return the VIPs of `services`; equal ones are the same objects as last time.

        VIPs without any endpoint are absent. Of two that claim the same address and port the first by namespace and
        name wins, on every node. VIPs outside the service range are nobody's to give and left out.
        """
        ports: dict[VipKey, ServicePort] = {}
        for port in services:
            key = VipKey(port.cluster_ip, port.protocol, port.port)
            other = ports.get(key)
            if other is None or _owner(port) < _owner(other):
                ports[key] = port
        vips: dict[VipKey, Vip] = {}
        for key, port in ports.items():
            vip = self._vip(key, port)
            if vip is not None:
                vips[key] = vip
        self._ports, self._vips = ports, vips
        return dict(vips)

    def _vip(self, key: VipKey, port: ServicePort) -> Vip | None:
        before = self._vips.get(key)
        known = self._ports.get(key)
        if known is port or known == port:
            return before
        if key.protocol not in PROTOCOLS or not 0 < key.port < 65536 or not self._served(key.address):
            return None
        slots = assign_slots(before.slots if before else (), choose(port.endpoints))
        vip = Vip(slots, port.affinity_seconds)
        if not slots:
            return None
        return before if before == vip else vip

    def _served(self, address: str) -> bool:
        return _ipv4(address) and ipaddress.IPv4Address(address) in self._range


def _owner(port: ServicePort) -> tuple[str, str, str]:
    return port.namespace, port.service, port.port_name


def _ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True
