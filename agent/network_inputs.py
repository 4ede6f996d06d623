"""From Services, EndpointSlices and Nodes to what the node's network is made from: pure, and incremental.

Each Service is translated once per change of it or of its slices, so that one changed endpoint does not cost the
translation of ten thousand Services.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from api.core import Node, Service
from api.network import Endpoint as SliceEndpoint
from api.network import EndpointSlice
from api.wellknown import SERVICE_NAME_LABEL
from netplugin.protocol import DnsRecord, Endpoint, NetworkInputs, NodeRoute, ServicePort

MAC_ANNOTATION = "timonier.dev/vxlan-mac"
DEFAULT_AFFINITY_SECONDS = 10_800  # three hours, Kubernetes' default

_MAC = re.compile("[0-9a-f]{2}(:[0-9a-f]{2}){5}")

ServiceKey = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class Translated:
    """One Service as the network sees it; `ready` holds the addresses that new connections go to."""

    ports: tuple[ServicePort, ...]
    records: tuple[DnsRecord, ...]
    ready: frozenset[str]


def translate(service: Service, slices: Sequence[EndpointSlice], cluster_domain: str) -> Translated:
    """Translate one Service with the slices that name it."""
    spec = service.spec
    address = spec.cluster_ip or ""
    suffix = f"{service.metadata.name}.{service.metadata.namespace}.svc.{cluster_domain}"
    if spec.type == "ExternalName":
        return Translated((), (), frozenset())
    if address in {"", "None"}:
        return Translated((), _headless(suffix, slices), frozenset())
    ports = _ports(service, address, slices)
    ready = frozenset(end.address for port in ports for end in port.endpoints if end.ready and not end.terminating)
    return Translated(ports, (DnsRecord(suffix, (address,)),), ready)


def node_route(node: Node) -> NodeRoute | None:
    """Where a node's pods are; None while no IPv4 address of it is known.

    Each node says its address and MAC itself: what makes no sense must not cost the other nodes their network.
    """
    addresses = (each.address for each in node.status.addresses if each.type == "InternalIP")
    address = next(filter(_reachable, addresses), "")
    if not address:
        return None
    mac = node.metadata.annotations.get(MAC_ANNOTATION, "")
    return NodeRoute(node.metadata.name, address, node.spec.pod_cidr or "", mac if _MAC.fullmatch(mac) else "")


def _reachable(text: str) -> bool:
    """Whether it is an IPv4 address that another machine may have."""
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return not (address.is_unspecified or address.is_loopback or address.is_multicast or address.is_reserved)


class NetworkBuilder:
    """Holds the objects and their translations; `build` joins them."""

    def __init__(self, cluster_domain: str) -> None:
        self._domain = cluster_domain
        self._services: dict[ServiceKey, Service] = {}
        self._slices: dict[ServiceKey, dict[str, EndpointSlice]] = {}
        self._slice_owner: dict[ServiceKey, ServiceKey] = {}
        self._nodes: dict[str, NodeRoute] = {}
        self._translated: dict[ServiceKey, Translated] = {}
        self._stale: set[ServiceKey] = set()
        self._ready: Counter[str] = Counter()

    def put_service(self, key: ServiceKey, service: Service | None) -> None:
        """Set or (None) remove a Service."""
        if service is None:
            self._services.pop(key, None)
        else:
            self._services[key] = service
        self._stale.add(key)

    def put_slice(self, key: ServiceKey, endpoint_slice: EndpointSlice | None) -> None:
        """Set or (None) remove an EndpointSlice."""
        before = self._slice_owner.pop(key, None)
        if before is not None:
            self._slices[before].pop(key[1], None)
            self._stale.add(before)
        name = endpoint_slice.metadata.labels.get(SERVICE_NAME_LABEL) if endpoint_slice is not None else None
        if endpoint_slice is None or not name or endpoint_slice.address_type not in {"", "IPv4"}:
            return
        owner = (key[0], name)
        self._slice_owner[key] = owner
        self._slices.setdefault(owner, {})[key[1]] = endpoint_slice
        self._stale.add(owner)

    def put_node(self, name: str, node: Node | None) -> None:
        """Set or (None) remove a Node."""
        route = node_route(node) if node is not None else None
        if route is None:
            self._nodes.pop(name, None)
        else:
            self._nodes[name] = route

    def build(self, revision: int) -> NetworkInputs:
        """Everything as of now, in a stable order."""
        self._translate_stale()
        keys = sorted(self._translated)
        return NetworkInputs(
            revision,
            tuple(self._nodes[name] for name in sorted(self._nodes)),
            tuple(port for key in keys for port in self._translated[key].ports),
            tuple(record for key in keys for record in self._translated[key].records),
        )

    def serves(self, address: str) -> bool:
        """Whether some Service sends new connections to a pod's address."""
        self._translate_stale()
        return self._ready[address] > 0

    def _translate_stale(self) -> None:
        for key in self._stale:
            before = self._translated.pop(key, None)
            if before is not None:
                self._ready.subtract(before.ready)
            service = self._services.get(key)
            if service is not None:
                slices = self._slices.get(key, {})
                found = translate(service, [slices[name] for name in sorted(slices)], self._domain)
                self._translated[key] = found
                self._ready.update(found.ready)
        self._stale.clear()
        self._ready = +self._ready


