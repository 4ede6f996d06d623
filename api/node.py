"""Nodes: the machines that run pods, and what they report."""

from __future__ import annotations

import msgspec

from api.meta import ObjectMeta, Quantity, Resource, required


class ConfigMapNodeConfigSource(Resource):
    """Kept for the record; nothing reads it."""

    name: str = required("")
    namespace: str = required("")
    kubelet_config_key: str = required("")
    resource_version: str | None = None
    uid: str | None = None


class NodeConfigSource(Resource):
    """Kept for the record; nothing reads it."""

    config_map: ConfigMapNodeConfigSource | None = None


class NodePodPreemptionPolicy(Resource):
    """Which preemptions the node refuses."""

    disable_resize_preemption: tuple[str, ...] = ()


class Taint(Resource):
    """Keeps pods away that do not tolerate it: NoSchedule, PreferNoSchedule or NoExecute."""

    key: str = required("")
    effect: str = required("")
    time_added: str | None = None
    value: str | None = None


class NodeSpec(Resource):
    """`pod_cidr` is the address range of this node's pods; `unschedulable` is what cordon sets."""

    config_source: NodeConfigSource | None = None
    external_id: str | None = msgspec.field(name="externalID", default=None)
    pod_cidr: str | None = msgspec.field(name="podCIDR", default=None)
    pod_cidrs: tuple[str, ...] = msgspec.field(name="podCIDRs", default=())
    pod_preemption_policy: NodePodPreemptionPolicy | None = None
    provider_id: str | None = msgspec.field(name="providerID", default=None)
    taints: tuple[Taint, ...] = ()
    unschedulable: bool | None = None


class NodeAddress(Resource):
    """An address; type InternalIP, ExternalIP, Hostname, InternalDNS or ExternalDNS."""

    type: str = required("")
    address: str = required("")


class NodeCondition(Resource):
    """One aspect of a node, such as Ready or MemoryPressure."""

    status: str = required("")
    type: str = required("")
    last_heartbeat_time: str | None = None
    last_transition_time: str | None = None
    message: str | None = None
    reason: str | None = None


class NodeConfigStatus(Resource):
    """Kept for the record; nothing reads it."""

    active: NodeConfigSource | None = None
    assigned: NodeConfigSource | None = None
    error: str | None = None
    last_known_good: NodeConfigSource | None = None


class DaemonEndpoint(Resource):
    """A port of a daemon."""

    port: int = required(0, name="Port")


class NodeDaemonEndpoints(Resource):
    """Ports of the daemons on the node."""

    kubelet_endpoint: DaemonEndpoint | None = None


class NodeFeatures(Resource):
    """What the container runtime supports."""

    supplemental_groups_policy: bool | None = None


class ContainerImage(Resource):
    """An image on the node; size in bytes."""

    names: tuple[str, ...] = ()
    size_bytes: int | None = None


class NodeSwapStatus(Resource):
    """Swap space in bytes."""

    capacity: int | None = None


class NodeSystemInfo(Resource):
    """Identity and versions of a machine; `boot_id` changes with every start."""

    architecture: str = required("")
    boot_id: str = required("", name="bootID")
    container_runtime_version: str = required("")
    kernel_version: str = required("")
    kube_proxy_version: str = required("")
    kubelet_version: str = required("")
    machine_id: str = required("", name="machineID")
    operating_system: str = required("")
    os_image: str = required("")
    running_in_user_namespace: bool | None = None
    swap: NodeSwapStatus | None = None
    system_uuid: str = required("", name="systemUUID")


class NodeRuntimeHandlerFeatures(Resource):
    """What one runtime class supports."""

    recursive_read_only_mounts: bool | None = None
    user_namespaces: bool | None = None


class NodeRuntimeHandler(Resource):
    """A runtime class of the node; no name means the default."""

    name: str | None = None
    features: NodeRuntimeHandlerFeatures | None = None


class AttachedVolume(Resource):
    """A volume attached to the machine."""

    name: str = required("")
    device_path: str = required("")


class NodeStatus(Resource):
    """What the node reports; `allocatable` is `capacity` less what the system keeps."""

    addresses: tuple[NodeAddress, ...] = ()
    allocatable: dict[str, Quantity] = {}
    capacity: dict[str, Quantity] = {}
    conditions: tuple[NodeCondition, ...] = ()
    config: NodeConfigStatus | None = None
    daemon_endpoints: NodeDaemonEndpoints | None = None
    declared_features: tuple[str, ...] = ()
    features: NodeFeatures | None = None
    images: tuple[ContainerImage, ...] = ()
    node_info: NodeSystemInfo | None = None
    phase: str | None = None
    runtime_handlers: tuple[NodeRuntimeHandler, ...] = ()
    volumes_attached: tuple[AttachedVolume, ...] = ()
    volumes_in_use: tuple[str, ...] = ()


class Node(Resource):
    """A machine that runs pods."""

    api_version: str = required("v1")
    kind: str = required("Node")
    metadata: ObjectMeta = ObjectMeta()
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()
