"""The endpoints of the Service default/kubernetes: the replicas' addresses, so that clients in pods find the API.

They stand in a slice, and in Endpoints that nobody mirrors.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence

from api.endpoints import Endpoints
from api.errors import ApiError
from api.network import EndpointSlice
from api.object import Tree
from api.wellknown import SERVICE_NAME_LABEL
from component.informer import Cached, Change, Informer
from controlplane.controllers.actions import Action, Create, Update
from controlplane.controllers.endpoint_mirroring import SKIP_MIRROR
from controlplane.controllers.loop import Key, Source

NAMESPACE = "default"
NAME = "kubernetes"
PORT_NAME = "https"


def reconcile(slice_: Cached[EndpointSlice] | None, replica_addresses: Sequence[str]) -> list[Action]:
    """Return what makes the slice list the replicas; [] once it does.

    `replica_addresses` are host:port; hosts that are no IP addresses cannot stand in a slice and are left out, as
    are ports that differ from the first one's.
    """
    wanted = _slice(replica_addresses)
    if wanted is None:
        return []
    if slice_ is None:
        return [Create(wanted)]
    tree = slice_.object.tree()
    changed = {name: wanted[name] for name in ("endpoints", "ports") if tree.get(name) != wanted[name]}
    return [Update(tree | changed)] if changed else []


def reconcile_endpoints(endpoints: Cached[Endpoints] | None, replica_addresses: Sequence[str]) -> list[Action]:
    """Return what makes the Endpoints list the replicas that the slice lists; [] once they do."""
    slice_ = _slice(replica_addresses)
    if slice_ is None or slice_["addressType"] != "IPv4":
        return []
    addresses = [{"ip": host} for each in slice_["endpoints"] for host in each["addresses"]]
    wanted = [{"addresses": addresses, "ports": slice_["ports"]}]
    if endpoints is None:
        metadata = {"name": NAME, "namespace": NAMESPACE, "labels": {SKIP_MIRROR: "true"}}
        return [Create({"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": wanted})]
    tree = endpoints.object.tree()
    if tree.get("subsets") == wanted:
        return []
    return [Update({**tree, "subsets": wanted})]


def _slice(replica_addresses: Sequence[str]) -> Tree | None:
    found = sorted({pair for address in replica_addresses if (pair := _split(address)) is not None})
    if not found:
        return None
    version, _, port = found[0]
    hosts = [host for each, host, its_port in found if (each, its_port) == (version, port)]
    ready = {"ready": True, "serving": True, "terminating": False}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": {SERVICE_NAME_LABEL: NAME}},
        "addressType": f"IPv{version}",
        "endpoints": [{"addresses": [host], "conditions": ready} for host in hosts],
        "ports": [{"name": PORT_NAME, "protocol": "TCP", "port": port}],
    }


def _split(address: str) -> tuple[int, str, int] | None:
    host, _, port = address.rpartition(":")
    try:
        return ipaddress.ip_address(host.strip("[]")).version, host.strip("[]"), int(port)
    except ValueError:
        return None


class KubernetesServiceController:
    """Keeps one slice, and the same as Endpoints."""

    name = "kubernetes-service"

    def __init__(
        self,
        slices: Informer[EndpointSlice],
        endpoints: Informer[Endpoints],
        replica_addresses: Callable[[], Sequence[str]],
    ) -> None:
        self._slices = slices
        self._endpoints = endpoints
        self._replica_addresses = replica_addresses

    def sources(self) -> Sequence[Source]:
        """The two objects themselves."""
        return [Source(self._slices, _own), Source(self._endpoints, _own)]

    def all_keys(self) -> Iterable[Key]:
        """The one service."""
        return [(NAMESPACE, NAME)]

    async def plan(self, key: Key, failure: ApiError | None) -> Sequence[Action]:
        """Decide for both."""
        del key, failure
        addresses = self._replica_addresses()
        return [
            *reconcile(self._slices.get(NAMESPACE, NAME), addresses),
            *reconcile_endpoints(self._endpoints.get(NAMESPACE, NAME), addresses),
        ]


def _own(change: Change[EndpointSlice] | Change[Endpoints]) -> Iterable[Key]:
    return [(NAMESPACE, NAME)] if change.latest.key == (NAMESPACE, NAME) else []
