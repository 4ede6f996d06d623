"""Which containers a pod has, and of which sort: those it is there for, and the init containers that run before them.

An init container with `restartPolicy: Always` is a sidecar: it starts in its turn like any init container, then goes on
running beside the others (Kubernetes: "Sidecar containers"). Ephemeral ones are added while the pod runs, to look into it:
they take no part in what it is there for (Kubernetes: "Ephemeral Containers").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # only names of types: tables of pods are printed without loading them
    from api.container import Container
    from api.container_status import ContainerStatus
    from api.pod import PodSpec, PodStatus

ALWAYS = "Always"


def is_sidecar(init_container: Container) -> bool:
    """Whether an init container goes on running once the next one was started."""
    return init_container.restart_policy == ALWAYS


def every_container(spec: PodSpec) -> tuple[Container, ...]:
    """All containers: init containers first, in the order in which they start, and ephemeral ones last."""
    return (*spec.init_containers, *spec.containers, *spec.ephemeral_containers)


def own_containers(spec: PodSpec) -> tuple[Container, ...]:
    """The containers that the pod was made with: all but the ephemeral ones."""
    return (*spec.init_containers, *spec.containers)


def is_ephemeral(spec: PodSpec, name: str) -> bool:
    """Whether a container was added to look into the pod."""
    return any(each.name == name for each in spec.ephemeral_containers)


def lasting_containers(spec: PodSpec) -> tuple[Container, ...]:
    """The containers that run side by side when the pod is up: sidecars, then the others."""
    return (*filter(is_sidecar, spec.init_containers), *spec.containers)


def sidecar_names(spec: PodSpec) -> tuple[str, ...]:
    """The names of the sidecars in the order in which they start; they end in reverse, after all others."""
    return tuple(each.name for each in spec.init_containers if is_sidecar(each))


def find_container(spec: PodSpec, name: str) -> Container | None:
    """A container of any sort by name; names are unique in a pod."""
    return next((each for each in every_container(spec) if each.name == name), None)


def every_status(status: PodStatus) -> tuple[ContainerStatus, ...]:
    """What was last reported of each container, of whatever sort."""
    return (*status.init_container_statuses, *status.container_statuses, *status.ephemeral_container_statuses)
