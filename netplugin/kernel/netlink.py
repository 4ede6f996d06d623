"""Links, routes and neighbours by rtnetlink: the only module that imports pyroute2.

It translates between kernel/protocol.py's words and netlink's; what should be there is decided elsewhere. pyroute2's
synchronous IPRoute runs an event loop of its own and must not be used where one is running: one instance belongs to
one thread, and works in the network namespace that thread was in when it was made.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkDumpInterrupted, NetlinkError

from netplugin.kernel import namespace
from netplugin.kernel.messages import Connection, attribute
from netplugin.kernel.protocol import LOCAL_LABEL_PREFIX, POD_GATEWAY, POD_GATEWAY_MAC, POD_INTERFACE, PodLink
from netplugin.protocol import NetworkFailure
from netplugin.routes import VXLAN_NETWORK_ID, VXLAN_PORT, Peer, Route, Underlay, Vxlan, pod_links

ROUTE_PROTOCOL = 84  # rtm_protocol of all our routes; free in iproute2's rt_protos, as of 6.x
_MAIN_TABLE = 254
_RTN_UNREACHABLE = 7
_SCOPE_LINK = 253
_SCOPE_HOST = 254
_ONLINK = 4  # RTNH_F_ONLINK
_PERMANENT = 0x80  # NUD_PERMANENT
_IFF_UP = 1
_DELLINK = 17
_CARRIER_TRIES = 100
_CARRIER_WAIT_SECONDS = 0.001
_IFLA_IFNAME = 3
_DUMP_TRIES = 10
_GONE = {errno.ENODEV, errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL, errno.ENXIO}


class Netlink:
    """rtnetlink in the namespace of the thread that makes it, for links that start with `prefix`."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._pod_link = pod_links(prefix)
        self._ip = IPRoute()

    def close(self) -> None:
        """Close the socket."""
        self._ip.close()

    def underlay(self, node_ip: str) -> Underlay:
        """See Kernel.underlay."""
        with _step(f"find the link of {node_ip}"):
            for message in _dump(self._ip.get_addr, family=socket.AF_INET):
                if message.get_attr("IFA_LOCAL") == node_ip:
                    link = _dump(self._ip.get_links, message["index"])[0]
                    network = ipaddress.IPv4Interface(f"{node_ip}/{message['prefixlen']}").network
                    return Underlay(link.get_attr("IFLA_IFNAME"), str(network), link.get_attr("IFLA_MTU"))
        raise NetworkFailure(f"no link of this node has the address {node_ip}: check --node-ip")

    # Links of pods

    def pod_links(self) -> Mapping[str, str]:
        """See Kernel.pod_links."""
        with _step("list links"):
            return {
                name: link.get_attr("IFLA_IFALIAS") or ""
                for link in _dump(self._ip.get_links, kind="veth")
                if self._pod_link.fullmatch(name := link.get_attr("IFLA_IFNAME"))
            }

    def add_pod_link(self, link: PodLink) -> None:
        """See Kernel.add_pod_link."""
        with _step(f"make the link of pod {link.pod_uid}"):
            fd = os.open(link.netns_path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                self._ip.link(
                    "add",
                    ifname=link.name,
                    kind="veth",
                    mtu=link.mtu_bytes,
                    address=POD_GATEWAY_MAC,
                    peer={"ifname": POD_INTERFACE, "net_ns_fd": fd, "mtu": link.mtu_bytes},
                )
            finally:
                os.close(fd)
            # Creation ignores an alias, so it needs a second message.
            index = socket.if_nametoindex(link.name)
            self._ip.link("set", index=index, ifalias=link.pod_uid, state="up")
            namespace.run_inside(link.netns_path, lambda: _set_up_pod(link.address))
            self._wait_until_carried(index)

    def _wait_until_carried(self, index: int) -> None:
        """Wait until the host's end sends what it is given.

        The end of a veth that comes up second works at once; the other one drops everything until the kernel's link
        watch, a worker, has seen the carrier.
        """
        for _ in range(_CARRIER_TRIES):
            if _dump(self._ip.get_links, index)[0].get_attr("IFLA_OPERSTATE") == "UP":
                return
            time.sleep(_CARRIER_WAIT_SECONDS)

    def pod_link_whole(self, link: PodLink) -> bool:
        """See Kernel.pod_link_whole."""
        with _step(f"look at the link of pod {link.pod_uid}"):
            found = _dump(self._ip.get_links, ifname=link.name) if _exists(link.name) else []
            if not found or found[0].get_attr("IFLA_IFALIAS") != link.pod_uid or not found[0]["flags"] & _IFF_UP:
                return False
            index: int = found[0]["index"]
            return namespace.run_inside(link.netns_path, lambda: _pod_set_up(link.address, index))

    def delete_link(self, name: str) -> None:
        """See Kernel.delete_link. By hand, as it waits for the kernel long and must not be bound to one thread."""
        with _step(f"delete link {name}", ignore=_GONE), Connection(socket.NETLINK_ROUTE) as connection:
            family = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0)  # ifinfomsg
            connection.do(_DELLINK, family + attribute(_IFLA_IFNAME, name.encode() + b"\0"))

    # Routes

    def routes(self) -> AbstractSet[Route]:
        """See Kernel.routes."""
        with _step("list routes"):
            names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in _dump(self._ip.get_links)}
            messages = _dump(self._ip.get_routes, family=socket.AF_INET, proto=ROUTE_PROTOCOL, table=_MAIN_TABLE)
            return frozenset(
                Route(
                    destination=f"{message.get_attr('RTA_DST')}/{message['dst_len']}",
                    kind="unreachable" if message["type"] == _RTN_UNREACHABLE else "unicast",
                    link="" if message["type"] == _RTN_UNREACHABLE else names.get(message.get_attr("RTA_OIF"), ""),
                    gateway=message.get_attr("RTA_GATEWAY") or "",
                    source=message.get_attr("RTA_PREFSRC") or "",
                    onlink=bool(message["flags"] & _ONLINK),
                )
                for message in messages
            )

    def set_route(self, route: Route) -> None:
        """See Kernel.set_route."""
        with _step(f"set the route to {route.destination}"):
            self._ip.route("replace", **_route_message(route))

    def delete_route(self, route: Route) -> None:
        """See Kernel.delete_route."""
        with _step(f"delete the route to {route.destination}", ignore=_GONE):
            self._ip.route("del", **_route_message(route))

    # VXLAN

    def vxlan(self, name: str) -> Vxlan | None:
        """See Kernel.vxlan."""
        with _step(f"look at link {name}"):
            if not _exists(name):
                return None
            link = _dump(self._ip.get_links, ifname=name)[0]
            details = link.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA")
            addresses = _dump(self._ip.get_addr, family=socket.AF_INET, index=link["index"])
            right = (
                details is not None
                and details.get_attr("IFLA_VXLAN_ID") == VXLAN_NETWORK_ID
                and details.get_attr("IFLA_VXLAN_PORT") == VXLAN_PORT
                and link["flags"] & _IFF_UP
            )
            return Vxlan(
                name=name,
                mac=link.get_attr("IFLA_ADDRESS") if right else "",
                local=(details.get_attr("IFLA_VXLAN_LOCAL") or "") if right else "",
                address=next((each.get_attr("IFA_LOCAL") for each in addresses), ""),
                mtu_bytes=link.get_attr("IFLA_MTU"),
            )

    def set_vxlan(self, vxlan: Vxlan) -> None:
        """See Kernel.set_vxlan."""
        if self.vxlan(vxlan.name) == vxlan:
            return
        self.delete_link(vxlan.name)
        with _step(f"make link {vxlan.name}"):
            self._ip.link(
                "add",
                ifname=vxlan.name,
                kind="vxlan",
                vxlan_id=VXLAN_NETWORK_ID,
                vxlan_port=VXLAN_PORT,
                vxlan_local=vxlan.local,
                vxlan_learning=0,
                address=vxlan.mac,
                mtu=vxlan.mtu_bytes,
            )
            index = socket.if_nametoindex(vxlan.name)
            self._ip.addr("replace", index=index, address=vxlan.address, prefixlen=32)
            self._ip.link("set", index=index, state="up")

    def peers(self, name: str) -> AbstractSet[Peer]:
        """See Kernel.peers."""
        with _step(f"list the peers of {name}"):
            if not _exists(name):
                return frozenset()
            index = socket.if_nametoindex(name)
            inner: dict[str, list[str]] = {}
            for entry in _dump(self._ip.get_neighbours, family=socket.AF_INET, ifindex=index):
                if entry["ifindex"] == index and entry["state"] & _PERMANENT:
                    inner.setdefault(entry.get_attr("NDA_LLADDR"), []).append(entry.get_attr("NDA_DST"))
            return frozenset(
                Peer(address, entry.get_attr("NDA_LLADDR"), entry.get_attr("NDA_DST"))
                for entry in _dump(self._ip.fdb, "dump", ifindex=index)
                if entry["ifindex"] == index and entry.get_attr("NDA_DST")
                for address in inner.get(entry.get_attr("NDA_LLADDR"), [""])
            )

    def set_peer(self, name: str, peer: Peer) -> None:
        """See Kernel.set_peer."""
        with _step(f"add {peer.outer} to {name}", ignore={errno.EEXIST}):
            index = socket.if_nametoindex(name)
            self._ip.fdb("append", ifindex=index, lladdr=peer.mac, dst=peer.outer)
            self._ip.neigh("replace", ifindex=index, dst=peer.inner, lladdr=peer.mac, state=_PERMANENT)

    def delete_peer(self, name: str, peer: Peer) -> None:
        """See Kernel.delete_peer."""
        if not _exists(name):
            return
        index = socket.if_nametoindex(name)
        with _step(f"remove {peer.outer} from {name}", ignore=_GONE):
            self._ip.fdb("del", ifindex=index, lladdr=peer.mac, dst=peer.outer)
        if peer.inner:
            with _step(f"remove {peer.inner} from {name}", ignore=_GONE):
                self._ip.neigh("del", ifindex=index, dst=peer.inner)

    # Addresses on lo

    def local_addresses(self) -> AbstractSet[str]:
        """See Kernel.local_addresses."""
        with _step("list addresses"):
            label = LOCAL_LABEL_PREFIX + self._prefix
            messages = _dump(self._ip.get_addr, family=socket.AF_INET, index=socket.if_nametoindex("lo"))
            return frozenset(each.get_attr("IFA_LOCAL") for each in messages if each.get_attr("IFA_LABEL") == label)

    def set_local_address(self, address: str) -> None:
        """See Kernel.set_local_address."""
        with _step(f"add address {address}"):
            # Scope host: the kernel must never choose it as a source towards others.
            self._ip.addr(
                "replace",
                index=socket.if_nametoindex("lo"),
                address=address,
                prefixlen=32,
                label=LOCAL_LABEL_PREFIX + self._prefix,
                scope=_SCOPE_HOST,
            )

    def delete_local_address(self, address: str) -> None:
        """See Kernel.delete_local_address."""
        with _step(f"delete address {address}", ignore=_GONE):
            self._ip.addr("del", index=socket.if_nametoindex("lo"), address=address, prefixlen=32)


