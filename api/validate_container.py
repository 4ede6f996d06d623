"""Rules for one container: image, ports, environment, mounts, resources, security."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from api.container import Container, ContainerPort, ResourceRequirements, VolumeMount
from api.env import EnvFromSource, EnvVar, EnvVarSource
from api.errors import FieldError, Invalid
from api.faults import (
    PORT_LIMIT,
    check_choice,
    check_quantity,
    check_range,
    check_text,
    check_unique,
    duplicate,
    forbidden,
    invalid,
    required,
)
from api.meta import Quantity
from api.names import (
    config_key_fault,
    dns_label_fault,
    dns_subdomain_fault,
    env_name_fault,
    port_name_fault,
    qualified_name_fault,
)
from api.quantity import parse
from api.security import SecurityContext
from api.validate_field_ref import IN_VARIABLES, field_ref_faults
from api.validate_probe import probe_faults
from api.validate_resource_field import resource_field_faults

PROTOCOLS = ("SCTP", "TCP", "UDP")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
STANDARD_RESOURCES = ("cpu", "memory", "ephemeral-storage")
ID_LIMIT = 2**31 - 1


def container_faults(
    container: Container, path: str, volumes: frozenset[str], grace_seconds: int
) -> Iterator[FieldError]:
    """Yield what is wrong with a container that lasts; `volumes` are the names of the pod's."""
    yield from common_faults(container, path, volumes)
    yield from probe_faults(container, path, grace_seconds)


def common_faults(container: Container, path: str, volumes: frozenset[str]) -> Iterator[FieldError]:
    """Yield what is wrong with a container of any sort, its probes and hooks left aside."""
    yield from check_text(f"{path}.name", container.name, dns_label_fault)
    if not container.image:
        yield required(f"{path}.image")
    elif container.image != container.image.strip():
        yield invalid(f"{path}.image", container.image, "must not have leading or trailing whitespace")
    yield from check_choice(f"{path}.imagePullPolicy", container.image_pull_policy, PULL_POLICIES)
    yield from _port_faults(container.ports, f"{path}.ports")
    for index, variable in enumerate(container.env):
        yield from _variable_faults(variable, f"{path}.env[{index}]")
    for index, source in enumerate(container.env_from):
        yield from _env_from_faults(source, f"{path}.envFrom[{index}]")
    yield from _mount_faults(container.volume_mounts, f"{path}.volumeMounts", volumes)
    if container.resources:
        yield from resource_faults(container.resources, f"{path}.resources")
    policies = ("FallbackToLogsOnError", "File")
    yield from check_choice(f"{path}.terminationMessagePolicy", container.termination_message_policy, policies)
    if container.security_context:
        yield from _security_faults(container.security_context, f"{path}.securityContext")


def _port_faults(ports: tuple[ContainerPort, ...], path: str) -> Iterator[FieldError]:
    for index, port in enumerate(ports):
        yield from check_text(f"{path}[{index}].name", port.name, port_name_fault, optional=True)
        if not port.container_port:
            yield required(f"{path}[{index}].containerPort")
        else:
            yield from check_range(f"{path}[{index}].containerPort", port.container_port, 1, PORT_LIMIT)
        yield from check_range(f"{path}[{index}].hostPort", port.host_port, 0, PORT_LIMIT)
        yield from check_choice(f"{path}[{index}].protocol", port.protocol, PROTOCOLS)
    yield from check_unique(f"{path}[{{}}].name", (port.name for port in ports))


def _variable_faults(variable: EnvVar, path: str) -> Iterator[FieldError]:
    yield from check_text(f"{path}.name", variable.name, env_name_fault)
    if variable.value_from is None:
        return
    if variable.value:
        yield forbidden(f"{path}.valueFrom", "may not be specified when `value` is not empty")
    yield from _source_faults(variable.value_from, f"{path}.valueFrom")


def _source_faults(source: EnvVarSource, path: str) -> Iterator[FieldError]:
    given = [
        name
        for name, value in (
            ("configMapKeyRef", source.config_map_key_ref),
            ("fieldRef", source.field_ref),
            ("fileKeyRef", source.file_key_ref),
            ("resourceFieldRef", source.resource_field_ref),
            ("secretKeyRef", source.secret_key_ref),
        )
        if value is not None
    ]
    if not given:
        why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        yield required(path, why)
    elif len(given) > 1:
        yield forbidden(path, f"may not have more than one field specified at a time, found {', '.join(given)}")
    for name, selector in (("configMapKeyRef", source.config_map_key_ref), ("secretKeyRef", source.secret_key_ref)):
        if selector:
            yield from check_text(f"{path}.{name}.name", selector.name, dns_subdomain_fault)
            yield from check_text(f"{path}.{name}.key", selector.key, config_key_fault)
    if source.field_ref:
        yield from field_ref_faults(source.field_ref, f"{path}.fieldRef", IN_VARIABLES, "an environment variable")
    if source.resource_field_ref:
        yield from resource_field_faults(source.resource_field_ref, f"{path}.resourceFieldRef")


