"""The cluster's zone: its names and their packed answers. Pure: inputs and queries in, responses out.

Answers are packed when the inputs change, so that a query costs a dictionary look-up and a concatenation. Names
follow the Kubernetes DNS specification 1.1.0: A of services, SRV of their named ports, PTR of their addresses.
Negative answers carry the SOA record (RFC 2308).
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from netplugin import dns
from netplugin.protocol import DnsRecord, ServicePort

_SCHEMA_VERSION = b"1.1.0"

Answers = Mapping[int, tuple[int, bytes]]
"""Packed records of one name by type: how many, and their bytes."""

PortKey = tuple[str, str, str, str, int]


class Zone:
    """The names of one revision; immutable."""

    def __init__(
        self, domain: bytes, ranges: Sequence[ipaddress.IPv4Network], names: Mapping[bytes, Answers] | None, soa: bytes
    ) -> None:
        """`names` None: they are not known yet, and every name of ours is a server failure, which nobody remembers.

        Names of addresses in `ranges` are ours as well. `soa` is the packed record of authority.
        """
        self._domain = domain
        self._ranges = ranges
        self._ready = names is not None
        self._names = names or {}
        self._soa = soa
        self._parents = _parents(self._names)

    def owns(self, name: bytes) -> bool:
        """Whether a name in wire format is this zone's to answer."""
        if _within(name, self._domain):
            return True
        address = _reversed_address(name)
        return address is not None and any(address in network for network in self._ranges)

    def answer(self, query: dns.Query, *, udp: bool) -> bytes | None:
        """Return the response to a query, or None when somebody else must be asked."""
        if query.flags & dns.OPCODE:
            return dns.respond(query, dns.NOT_IMPLEMENTED)
        if query.klass != dns.IN:
            return dns.respond(query, dns.REFUSED)
        answers = self._names.get(query.name)
        if answers is None:
            return self._answer_unknown(query)
        count, packed = answers.get(dns.A if query.kind == dns.ANY else query.kind, (0, b""))
        if not count:
            return dns.respond(query, dns.NO_ERROR, authority=self._soa)
        response = dns.respond(query, dns.NO_ERROR, count, packed)
        if udp and len(response) > query.limit_bytes:
            return dns.respond(query, dns.NO_ERROR, truncated=True)
        return response

    def _answer_unknown(self, query: dns.Query) -> bytes | None:
        if not self.owns(query.name):
            return None
        if not self._ready:
            return dns.respond(query, dns.SERVER_FAILURE)
        code = dns.NO_ERROR if query.name in self._parents else dns.NO_SUCH_NAME
        return dns.respond(query, code, authority=self._soa)