@contextmanager
def _step(what: str, ignore: AbstractSet[int] = frozenset()) -> Iterator[None]:
    """Turn the kernel's refusals into NetworkFailure naming the step."""
    try:
        yield
    except NetlinkError as error:
        if error.code not in ignore:
            raise NetworkFailure(f"could not {what}: {os.strerror(error.code)}") from error
    except OSError as error:
        if error.errno not in ignore:
            raise NetworkFailure(f"could not {what}: {error}") from error


def _dump(request: Callable[..., Iterable[Any]], *arguments: Any, **filters: Any) -> list[Any]:
    """Return all messages of a listing; the kernel asks to start over when something changed in between."""
    for _ in range(_DUMP_TRIES - 1):
        try:
            return list(request(*arguments, **filters))
        except NetlinkDumpInterrupted:
            continue
    return list(request(*arguments, **filters))


def _exists(name: str) -> bool:
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


def _route_message(route: Route) -> dict[str, Any]:
    message: dict[str, Any] = {"dst": route.destination, "proto": ROUTE_PROTOCOL, "table": _MAIN_TABLE}
    if route.kind == "unreachable":
        return message | {"type": "unreachable"}
    message["oif"] = socket.if_nametoindex(route.link)
    if route.gateway:
        message["gateway"] = route.gateway
    else:
        message["scope"] = _SCOPE_HOST if route.link == "lo" else _SCOPE_LINK
    if route.source:
        message["prefsrc"] = route.source
    if route.onlink:
        message["flags"] = _ONLINK
    return message


