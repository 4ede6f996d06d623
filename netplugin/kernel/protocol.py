"""What the network needs of the kernel: the port between decisions and netlink, nftables and /proc.

Everything is synchronous and called from one thread, which lives in the node's network namespace, unless it says
otherwise. All methods raise NetworkFailure; making what is there already, and removing what is not, is fine.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

from netplugin.routes import Peer, Route, Underlay, Vxlan

POD_GATEWAY = "169.254.1.1"  # an address nobody has: pods find it by a permanent neighbour entry
POD_GATEWAY_MAC = "ee:ee:ee:ee:ee:ee"  # of the host's end of every pod link
POD_INTERFACE = "eth0"
LOCAL_LABEL_PREFIX = "lo:"  # label of our addresses on lo, followed by the link prefix


@dataclass(frozen=True, slots=True)
class PodLink:
    """A veth pair: `name` on the host, eth0 with `address` inside the namespace at `netns_path`."""

    name: str
    pod_uid: str
    address: str
    netns_path: str
    mtu_bytes: int


@dataclass(frozen=True, slots=True)
class Connections:
    """Which conntrack entries to delete: those that match all that is given, in their original direction.

    `backend` is the address (and port unless 0) that answers, `backends` are several of which any will do;
    `unanswered` says that it never has.
    """

    protocol: str = ""
    client: str = ""
    destination: tuple[str, int] | None = None
    backend: tuple[str, int] | None = None
    unanswered: bool = False
    backends: frozenset[tuple[str, int]] = frozenset()


class Kernel(Protocol):
    """One node's kernel, seen from one network namespace."""

    def underlay(self, node_ip: str) -> Underlay:
        """The link that has `node_ip`; the failure says to check --node-ip."""

    def pod_links(self) -> Mapping[str, str]:
        """Our pod links by name, with the pod uid each is for (empty when making it was interrupted)."""

    def add_pod_link(self, link: PodLink) -> None:
        """Make the pair, set it up on both ends, without the host's route."""

    def pod_link_whole(self, link: PodLink) -> bool:
        """Whether the pair is there, leads into that very namespace and is fully set up."""

    def delete_link(self, name: str) -> None:
        """Delete a link; its routes go with it. Takes long; from any thread of the namespace."""

    def routes(self) -> AbstractSet[Route]:
        """The routes that carry our protocol number."""

    def set_route(self, route: Route) -> None:
        """Make or replace the route to that destination."""

    def delete_route(self, route: Route) -> None:
        """Delete our route to that destination."""

    def vxlan(self, name: str) -> Vxlan | None:
        """The VXLAN device as it is."""

    def set_vxlan(self, vxlan: Vxlan) -> None:
        """Make the device; one that differs is replaced, which loses its peers and routes."""

    def peers(self, name: str) -> AbstractSet[Peer]:
        """The complete static entries of the VXLAN device."""

    def set_peer(self, name: str, peer: Peer) -> None:
        """Add the entries of a peer. One with the same MAC must be deleted before."""

    def delete_peer(self, name: str, peer: Peer) -> None:
        """Delete the entries of a peer."""

    def local_addresses(self) -> AbstractSet[str]:
        """Our addresses on lo."""

    def set_local_address(self, address: str) -> None:
        """Give lo an address, for services of this node only."""

    def delete_local_address(self, address: str) -> None:
        """Take it away."""

    def read_sysctl(self, name: str) -> str | None:
        """The value of "net/ipv4/ip_forward"; None when there is no such setting."""

    def write_sysctl(self, name: str, value: str) -> None:
        """Set it."""

    def run_nft(self, text: str) -> None:
        """One nftables transaction: all of it or nothing."""

    def list_nft(self, command: str) -> str | None:
        """The JSON a list command answers; None when what it asks for does not exist."""

    def describe_nft(self, command: str) -> str | None:
        """The text a list command answers, without elements; None as above."""

    def list_legacy(self) -> str | None:
        """What iptables-legacy-save says of the filter table; None where nobody uses the old kind of rules."""

    def nft_generation(self) -> int:
        """The number of the last nftables transaction of anybody: each adds one."""

    def forget_connections(self, which: Connections) -> int:
        """Delete conntrack entries and return how many. Takes long; from any thread of the namespace."""

    def open_events(self) -> tuple[socket.socket, socket.socket]:
        """Two non-blocking sockets, readable when links, addresses or routes went, and when rules changed.

        The caller reads and closes them.
        """

    def open_socket(self, kind: socket.SocketKind) -> socket.socket:
        """An IPv4 socket of this namespace, non-blocking. May be called from any thread."""

    def close(self) -> None:
        """Release what this object holds; the kernel keeps everything else."""
