"""Where pod ranges of other nodes lie, as routes and VXLAN entries. Pure: nodes in, the kernel's tables out.

A node on our own link is reached by a plain route; any other one, and all of them in mode "vxlan", through one VXLAN
device with static entries, so that nothing is ever flooded or learned. Nothing here knows netlink.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from netplugin.protocol import NetworkConfig, NetworkFailure, NodeRoute

VXLAN_OVERHEAD_BYTES = 50  # outer Ethernet, IPv4, UDP and VXLAN headers (RFC 7348)
VXLAN_NETWORK_ID = 0x54494D  # "TIM": not the 1 that others start with
VXLAN_PORT = 4789  # IANA
POD_LINK_DIGITS = 11  # with a prefix of 4 a name has 15 bytes, all that a link name may have


@dataclass(frozen=True, slots=True)
class Underlay:
    """The link that has the node's address, its network and MTU."""

    link: str
    network: str  # "172.30.0.0/24"
    mtu_bytes: int


@dataclass(frozen=True, slots=True)
class Route:
    """One entry of the main table. `onlink`: the gateway needs no route of its own."""

    destination: str
    kind: Literal["unicast", "unreachable"] = "unicast"
    link: str = ""
    gateway: str = ""
    source: str = ""
    onlink: bool = False


@dataclass(frozen=True, slots=True)
class Vxlan:
    """Our VXLAN device. `address` is what host traffic through it is masqueraded to."""

    name: str
    mac: str
    local: str
    address: str
    mtu_bytes: int


@dataclass(frozen=True, slots=True)
class Peer:
    """Another node behind the VXLAN device: its inner address and MAC, and its outer address."""

    inner: str
    mac: str
    outer: str


@dataclass(frozen=True, slots=True)
class Paths:
    """Everything that leads to pods of other nodes, and what this node's own range is.

    `direct` are the addresses of nodes that see our pods' addresses as they are: traffic to them is not masqueraded.
    """

    own_range: str
    routes: frozenset[Route]
    vxlan: Vxlan | None
    peers: frozenset[Peer]
    direct: frozenset[str]


def plan(nodes: Iterable[NodeRoute], config: NetworkConfig, underlay: Underlay) -> Paths:
    """Return the paths of the node `config.node_name`.

    Its own range is `unreachable` where no pod has the address: a client learns at once, a blackhole would hang it.
    Nodes without a range, and the later by name of two with the same, are left out.
    """
    network = ipaddress.IPv4Network(underlay.network)
    routes = {service_route(config)}
    peers: set[Peer] = set()
    direct: set[str] = set()
    own: NodeRoute | None = None
    seen: set[str] = set()
    for node in sorted(nodes, key=lambda each: each.name):
        if not node.pod_range or node.pod_range in seen:
            continue
        seen.add(node.pod_range)
        if node.name == config.node_name:
            own = node
            routes.add(Route(node.pod_range, "unreachable"))
        elif config.mode != "vxlan" and ipaddress.IPv4Address(node.address) in network:
            routes.add(Route(node.pod_range, link=underlay.link, gateway=node.address))
            direct.add(node.address)
        elif config.mode == "routes":
            direct.add(node.address)  # the fabric between the nodes knows the way
        else:
            inner = _first(node.pod_range)
            peers.add(Peer(inner, node.mac or vxlan_mac(node.name), node.address))
            routes.add(Route(node.pod_range, link=vxlan_name(config), gateway=inner, onlink=True))
    if own is None:
        # Without a range of its own the node has no inner address to send from.
        routes = {route for route in routes if route.link != vxlan_name(config)}
        return Paths("", frozenset(routes), None, frozenset(), frozenset(direct))
    vxlan = _vxlan(own, config, underlay) if peers else None
    return Paths(own.pod_range, frozenset(routes), vxlan, frozenset(peers), frozenset(direct))


def service_route(config: NetworkConfig) -> Route:
    """Return the route that lets the host itself connect to VIPs. Only ever behind the guard chains."""
    return Route(config.service_range, link="lo", source=config.node_ip)


def pod_route(address: str, link: str) -> Route:
    """Return the route to one pod of this node."""
    return Route(f"{address}/32", link=link)


def pod_mtu_bytes(config: NetworkConfig, underlay: Underlay) -> int:
    """Return the MTU of pod links: room for VXLAN even while all nodes are on one link, as others may come."""
    return underlay.mtu_bytes - (0 if config.mode == "routes" else VXLAN_OVERHEAD_BYTES)


def vxlan_name(config: NetworkConfig) -> str:
    """Return the VXLAN device's name; "-" keeps it apart from pod links, which go on in hexadecimal."""
    return f"{config.link_prefix}-vxlan"


def vxlan_mac(node_name: str) -> str:
    """Return the MAC of a node's VXLAN device, the same for all who know its name.

    Locally administered and explicit: the kernel would derive it from the machine id, which cloned machines share.
    """
    digest = hashlib.sha256(node_name.encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))


def pod_link_name(config: NetworkConfig, pod_uid: str) -> str:
    """Return the name of the host's end of a pod's veth: the prefix and 11 hexadecimal digits."""
    return config.link_prefix + hashlib.sha256(pod_uid.encode()).hexdigest()[:POD_LINK_DIGITS]


def pod_links(prefix: str) -> re.Pattern[str]:
    """Return what matches exactly the names that `pod_link_name` gives."""
    return re.compile(f"{re.escape(prefix)}[0-9a-f]{{{POD_LINK_DIGITS}}}")


def check(config: NetworkConfig) -> None:
    """Raise NetworkFailure for a configuration that cannot work, naming the field."""
    try:
        pods = ipaddress.IPv4Network(config.pod_range)
        services = ipaddress.IPv4Network(config.service_range)
        ipaddress.IPv4Address(config.node_ip)
        ipaddress.IPv4Address(config.dns_address)
    except ValueError as error:
        raise NetworkFailure(f"network configuration: {error}") from error
    if pods.overlaps(services):
        raise NetworkFailure(f"network configuration: pod range {pods} and service range {services} overlap")
    if not 1 <= len(config.link_prefix) <= 4 or not config.link_prefix.isalnum():
        raise NetworkFailure(f"network configuration: link prefix {config.link_prefix!r} must be 1 to 4 letters")
    if config.mode not in {"auto", "routes", "vxlan"}:
        raise NetworkFailure(f"network configuration: mode {config.mode!r} is not auto, routes or vxlan")


def _vxlan(own: NodeRoute, config: NetworkConfig, underlay: Underlay) -> Vxlan:
    return Vxlan(
        name=vxlan_name(config),
        mac=own.mac or vxlan_mac(own.name),
        local=config.node_ip,
        address=_first(own.pod_range),
        mtu_bytes=underlay.mtu_bytes - VXLAN_OVERHEAD_BYTES,
    )


def _first(pod_range: str) -> str:
    return str(ipaddress.IPv4Network(pod_range).network_address)
