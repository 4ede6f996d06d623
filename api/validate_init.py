"""Rules for init containers: those that run to their end, and sidecars, which last (Kubernetes: "Init Containers")."""

from __future__ import annotations

from collections.abc import Iterator

from api.container import Container
from api.errors import FieldError
from api.faults import check_choice, duplicate, forbidden
from api.pod import PodSpec
from api.pod_containers import ALWAYS, is_sidecar
from api.validate_container import common_faults, host_port_faults
from api.validate_probe import probe_faults

_ONLY_LASTING = "may not be set for init containers without restartPolicy=Always"


def init_container_faults(
    spec: PodSpec, path: str, volumes: frozenset[str], grace_seconds: int
) -> Iterator[FieldError]:
    """Yield what is wrong with the init containers of a pod; names are unique among all its containers."""
    names = {container.name for container in spec.containers}
    for index, container in enumerate(spec.init_containers):
        where = f"{path}.initContainers[{index}]"
        yield from common_faults(container, where, volumes)
        yield from check_choice(f"{where}.restartPolicy", container.restart_policy or None, (ALWAYS,))
        if container.name and container.name in names:
            yield duplicate(f"{where}.name", container.name)
        names.add(container.name)
        if is_sidecar(container):
            yield from probe_faults(container, where, grace_seconds)
        else:
            yield from _lasting_fields(container, where)
        # One runs after the other: two of them may use the same port.
        yield from host_port_faults([(where, container)], host_network=bool(spec.host_network))


def _lasting_fields(container: Container, where: str) -> Iterator[FieldError]:
    """What makes no sense for a container that only has to end."""
    for name, value in (
        ("lifecycle", container.lifecycle),
        ("livenessProbe", container.liveness_probe),
        ("readinessProbe", container.readiness_probe),
        ("startupProbe", container.startup_probe),
    ):
        if value is not None:
            yield forbidden(f"{where}.{name}", _ONLY_LASTING)