def _ports(service: Service, address: str, slices: Sequence[EndpointSlice]) -> tuple[ServicePort, ...]:
    spec, meta = service.spec, service.metadata
    affinity = 0
    if spec.session_affinity == "ClientIP":
        config = spec.session_affinity_config
        seconds = config.client_ip.timeout_seconds if config is not None and config.client_ip is not None else None
        affinity = DEFAULT_AFFINITY_SECONDS if seconds is None else seconds
    ports = []
    for port in spec.ports:
        protocol = (port.protocol or "TCP").lower()
        if protocol in {"tcp", "udp"}:
            ends = _endpoints(port.name or "", protocol, slices)
            name = port.name or ""
            ports.append(
                ServicePort(meta.namespace, meta.name, name, address, protocol, port.port, ends, affinity),
            )
    return tuple(ports)


def _endpoints(port_name: str, protocol: str, slices: Sequence[EndpointSlice]) -> tuple[Endpoint, ...]:
    """The endpoints of one port, each once; a slice's port of the same name says the number."""
    found: dict[tuple[str, int], Endpoint] = {}
    for each in slices:
        numbers = [
            port.port
            for port in each.ports
            if (port.name or "") == port_name and (port.protocol or "TCP").lower() == protocol and port.port
        ]
        for number in numbers:
            for end in each.endpoints:
                ready, serving, terminating = _state(end)
                for address in end.addresses[:1]:
                    found[address, number] = Endpoint(address, number, ready, serving, terminating, end.node_name or "")
    return tuple(found[key] for key in sorted(found))


def _state(end: SliceEndpoint) -> tuple[bool, bool, bool]:
    """Ready, serving, terminating; what is absent counts as ready, and serving as ready does."""
    conditions = end.conditions
    if conditions is None:
        return True, True, False
    terminating = bool(conditions.terminating)
    ready = conditions.ready if conditions.ready is not None else not terminating
    serving = conditions.serving if conditions.serving is not None else ready
    return ready, serving, terminating


def _headless(suffix: str, slices: Sequence[EndpointSlice]) -> tuple[DnsRecord, ...]:
    """The name of the Service for all ready pods, and one name per pod that has a host name."""
    everyone: dict[str, None] = {}
    named: dict[str, dict[str, None]] = {}
    for each in slices:
        for end in each.endpoints:
            if _state(end)[0]:
                everyone |= dict.fromkeys(end.addresses)
                if end.hostname:
                    named.setdefault(end.hostname, {}).update(dict.fromkeys(end.addresses))
    records = [DnsRecord(suffix, tuple(sorted(everyone)))] if everyone else []
    records += [DnsRecord(f"{name}.{suffix}", tuple(sorted(named[name]))) for name in sorted(named)]
    return tuple(records)
