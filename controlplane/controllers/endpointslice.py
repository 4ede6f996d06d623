"""EndpointSlices of Services with a selector: the addresses behind each, in slices of at most 100.

Rules are those of the Kubernetes documentation ("EndpointSlices", "Pod termination"): terminating pods stay listed
as not ready but perhaps serving, pods that have ended or have no address are not listed. An endpoint keeps its slice
as long as it lives, so that a change of one pod rewrites one slice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import count

from api.core import Node, Pod, Service, ServicePort
from api.errors import ApiError
from api.names import derived_name
from api.network import EndpointSlice
from api.object import Object, Tree
from api.pod_containers import lasting_containers
from api.wellknown import SERVICE_NAME_LABEL, ZONE_LABEL
from component.informer import Cached, Change, Informer
from controlplane.controllers import pods
from controlplane.controllers.actions import Action, Create, Delete, Update, delete
from controlplane.controllers.loop import Key, Source, own_key
from controlplane.controllers.ownership import owner_reference

MAX_ENDPOINTS = 100
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGED_BY_US = "endpointslice-controller.k8s.io"
HEADLESS = "service.kubernetes.io/headless"
FAMILIES = {"IPv4", "IPv6"}

Port = tuple[str, str, int, str]  # name, protocol, number, application protocol
Group = tuple[str, tuple[Port, ...]]  # address family and ports: endpoints that differ in them cannot share a slice
Endpoints = dict[str, Tree]  # by pod uid


def reconcile(
    service: Cached[Service],
    backends: Sequence[Cached[Pod]],
    slices: Sequence[Cached[EndpointSlice]],
    zones: Mapping[str, str],
    *,
    max_endpoints: int = MAX_ENDPOINTS,
) -> list[Action]:
    """Return what makes `slices` say what is behind `service`; [] once they do.

    `backends` are the pods its selector matches, `slices` those kept for it so far, `zones` the zone of each node.
    A service without endpoints has no slice.
    """
    if service.metadata.deletion_timestamp is not None:
        return []
    waiting = _wanted(service.view, backends, zones)
    labels = _labels(service.view)
    ordered = sorted(slices, key=lambda s: s.object.name)
    contents = [_kept(slice_, waiting.get(_group_of(slice_.view), {})) for slice_ in ordered]
    updates: list[Update] = []
    deletes: list[Delete] = []
    for slice_, content in zip(ordered, contents, strict=True):
        content.extend(_take(waiting.get(_group_of(slice_.view), {}), max_endpoints - len(content)))
        if content:
            updates += _updated(slice_, labels, content)
        else:
            deletes.append(delete(slice_.object))
    taken = {slice_.object.name for slice_ in slices}
    creates: list[Create] = []
    for group in sorted(waiting):
        while content := _take(waiting[group], max_endpoints):
            name = _free_name(service.object, taken)
            taken.add(name)
            creates.append(Create(_slice(service.object, name, group, labels, content)))
    return [*updates, *creates, *deletes]


def endpoint(service: Service, pod: Cached[Pod], address: str, zones: Mapping[str, str]) -> Tree:
    """The endpoint of one pod at one of its addresses."""
    view = pod.view
    serving = pods.ready(view)
    ending = pods.terminating(view)
    ready = bool(service.spec.publish_not_ready_addresses) or (serving and not ending)
    tree: Tree = {
        "addresses": [address],
        "conditions": {"ready": ready, "serving": serving, "terminating": ending},
        "targetRef": {
            "kind": "Pod",
            "namespace": pod.object.namespace,
            "name": pod.object.name,
            "uid": pod.object.uid,
        },
    }
    if node := view.spec.node_name:
        tree["nodeName"] = node
        if node in zones:
            tree["zone"] = zones[node]
    if view.spec.hostname and view.spec.subdomain == service.metadata.name:
        tree["hostname"] = view.spec.hostname
    return tree


def _wanted(service: Service, backends: Sequence[Cached[Pod]], zones: Mapping[str, str]) -> dict[Group, Endpoints]:
    """The endpoints there should be, by the slices that can hold them."""
    families = FAMILIES.intersection(service.spec.ip_families) or FAMILIES
    wanted: dict[Group, Endpoints] = {}
    for pod in sorted(backends, key=lambda pod: pod.object.name):
        if pods.finished(pod.view):
            continue
        ports = _ports(service, pod.view)
        for address in _addresses(pod.view):
            family = "IPv6" if ":" in address else "IPv4"
            if family in families and ports is not None:
                group = (family, ports)
                wanted.setdefault(group, {})[pod.object.uid] = endpoint(service, pod, address, zones)
    return wanted


def _addresses(pod: Pod) -> list[str]:
    several = [entry.ip for entry in pod.status.pod_ips if entry.ip]
    return several or ([pod.status.pod_ip] if pod.status.pod_ip else [])


def _ports(service: Service, pod: Pod) -> tuple[Port, ...] | None:
    """The service's ports at this pod; None when the service has ports but the pod offers none of them."""
    resolved = []
    for port in service.spec.ports:
        number = target_port(port, pod)
        if number is not None:
            resolved.append((port.name or "", port.protocol or "TCP", number, port.app_protocol or ""))
    return None if service.spec.ports and not resolved else tuple(resolved)


def target_port(port: ServicePort, pod: Pod) -> int | None:
    """The port number behind a service port at this pod; a name is looked up among its containers' ports."""
    target = port.target_port
    if target is None or target in {0, ""}:
        return port.port
    if isinstance(target, int):
        return target
    protocol = port.protocol or "TCP"
    return next(
        (
            offered.container_port
            for container in lasting_containers(pod.spec)
            for offered in container.ports
            if offered.name == target and (offered.protocol or "TCP") == protocol
        ),
        None,
    )


