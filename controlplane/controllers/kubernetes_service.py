"""The endpoints of the Service default/kubernetes: the replicas' addresses, so that clients in pods find the API."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence

from api.errors import ApiError
from api.network import EndpointSlice
from api.object import Tree
from api.wellknown import SERVICE_NAME_LABEL
from component.informer import Cached, Change, Informer
from controlplane.controllers.actions import Action, Create, Update
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
    """Keeps one slice."""

    name = "kubernetes-service"

    def __init__(self, slices: Informer[EndpointSlice], replica_addresses: Callable[[], Sequence[str]]) -> None:
        self._slices = slices
        self._replica_addresses = replica_addresses

    def sources(self) -> Sequence[Source]:
        """The slice itself."""
        return [Source(self._slices, _own)]

    def all_keys(self) -> Iterable[Key]:
        """The one slice."""
        return [(NAMESPACE, NAME)]

    async def plan(self, key: Key, failure: ApiError | None) -> Sequence[Action]:
        """Decide for the one slice."""
        del key, failure
        return reconcile(self._slices.get(NAMESPACE, NAME), self._replica_addresses())


def _own(change: Change[EndpointSlice]) -> Iterable[Key]:
    return [(NAMESPACE, NAME)] if change.latest.key == (NAMESPACE, NAME) else []
