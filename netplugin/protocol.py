"""The node's network as the agent sees it. One real implementation (`netplugin.plugin`), one fake in tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class NetworkFailure(Exception):
    """The kernel refused. The message names the step and the remedy where there is one; a retry may help."""


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """What stays the same while the agent runs.

    `state_dir` (durable) and `run_dir` (gone after a boot) belong to the plugin; `link_prefix` starts the names of
    all links it makes (at most 4 characters), so that they can be told from others'.
    """

    node_name: str
    node_ip: str
    pod_range: str  # the cluster's, "10.244.0.0/16"
    service_range: str  # "10.96.0.0/16"
    cluster_domain: str  # "cluster.local"
    state_dir: str
    run_dir: str
    dns_address: str = "169.254.20.10"
    upstream_resolv_conf: str = "/etc/resolv.conf"
    link_prefix: str = "tim"
    mode: str = "auto"  # "auto": routes where a node is on our link, else VXLAN; "routes"; "vxlan"


@dataclass(frozen=True, slots=True)
class NodeRoute:
    """Another node, or this one: where its pods are."""

    name: str
    address: str
    pod_range: str  # "10.244.3.0/24"; empty while it has none
    mac: str = ""  # of its VXLAN device, empty while unknown


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One pod behind a service port."""

    address: str
    port: int
    ready: bool
    serving: bool
    terminating: bool
    node: str = ""


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One VIP and port with its endpoints. `affinity_seconds` 0: none."""

    namespace: str
    service: str
    port_name: str
    cluster_ip: str
    protocol: str  # "tcp" or "udp"
    port: int
    endpoints: tuple[Endpoint, ...]
    affinity_seconds: int = 0


@dataclass(frozen=True, slots=True)
class DnsRecord:
    """A name in the cluster's zone and its addresses: "web.default.svc.cluster.local" -> ("10.96.0.12",)."""

    name: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NetworkInputs:
    """Everything the node's network is made from, at one revision."""

    revision: int
    nodes: tuple[NodeRoute, ...]
    services: tuple[ServicePort, ...]
    records: tuple[DnsRecord, ...]


@dataclass(frozen=True, slots=True)
class PodAttachment:
    """A pod's place in the network: the pinned network namespace and the address inside it."""

    pod_uid: str
    netns_path: str
    ip: str


class PodNetwork(Protocol):
    """All methods are idempotent and safe to repeat after a crash in the middle. They raise NetworkFailure."""

    async def start(self) -> None:
        """Sysctls, guard tables and DNS: what must be there before anything else. Adopts what is already there."""

    async def sync(self, inputs: NetworkInputs) -> None:
        """Make routes, VIPs and names equal `inputs`; returns when they are in the kernel. One nft transaction."""

    async def attach(self, pod_uid: str, namespace: str, name: str, netns_path: str) -> PodAttachment:
        """Give the pod an address and a veth into the (existing, pinned) namespace. The same answer when repeated."""

    async def detach(self, pod_uid: str) -> None:
        """Remove veth, route and conntrack entries of the pod and free its address."""

    async def attached(self) -> Mapping[str, PodAttachment]:
        """What the kernel has now, by pod uid."""

    def problems(self) -> Sequence[str]:
        """Why traffic may not flow though we did our part: foreign firewalls, each with its remedy. Empty: fine."""

    def dns_config(self, namespace: str) -> str:
        """The resolv.conf of a pod with dnsPolicy ClusterFirst in `namespace`."""

    async def close(self) -> None:
        """Stop watching and answering DNS. Pods, routes and VIPs stay as they are."""

    async def reset(self) -> None:
        """Remove every trace: links, routes, tables, restored sysctls."""
