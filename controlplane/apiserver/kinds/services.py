"""Services: every one that is not headless or an alias has a cluster IP of its own."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Sequence

from api.errors import FieldError, Invalid, TooLarge
from api.object import Tree
from controlplane.apiserver.decision import Snapshot
from controlplane.apiserver.kinds.base import KindRules
from controlplane.commands import Claim, Op, Release

CLUSTER_IP_SPACE = "clusterip"
HEADLESS = "None"
RANDOM_TRIES = 32
SMALLEST_RANGE = 16
LARGEST_RANGE = 1 << 20  # as Kubernetes; a full one is searched address by address


class ServiceRules(KindRules):
    """Rules of services. `service_range` is where cluster IPs come from."""

    def __init__(self, service_range: str, rng: random.Random) -> None:
        self._network = ipaddress.ip_network(service_range)
        self._rng = rng
        size = self._network.num_addresses
        if not SMALLEST_RANGE <= size <= LARGEST_RANGE:
            limits = f"it must have {SMALLEST_RANGE} to {LARGEST_RANGE} addresses"
            raise ValueError(f"the service range {service_range} has {size} addresses; {limits}")
        # As Kubernetes: the lower band is left to people who choose addresses themselves, until the rest is full.
        self._band = min(max(16, size // 16), 256) if size > 16 else 1

    def arriving(self, tree: Tree, old: Tree | None) -> Tree:
        """An update that leaves addresses out keeps them; it cannot change them."""
        tree = super().arriving(tree, old)
        if old is None:
            return tree
        spec, before = tree.get("spec", {}), old["spec"]
        if not _wants_address(spec):
            return tree
        if before.get("clusterIP") and _wants_address(before):
            if spec.get("clusterIP", before["clusterIP"]) not in {"", before["clusterIP"]}:
                raise _invalid("spec.clusterIP", f'a service keeps its address, which is "{before["clusterIP"]}"')
            names = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
            spec = {**spec, **{name: before[name] for name in names if name in before and not spec.get(name)}}
        return {**tree, "spec": spec}

    def completed(self, tree: Tree, old: Tree | None, snapshot: Snapshot) -> Tree:
        """Choose an address, or check the one that is given."""
        spec = tree["spec"]
        if not _wants_address(spec):
            dropped = {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"}
            return {**tree, "spec": {name: value for name, value in spec.items() if name not in dropped}}
        given = spec.get("clusterIP") or next(iter(spec.get("clusterIPs", ())), "")
        if spec.get("clusterIPs") not in (None, [], [given]):
            raise _invalid("spec.clusterIPs", "must hold spec.clusterIP and nothing else: the cluster has one family")
        if not given:
            given = self._choose(snapshot)
        elif old is None or old["spec"].get("clusterIP") != given:
            given = self._check(given, snapshot, tree["metadata"]["uid"])
        filled = {
            "clusterIP": given,
            "clusterIPs": [given],
            "ipFamilies": spec.get("ipFamilies") or [f"IPv{self._network.version}"],
            "ipFamilyPolicy": spec.get("ipFamilyPolicy") or "SingleStack",
        }
        return {**tree, "spec": {**spec, **filled}}

    def consequences(self, old: Tree | None, new: Tree | None) -> Sequence[Op]:
        """Claims follow the addresses."""
        before, after = _address(old), _address(new)
        if before == after:
            return ()
        ops: list[Op] = []
        if old is not None and before:
            ops.append(Release(CLUSTER_IP_SPACE, before, old["metadata"]["uid"]))
        if new is not None and after:
            ops.append(Claim(CLUSTER_IP_SPACE, after, new["metadata"]["uid"]))
        return ops

    def _choose(self, snapshot: Snapshot) -> str:
        """A random free address, so that services created at once seldom collide and addresses rest when released."""
        last = self._network.num_addresses - 2  # the first and last address are never given out
        for _ in range(RANDOM_TRIES):
            address = str(self._network[self._rng.randint(self._band, last)])
            if snapshot.state.claimed(CLUSTER_IP_SPACE, address) is None:
                return address
        for offset in (*range(self._band, last + 1), *range(1, self._band)):
            address = str(self._network[offset])
            if snapshot.state.claimed(CLUSTER_IP_SPACE, address) is None:
                return address
        raise TooLarge(f"every address of the service range {self._network} is in use")

    def _check(self, given: str, snapshot: Snapshot, uid: str) -> str:
        if given == HEADLESS:
            return given
        try:
            address = ipaddress.ip_address(given)
        except ValueError:
            raise _invalid("spec.clusterIP", f'"{given}" is neither an address nor "None"') from None
        ends = (self._network.network_address, self._network.broadcast_address)
        if address not in self._network or address in ends:
            raise _invalid("spec.clusterIP", f"{given} is not in the service range {self._network}")
        if snapshot.state.claimed(CLUSTER_IP_SPACE, str(address)) not in {None, uid}:
            raise _invalid("spec.clusterIP", f"{given} is already allocated")
        return str(address)


def _wants_address(spec: Tree) -> bool:
    return bool(spec.get("type") != "ExternalName")


def _address(service: Tree | None) -> str:
    """The claimed address of a stored service, or ""."""
    address: str = "" if service is None else service["spec"].get("clusterIP", "")
    return "" if address == HEADLESS else address


def _invalid(path: str, message: str) -> Invalid:
    return Invalid("the service cannot be stored", [FieldError(path, message)])
