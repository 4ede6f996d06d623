"""A node's kernel in memory: links, routes, sysctls, and as much of nftables as our own table uses.

It refuses what the kernel refuses (a missing element, a jump to nowhere) and keeps a log of calls, so that tests can
ask in which order things were done.
"""

from __future__ import annotations

import copy
import json
import re
import socket
from typing import Any

from netplugin.kernel.protocol import Connections, PodLink
from netplugin.protocol import NetworkFailure
from netplugin.routes import Peer, Route, Underlay, Vxlan

_COMMAND = re.compile(
    r"(?P<verb>add|delete) element ip (?P<table>\S+) (?P<set>\S+) \{ (?P<elements>[^}]*) \}\n"
    r"|(?P<whole>add|delete) table ip (?P<name>\S+)\n"
    r"|add chain ip (?P<chain_table>\S+) (?P<chain>\S+)\n"
    r"|add rule ip (?P<rule_table>\S+) (?P<rule_chain>\S+) (?P<rule>.*?)\n"
    r"|table ip (?P<block>\S+) \{(?P<body>.*?)\n\}\n",
    re.DOTALL,
)
_DEFINITION = re.compile(r"^\s*(?P<kind>map|set|chain) (?P<name>\S+) \{(?P<rest>.*)$", re.MULTILINE)


class FakeNft:
    """Tables of sets and chains; one transaction at a time, all or nothing."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, Any]] = {}
        self.generation = 1
        self.transactions: list[str] = []

    def run(self, text: str) -> None:
        saved = copy.deepcopy(self.tables)
        try:
            position = 0
            while position < len(text):
                position = self._command(text, position)
        except NetworkFailure:
            self.tables = saved
            raise
        self.generation += 1
        self.transactions.append(text)

    def elements(self, table: str = "timonier") -> dict[str, dict[str, str]]:
        return self.tables[table]["sets"]

    def _command(self, text: str, position: int) -> int:
        """Do the command at a position and return the next one's."""
        match = _COMMAND.match(text, position)
        if match is None:
            raise NetworkFailure(f"syntax error: {text[position : position + 80]!r}")
        if match["whole"] == "add":
            self.tables.setdefault(match["name"], {"sets": {}, "chains": {}, "kinds": {}})
        elif match["whole"]:
            if self.tables.pop(match["name"], None) is None:
                raise NetworkFailure("No such file or directory")
        elif match["chain"]:
            self.tables[match["chain_table"]]["chains"].setdefault(match["chain"], "")
        elif match["rule"]:
            self.tables[match["rule_table"]]["chains"][match["rule_chain"]] += match["rule"] + "\n"
        elif match["block"]:
            self._block(match["block"], match["body"])
        else:
            self._change(match["verb"], match["table"], match["set"], match["elements"])
        return match.end()

    def _block(self, name: str, body: str) -> None:
        table = self.tables.setdefault(name, {"sets": {}, "chains": {}, "kinds": {}})
        for match in _DEFINITION.finditer(body):
            if match["kind"] == "chain":
                rules = body[match.end() :].partition("}")[0]
                table["chains"][match["name"]] = table["chains"].get(match["name"], "") + rules
            else:
                table["sets"].setdefault(match["name"], {})
                table["kinds"][match["name"]] = match["kind"]

    def _change(self, verb: str, table_name: str, set_name: str, elements: str) -> None:
        table = self.tables.get(table_name)
        if table is None or set_name not in table["sets"]:
            raise NetworkFailure("No such file or directory")
        members = table["sets"][set_name]
        for element in elements.split(", "):
            key, _, value = element.partition(" : ")
            if verb == "delete":
                if key not in members:
                    raise NetworkFailure(f"No such file or directory: {key}")
                del members[key]
                continue
            if members.get(key, value) != value:
                raise NetworkFailure(f"File exists: {key}")
            if value.startswith("jump ") and value[5:] not in table["chains"]:
                raise NetworkFailure(f"No such file or directory: {value}")
            members[key] = value

    def list(self, command: str) -> str | None:
        if command == "list chains":
            chains = [
                {"chain": {"family": "ip", "table": table, "name": name}}
                for table, content in self.tables.items()
                for name in content["chains"]
            ]
            return json.dumps({"nftables": [{"metainfo": {}}, *chains]})
        _, kind, _, table, name = command.split()
        if table not in self.tables or name not in self.tables[table]["sets"]:
            return None
        members = self.tables[table]["sets"][name]
        if kind == "map":
            elements: list[Any] = [[_key(key), _value(value)] for key, value in members.items()]
        else:
            elements = [_key(key) for key in members]
        return json.dumps({"nftables": [{kind: {"name": name, "elem": elements}}]})


