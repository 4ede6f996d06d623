"""Services: one stable address in front of changing pods."""

from __future__ import annotations

import msgspec

from api.meta import Condition, IntOrString, ObjectMeta, Resource, required


class ServicePort(Resource):
    """`port` of the service leads to `target_port` (number or container port name) of the pods."""

    name: str | None = None
    port: int = required(0)
    target_port: IntOrString | None = None
    protocol: str | None = None
    app_protocol: str | None = None
    node_port: int | None = None


class ClientIPConfig(Resource):
    """How long a client stays with its pod after the last connection, in seconds (1 to 86400)."""

    timeout_seconds: int | None = None


class SessionAffinityConfig(Resource):
    """Settings of session affinity."""

    client_ip: ClientIPConfig | None = msgspec.field(name="clientIP", default=None)


class ServiceSpec(Resource):
    """Which pods stand behind the service, and at which addresses.

    Without a selector somebody else keeps the EndpointSlices. A `cluster_ip` of None (the word) makes the service headless.
    """

    type: str | None = None
    allocate_load_balancer_node_ports: bool | None = None
    cluster_ip: str | None = msgspec.field(name="clusterIP", default=None)
    cluster_ips: tuple[str, ...] = msgspec.field(name="clusterIPs", default=())
    external_ips: tuple[str, ...] = msgspec.field(name="externalIPs", default=())
    external_name: str | None = None
    external_traffic_policy: str | None = None
    health_check_node_port: int | None = None
    internal_traffic_policy: str | None = None
    ip_families: tuple[str, ...] = ()
    ip_family_policy: str | None = None
    load_balancer_class: str | None = None
    load_balancer_ip: str | None = msgspec.field(name="loadBalancerIP", default=None)
    load_balancer_source_ranges: tuple[str, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    publish_not_ready_addresses: bool | None = None
    selector: dict[str, str] = {}
    session_affinity: str | None = None
    session_affinity_config: SessionAffinityConfig | None = None
    traffic_distribution: str | None = None


class PortStatus(Resource):
    """A port of a load balancer, and what is wrong with it."""

    port: int = required(0)
    protocol: str = required("")
    error: str | None = None


class LoadBalancerIngress(Resource):
    """One address of a load balancer."""

    hostname: str | None = None
    ip: str | None = None
    ip_mode: str | None = None
    ports: tuple[PortStatus, ...] = ()


class LoadBalancerStatus(Resource):
    """Addresses that lead to the service from outside."""

    ingress: tuple[LoadBalancerIngress, ...] = ()


class ServiceStatus(Resource):
    """Conditions and the load balancer's state."""

    conditions: tuple[Condition, ...] = ()
    load_balancer: LoadBalancerStatus | None = None


class Service(Resource):
    """A name and a virtual address for a changing set of pods."""

    api_version: str = required("v1")
    kind: str = required("Service")
    metadata: ObjectMeta = ObjectMeta()
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()
