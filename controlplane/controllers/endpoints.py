"""Endpoints: what the slices of a Service with a selector say, in one object, for clients that know no slices.

Nothing here depends on them, so they are made from the slices, and of a Service that keeps changing they are written once a second
at most: a rollout costs one write a second, not one a pod. Those of a Service without a selector are its user's: see `endpoint_mirroring`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from api.core import Service
from api.endpoints import Endpoints
from api.errors import ApiError
from api.network import Endpoint, EndpointPort, EndpointSlice
from api.object import Tree
from component.env import Env
from component.informer import Cached, Informer
from controlplane.controllers.actions import Action, Create, Update, Wake, delete
from controlplane.controllers.endpoint_mirroring import MANAGED_BY_MIRRORING, mirrored, whereabouts
from controlplane.controllers.endpointslice import HEADLESS, MANAGED_BY, MANAGED_BY_US, keys_of_slice
from controlplane.controllers.loop import Key, Source, own_key

MAX_ADDRESSES: Final = 1000
"""More are left out, as Kubernetes does, which the annotation says."""

OVER_CAPACITY: Final = "endpoints.kubernetes.io/over-capacity"
ENDPOINTS_MANAGED_BY: Final = "endpoints.kubernetes.io/managed-by"
ENDPOINTS_MANAGED_BY_US: Final = "endpoint-controller"
PERIOD_SECONDS: Final = 1.0

Ports = tuple[EndpointPort, ...]


def reconcile(
    service: Cached[Service], endpoints: Cached[Endpoints] | None, slices: Sequence[Cached[EndpointSlice]]
) -> list[Action]:
    """Return what makes `endpoints` say what `slices` say of `service`; [] once they do."""
    if service.metadata.deletion_timestamp is not None:
        return []
    families = service.view.spec.ip_families or ("IPv4",)
    content, whole = subsets([each.view for each in slices if each.view.address_type == families[0]])
    tree: Tree = (
        endpoints.object.tree()
        if endpoints is not None
        else {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {"name": service.object.name, "namespace": service.object.namespace},
        }
    )
    metadata = tree["metadata"]
    labels = service.metadata.labels | {ENDPOINTS_MANAGED_BY: ENDPOINTS_MANAGED_BY_US}
    if service.view.spec.cluster_ip == "None":
        labels[HEADLESS] = ""
    notes = {name: text for name, text in metadata.get("annotations", {}).items() if name != OVER_CAPACITY}
    if not whole:
        notes[OVER_CAPACITY] = "truncated"
    before = metadata.get("labels"), metadata.get("annotations", {}), tree.get("subsets", [])
    if endpoints is not None and before == (labels, notes, content):
        return []
    noted = {"annotations": notes} if notes or metadata.get("annotations") else {}
    wanted = {**tree, "metadata": {**metadata, "labels": labels, **noted}, "subsets": content}
    return [Create(wanted) if endpoints is None else Update(wanted)]


def subsets(slices: Iterable[EndpointSlice]) -> tuple[list[Tree], bool]:
    """The subsets that say what the slices do, and whether they say all of it: ready addresses go first.

    Endpoints that are ending are in none, unless they count as ready.
    """
    groups: dict[Ports, tuple[list[Tree], list[Tree]]] = {}
    for slice_ in slices:
        ready, others = groups.setdefault(slice_.ports, ([], []))
        for endpoint in slice_.endpoints:
            state = endpoint.conditions
            if state is None or state.ready is not False:
                ready += _addresses(endpoint)
            elif not state.terminating:
                others += _addresses(endpoint)
    room = MAX_ADDRESSES
    taken: dict[Ports, tuple[list[Tree], list[Tree]]] = {ports: ([], []) for ports in groups}
    for index in (0, 1):
        for ports, lists in sorted(groups.items(), key=lambda group: _order(group[0])):
            found = sorted(lists[index], key=lambda each: (each["ip"], each.get("targetRef", {}).get("uid", "")))
            taken[ports][index].extend(found[:room])
            room -= len(taken[ports][index])
    whole = sum(len(each) for lists in groups.values() for each in lists) <= MAX_ADDRESSES
    ordered = sorted(taken.items(), key=lambda group: _order(group[0]))
    return [_subset(ports, *lists) for ports, lists in ordered if any(lists)], whole


def _subset(ports: Ports, ready: list[Tree], others: list[Tree]) -> Tree:
    parts = {"addresses": ready, "notReadyAddresses": others, "ports": [_port(each) for each in ports]}
    return {name: part for name, part in parts.items() if part}


def _addresses(endpoint: Endpoint) -> list[Tree]:
    about = whereabouts(endpoint)
    return [{"ip": address, **about} for address in endpoint.addresses]


def _port(port: EndpointPort) -> Tree:
    tree: Tree = {"port": port.port or 0, "protocol": port.protocol or "TCP"}
    if port.name:
        tree["name"] = port.name
    if port.app_protocol:
        tree["appProtocol"] = port.app_protocol
    return tree


def _order(ports: Ports) -> list[tuple[str, int, str]]:
    return [(port.name or "", port.port or 0, port.protocol or "") for port in ports]


class EndpointsController:
    """Gathers from the caches what `reconcile` and `mirrored` decide on, and spaces out the writes."""

    name = "endpoints"

    def __init__(
        self,
        services: Informer[Service],
        endpoints: Informer[Endpoints],
        slices: Informer[EndpointSlice],
        env: Env,
    ) -> None:
        self._services = services
        self._endpoints = endpoints
        self._slices = slices
        self._env = env
        self._next_times: dict[Key, float] = {}  # before which nothing is written

    def sources(self) -> Sequence[Source]:
        """Services, Endpoints, and slices by the Service they belong to."""
        return [
            Source(self._services, own_key),
            Source(self._endpoints, own_key),
            Source(self._slices, keys_of_slice),
        ]

    def all_keys(self) -> Iterable[Key]:
        """All Services and all Endpoints."""
        return sorted({each.key for cache in (self._services, self._endpoints) for each in cache.items()})

    async def plan(self, key: Key, failure: ApiError | None) -> Sequence[Action]:
        """Decide for one Service."""
        del failure
        namespace, name = key
        slices = self._slices.by_index("service", f"{namespace}/{name}")
        service, endpoints = self._services.get(namespace, name), self._endpoints.get(namespace, name)
        copies = _managed(slices, MANAGED_BY_MIRRORING)
        if service is None:
            self._next_times.pop(key, None)
            ours = endpoints is not None and _is_ours(endpoints)
            return [delete(endpoints.object)] if endpoints is not None and (ours or copies) else []
        if service.view.spec.type == "ExternalName":
            return []
        if not service.view.spec.selector:
            kept = None if endpoints is None or _is_ours(endpoints) else endpoints
            return mirrored(service, kept, copies)
        written = reconcile(service, endpoints, _managed(slices, MANAGED_BY_US))
        return [*self._in_turn(key, written), *(delete(each.object) for each in copies)]

    def _in_turn(self, key: Key, actions: Sequence[Action]) -> Sequence[Action]:
        """An update waits until a second after the last one; the first comes at once."""
        if not actions or isinstance(actions[0], Create):
            return actions
        now = self._env.monotonic()
        if (wait := self._next_times.get(key, now) - now) > 0:
            return [Wake(wait)]
        self._next_times[key] = now + PERIOD_SECONDS
        return actions


def _managed(slices: Iterable[Cached[EndpointSlice]], by: str) -> list[Cached[EndpointSlice]]:
    return [each for each in slices if each.metadata.labels.get(MANAGED_BY) == by]


def _is_ours(endpoints: Cached[Endpoints]) -> bool:
    labels: Mapping[str, str] = endpoints.metadata.labels
    return labels.get(ENDPOINTS_MANAGED_BY) == ENDPOINTS_MANAGED_BY_US
