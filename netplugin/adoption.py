"""Reading our nftables table back, so that a restarted agent goes on where the last one stopped. Pure: JSON in.

The slots and clients a table holds are taken over; whether its fixed part is the one we would write is told by the
name of its version chain.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from netplugin.ruleset import TABLE, Rules
from netplugin.vips import PROTOCOLS, Backend, Vip, VipKey

LISTS = {
    "services": f"list map ip {TABLE} services",
    "tcp_endpoints": f"list map ip {TABLE} tcp_endpoints",
    "udp_endpoints": f"list map ip {TABLE} udp_endpoints",
    "sticky": f"list map ip {TABLE} sticky",
    "local": f"list set ip {TABLE} local",
    "direct": f"list set ip {TABLE} direct",
    "own_range": f"list set ip {TABLE} own_range",
}
LIST_CHAINS = "list chains"
LIST_AFFINITY = f"list map ip {TABLE} affinity"
_MADE_KINDS = ("pick", "sticky", "remember")


@dataclass(frozen=True, slots=True)
class Found:
    """A table as it stands. `whole`: `rules` is all of it, and a step from there to other rules will work."""

    version: str
    rules: Rules
    whole: bool


def chains(listing: str) -> frozenset[str]:
    """Return the names of our table's chains from a listing of all chains."""
    return frozenset(
        chain["name"] for chain in _objects(listing, "chain") if chain["table"] == TABLE and chain["family"] == "ip"
    )


def read(chain_names: frozenset[str], listings: Mapping[str, str | None]) -> Found:
    """Return what the table holds, from the answers to LISTS (None: it has no such map)."""
    elements = {name: _elements(text) if text else [] for name, text in listings.items()}
    whole = all(listings.get(name) for name in LISTS)
    targets = {_key(key): str(verdict["jump"]["target"]) for key, verdict in elements["services"]}
    times = {_key(key): int(str(verdict["jump"]["target"]).rpartition("-")[2]) for key, verdict in elements["sticky"]}
    slots: dict[VipKey, dict[int, Backend]] = {}
    for protocol in PROTOCOLS:
        for place, value in elements[f"{protocol}_endpoints"]:
            address, port, slot = place["concat"]
            slots.setdefault(VipKey(address, protocol, port), {})[slot] = Backend(*value["concat"])
    vips = {}
    for key, places in slots.items():
        affinity_seconds = times.get(key, 0)
        kind = "sticky" if affinity_seconds else "pick"
        in_order = sorted(places) == list(range(len(places)))
        whole = whole and in_order and targets.get(key) == f"{kind}-{key.protocol}-{len(places)}"
        vips[key] = Vip(tuple(places[slot] for slot in sorted(places)), affinity_seconds)
    rules = Rules(
        vips=vips,
        local=frozenset(pair["concat"][0] for pair in elements["local"]),
        direct=frozenset(elements["direct"]),
        own_range=next((_range(each) for each in elements["own_range"]), ""),
        chains=frozenset(name for name in chain_names if name.partition("-")[0] in _MADE_KINDS),
    )
    version = next((name for name in chain_names if name.startswith("version-")), "")
    return Found(version, rules, whole and targets.keys() == vips.keys() and times.keys() <= vips.keys())


def read_affinity(listing: str | None) -> dict[tuple[str, VipKey], Backend]:
    """Return which client of which VIP remembers which endpoint, from the answer to LIST_AFFINITY."""
    remembered = {}
    for key, value in _elements(listing) if listing else []:
        client, address, protocol, port = (key["elem"]["val"] if "elem" in key else key)["concat"]
        remembered[client, VipKey(address, protocol, port)] = Backend(*value["concat"])
    return remembered


def _objects(listing: str, kind: str) -> list[dict[str, Any]]:
    return [each[kind] for each in json.loads(listing)["nftables"] if kind in each]


def _elements(listing: str) -> list[Any]:
    found: list[Any] = []
    for kind in ("map", "set"):
        for each in _objects(listing, kind):
            found += each.get("elem", [])
    return found


def _key(key: dict[str, Any]) -> VipKey:
    return VipKey(*key["concat"])


def _range(element: Any) -> str:
    prefix = element["prefix"] if isinstance(element, dict) else {"addr": element, "len": 32}
    return f"{prefix['addr']}/{prefix['len']}"
