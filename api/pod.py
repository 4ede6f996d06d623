"""The pod: containers that share a node, an address and volumes."""

from __future__ import annotations

import msgspec

from api.affinity import Affinity, Toleration, TopologySpreadConstraint
from api.container import Container, EphemeralContainer, ResourceRequirements
from api.container_status import ContainerStatus
from api.meta import LocalObjectReference, ObjectMeta, Quantity, Resource, required
from api.security import PodSecurityContext
from api.volume import Volume


class PodDNSConfigOption(Resource):
    """One resolver option, such as `ndots`."""

    name: str | None = None
    value: str | None = None


class PodDNSConfig(Resource):
    """Resolver settings added to what the DNS policy gives."""

    nameservers: tuple[str, ...] = ()
    options: tuple[PodDNSConfigOption, ...] = ()
    searches: tuple[str, ...] = ()


class EvictionResponder(Resource):
    """Somebody who is asked before the pod is evicted; higher `priority` first."""

    name: str = required("")
    priority: int = required(0)


class HostAlias(Resource):
    """A line of the pod's hosts file."""

    hostnames: tuple[str, ...] = ()
    ip: str = required("")


class PodOS(Resource):
    """The operating system that the pod needs."""

    name: str = required("")


class PodReadinessGate(Resource):
    """A condition that must be True before the pod counts as ready."""

    condition_type: str = required("")


class PodResourceClaim(Resource):
    """A device claim, by its name or by the template it is made from."""

    name: str = required("")
    resource_claim_name: str | None = None
    resource_claim_template_name: str | None = None


class PodSchedulingGate(Resource):
    """Keeps the pod from being scheduled until it is removed."""

    name: str = required("")


class PodSchedulingGroup(Resource):
    """The group this pod is scheduled with."""

    pod_group_name: str | None = None


class PodSpec(Resource):
    """Desired state of a pod, written by users; `node_name` by the scheduler.

    Grace period and deadline are seconds. Most fields cannot change once the pod exists.
    """

    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    active_deadline_seconds: int | None = None
    affinity: Affinity | None = None
    automount_service_account_token: bool | None = None
    dns_config: PodDNSConfig | None = None
    dns_policy: str | None = None
    enable_service_links: bool | None = None
    ephemeral_containers: tuple[EphemeralContainer, ...] = ()
    eviction_responders: tuple[EvictionResponder, ...] = ()
    host_aliases: tuple[HostAlias, ...] = ()
    host_ipc: bool | None = msgspec.field(name="hostIPC", default=None)
    host_network: bool | None = None
    host_pid: bool | None = msgspec.field(name="hostPID", default=None)
    host_users: bool | None = None
    hostname: str | None = None
    hostname_override: str | None = None
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()
    node_name: str | None = None
    node_selector: dict[str, str] = {}
    os: PodOS | None = None
    overhead: dict[str, Quantity] = {}
    preemption_policy: str | None = None
    priority: int | None = None
    priority_class_name: str | None = None
    readiness_gates: tuple[PodReadinessGate, ...] = ()
    resource_claims: tuple[PodResourceClaim, ...] = ()
    resources: ResourceRequirements | None = None
    restart_policy: str | None = None
    runtime_class_name: str | None = None
    scheduler_name: str | None = None
    scheduling_gates: tuple[PodSchedulingGate, ...] = ()
    scheduling_group: PodSchedulingGroup | None = None
    security_context: PodSecurityContext | None = None
    service_account: str | None = None
    service_account_name: str | None = None
    set_hostname_as_fqdn: bool | None = msgspec.field(name="setHostnameAsFQDN", default=None)
    share_process_namespace: bool | None = None
    subdomain: str | None = None
    termination_grace_period_seconds: int | None = None
    tolerations: tuple[Toleration, ...] = ()
    topology_spread_constraints: tuple[TopologySpreadConstraint, ...] = ()
    volumes: tuple[Volume, ...] = ()


class HostIP(Resource):
    """One address of the node."""

    ip: str = required("")


class PodIP(Resource):
    """One address of the pod."""

    ip: str = required("")


class PodCondition(Resource):
    """One aspect of a pod, such as PodScheduled, Initialized, ContainersReady, Ready."""

    status: str = required("")
    type: str = required("")
    last_probe_time: str | None = None
    last_transition_time: str | None = None
    message: str | None = None
    observed_generation: int | None = None
    reason: str | None = None


class ContainerExtendedResourceRequest(Resource):
    """Which request of a claim serves an extended resource of a container."""

    container_name: str = required("")
    request_name: str = required("")
    resource_name: str = required("")


class PodExtendedResourceClaimStatus(Resource):
    """The claim made for extended resources."""

    request_mappings: tuple[ContainerExtendedResourceRequest, ...] = ()
    resource_claim_name: str = required("")


class NodeAllocatableMappedResources(Resource):
    """An amount of a node resource that a claim stands for."""

    name: str = required("")
    quantity: Quantity = required("")


class NodeAllocatableOverheadResources(Resource):
    """Overhead of a node resource, per container and per pod."""

    name: str = required("")
    per_container: Quantity | None = None
    per_pod: Quantity | None = None


class NodeAllocatableResourceClaimStatus(Resource):
    """What a claim takes from the node's own resources."""

    containers: tuple[str, ...] = ()
    mapping: tuple[NodeAllocatableMappedResources, ...] = ()
    overhead: tuple[NodeAllocatableOverheadResources, ...] = ()
    resource_claim_name: str = required("")


class PodResourceClaimStatus(Resource):
    """The claim object that stands behind an entry of the spec."""

    name: str = required("")
    resource_claim_name: str | None = None


class VolumeHealthCondition(Resource):
    """One finding about a volume."""

    status: str = required("")
    message: str | None = None
    reason: str = required("")


class PodVolumeHealth(Resource):
    """Findings about one volume of the pod."""

    name: str = required("")
    health_conditions: tuple[VolumeHealthCondition, ...] = ()
    last_transition_time: str | None = None


class PodStatus(Resource):
    """What the agent reports of a pod.

    `phase` is Pending, Running, Succeeded, Failed or Unknown; readiness is among the conditions.
    """

    allocated_resources: dict[str, Quantity] = {}
    conditions: tuple[PodCondition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    ephemeral_container_statuses: tuple[ContainerStatus, ...] = ()
    extended_resource_claim_status: PodExtendedResourceClaimStatus | None = None
    host_ip: str | None = msgspec.field(name="hostIP", default=None)
    host_ips: tuple[HostIP, ...] = msgspec.field(name="hostIPs", default=())
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    message: str | None = None
    node_allocatable_resource_claim_statuses: tuple[NodeAllocatableResourceClaimStatus, ...] = ()
    nominated_node_name: str | None = None
    observed_generation: int | None = None
    phase: str | None = None
    pod_ip: str | None = msgspec.field(name="podIP", default=None)
    pod_ips: tuple[PodIP, ...] = msgspec.field(name="podIPs", default=())
    qos_class: str | None = None
    reason: str | None = None
    resize: str | None = None
    resource_claim_statuses: tuple[PodResourceClaimStatus, ...] = ()
    resources: ResourceRequirements | None = None
    start_time: str | None = None
    volume_health: tuple[PodVolumeHealth, ...] = ()


class Pod(Resource):
    """A group of containers that are placed, started and stopped together."""

    api_version: str = required("v1")
    kind: str = required("Pod")
    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class PodTemplateSpec(Resource):
    """What a controller stamps its pods from."""

    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec = PodSpec()
