"""Rules for Endpoints. What did not change is not looked at again."""

from __future__ import annotations

from collections.abc import Iterator

from api.endpoints import EndpointAddress, EndpointPort, Endpoints
from api.errors import FieldError
from api.faults import PORT_LIMIT, check_choice, check_range, check_text, invalid, required
from api.names import dns_label_fault, dns_subdomain_fault, qualified_name_fault
from api.validate_container import PROTOCOLS
from api.validate_service import ip_fault, unreachable_fault


def endpoints_faults(view: Endpoints, old: Endpoints | None) -> Iterator[FieldError]:
    """Yield what is wrong with Endpoints."""
    if old is not None and view.subsets == old.subsets:
        return
    for index, subset in enumerate(view.subsets):
        path = f"subsets[{index}]"
        if not subset.addresses and not subset.not_ready_addresses:
            yield required(path, "must specify `addresses` or `notReadyAddresses`")
        for name, addresses in (("addresses", subset.addresses), ("notReadyAddresses", subset.not_ready_addresses)):
            for position, address in enumerate(addresses):
                yield from _address_faults(address, f"{path}.{name}[{position}]")
        for position, port in enumerate(subset.ports):
            yield from _port_faults(port, f"{path}.ports[{position}]", named=len(subset.ports) > 1)


def _address_faults(address: EndpointAddress, path: str) -> Iterator[FieldError]:
    if (why := ip_fault(address.ip)) or (why := unreachable_fault(address.ip)):
        yield invalid(f"{path}.ip", address.ip, why)
    elif ":" in address.ip:
        yield FieldError(f"{path}.ip", f'"{address.ip}" is not supported yet; supported: addresses of IPv4')
    yield from check_text(f"{path}.hostname", address.hostname, dns_label_fault, optional=True)
    yield from check_text(f"{path}.nodeName", address.node_name, dns_subdomain_fault, optional=True)


def _port_faults(port: EndpointPort, path: str, *, named: bool) -> Iterator[FieldError]:
    if named and not port.name:
        yield required(f"{path}.name")
    yield from check_text(f"{path}.name", port.name, dns_label_fault, optional=True)
    yield from check_range(f"{path}.port", port.port, 1, PORT_LIMIT)
    yield from check_choice(f"{path}.protocol", port.protocol, PROTOCOLS)
    yield from check_text(f"{path}.appProtocol", port.app_protocol, qualified_name_fault, optional=True)