class ZonePacker:
    """Makes one zone after the other and keeps what is packed, so that a change costs what it changes."""

    def __init__(self, domain: str, ranges: Sequence[str]) -> None:
        self._domain = dns.to_wire(domain)
        self._ranges = [ipaddress.IPv4Network(each) for each in ranges]
        self._records: dict[str, tuple[DnsRecord, bytes, Answers, bytes]] = {}
        self._ports: dict[PortKey, tuple[bytes, Answers]] = {}

    def empty(self) -> Zone:
        """Return the zone before the first inputs."""
        return Zone(self._domain, self._ranges, None, b"")

    def pack(self, records: Iterable[DnsRecord], services: Iterable[ServicePort], revision: int) -> Zone:
        """Return the zone with exactly these names; what is not a domain name is left out."""
        names = self._own_names(revision)
        self._pack_ports(services, names)
        self._pack_records(records, names)
        soa = dns.record(self._domain, dns.SOA, self._soa(revision))
        return Zone(self._domain, self._ranges, names, soa)

    def _pack_records(self, records: Iterable[DnsRecord], names: dict[bytes, Answers]) -> None:
        before, self._records = self._records, {}
        for record in records:
            packed = before.get(record.name)
            if packed is None or packed[0] != record:
                try:
                    packed = _pack(record)
                except ValueError:
                    continue
            self._records[record.name] = packed
            _, name, answers, reverse = packed
            names[name] = answers
            if reverse:
                names.setdefault(reverse, {dns.PTR: (1, dns.record(dns.QUESTION_NAME, dns.PTR, name))})

    def _pack_ports(self, services: Iterable[ServicePort], names: dict[bytes, Answers]) -> None:
        before, self._ports = self._ports, {}
        for each in services:
            if not each.port_name:
                continue
            key = (each.port_name, each.protocol, each.service, each.namespace, each.port)
            packed = before.get(key)
            if packed is None:
                try:
                    packed = self._pack_port(each)
                except ValueError:
                    continue
            self._ports[key] = packed
            names[packed[0]] = packed[1]

    def _pack_port(self, port: ServicePort) -> tuple[bytes, Answers]:
        target = dns.to_wire(f"{port.service}.{port.namespace}.svc")[:-1] + self._domain
        name = dns.to_wire(f"_{port.port_name}._{port.protocol}")[:-1] + target
        value = struct.pack("!HHH", 0, 100, port.port) + target
        return name, {dns.SRV: (1, dns.record(dns.QUESTION_NAME, dns.SRV, value))}

    def _own_names(self, revision: int) -> dict[bytes, Answers]:
        server = dns.to_wire("ns.dns")[:-1] + self._domain
        version = bytes([len(_SCHEMA_VERSION)]) + _SCHEMA_VERSION
        return {
            self._domain: {
                dns.SOA: (1, dns.record(dns.QUESTION_NAME, dns.SOA, self._soa(revision))),
                dns.NS: (1, dns.record(dns.QUESTION_NAME, dns.NS, server)),
            },
            dns.to_wire("dns-version")[:-1] + self._domain: {
                dns.TXT: (1, dns.record(dns.QUESTION_NAME, dns.TXT, version))
            },
        }

    def _soa(self, revision: int) -> bytes:
        names = dns.to_wire("ns.dns")[:-1] + self._domain + dns.to_wire("hostmaster")[:-1] + self._domain
        return names + struct.pack("!5I", revision & 0xFFFFFFFF, 7200, 1800, 86400, dns.TTL_SECONDS)


def _pack(record: DnsRecord) -> tuple[DnsRecord, bytes, Answers, bytes]:
    """Return a record with its name, its answers, and the reverse name of its address if it has just one."""
    name = dns.to_wire(record.name)
    addresses = [ipaddress.IPv4Address(each) for each in record.addresses if ":" not in each]
    packed = b"".join(dns.record(dns.QUESTION_NAME, dns.A, each.packed) for each in addresses)
    reverse = dns.to_wire(addresses[0].reverse_pointer) if len(addresses) == 1 else b""
    return record, name, {dns.A: (len(addresses), packed)}, reverse


def _parents(names: Iterable[bytes]) -> AbstractSet[bytes]:
    """Return the names above `names`: a name exists if one below it does (RFC 8020)."""
    parents: set[bytes] = set()
    for name in names:
        parent = name[1 + name[0] :] if name[0] else name
        # Most share their parents: what is above a known one is known.
        while parent[0] and parent not in parents:
            parents.add(parent)
            parent = parent[1 + parent[0] :]
    return parents


def _within(name: bytes, domain: bytes) -> bool:
    """Whether `name` is `domain` or below it; both in wire format, where a label may hold any bytes."""
    if not name.endswith(domain):
        return False
    offset, start = 0, len(name) - len(domain)
    while offset < start:
        offset += 1 + name[offset]
    return offset == start


def _reversed_address(name: bytes) -> ipaddress.IPv4Address | None:
    """Return the address of a full in-addr.arpa name."""
    suffix = b"\x07in-addr\x04arpa\0"
    if not name.endswith(suffix):
        return None
    try:
        labels = dns.to_text(name).split(".")[:4]
        return ipaddress.IPv4Address(".".join(reversed(labels)))
    except ValueError:
        return None