def _set_up_pod(address: str) -> None:
    """Configure eth0 and lo. Runs inside the pod's namespace."""
    index = socket.if_nametoindex(POD_INTERFACE)
    with IPRoute() as ip:
        ip.addr("replace", index=index, address=address, prefixlen=32)
        ip.link("set", index=socket.if_nametoindex("lo"), state="up")
        ip.link("set", index=index, state="up")
        ip.route("replace", dst=f"{POD_GATEWAY}/32", oif=index, scope=_SCOPE_LINK)
        ip.neigh("replace", ifindex=index, dst=POD_GATEWAY, lladdr=POD_GATEWAY_MAC, state=_PERMANENT)
        ip.route("replace", dst="default", gateway=POD_GATEWAY, oif=index)


def _pod_set_up(address: str, host_index: int) -> bool:
    """Whether `_set_up_pod` did all its work on the peer of `host_index`. Runs inside the pod's namespace."""
    if not _exists(POD_INTERFACE):
        return False
    with IPRoute() as ip:
        link = _dump(ip.get_links, ifname=POD_INTERFACE)[0]
        addresses = {
            each.get_attr("IFA_LOCAL") for each in _dump(ip.get_addr, family=socket.AF_INET, index=link["index"])
        }
        gateways = {each.get_attr("RTA_GATEWAY") for each in _dump(ip.get_routes, family=socket.AF_INET, dst_len=0)}
    return link.get_attr("IFLA_LINK") == host_index and address in addresses and POD_GATEWAY in gateways


def read_sysctl(name: str) -> str | None:
    """See Kernel.read_sysctl. /proc/sys/net shows the namespace of the calling thread."""
    try:
        return Path("/proc/sys", name).read_text().strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NetworkFailure(f"could not read /proc/sys/{name}: {error.strerror}") from error


def write_sysctl(name: str, value: str) -> None:
    """See Kernel.write_sysctl."""
    try:
        Path("/proc/sys", name).write_text(value)
    except OSError as error:
        raise NetworkFailure(f"could not write /proc/sys/{name}: {error.strerror}") from error
