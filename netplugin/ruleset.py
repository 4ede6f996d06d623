"""Our nftables table as text. Pure: what we want to stand in the kernel, as a whole or as the step between two states.

One table, and after its first transaction elements only (measured at 10,000 services of 3 endpoints: 0.7 s for all,
0.2 ms to add one; a chain per endpoint takes 19.5 s and 340 ms):

- `services`   VIP . protocol . port -> the chain for its number of endpoints
- `tcp_endpoints`, `udp_endpoints`  VIP . port . slot -> endpoint . port; the slot is a random number drawn inside the
  key, so no packet mark is needed. One map a protocol because the type of such a key can only be given by example
  (`typeof`), and libnftables 1.0.6 takes the example's protocol for a condition in the first rule of a transaction
- `sticky`, `affinity`  services with session affinity, and which endpoint each of their clients has

A lookup can miss while a transaction commits: the old count with the new slots. So each one stands twice, and then
once with slot 0, which every VIP has. A prototype lost 20 of 984 connections without; where the first lookup hits, the
others cost nothing.

The guard chains refuse what no VIP answers: such a packet would circle on `lo` and leave a conntrack entry behind
that blocks the client. This module must not know of sockets, files or the order in which things are applied.
"""

from __future__ import annotations

import functools
import hashlib
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from netplugin.protocol import NetworkConfig
from netplugin.vips import PROTOCOLS, Backend, Vip, VipKey

