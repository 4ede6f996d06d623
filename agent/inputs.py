"""What the control plane told this node: its pods, their configuration, the cluster's network. Holds, decides nothing.

The first set of a session is full, every later one continues the one before (docs/architecture.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import structlog

from agent.network_inputs import NetworkBuilder
from api.core import ConfigMap, Node, Pod, PodSpec, Secret, Service
from api.network import EndpointSlice
from api.v1 import node_pb2, resource_pb2
from netplugin.protocol import NetworkInputs

Key = tuple[str, str, str]
"""Resource, namespace, name."""

RESOURCES = {
    ("v1", "Pod"): "pods",
    ("v1", "ConfigMap"): "configmaps",
    ("v1", "Secret"): "secrets",
    ("v1", "Service"): "services",
    ("v1", "Node"): "nodes",
    ("discovery.k8s.io/v1", "EndpointSlice"): "endpointslices.discovery.k8s.io",
}
log = structlog.get_logger()

Place = TypeVar("Place")
View = TypeVar("View")

_NETWORK = {"services", "nodes", "endpointslices.discovery.k8s.io"}


class BrokenChain(Exception):
    """A change does not continue what we hold: the session has to start over with a full set."""


@dataclass(frozen=True, slots=True)
class AssignedPod:
    """A pod of this node; its containers may start once the network of `network_revision` is in the kernel."""

    pod: Pod
    network_revision: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What one set of inputs changed: uids of pods that came, changed or went, and objects of configuration.

    `calls_for_action` is off when only statuses came back, which nothing on the node follows from.
    """

    pods: frozenset[str]
    configuration: frozenset[Key]
    network: bool
    full: bool
    calls_for_action: bool


def key_of(resource: resource_pb2.Resource) -> Key | None:
    """The key of an object; None for a kind that this agent does not know (a newer control plane may send it)."""
    name = RESOURCES.get((resource.api_version, resource.kind))
    return (name, resource.namespace, resource.name) if name is not None else None


