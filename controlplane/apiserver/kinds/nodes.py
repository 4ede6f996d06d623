"""Nodes: each gets a range of pod addresses in the transaction that creates it."""

from __future__ import annotations

import ipaddress
import zlib
from collections.abc import Sequence

import msgspec

from api.core import Node
from api.errors import FieldError, Invalid, TooLarge
from api.object import Tree
from api.validate_cluster import node_faults
from controlplane.apiserver.decision import Snapshot
from controlplane.apiserver.kinds.base import KindRules
from controlplane.commands import Claim, Op, Release

POD_RANGE_SPACE = "podrange"
NODE_PREFIX_LENGTH = {4: 24, 6: 64}


class NodeRules(KindRules):
    """Rules of nodes. `pod_range` is the cluster's, of which each node gets a /24 (IPv6: /64)."""

    def __init__(self, pod_range: str) -> None:
        network = ipaddress.ip_network(pod_range)
        prefix = NODE_PREFIX_LENGTH[network.version]
        if network.prefixlen > prefix:
            raise ValueError(f"the pod range {pod_range} has no room for a /{prefix} per node")
        self._network = network
        self._prefix = prefix

    def arriving(self, tree: Tree, old: Tree | None) -> Tree:
        """A node may register with its status (as in Kubernetes); its pod range stays as it is."""
        if old is None:
            return tree
        tree = super().arriving(tree, old)
        kept = {name: old["spec"][name] for name in ("podCIDR", "podCIDRs") if name in old["spec"]}
        spec = tree.get("spec", {})
        for name, value in kept.items():
            if spec.get(name, value) != value:
                raise Invalid("the node cannot be changed", [FieldError(f"spec.{name}", "a node keeps its pod range")])
        return {**tree, "spec": {**spec, **kept}}

    def completed(self, tree: Tree, old: Tree | None, snapshot: Snapshot) -> Tree:
        """A new node gets a free range, or the one it names."""
        if old is not None:
            return tree
        spec = tree.get("spec", {})
        given = spec.get("podCIDR")
        chosen = self._choose(tree["metadata"]["name"], snapshot) if given is None else self._check(given, snapshot)
        return {**tree, "spec": {**spec, "podCIDR": chosen, "podCIDRs": [chosen]}}

    def check_status(self, tree: Tree) -> None:
        """The scheduler counts with what a node says it has: amounts that are none would stop it for all nodes."""
        faults = [fault for fault in node_faults(msgspec.convert(tree, Node), None) if fault.path.startswith("status.")]
        if faults:
            raise Invalid("the status of the node cannot be stored", faults)

    def consequences(self, old: Tree | None, new: Tree | None) -> Sequence[Op]:
        """The claim on the range lives as long as the node."""
        if old is None and new is not None:
            return [Claim(POD_RANGE_SPACE, new["spec"]["podCIDR"], new["metadata"]["uid"])]
        if new is None and old is not None and "podCIDR" in old["spec"]:
            return [Release(POD_RANGE_SPACE, old["spec"]["podCIDR"], old["metadata"]["uid"])]
        return ()

    def _choose(self, name: str, snapshot: Snapshot) -> str:
        """The first free range from a place that the name decides.

        So nodes that join at the same moment seldom collide, and a machine that joins again gets the range it had.
        """
        count = 1 << (self._prefix - self._network.prefixlen)
        first = zlib.crc32(name.encode()) % count
        size = 1 << (self._network.max_prefixlen - self._prefix)
        for step in range(count):
            address = self._network[(first + step) % count * size]
            candidate = f"{address}/{self._prefix}"
            if snapshot.state.claimed(POD_RANGE_SPACE, candidate) is None:
                return candidate
        raise TooLarge(f"every /{self._prefix} of the pod range {self._network} belongs to a node already")

    def _check(self, given: str, snapshot: Snapshot) -> str:
        path = "spec.podCIDR"
        try:
            network = ipaddress.ip_network(given)
        except ValueError as error:
            raise Invalid("the node cannot be created", [FieldError(path, str(error))]) from error
        inside = network.version == self._network.version and network.subnet_of(self._network)  # type: ignore[arg-type] # same version
        if not inside or network.prefixlen != self._prefix:
            message = f"must be a /{self._prefix} of the cluster's pod range {self._network}"
            raise Invalid("the node cannot be created", [FieldError(path, message)])
        if snapshot.state.claimed(POD_RANGE_SPACE, str(network)) is not None:
            raise Invalid("the node cannot be created", [FieldError(path, f"{network} belongs to another node")])
        return str(network)
