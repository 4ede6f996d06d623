"""Foreign firewalls that drop our traffic. Pure: rule listings in, problems with their remedies out.

Every base chain of a hook has its say: an accept in our table does not help against a drop in another one. We never
touch tables that are not ours, so all we can do is to say which chain is in the way and what its owner can do.
Only what drops pods' traffic whatever it is counts; finer rules are somebody's intention.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from netplugin.protocol import NetworkConfig
from netplugin.routes import VXLAN_PORT
from netplugin.ruleset import TABLE

_FAMILIES = ("ip", "inet")
_HOOKS = ("forward", "input")
_PASSIVE = {"counter", "comment", "log", "xt"}  # statements that decide nothing; xt: a comment match of iptables
_DEPTH = 16  # nftables' own limit of jumps


@dataclass(slots=True)
class _Opened:
    """Which side of pod traffic has been accepted on the way through a chain."""

    source: bool = False
    destination: bool = False


@dataclass(frozen=True, slots=True)
class _Table:
    family: str
    name: str
    chains: Mapping[str, dict[str, Any]]
    rules: Mapping[str, list[list[Any]]] = field(default_factory=dict)


def tables_to_read(chain_listing: str | None) -> list[str]:
    """Return the list commands for foreign tables with a chain on the way of our traffic, from "list chains"."""
    found = {
        (chain["family"], chain["table"])
        for chain in _objects(chain_listing, "chain")
        if chain.get("hook") in _HOOKS and chain["family"] in _FAMILIES and chain["table"] != TABLE
    }
    return [f"list table {family} {name}" for family, name in sorted(found)]


def problems(listings: Iterable[str | None], legacy: str | None, config: NetworkConfig) -> list[str]:
    """Return what drops our traffic, one line each, from the tables' JSON and the old iptables' own listing."""
    found = []
    for listing in listings:
        for table in _tables(listing):
            for name, chain in sorted(table.chains.items()):
                hook = chain.get("hook")
                if hook in _HOOKS and _blocked(table, name, hook, config):
                    found.append(_describe(table, name, hook, config))
    return found + _legacy_problems(legacy or "", config)


def _blocked(table: _Table, name: str, hook: str, config: NetworkConfig) -> bool:
    opened = _Opened()
    verdict = _walk(table, name, opened, config, 0) or str(table.chains[name].get("policy", "accept"))
    if verdict == "accept":
        return False
    return not (opened.source and (opened.destination or hook == "input"))


def _walk(table: _Table, name: str, opened: _Opened, config: NetworkConfig, depth: int) -> str | None:
    """Follow what happens to a packet no condition fits; return "drop", "accept", or None at the chain's end."""
    for expression in table.rules.get(name, []) if depth < _DEPTH else []:
        conditions = [each for each in expression if isinstance(each, dict) and "match" in each]
        verdict, target = _verdict(expression)
        if verdict == "accept" and conditions:
            _note(conditions, opened, config)
        if conditions or verdict is None or _conditional(expression):
            continue
        if verdict in {"jump", "goto"}:
            inner = _walk(table, target, opened, config, depth + 1)
            if inner is not None or verdict == "goto":
                return inner
        elif verdict == "return":
            return None
        else:
            return verdict
    return None


def _verdict(expression: Sequence[Any]) -> tuple[str | None, str]:
    for each in expression:
        if not isinstance(each, dict):
            continue
        for word in ("accept", "drop", "reject", "return"):
            if word in each:
                return "drop" if word == "reject" else word, ""
        for word in ("jump", "goto"):
            if word in each:
                return word, str(each[word]["target"])
    return None, ""


def _conditional(expression: Sequence[Any]) -> bool:
    """Whether a rule has statements that may stop it, beside matches: limits, look-ups, what is not understood."""
    words = {word for each in expression if isinstance(each, dict) for word in each}
    return bool(words - _PASSIVE - {"match", "accept", "drop", "reject", "return", "jump", "goto"})


