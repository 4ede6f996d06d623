"""The node's network as one state that is moved towards its inputs. Runs in the kernel thread; knows no event loop.

It remembers what it put into the kernel, so that a sync costs what changed, and looks again when told that somebody
else touched something (`repair`) or when a step fails. Order: guard before routes, routes before VIPs, and on the way
out VIPs before routes, so that at no moment traffic goes where nobody answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import structlog

from component.env import Env
from netplugin import adoption, firewall, ipam, routes, ruleset, sysctl
from netplugin.kernel.protocol import Connections, Kernel, PodLink
from netplugin.protocol import NetworkConfig, NetworkFailure, NetworkInputs, NodeRoute, PodAttachment
from netplugin.ruleset import Rules
from netplugin.vips import Backend, VipKey, VipTable

log = structlog.get_logger()

_AFFINITY_PASSES = 3  # a connection under way may bring an entry back once


class Dataplane:
    """Everything of one node that is in the kernel. All methods are called from one thread, one at a time."""

    def __init__(self, config: NetworkConfig, env: Env, kernel: Kernel) -> None:
        routes.check(config)
        self._config = config
        self._env = env
        self._kernel = kernel
        self._vxlan_name = routes.vxlan_name(config)
        self._addresses = ipam.Addresses()
        self._addresses_path = Path(config.state_dir, "addresses.json")
        self._sysctls_path = Path(config.state_dir, "sysctls.json")
        self._vips = VipTable(config.service_range)
        self._rules = Rules()
        self._replace = True  # the table is not what `_rules` says: write it whole
        self._table_text: str | None = None  # the table without elements, as it stood after our last step
        self._generation = -1  # of nftables: up to here all changes were ours or have been looked at
        self._problems: list[str] = []
        self._nodes: tuple[NodeRoute, ...] = ()
        self._paths: routes.Paths | None = None
        self._underlay: routes.Underlay | None = None
        self._left: set[tuple[VipKey, Backend]] = set()

    def start(self) -> None:
        """Make what everything else stands on, and take over what is there. Traffic that flows goes on flowing."""
        Path(self._config.state_dir).mkdir(parents=True, exist_ok=True)
        Path(self._config.run_dir).mkdir(parents=True, exist_ok=True)
        sysctl.apply(self._kernel, self._sysctls_path)
        self._underlay = self._kernel.underlay(self._config.node_ip)
        self._load_addresses()
        self._adopt_table()
        self._problems = self._find_problems()
        self._kernel.set_route(routes.service_route(self._config))
        self._kernel.set_local_address(self._config.dns_address)

    def sync(self, inputs: NetworkInputs) -> None:
        """Make routes and VIPs equal `inputs`, in one nftables transaction."""
        paths = routes.plan(inputs.nodes, self._config, self._known_underlay())
        vips = self._vips.update(inputs.services)
        rules = ruleset.build(vips, own_range=paths.own_range, direct=paths.direct, before=self._rules)
        if paths != self._paths:
            self._add_paths(paths)
        self._apply(rules)
        if paths != self._paths:
            self._remove_paths(paths)
            self._paths = paths
        self._nodes = inputs.nodes

    def take_left(self) -> frozenset[tuple[VipKey, Backend]]:
        """Return the TCP endpoints that left a VIP since the last call."""
        left, self._left = frozenset(self._left), set()
        return left

    def forget_unanswered(self, left: Iterable[tuple[VipKey, Backend]]) -> None:
        """Let no connection wait any longer for an endpoint that left and has not answered it, unless it came back.

        A repeated SYN, or a new connection from the same port, then goes to another endpoint; it would go to the lost
        one for the two minutes that the kernel remembers. Mostly waiting for the kernel: for any thread, as `cut_off`.
        """
        vips = self._rules.vips
        gone: dict[VipKey, set[Backend]] = {}
        for key, backend in left:
            # Where nobody serves any more there is nobody else to send to: the guard refuses from now on.
            if key in vips and backend not in vips[key].slots:
                gone.setdefault(key, set()).add(backend)
        for key, backends in gone.items():  # reading the table is what takes time, so once per port
            destination = (key.address, key.port)
            self._kernel.forget_connections(
                Connections("tcp", "", destination, backends=frozenset(backends), unanswered=True)
            )

    def attach(self, pod_uid: str, netns_path: str) -> PodAttachment:
        """Give the pod its link and address; the same ones when repeated."""
        if self._paths is None or not self._paths.own_range:
            raise NetworkFailure(f"node {self._config.node_name} has no pod range yet: pods wait for it")
        address = self._addresses.allocate(pod_uid, netns_path, self._paths.own_range, self._env.now())
        ipam.save(self._addresses_path, self._addresses)
        mtu_bytes = routes.pod_mtu_bytes(self._config, self._known_underlay())
        link = PodLink(routes.pod_link_name(self._config, pod_uid), pod_uid, address, netns_path, mtu_bytes)
        if not self._kernel.pod_link_whole(link):
            self._kernel.delete_link(link.name)
            try:
                self._kernel.add_pod_link(link)
            except NetworkFailure:
                self._kernel.delete_link(link.name)
                raise
            sysctl.apply_to_link(self._kernel, link.name)
        self._kernel.set_route(routes.pod_route(address, link.name))
        return PodAttachment(pod_uid, netns_path, address)

    def cut_off(self, pod_uid: str) -> None:
        """Remove what `attach` made in the kernel, and the connections it still remembers for the address.

        Mostly waiting for the kernel, and so the one method for any thread of the namespace. `release` comes next.
        """
        self._kernel.delete_link(routes.pod_link_name(self._config, pod_uid))
        allocation = self._addresses.allocations.get(pod_uid)
        if allocation is not None:
            self._kernel.forget_connections(Connections(client=allocation.address))
            self._kernel.forget_connections(Connections(backend=(allocation.address, 0)))

    def release(self, pod_uid: str) -> None:
        """Give back the address of a pod that is cut off."""
        if pod_uid in self._addresses.allocations:
            self._addresses.release(pod_uid, self._env.now())
            ipam.save(self._addresses_path, self._addresses)

    def attached(self) -> Mapping[str, PodAttachment]:
        """Return the pods whose link and route are in the kernel."""
        links = self._kernel.pod_links()
        found = {}
        for route in self._kernel.routes():
            uid = links.get(route.link)
            if uid:
                allocation = self._addresses.allocations.get(uid)
                address = route.destination.removesuffix("/32")
                found[uid] = PodAttachment(uid, allocation.netns_path if allocation else "", address)
        return found

    def repair_rules(self) -> list[str]:
        """Look at the rules if others changed any, put ours back, and return what that was."""
        generation = self._kernel.nft_generation()
        if generation == self._generation:
            return []
        self._problems = self._find_problems()
        self._generation = generation
        if self._describe_table() == self._table_text:
            return []
        self._replace = True
        self._apply(self._rules)
        return [f"table {ruleset.TABLE}"]

    def repair(self) -> list[str]:
        """Look at everything and put back what others took away; returns what that was."""
        repaired = sysctl.apply(self._kernel, self._sysctls_path)
        if self._config.dns_address not in self._kernel.local_addresses():
            self._kernel.set_local_address(self._config.dns_address)
            repaired.append(f"address {self._config.dns_address}")
        self._underlay = self._kernel.underlay(self._config.node_ip)
        return repaired + self.repair_rules() + self._repair_routes()

    def problems(self) -> list[str]:
        """Return which foreign chains drop our traffic, with remedies, as found by `start` and `repair_rules`."""
        return self._problems

    def reset(self) -> None:
        """Remove every trace of ours, found by names, labels and route protocol alone."""
        for name in self._kernel.pod_links():
            self._kernel.delete_link(name)
        for route in self._kernel.routes():
            self._kernel.delete_route(route)
        self._kernel.delete_link(self._vxlan_name)
        for address in self._kernel.local_addresses():
            self._kernel.delete_local_address(address)
        self._kernel.run_nft(f"add table ip {ruleset.TABLE}\ndelete table ip {ruleset.TABLE}\n")
        sysctl.restore(self._kernel, self._sysctls_path)
        self._addresses_path.unlink(missing_ok=True)
        self._addresses = ipam.Addresses()
        self._rules, self._replace, self._paths, self._table_text = Rules(), True, None, None

    # Addresses

    def _load_addresses(self) -> None:
        """Read the address file and believe the kernel where they differ."""
        try:
            self._addresses = ipam.load(self._addresses_path)
        except ValueError as error:
            log.warning("address_file_damaged", path=str(self._addresses_path), error=str(error))
            self._addresses = ipam.Addresses()
        attached = self.attached()
        for uid, pod in attached.items():
            self._addresses.allocations[uid] = ipam.Allocation(pod.ip, pod.netns_path)
            self._addresses.released.pop(pod.ip, None)
        for uid in set(self._addresses.allocations) - set(attached):
            self._addresses.release(uid, self._env.now())
        ipam.save(self._addresses_path, self._addresses)

    # Rules

    def _adopt_table(self) -> None:
        """Take over the table of an earlier run, or make an empty one: from here on unknown VIPs are refused."""
        names = adoption.chains(self._kernel.list_nft(adoption.LIST_CHAINS) or '{"nftables": []}')
        if not names:
            self._apply(Rules())
            return
        found = adoption.read(names, {name: self._kernel.list_nft(command) for name, command in adoption.LISTS.items()})
        self._rules = found.rules
        self._vips.adopt(found.rules.vips)
        self._replace = not found.whole or found.version != ruleset.version(self._config, self._vxlan_name)
        self._table_text = self._describe_table()
        self._generation = self._kernel.nft_generation()
        if not self._replace:
            self._forget_clients(found.rules)
        log.info("table_adopted", vips=len(found.rules.vips), replaced_at_next_sync=self._replace)

    def _apply(self, rules: Rules) -> None:
        """Bring the table to `rules` by one transaction, whole if the step from the last state does not fit."""
        old = self._rules
        before = self._kernel.nft_generation()
        changed = self._replace or rules.chains != old.chains
        step = "" if self._replace else ruleset.change_text(old, rules)
        if step:
            try:
                self._kernel.run_nft(step)
            except NetworkFailure as error:
                log.warning("table_differed", error=str(error))
                self._replace = changed = True
        if self._replace:
            self._kernel.run_nft(ruleset.full_text(self._config, self._vxlan_name, rules))
        elif not step:
            return
        self._replace = False
        self._rules = rules
        if changed or self._table_text is None:
            self._table_text = self._describe_table()
        self._note_generation(before)
        self._forget_stale(old, rules)

    def _note_generation(self, before: int) -> None:
        """Count our own transaction, the one after `before`; others' stay to be looked at."""
        if self._generation in {before, -1} and self._kernel.nft_generation() == before + 1:
            self._generation = before + 1

    def _describe_table(self) -> str | None:
        return self._kernel.describe_nft(f"list table ip {ruleset.TABLE}")

    def _forget_stale(self, old: Rules, new: Rules) -> None:
        """Let nothing remember endpoints that left: UDP has no end of a connection, affinity outlives it."""
        lost = ruleset.lost_backends(old, new)
        for key, backends in lost.items():
            if key.protocol == "tcp":
                self._left.update((key, backend) for backend in backends)
                continue
            for backend in backends:
                destination = (key.address, key.port)
                self._kernel.forget_connections(Connections("udp", destination=destination, backend=backend))
        if any(old.vips[key].affinity_seconds for key in lost):
            self._forget_clients(new)

    def _forget_clients(self, rules: Rules) -> None:
        """Delete affinity entries for endpoints that are not there; one by one, as each may expire meanwhile."""
        for _ in range(_AFFINITY_PASSES):
            remembered = adoption.read_affinity(self._kernel.list_nft(adoption.LIST_AFFINITY))
            stale = ruleset.stale_clients(remembered, rules.vips)
            if not stale:
                return
            before = self._kernel.nft_generation()
            try:
                self._kernel.run_nft(ruleset.forget_text(stale))
                self._note_generation(before)
            except NetworkFailure:
                log.info("affinity_entries_expired_meanwhile", entries=len(stale))

    def _find_problems(self) -> list[str]:
        commands = firewall.tables_to_read(self._kernel.list_nft(adoption.LIST_CHAINS))
        listings = [self._kernel.list_nft(command) for command in commands]
        return firewall.problems(listings, self._kernel.list_legacy(), self._config)

    # Routes

    def _known_underlay(self) -> routes.Underlay:
        if self._underlay is None:
            raise NetworkFailure("the network was not started")
        return self._underlay

    def _add_paths(self, paths: routes.Paths) -> list[str]:
        """Add what `paths` has and the kernel has not, and return it in words."""
        added = []
        if paths.vxlan is not None:
            if self._kernel.vxlan(paths.vxlan.name) != paths.vxlan:
                self._kernel.set_vxlan(paths.vxlan)
                sysctl.apply_to_link(self._kernel, paths.vxlan.name)
                added.append(f"link {paths.vxlan.name}")
            peers = self._kernel.peers(self._vxlan_name)
            for peer in peers - paths.peers:
                self._kernel.delete_peer(self._vxlan_name, peer)
            for peer in sorted(paths.peers - peers, key=lambda each: each.outer):
                self._kernel.set_peer(self._vxlan_name, peer)
                added.append(f"peer {peer.outer}")
        for route in sorted(paths.routes - self._kernel.routes(), key=lambda each: each.destination):
            self._kernel.set_route(route)
            added.append(f"route {route.destination}")
        return added

    def _remove_paths(self, paths: routes.Paths) -> None:
        """Remove what the kernel has beside `paths` and pods."""
        wanted = {route.destination for route in paths.routes}
        pods = self._kernel.pod_links()
        for route in self._kernel.routes():
            if route.destination not in wanted and route.link not in pods:
                self._kernel.delete_route(route)
        if paths.vxlan is None:
            self._kernel.delete_link(self._vxlan_name)

    def _repair_routes(self) -> list[str]:
        if self._paths is None:
            self._kernel.set_route(routes.service_route(self._config))
            return []
        # The node's address may be on another link by now.
        paths = routes.plan(self._nodes, self._config, self._known_underlay())
        repaired = self._add_paths(paths)
        if paths != self._paths:
            self._remove_paths(paths)
            self._paths = paths
        links = {uid: name for name, uid in self._kernel.pod_links().items()}
        have = self._kernel.routes()
        for uid, allocation in self._addresses.allocations.items():
            route = routes.pod_route(allocation.address, links.get(uid, ""))
            if route.link and route not in have:
                self._kernel.set_route(route)
                repaired.append(f"route {route.destination}")
        return repaired