class FakeKernel:
    """Implements Kernel. `calls` are (method, what) in order; `fail_next(method)` makes a method refuse once."""

    def __init__(self, node_ip: str = "192.0.2.1", network: str = "192.0.2.0/24") -> None:
        self.node_ip = node_ip
        self.network = network
        self.nft = FakeNft()
        self.links: dict[str, PodLink] = {}
        self.table: dict[str, Route] = {}
        self.device: Vxlan | None = None
        self.entries: set[Peer] = set()
        self.addresses: set[str] = set()
        self.sysctls = {"net/ipv4/ip_forward": "0"}
        self.forgotten: list[Connections] = []
        self.calls: list[tuple[str, str]] = []
        self.foreign: dict[str, str] = {}
        self._failures: list[str] = []

    def fail_next(self, method: str) -> None:
        self._failures.append(method)

    def underlay(self, node_ip: str) -> Underlay:
        if node_ip != self.node_ip:
            raise NetworkFailure(f"no link of this node has the address {node_ip}: check --node-ip")
        return Underlay("eth0", self.network, 1500)

    def pod_links(self) -> dict[str, str]:
        return {name: link.pod_uid for name, link in self.links.items()}

    def add_pod_link(self, link: PodLink) -> None:
        self._call("add_pod_link", link.name)
        assert link.name not in self.links, "the kernel says File exists"
        self.links[link.name] = link

    def pod_link_whole(self, link: PodLink) -> bool:
        return self.links.get(link.name) == link

    def delete_link(self, name: str) -> None:
        self._call("delete_link", name)
        self.links.pop(name, None)
        if self.device is not None and self.device.name == name:
            self.device = None
            self.entries.clear()
        self.table = {key: route for key, route in self.table.items() if route.link != name}

    def routes(self) -> frozenset[Route]:
        return frozenset(self.table.values())

    def set_route(self, route: Route) -> None:
        self._call("set_route", route.destination)
        assert route.link in {"", "lo", "eth0", self.device.name if self.device else "", *self.links}, route
        self.table[route.destination] = route

    def delete_route(self, route: Route) -> None:
        self._call("delete_route", route.destination)
        self.table.pop(route.destination, None)

    def vxlan(self, name: str) -> Vxlan | None:
        return self.device

    def set_vxlan(self, vxlan: Vxlan) -> None:
        if self.device != vxlan:
            self.delete_link(vxlan.name)
        self._call("set_vxlan", vxlan.name)
        self.device = vxlan

    def peers(self, name: str) -> frozenset[Peer]:
        return frozenset(self.entries)

    def set_peer(self, name: str, peer: Peer) -> None:
        self._call("set_peer", peer.outer)
        assert peer.mac not in {each.mac for each in self.entries}, "entries are not replaced"
        self.entries.add(peer)

    def delete_peer(self, name: str, peer: Peer) -> None:
        self._call("delete_peer", peer.outer)
        self.entries.discard(peer)

    def local_addresses(self) -> frozenset[str]:
        return frozenset(self.addresses)

    def set_local_address(self, address: str) -> None:
        self._call("set_local_address", address)
        self.addresses.add(address)

    def delete_local_address(self, address: str) -> None:
        self.addresses.discard(address)

    def read_sysctl(self, name: str) -> str | None:
        return self.sysctls.get(name)

    def write_sysctl(self, name: str, value: str) -> None:
        self._call("write_sysctl", name)
        self.sysctls[name] = value

    def run_nft(self, text: str) -> None:
        self._call("run_nft", text)
        self.nft.run(text)

    def list_nft(self, command: str) -> str | None:
        return self.foreign.get(command) or self.nft.list(command)

    def describe_nft(self, command: str) -> str | None:
        table = self.nft.tables.get(command.rsplit(maxsplit=1)[-1])
        return None if table is None else json.dumps([table["chains"], sorted(table["sets"])])

    def list_legacy(self) -> str | None:
        return None

    def nft_generation(self) -> int:
        return self.nft.generation

    def forget_connections(self, which: Connections) -> int:
        self.forgotten.append(which)
        return 1

    def open_events(self) -> tuple[socket.socket, socket.socket]:
        return socket.socketpair()

    def open_socket(self, kind: socket.SocketKind) -> socket.socket:
        return socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK)

    def close(self) -> None:
        self.calls.append(("close", ""))

    def _call(self, method: str, what: str) -> None:
        if method in self._failures:
            self._failures.remove(method)
            raise NetworkFailure(f"{method} was refused")
        self.calls.append((method, what))


def _key(text: str) -> Any:
    parts = [int(part) if part.isdigit() else part for part in text.split(" . ")]
    if len(parts) > 1:
        return {"concat": parts}
    address, _, length = text.partition("/")
    return {"prefix": {"addr": address, "len": int(length)}} if length else text


def _value(text: str) -> Any:
    return {"jump": {"target": text[5:]}} if text.startswith("jump ") else _key(text)