class Inputs:
    """The objects themselves, typed views of them, and the network made from them."""

    def __init__(self, cluster_domain: str) -> None:
        self.revision = 0
        self.pods: dict[str, AssignedPod] = {}
        self._domain = cluster_domain
        self._resources: dict[Key, resource_pb2.Resource] = {}
        self._config_maps: dict[tuple[str, str], ConfigMap] = {}
        self._secrets: dict[tuple[str, str], Secret] = {}
        self._services: dict[tuple[str, str], Service] = {}
        self._nodes: dict[str, Node] = {}
        self._network = NetworkBuilder(cluster_domain)

    def set_cluster_domain(self, cluster_domain: str) -> None:
        """Names follow the cluster's domain, which is known from the first registration on."""
        if cluster_domain != self._domain:
            self._domain = cluster_domain
            self._network = NetworkBuilder(cluster_domain)
            for key in self._resources:
                if key[0] in _NETWORK:
                    self._put(key, self._resources[key])

    def apply(self, message: node_pb2.Inputs) -> Changes:
        """Take in a set. Raises BrokenChain, with nothing changed, when it does not continue what is held."""
        if not message.full and message.applies_to != self.revision:
            raise BrokenChain(f"inputs continue revision {message.applies_to}, held is {self.revision}")
        new = {key: each for each in message.set if (key := key_of(each)) is not None}
        if message.full:
            gone: set[Key] = self._resources.keys() - new.keys()
        else:
            gone = {(each.resource, each.namespace, each.name) for each in message.removed} - new.keys()
        changed = {key for key, each in new.items() if self._resources.get(key) != each}
        self.revision = message.results_in
        before = {uid: _wanted(assigned.pod) for uid, assigned in self.pods.items()}
        touched = self._pod_uids(changed | gone)
        for key in gone:
            if self._resources.pop(key, None) is not None:
                self._put(key, None)
        for key in changed:
            self._resources[key] = new[key]
            self._put(key, new[key])
        touched |= self._pod_uids(changed)
        configuration = frozenset(key for key in changed | gone if key[0] in {"configmaps", "secrets"})
        network = any(key[0] in _NETWORK for key in changed | gone)
        after = {uid: _wanted(assigned.pod) for uid, assigned in self.pods.items()}
        acts = message.full or network or bool(configuration) or before != after
        return Changes(frozenset(touched), configuration, network, message.full, acts)

    def as_full(self) -> node_pb2.Inputs:
        """Everything held, as one full set."""
        ordered = [self._resources[key] for key in sorted(self._resources)]
        return node_pb2.Inputs(full=True, results_in=self.revision, set=ordered)

    def config_maps(self, namespace: str) -> dict[str, ConfigMap]:
        """The ConfigMaps of a namespace by name."""
        return {key[1]: each for key, each in self._config_maps.items() if key[0] == namespace}

    def secrets(self, namespace: str) -> dict[str, Secret]:
        """The Secrets of a namespace by name."""
        return {key[1]: each for key, each in self._secrets.items() if key[0] == namespace}

    def services(self, namespaces: Iterable[str]) -> list[Service]:
        """The Services of some namespaces."""
        wanted = set(namespaces)
        return [each for key, each in self._services.items() if key[0] in wanted]

    def node(self, name: str) -> Node | None:
        """A node."""
        return self._nodes.get(name)

    def assigned_uids(self) -> set[str]:
        """The uids of all pods of this node, also of those that this version cannot read."""
        return {each.uid for key, each in self._resources.items() if key[0] == "pods"}

    def network(self) -> NetworkInputs:
        """What the node's network is made from, at the held revision."""
        return self._network.build(self.revision)

    def serves(self, address: str) -> bool:
        """Whether some Service sends new connections to a pod's address."""
        return bool(address) and self._network.serves(address)

    def stored_status(self, uid: str) -> str:
        """The status that the control plane holds for a pod, as canonical JSON."""
        assigned = self.pods.get(uid)
        if assigned is None:
            return ""
        meta = assigned.pod.metadata
        tree = msgspec.json.decode(self._resources["pods", meta.namespace, meta.name].json)
        return msgspec.json.encode(tree.get("status", {}), order="deterministic").decode()

    def _pod_uids(self, keys: set[Key]) -> set[str]:
        return {self._resources[key].uid for key in keys if key[0] == "pods" and key in self._resources}

    def _put(self, key: Key, resource: resource_pb2.Resource | None) -> None:
        """Update views; an object that a newer control plane wrote in a way we cannot read keeps its last view."""
        try:
            self._put_view(key, resource)
        except msgspec.DecodeError as error:
            log.warning("object_unreadable", resource=key[0], namespace=key[1], name=key[2], error=str(error))

    def _put_view(self, key: Key, resource: resource_pb2.Resource | None) -> None:
        kind, namespace, name = key
        place = (namespace, name)
        json = resource.json.encode() if resource is not None else b""
        match kind:
            case "pods":
                self._put_pod(place, resource)
            case "configmaps":
                _set(self._config_maps, place, msgspec.json.decode(json, type=ConfigMap) if json else None)
            case "secrets":
                _set(self._secrets, place, msgspec.json.decode(json, type=Secret) if json else None)
            case "services":
                service = msgspec.json.decode(json, type=Service) if json else None
                _set(self._services, place, service)
                self._network.put_service(place, service)
            case "nodes":
                node = msgspec.json.decode(json, type=Node) if json else None
                _set(self._nodes, name, node)
                self._network.put_node(name, node)
            case _:
                found = msgspec.json.decode(json, type=EndpointSlice) if json else None
                self._network.put_slice(place, found)

    def _put_pod(self, place: tuple[str, str], resource: resource_pb2.Resource | None) -> None:
        """A namesake with another uid takes the place of the pod before it."""
        for uid in list(self._uids_at(place)):
            if resource is None or resource.uid != uid:
                del self.pods[uid]
        if resource is not None:
            pod = msgspec.json.decode(resource.json, type=Pod)
            before = self.pods.get(resource.uid)
            revision = before.network_revision if before is not None else self.revision
            self.pods[resource.uid] = AssignedPod(pod, revision)

    def _uids_at(self, place: tuple[str, str]) -> Iterator[str]:
        for uid, assigned in self.pods.items():
            if (assigned.pod.metadata.namespace, assigned.pod.metadata.name) == place:
                yield uid


def _wanted(pod: Pod) -> tuple[PodSpec, str | None, int | None]:
    """The part of a pod that the node acts on."""
    return pod.spec, pod.metadata.deletion_timestamp, pod.metadata.deletion_grace_period_seconds


def _set(views: dict[Place, View], place: Place, view: View | None) -> None:
    if view is None:
        views.pop(place, None)
    else:
        views[place] = view
