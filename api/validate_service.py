"""Rules for Services and EndpointSlices."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from api.errors import FieldError
from api.faults import (
    PORT_LIMIT,
    check_choice,
    check_labels,
    check_port,
    check_range,
    check_text,
    check_unique,
    duplicate,
    forbidden,
    immutable,
    invalid,
    required,
)
from api.names import dns_label_fault, dns_subdomain_fault, port_name_fault, qualified_name_fault
from api.network import Endpoint, EndpointPort, EndpointSlice
from api.service import Service, ServicePort, ServiceSpec
from api.validate_container import PROTOCOLS

HEADLESS = "None"
SERVICE_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
AFFINITY_LIMIT_SECONDS = 86400
ENDPOINT_LIMIT = 1000
ADDRESS_LIMIT = 100
_IP_VERSIONS = {"IPv4": 4, "IPv6": 6}


def ip_fault(text: str, version: int | None = None) -> str | None:
    """Return why the text is no IP address (of this version), or None."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
    if version and address.version != version:
        return f"must be an IPv{version} address"
    return None


def service_faults(service: Service, old: Service | None) -> Iterator[FieldError]:
    """Yield what is wrong with a service."""
    spec = service.spec
    yield from check_choice("spec.type", spec.type, SERVICE_TYPES)
    if not spec.ports and spec.cluster_ip != HEADLESS and spec.type != "ExternalName":
        yield required("spec.ports")
    yield from _port_faults(spec.ports)
    yield from check_labels("spec.selector", spec.selector)
    yield from _affinity_faults(spec)
    yield from check_choice("spec.internalTrafficPolicy", spec.internal_traffic_policy, ("Cluster", "Local"))
    families = ("SingleStack", "PreferDualStack", "RequireDualStack")
    yield from check_choice("spec.ipFamilyPolicy", spec.ip_family_policy, families)
    for index, family in enumerate(spec.ip_families):
        yield from check_choice(f"spec.ipFamilies[{index}]", family, ("IPv4", "IPv6"))
    yield from _outside_faults(spec)
    yield from _address_faults(spec)
    if old is not None:
        yield from _address_change_faults(spec, old.spec)


def _port_faults(ports: tuple[ServicePort, ...]) -> Iterator[FieldError]:
    seen = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        if len(ports) > 1 and not port.name:
            yield required(f"{path}.name")
        yield from check_text(f"{path}.name", port.name, dns_label_fault, optional=True)
        yield from check_range(f"{path}.port", port.port, 1, PORT_LIMIT)
        yield from check_choice(f"{path}.protocol", port.protocol, PROTOCOLS)
        if port.target_port is not None:
            yield from check_port(f"{path}.targetPort", port.target_port, port_name_fault)
        yield from check_range(f"{path}.nodePort", port.node_port, 0, PORT_LIMIT)
        yield from check_text(f"{path}.appProtocol", port.app_protocol, qualified_name_fault, optional=True)
        if (key := (port.protocol or "TCP", port.port)) in seen:
            yield duplicate(path, {"protocol": key[0], "port": key[1]})
        seen.add(key)
    yield from check_unique("spec.ports[{}].name", (port.name for port in ports))


def _affinity_faults(spec: ServiceSpec) -> Iterator[FieldError]:
    yield from check_choice("spec.sessionAffinity", spec.session_affinity, ("ClientIP", "None"))
    config = spec.session_affinity_config
    if config is None:
        return
    if spec.session_affinity != "ClientIP":
        yield forbidden("spec.sessionAffinityConfig", "must not be set when session affinity is None")
    elif config.client_ip:
        path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
        yield from check_range(path, config.client_ip.timeout_seconds, 1, AFFINITY_LIMIT_SECONDS)


def _outside_faults(spec: ServiceSpec) -> Iterator[FieldError]:
    """What only Services that are reached from outside can have."""
    policy = spec.external_traffic_policy
    if policy and spec.type not in {"NodePort", "LoadBalancer"}:
        yield invalid("spec.externalTrafficPolicy", policy, "may only be set for externally-accessible services")
    if spec.allocate_load_balancer_node_ports is not None and spec.type != "LoadBalancer":
        yield forbidden("spec.allocateLoadBalancerNodePorts", "may only be used when `type` is 'LoadBalancer'")


