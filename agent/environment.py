"""The environment of a container: pure, from its spec, the objects it names and the Services of its namespace.

Order and expansion are Kubernetes': Service variables first, then `envFrom`, then `env`, later ones winning.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from api import quantity
from api.core import ConfigMap, Container, EnvFromSource, EnvVar, EnvVarSource, Pod, Secret, Service
from api.meta import Quantity
from api.pod_containers import every_container, find_container

_REFERENCE = re.compile(r"\$(\$|\(([^()]*)\))")
_NAME = re.compile(r"[^=\x00-\x1f\x7f-\U0010ffff]+")
_MAP_FIELD = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


class ConfigError(Exception):
    """A container cannot be created before somebody changes something; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The objects of the pod's namespace that a container may name, and the node's facts."""

    config_maps: Mapping[str, ConfigMap] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    services: Sequence[Service] = ()  # of the pod's namespace, and the API's own
    node_name: str = ""
    host_ip: str = ""
    pod_ip: str = ""
    allocatable: Mapping[str, int] = field(default_factory=dict)  # cpu in millicores, others in whole units
    tokens: Mapping[tuple[str, str], str] = field(default_factory=dict, repr=False)  # by volume and path


@dataclass(frozen=True, slots=True)
class Environment:
    """Variables in order, and keys of `envFrom` objects that are no variable names, as "ConfigMap ns/name: key"."""

    variables: Mapping[str, str]
    skipped: tuple[str, ...] = ()


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by the variable; unknown names stay as they are, `$$` is a dollar sign."""

    def replaced(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        return variables.get(match[2], match[0])

    return _REFERENCE.sub(replaced, text)


def container_environment(pod: Pod, container: Container, sources: Sources) -> Environment:
    """Return the variables of the container. Raises ConfigError when something it names is missing."""
    services = service_variables(pod, sources.services)
    variables: dict[str, str] = {}
    skipped: list[str] = []
    for source in container.env_from:
        found, bad = _from_object(source, pod.metadata.namespace, sources)
        variables |= found
        skipped += bad
    for entry in container.env:
        value = _value(entry, pod, container, sources, services | variables)
        if value is not None:
            variables[entry.name] = value
    return Environment(
        {name: text for name, text in services.items() if name not in variables} | variables, tuple(skipped)
    )


def service_variables(pod: Pod, services: Sequence[Service]) -> dict[str, str]:
    """`{SVC}_SERVICE_HOST` and friends for Services with an address.

    Without `enableServiceLinks` only those of `default/kubernetes`. On equal names the pod's own namespace wins.
    """
    links = pod.spec.enable_service_links is not False
    variables: dict[str, str] = {}
    own = pod.metadata.namespace
    for service in sorted(services, key=lambda each: (each.metadata.namespace == own, each.metadata.name)):
        meta, address = service.metadata, service.spec.cluster_ip
        master = meta.namespace == "default" and meta.name == "kubernetes"
        if address and address != "None" and service.spec.ports and (master or (links and meta.namespace == own)):
            variables |= _links(meta.name, address, service)
    return variables


def named_objects(pod: Pod) -> frozenset[tuple[str, str]]:
    """("ConfigMap" or "Secret", name) of everything the pod's variables come from."""
    names: set[tuple[str, str]] = set()
    for container in every_container(pod.spec):
        for source in container.env_from:
            if source.config_map_ref is not None:
                names.add(("ConfigMap", source.config_map_ref.name or ""))
            if source.secret_ref is not None:
                names.add(("Secret", source.secret_ref.name or ""))
        origins = [entry.value_from for entry in container.env if entry.value_from is not None]
        names |= {("ConfigMap", o.config_map_key_ref.name or "") for o in origins if o.config_map_key_ref is not None}
        names |= {("Secret", o.secret_key_ref.name or "") for o in origins if o.secret_key_ref is not None}
    return frozenset(names)


def field_value(pod: Pod, path: str, sources: Sources) -> str:
    """The value of a pod field by its path. Raises ConfigError for a path that is not offered."""
    match = _MAP_FIELD.fullmatch(path)
    if match:
        return (pod.metadata.labels if match[1] == "labels" else pod.metadata.annotations).get(match[2], "")
    getter = _FIELDS.get(path)
    if getter is None:
        raise ConfigError(f"field {path!r} cannot be used in a container; offered are {', '.join(sorted(_FIELDS))}")
    return getter(pod, sources)


def resource_value(
    container: Container, resource: str, divisor: Quantity | None, allocatable: Mapping[str, int]
) -> str:
    """A container's limit or request in units of `divisor`, rounded up; a missing limit reads as the node's."""
    kind, _, name = resource.partition(".")
    resources = container.resources
    amounts: Mapping[str, Quantity] = {}
    if resources is not None:
        amounts = resources.limits if kind == "limits" else (resources.requests or resources.limits)
    unit = quantity.parse(divisor) if divisor is not None and quantity.parse(divisor) else Decimal(1)
    if name in amounts:
        amount = quantity.parse(amounts[name])
    elif kind == "limits":
        whole = Decimal(allocatable.get(name, 0))
        amount = whole / 1000 if name == "cpu" else whole
    else:
        amount = Decimal(0)
    return str(int((amount / unit).to_integral_value(rounding="ROUND_CEILING")))


_FIELDS: Mapping[str, Callable[[Pod, Sources], str]] = {
    "metadata.name": lambda pod, _: pod.metadata.name,
    "metadata.namespace": lambda pod, _: pod.metadata.namespace,
    "metadata.uid": lambda pod, _: pod.metadata.uid,
    "spec.nodeName": lambda _, sources: sources.node_name,
    "spec.serviceAccountName": lambda pod, _: pod.spec.service_account_name or "default",
    "status.hostIP": lambda _, sources: sources.host_ip,
    "status.hostIPs": lambda _, sources: sources.host_ip,
    "status.podIP": lambda _, sources: sources.pod_ip,
    "status.podIPs": lambda _, sources: sources.pod_ip,
}


def _value(entry: EnvVar, pod: Pod, container: Container, sources: Sources, known: Mapping[str, str]) -> str | None:
    """The value of one variable; None when it is optional and missing."""
    origin = entry.value_from
    if origin is None:
        return expand(entry.value or "", known)
    if origin.field_ref is not None:
        return field_value(pod, origin.field_ref.field_path, sources)
    if origin.resource_field_ref is not None:
        ref = origin.resource_field_ref
        named = find_container(pod.spec, ref.container_name) if ref.container_name else container
        if named is None:
            raise ConfigError(f"variable {entry.name!r} names container {ref.container_name!r}: the pod has none")
        return resource_value(named, ref.resource, ref.divisor, sources.allocatable)
    return _key_value(entry.name, origin, pod.metadata.namespace, sources)


def _key_value(name: str, origin: EnvVarSource, namespace: str, sources: Sources) -> str | None:
    """A key of a ConfigMap or Secret."""
    ref = origin.config_map_key_ref or origin.secret_key_ref
    if ref is None:
        raise ConfigError(f"variable {name!r}: this source of values is not supported")
    of_map = origin.config_map_key_ref is not None
    kind = "configmap" if of_map else "secret"
    found = sources.config_maps.get(ref.name or "") if of_map else sources.secrets.get(ref.name or "")
    if found is None:
        if ref.optional:
            return None
        raise ConfigError(f'{kind} "{ref.name}" not found')
    if ref.key not in found.data:
        if ref.optional:
            return None
        word = "ConfigMap" if of_map else "Secret"
        raise ConfigError(f"couldn't find key {ref.key} in {word} {namespace}/{ref.name}")
    return found.data[ref.key] if of_map else decoded(found.data[ref.key])


def decoded(text: str) -> str:
    """The text behind a base64 value; bytes that are no text are replaced, as an environment cannot carry them."""
    return base64.b64decode(text).decode(errors="replace")


def _from_object(source: EnvFromSource, namespace: str, sources: Sources) -> tuple[dict[str, str], list[str]]:
    """All keys of one object as variables, and those that cannot be one."""
    of_map = source.config_map_ref is not None
    ref = source.config_map_ref or source.secret_ref
    if ref is None:
        raise ConfigError("envFrom needs a configMapRef or a secretRef")
    found = sources.config_maps.get(ref.name or "") if of_map else sources.secrets.get(ref.name or "")
    if found is None:
        if ref.optional:
            return {}, []
        raise ConfigError(f'{"configmap" if of_map else "secret"} "{ref.name}" not found')
    variables: dict[str, str] = {}
    skipped: list[str] = []
    for key, text in sorted(found.data.items()):
        name = f"{source.prefix or ''}{key}"
        if _NAME.fullmatch(name):
            variables[name] = text if of_map else decoded(text)
        else:
            skipped.append(f"{'ConfigMap' if of_map else 'Secret'} {namespace}/{ref.name}: {key}")
    return variables, skipped


def _links(service_name: str, address: str, service: Service) -> dict[str, str]:
    """The variables of one Service, those of Docker's links included."""
    prefix = service_name.upper().replace("-", "_")
    first = service.spec.ports[0]
    variables = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(first.port)}
    for port in service.spec.ports:
        if port.name:
            variables[f"{prefix}_SERVICE_PORT_{port.name.upper().replace('-', '_')}"] = str(port.port)
    variables[f"{prefix}_PORT"] = _url(first.protocol, address, first.port)
    for port in service.spec.ports:
        stem = f"{prefix}_PORT_{port.port}_{(port.protocol or 'TCP').upper()}"
        variables |= {
            stem: _url(port.protocol, address, port.port),
            f"{stem}_PROTO": (port.protocol or "TCP").lower(),
            f"{stem}_PORT": str(port.port),
            f"{stem}_ADDR": address,
        }
    return variables


def _url(protocol: str | None, address: str, port: int) -> str:
    return f"{(protocol or 'TCP').lower()}://{address}:{port}"