def _labels(service: Service) -> dict[str, str]:
    labels = service.metadata.labels | {SERVICE_NAME_LABEL: service.metadata.name, MANAGED_BY: MANAGED_BY_US}
    if service.spec.cluster_ip == "None":
        labels[HEADLESS] = ""
    return labels


def _group_of(slice_: EndpointSlice) -> Group:
    ports = tuple((p.name or "", p.protocol or "TCP", p.port or 0, p.app_protocol or "") for p in slice_.ports)
    return (slice_.address_type, ports)


def _kept(slice_: Cached[EndpointSlice], waiting: Endpoints) -> list[Tree]:
    """Take out of `waiting` what the slice already lists."""
    uids = [e.target_ref.uid or "" for e in slice_.view.endpoints if e.target_ref is not None]
    return [waiting.pop(uid) for uid in uids if uid in waiting]


def _take(waiting: Endpoints, number: int) -> list[Tree]:
    return [waiting.pop(uid) for uid in list(waiting)[: max(0, number)]]


def _updated(slice_: Cached[EndpointSlice], labels: Mapping[str, str], content: list[Tree]) -> list[Update]:
    tree = slice_.object.tree()
    if tree.get("endpoints") == content and tree["metadata"].get("labels") == labels:
        return []
    tree["endpoints"] = content
    tree["metadata"]["labels"] = dict(labels)
    return [Update(tree)]


def _free_name(service: Object, taken: Collection[str]) -> str:
    names = (derived_name(service.name, service.uid, number) for number in count())
    return next(name for name in names if name not in taken)


def _slice(service: Object, name: str, group: Group, labels: Mapping[str, str], content: list[Tree]) -> Tree:
    family, ports = group
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": service.namespace,
            "labels": dict(labels),
            "ownerReferences": [owner_reference(service)],
        },
        "addressType": family,
        "ports": [_port(port) for port in ports],
        "endpoints": content,
    }


def _port(port: Port) -> Tree:
    name, protocol, number, app_protocol = port
    tree: Tree = {"name": name, "protocol": protocol, "port": number}
    if app_protocol:
        tree["appProtocol"] = app_protocol
    return tree


class EndpointSliceController:
    """Gathers from the caches what `reconcile` decides on."""

    name = "endpointslice"

    def __init__(
        self,
        services: Informer[Service],
        pod_cache: Informer[Pod],
        slices: Informer[EndpointSlice],
        nodes: Informer[Node],
    ) -> None:
        self._services = services
        self._pods = pod_cache
        self._slices = slices
        self._nodes = nodes

    def sources(self) -> Sequence[Source]:
        """Services, the pods they select, their slices; a changed zone of a node shows with the next of those."""
        return [
            Source(self._services, own_key),
            Source(self._pods, self._keys_of_pod),
            Source(self._slices, keys_of_slice),
        ]

    def all_keys(self) -> Iterable[Key]:
        """All services, and what slices remember of services."""
        remembered = {key for cached in self._slices.items() for key in _service_of(cached)}
        return sorted(remembered | {cached.key for cached in self._services.items()})

    async def plan(self, key: Key, failure: ApiError | None) -> Sequence[Action]:
        """Decide for one service."""
        del failure
        namespace, name = key
        slices = [
            slice_
            for slice_ in self._slices.by_index("service", f"{namespace}/{name}")
            if slice_.metadata.labels.get(MANAGED_BY) == MANAGED_BY_US
        ]
        service = self._services.get(namespace, name)
        if service is None:
            return [delete(slice_.object) for slice_ in slices]
        spec = service.view.spec
        if not spec.selector or spec.type == "ExternalName":
            return []  # somebody else keeps the slices
        selector = spec.selector.items()
        backends = [p for p in self._pods.in_namespace(namespace).values() if selector <= p.metadata.labels.items()]
        return reconcile(service, backends, slices, self._zones(backends))

    def _zones(self, backends: Sequence[Cached[Pod]]) -> Mapping[str, str]:
        names = {pod.view.spec.node_name for pod in backends if pod.view.spec.node_name}
        nodes = [node for name in names if (node := self._nodes.get("", name)) is not None]
        return {
            node.object.name: node.metadata.labels[ZONE_LABEL] for node in nodes if ZONE_LABEL in node.metadata.labels
        }

    def _keys_of_pod(self, change: Change[Pod]) -> Iterable[Key]:
        old, new = change.old, change.new
        if old is not None and new is not None and _routing(old.view) == _routing(new.view):
            return []
        found = set()
        for cached in (old, new):
            if cached is None:
                continue
            labels = cached.metadata.labels.items()
            for service in self._services.in_namespace(cached.object.namespace).values():
                if service.view.spec.selector and service.view.spec.selector.items() <= labels:
                    found.add(service.key)
        return sorted(found)


def _routing(pod: Pod) -> tuple[object, ...]:
    """All of a pod that endpoints depend on, but for what cannot change."""
    return (
        pod.metadata.uid,
        pod.metadata.labels,
        _addresses(pod),
        pod.spec.node_name,
        pods.ready(pod),
        pods.terminating(pod),
        pods.finished(pod),
    )


def service_index(cached: Cached[EndpointSlice]) -> list[str]:
    """Index: the service a slice belongs to, as namespace/name."""
    return [f"{namespace}/{name}" for namespace, name in _service_of(cached)]


def _service_of(cached: Cached[EndpointSlice]) -> list[tuple[str, str]]:
    name = cached.metadata.labels.get(SERVICE_NAME_LABEL)
    return [(cached.object.namespace, name)] if name else []


def keys_of_slice(change: Change[EndpointSlice]) -> Iterable[Key]:
    """The services that a changed slice belongs to."""
    return [key for cached in (change.old, change.new) if cached is not None for key in _service_of(cached)]