def _env_from_faults(source: EnvFromSource, path: str) -> Iterator[FieldError]:
    yield from check_text(f"{path}.prefix", source.prefix, env_name_fault, optional=True)
    if source.config_map_ref and source.secret_ref:
        yield forbidden(path, "may not have more than one field specified at a time")
    if not source.config_map_ref and not source.secret_ref:
        yield required(path, "must specify one of: `configMapRef` or `secretRef`")
    for name, reference in (("configMapRef", source.config_map_ref), ("secretRef", source.secret_ref)):
        if reference:
            yield from check_text(f"{path}.{name}.name", reference.name, dns_subdomain_fault)


def _mount_faults(mounts: tuple[VolumeMount, ...], path: str, volumes: frozenset[str]) -> Iterator[FieldError]:
    seen = set()
    for index, mount in enumerate(mounts):
        if not mount.name:
            yield required(f"{path}[{index}].name")
        elif mount.name not in volumes:
            yield FieldError(f"{path}[{index}].name", f'Not found: "{mount.name}"')
        if not mount.mount_path:
            yield required(f"{path}[{index}].mountPath")
        elif ":" in mount.mount_path:
            yield invalid(f"{path}[{index}].mountPath", mount.mount_path, "must not contain ':'")
        elif not mount.mount_path.startswith("/"):
            yield invalid(f"{path}[{index}].mountPath", mount.mount_path, "must be an absolute path")
        if mount.mount_path in seen:
            yield invalid(f"{path}[{index}].mountPath", mount.mount_path, "must be unique")
        seen.add(mount.mount_path)
        yield from _sub_path_faults(mount, f"{path}[{index}]")
        propagations = ("Bidirectional", "HostToContainer", "None")
        yield from check_choice(f"{path}[{index}].mountPropagation", mount.mount_propagation, propagations)


def _sub_path_faults(mount: VolumeMount, path: str) -> Iterator[FieldError]:
    if mount.sub_path and mount.sub_path_expr:
        yield forbidden(f"{path}.subPathExpr", "subPathExpr and subPath are mutually exclusive")
    for name, text in (("subPath", mount.sub_path), ("subPathExpr", mount.sub_path_expr)):
        if text and text.startswith("/"):
            yield invalid(f"{path}.{name}", text, "must be a relative path")
        elif text and ".." in text.split("/"):
            yield invalid(f"{path}.{name}", text, "must not contain '..'")


def resource_faults(resources: ResourceRequirements, path: str) -> Iterator[FieldError]:
    """Yield what is wrong with requests and limits: names, amounts, requests above limits."""
    yield from _amount_faults(resources.limits, f"{path}.limits")
    # Requests that defaulting copied from the limits are right or wrong with these.
    own = {name: amount for name, amount in resources.requests.items() if resources.limits.get(name) != amount}
    yield from _amount_faults(own, f"{path}.requests")
    for resource, request in resources.requests.items():
        limit = resources.limits.get(resource)
        try:
            if limit is not None and parse(request) > parse(limit):
                why = f"must be less than or equal to {resource} limit of {limit}"
                yield invalid(f"{path}.requests[{resource}]", request, why)
        except Invalid:
            continue  # named above
    yield from check_unique(f"{path}.claims[{{}}].name", (claim.name for claim in resources.claims))


def _amount_faults(amounts: Mapping[str, Quantity], path: str) -> Iterator[FieldError]:
    for resource, quantity in amounts.items():
        if why := qualified_name_fault(resource):
            yield invalid(f"{path}[{resource}]", resource, why)
        elif "/" not in resource and resource not in STANDARD_RESOURCES and not resource.startswith("hugepages-"):
            yield invalid(f"{path}[{resource}]", resource, "must be a standard resource type or fully qualified")
        yield from check_quantity(f"{path}[{resource}]", quantity)


def _security_faults(context: SecurityContext, path: str) -> Iterator[FieldError]:
    yield from check_range(f"{path}.runAsUser", context.run_as_user, 0, ID_LIMIT)
    yield from check_range(f"{path}.runAsGroup", context.run_as_group, 0, ID_LIMIT)
    if context.allow_privilege_escalation is False:
        if context.privileged:
            yield invalid(path, False, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true")
        if context.capabilities and {"SYS_ADMIN", "CAP_SYS_ADMIN"} & set(context.capabilities.add):
            why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.add` CAP_SYS_ADMIN"
            yield invalid(path, False, why)


def host_port_faults(places: Iterable[tuple[str, Container]], *, host_network: bool) -> Iterator[FieldError]:
    """Yield host ports used twice by containers that run at once, or unlike the container's in the host's network.

    `places` are those containers, each with its path.
    """
    seen = set()
    for path, container in places:
        for index, port in enumerate(container.ports):
            if not port.host_port:
                continue
            where = f"{path}.ports[{index}].hostPort"
            if host_network and port.host_port != port.container_port:
                yield invalid(where, port.host_port, "must match `containerPort` when `hostNetwork` is true")
            used = (port.host_port, port.protocol, port.host_ip or "")
            if used in seen:
                yield duplicate(where, port.host_port)
            seen.add(used)