def _address_faults(spec: ServiceSpec) -> Iterator[FieldError]:
    if spec.type == "ExternalName":
        if spec.cluster_ip:
            yield forbidden("spec.clusterIP", "may not be set when `type` is 'ExternalName'")
        return
    if spec.cluster_ip and spec.cluster_ip != HEADLESS and (why := ip_fault(spec.cluster_ip, version=4)):
        yield invalid("spec.clusterIP", spec.cluster_ip, why)
    if spec.cluster_ip == HEADLESS and spec.type in {"NodePort", "LoadBalancer"}:
        yield invalid("spec.clusterIP", HEADLESS, f"may not be set to 'None' for {spec.type} services")
    if len(spec.cluster_ips) > 1:
        yield invalid("spec.clusterIPs", list(spec.cluster_ips), "may only hold up to 1 value")
    elif spec.cluster_ips and spec.cluster_ips[0] != (spec.cluster_ip or ""):
        yield invalid("spec.clusterIPs", list(spec.cluster_ips), "first value must match `clusterIP`")


def _address_change_faults(spec: ServiceSpec, old: ServiceSpec) -> Iterator[FieldError]:
    if old.cluster_ip and spec.type == old.type and spec.cluster_ip != old.cluster_ip:
        yield immutable("spec.clusterIP", spec.cluster_ip or "")


def endpoint_slice_faults(piece: EndpointSlice, old: EndpointSlice | None) -> Iterator[FieldError]:
    """Yield what is wrong with an endpoint slice."""
    if not piece.address_type:
        yield required("addressType")
    else:
        yield from check_choice("addressType", piece.address_type, ADDRESS_TYPES)
    if old is not None and piece.address_type != old.address_type:
        yield immutable("addressType", piece.address_type)
    if len(piece.endpoints) > ENDPOINT_LIMIT:
        yield FieldError("endpoints", f"Too many: {len(piece.endpoints)}: must have at most {ENDPOINT_LIMIT} items")
    for index, endpoint in enumerate(piece.endpoints):
        yield from _endpoint_faults(endpoint, f"endpoints[{index}]", _IP_VERSIONS.get(piece.address_type))
    for index, port in enumerate(piece.ports):
        yield from _endpoint_port_faults(port, f"ports[{index}]")
    names = set()
    for index, port in enumerate(piece.ports):
        if (name := port.name or "") in names:
            yield duplicate(f"ports[{index}].name", name)
        names.add(name)


def _endpoint_faults(endpoint: Endpoint, path: str, version: int | None) -> Iterator[FieldError]:
    if not endpoint.addresses:
        yield required(f"{path}.addresses", "must contain at least 1 address")
    if len(endpoint.addresses) > ADDRESS_LIMIT:
        count = len(endpoint.addresses)
        yield FieldError(f"{path}.addresses", f"Too many: {count}: must have at most {ADDRESS_LIMIT} items")
    for index, address in enumerate(endpoint.addresses):
        where = f"{path}.addresses[{index}]"
        if version is None:
            continue
        if (why := ip_fault(address, version)) or (why := unreachable_fault(address)):
            yield invalid(where, address, why)
    yield from check_text(f"{path}.nodeName", endpoint.node_name, dns_subdomain_fault, optional=True)
    yield from check_text(f"{path}.hostname", endpoint.hostname, dns_label_fault, optional=True)


def unreachable_fault(text: str) -> str | None:
    """Return why an IP address leads to no endpoint, or None."""
    address = ipaddress.ip_address(text)
    if address.is_unspecified:
        return f"may not be unspecified ({text})"
    if address.is_loopback:
        return "may not be in the loopback range (127.0.0.0/8, ::1/128)"
    if address.is_link_local:
        return "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
    if address.is_multicast:
        return "may not be in the multicast range (224.0.0.0/4, ff00::/8)"
    return None


def _endpoint_port_faults(port: EndpointPort, path: str) -> Iterator[FieldError]:
    yield from check_text(f"{path}.name", port.name, dns_label_fault, optional=True)
    yield from check_choice(f"{path}.protocol", port.protocol, PROTOCOLS)
    yield from check_range(f"{path}.port", port.port, 1, PORT_LIMIT)
    yield from check_text(f"{path}.appProtocol", port.app_protocol, qualified_name_fault, optional=True)