def _note(conditions: Sequence[dict[str, Any]], opened: _Opened, config: NetworkConfig) -> None:
    """Note what an accept with one condition opens; with more it is not for all pod traffic."""
    if len(conditions) != 1 or conditions[0]["match"].get("op") not in {"==", "in"}:
        return
    match = conditions[0]["match"]
    left, right = match["left"], match["right"]
    subject = (left.get("payload") or left.get("meta") or {}) if isinstance(left, dict) else {}
    if subject.get("protocol") == "ip" and _covers(right, config.pod_range):
        opened.source |= subject.get("field") == "saddr"
        opened.destination |= subject.get("field") == "daddr"
    if right == f"{config.link_prefix}*":
        opened.source |= subject.get("key") == "iifname"
        opened.destination |= subject.get("key") == "oifname"


def _covers(right: Any, pod_range: str) -> bool:
    candidates = right["set"] if isinstance(right, dict) and "set" in right else [right]
    for each in candidates:
        prefix = each.get("prefix") if isinstance(each, dict) else None
        if prefix is None:
            continue
        try:
            network = ipaddress.IPv4Network(f"{prefix['addr']}/{prefix['len']}")
        except ValueError:
            continue
        if ipaddress.IPv4Network(pod_range).subnet_of(network):
            return True
    return False


def _describe(table: _Table, name: str, hook: str, config: NetworkConfig) -> str:
    pods = config.pod_range
    what = f"chain {name} of nftables table {table.family} {table.name} drops "
    what += "traffic to and from pods" if hook == "forward" else "what pods and other nodes send to this node"
    return f"{what}: {_remedy(table, name, hook, pods)}"


def _remedy(table: _Table, name: str, hook: str, pods: str) -> str:
    forward = hook == "forward"
    if table.name == "firewalld":
        return f"run firewall-cmd --permanent --zone=trusted --add-source={pods} && firewall-cmd --reload"
    if any(each.startswith("ufw-") for each in table.chains):
        if forward:
            return f"run ufw route allow from {pods} && ufw route allow to {pods}"
        return f"run ufw allow from {pods} && ufw allow {VXLAN_PORT}/udp"
    if table.name == "filter" and name in {"FORWARD", "INPUT"}:
        chain = "DOCKER-USER" if forward and "DOCKER-USER" in table.chains else name
        second = f"-d {pods}" if forward else f"-p udp --dport {VXLAN_PORT}"
        return f"run iptables -I {chain} -s {pods} -j ACCEPT && iptables -I {chain} {second} -j ACCEPT"
    rule = f"nft insert rule {table.family} {table.name} {name}"
    second = f"ip daddr {pods}" if forward else f"udp dport {VXLAN_PORT}"
    return f"run {rule} ip saddr {pods} accept && {rule} {second} accept"


def _legacy_problems(legacy: str, config: NetworkConfig) -> list[str]:
    """Read what iptables-legacy-save prints: rules of the old kind do not show up in nftables."""
    lines = legacy.splitlines()
    found = []
    for chain in ("FORWARD", "INPUT"):
        if not any(line.startswith(f":{chain} DROP") for line in lines):
            continue
        sources = any(f"-s {config.pod_range} -j ACCEPT" in line for line in lines)
        destinations = chain == "INPUT" or any(f"-d {config.pod_range} -j ACCEPT" in line for line in lines)
        if not (sources and destinations):
            table = _Table("ip", "filter", {"DOCKER-USER": {}} if ":DOCKER-USER " in legacy else {})
            remedy = _remedy(table, chain, chain.lower(), config.pod_range).replace("iptables ", "iptables-legacy ")
            found.append(f"chain {chain} of the old iptables drops what is not accepted, pods' traffic too: {remedy}")
    return found


def _tables(listing: str | None) -> list[_Table]:
    tables = []
    for each in _objects(listing, "table"):
        place = (each["family"], each["name"])
        chains = {
            chain["name"]: chain for chain in _objects(listing, "chain") if (chain["family"], chain["table"]) == place
        }
        rules: dict[str, list[list[Any]]] = {}
        for rule in _objects(listing, "rule"):
            if (rule["family"], rule["table"]) == place:
                rules.setdefault(rule["chain"], []).append(rule.get("expr", []))
        tables.append(_Table(*place, chains, rules))
    return tables


def _objects(listing: str | None, kind: str) -> list[dict[str, Any]]:
    if not listing:
        return []
    return [each[kind] for each in json.loads(listing)["nftables"] if kind in each]