TABLE = "timonier"
AFFINITY_ENTRIES = 65536  # clients remembered per node; beyond it new ones get no affinity
_KEY = "ip daddr . meta l4proto . th dport"


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything variable in the table.

    `local` are endpoint addresses on this node (a pod may reach itself through a VIP), `direct` the nodes that see
    pod addresses as they are, `own_range` this node's pod range or empty, `chains` those made for counts and times.
    """

    vips: Mapping[VipKey, Vip] = field(default_factory=dict)
    local: frozenset[str] = frozenset()
    direct: frozenset[str] = frozenset()
    own_range: str = ""
    chains: frozenset[str] = frozenset()


def build(
    vips: Mapping[VipKey, Vip],
    *,
    own_range: str,
    direct: Iterable[str],
    before: Rules | None = None,
) -> Rules:
    """Return the rules for `vips`. Chains of `before` stay: they are empty shells nobody jumps to."""
    shapes = {(key.protocol, len(vip.slots), vip.affinity_seconds): (key, vip) for key, vip in vips.items()}
    chains = {name for key, vip in shapes.values() for name in _chains_of(key, vip)}
    return Rules(
        vips=vips,
        local=frozenset(_addresses_in(own_range, vips.values())),
        direct=frozenset(direct),
        own_range=own_range,
        chains=frozenset(chains | (before.chains if before else frozenset())),
    )


def full_text(config: NetworkConfig, vxlan: str, rules: Rules) -> str:
    """Return one transaction that replaces our table, whatever it held, by `rules`."""
    return (
        f"add table ip {TABLE}\ndelete table ip {TABLE}\n{_static_text(config, vxlan)}"
        f"add chain ip {TABLE} {version(config, vxlan)}\n" + change_text(Rules(), rules)
    )


def version(config: NetworkConfig, vxlan: str) -> str:
    """Return the name of the empty chain that tells which fixed part a table has."""
    return "version-" + hashlib.sha256(_static_text(config, vxlan).encode()).hexdigest()[:12]


def change_text(old: Rules, new: Rules) -> str:
    """Return one transaction from `old` to `new`; empty when they are equal."""
    parts = [_chain_text(name) for name in sorted(new.chains - old.chains)]
    removed: dict[str, list[str]] = {}
    added: dict[str, list[str]] = {}
    for key in _changed(old.vips, new.vips):
        _compare(_vip_elements(key, old.vips.get(key)), _vip_elements(key, new.vips.get(key)), removed, added)
    _compare(_set_elements(old), _set_elements(new), removed, added)
    parts += [f"delete element ip {TABLE} {name} {{ {', '.join(keys)} }}\n" for name, keys in removed.items()]
    parts += [f"add element ip {TABLE} {name} {{ {', '.join(items)} }}\n" for name, items in added.items()]
    return "".join(parts)


def forget_text(clients: Iterable[tuple[str, VipKey]]) -> str:
    """Return the transaction that makes `clients` (address, VIP) forget their endpoints."""
    return "".join(f"delete element ip {TABLE} affinity {{ {client} . {_vip_text(key)} }}\n" for client, key in clients)


def stale_clients(
    remembered: Mapping[tuple[str, VipKey], Backend], vips: Mapping[VipKey, Vip]
) -> list[tuple[str, VipKey]]:
    """Return who remembers an endpoint that its VIP does not have (any more), or a VIP without affinity."""
    stale = []
    for (client, key), backend in remembered.items():
        vip = vips.get(key)
        if vip is None or not vip.affinity_seconds or backend not in vip.slots:
            stale.append((client, key))
    return sorted(stale)


def lost_backends(old: Rules, new: Rules) -> dict[VipKey, frozenset[Backend]]:
    """Return per VIP the backends of `old` that `new` does not use, where there are any."""
    lost = {}
    for key in _changed(old.vips, new.vips):
        before, after = old.vips.get(key), new.vips.get(key)
        gone = frozenset(before.slots if before else ()) - frozenset(after.slots if after else ())
        if gone:
            lost[key] = gone
    return lost


def _static_text(config: NetworkConfig, vxlan: str) -> str:
    pods, services = config.pod_range, config.service_range
    remember = "".join(
        f"    meta l4proto {protocol} ct status dnat ct original ip daddr . meta l4proto . ct original proto-dst"
        " vmap @sticky\n"
        for protocol in PROTOCOLS
    )
    endpoints = "".join(
        f"  map {p}_endpoints {{ typeof ip daddr . {p} dport . numgen random mod 2 : ip daddr . {p} dport; }}\n"
        for p in PROTOCOLS
    )
    return f"""table ip {TABLE} {{
  map services {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
{endpoints}  map sticky {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
  map affinity {{ type ipv4_addr . ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
    flags dynamic, timeout; timeout 3h; size {AFFINITY_ENTRIES}; }}
  set local {{ type ipv4_addr . ipv4_addr; }}
  set direct {{ type ipv4_addr; }}
  set own_range {{ type ipv4_addr; flags interval; }}
  chain translate {{
    {_KEY} vmap @services
    {_KEY} vmap @services
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept
    ip daddr {services} jump translate
  }}
  chain output {{
    type nat hook output priority -100; policy accept
    ip daddr {services} jump translate
  }}
  chain refuse {{
    ip protocol tcp reject with tcp reset
    reject with icmp type port-unreachable
  }}
  chain guard_forward {{
    type filter hook forward priority -10; policy accept
    ip daddr {services} ct status & dnat != dnat jump refuse
  }}
  chain guard_output {{
    type filter hook output priority -10; policy accept
    ip daddr {services} ct status & dnat != dnat jump refuse
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept
{remember}    ip saddr . ip daddr @local snat to {config.node_ip}
    oifname "{vxlan}" ip saddr != {pods} masquerade
    ct original ip daddr {services} ip saddr != {pods} ip daddr != @own_range fib saddr type != local masquerade
    ip saddr {pods} ip daddr != {pods} ip daddr != @direct ip daddr != 224.0.0.0/4 masquerade fully-random
  }}
}}
"""


def _chains_of(key: VipKey, vip: Vip) -> list[str]:
    pick = f"pick-{key.protocol}-{len(vip.slots)}"
    return [pick, _entry(key, vip), _remember(key, vip)] if vip.affinity_seconds else [pick]


def _entry(key: VipKey, vip: Vip) -> str:
    return f"{'sticky' if vip.affinity_seconds else 'pick'}-{key.protocol}-{len(vip.slots)}"


def _remember(key: VipKey, vip: Vip) -> str:
    return f"remember-{key.protocol}-{vip.affinity_seconds}"


def _chain_text(name: str) -> str:
    """Return the chain called `name`; its name says all there is to know about it."""
    kind, protocol, number = name.split("-")
    if kind == "pick":
        key = f"ip daddr . {protocol} dport"
        pick = f"dnat ip to {key} . numgen random mod {number} map @{protocol}_endpoints"
        rules = [pick, pick, f"dnat ip to {key} . numgen inc mod 1 map @{protocol}_endpoints"]
    elif kind == "sticky":
        again = f"dnat ip to ip saddr . {_KEY} map @affinity"
        rules = [again, again, f"jump pick-{protocol}-{number}"]
    else:
        # Filled behind the translation, where the packet shows which endpoint was picked: nftables 1.0 cannot store
        # the pick itself, except in a mark.
        client = "ip saddr . ct original ip daddr . meta l4proto . ct original proto-dst"
        update = f"update @affinity {{ {client} timeout {number}s : ip daddr . {protocol} dport }}"
        rules = [f"meta l4proto {protocol} {update}"]
    return f"add chain ip {TABLE} {name}\n" + "".join(f"add rule ip {TABLE} {name} {rule}\n" for rule in rules)


def _vip_text(key: VipKey) -> str:
    return f"{key.address} . {key.protocol} . {key.port}"


def _vip_elements(key: VipKey, vip: Vip | None) -> dict[tuple[str, str], str]:
    """Return the elements of one VIP: (map, key) -> value."""
    if vip is None:
        return {}
    text = _vip_text(key)
    elements = {("services", text): f" : jump {_entry(key, vip)}"}
    for slot, backend in enumerate(vip.slots):
        place = f"{key.address} . {key.port} . {slot}"
        elements[f"{key.protocol}_endpoints", place] = f" : {backend.address} . {backend.port}"
    if vip.affinity_seconds:
        elements["sticky", text] = f" : jump {_remember(key, vip)}"
    return elements


def _set_elements(rules: Rules) -> dict[tuple[str, str], str]:
    elements = {("local", f"{address} . {address}"): "" for address in sorted(rules.local)}
    elements |= {("direct", address): "" for address in sorted(rules.direct)}
    if rules.own_range:
        elements["own_range", rules.own_range] = ""
    return elements


def _compare(
    old: Mapping[tuple[str, str], str],
    new: Mapping[tuple[str, str], str],
    removed: dict[str, list[str]],
    added: dict[str, list[str]],
) -> None:
    """Sort the difference of two sets of elements into `removed` and `added`, by the map they are in."""
    for (name, key), value in old.items():
        if new.get((name, key)) != value:
            removed.setdefault(name, []).append(key)
    for (name, key), value in new.items():
        if old.get((name, key)) != value:
            added.setdefault(name, []).append(key + value)


def _changed(old: Mapping[VipKey, Vip], new: Mapping[VipKey, Vip]) -> list[VipKey]:
    keys = [key for key, vip in new.items() if (before := old.get(key)) is not vip and before != vip]
    return sorted(keys + [key for key in old if key not in new])


def _addresses_in(own_range: str, vips: Iterable[Vip]) -> set[str]:
    if not own_range:
        return set()
    network = ipaddress.IPv4Network(own_range)
    first, last = int(network.network_address), int(network.broadcast_address)
    addresses = {backend.address for vip in vips for backend in vip.slots}
    return {text for text in addresses if first <= _number(text) <= last}


@functools.lru_cache(maxsize=1 << 16)
def _number(address: str) -> int:
    """Return an address as a number; remembered, as a sync meets the same ones again."""
    return int(ipaddress.IPv4Address(address))
