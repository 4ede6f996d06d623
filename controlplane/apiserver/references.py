"""Which other objects of its namespace a pod needs on its node."""

from __future__ import annotations

from collections.abc import Iterator

from api.core import Container, Pod, Volume
from api.pod_containers import every_container

Reference = tuple[str, str]
"""(resource, name) in the pod's namespace."""


def named_by(pod: Pod) -> frozenset[Reference]:
    """The ConfigMaps, Secrets and service account that a pod names in volumes, environment and pull secrets."""
    spec = pod.spec
    found: set[Reference] = {("secrets", each.name) for each in spec.image_pull_secrets if each.name}
    if spec.service_account_name:
        found.add(("serviceaccounts", spec.service_account_name))
    for container in every_container(spec):
        found.update(_of_container(container))
    for volume in spec.volumes:
        found.update(_of_volume(volume))
    return frozenset(found)


def _of_container(container: Container) -> Iterator[Reference]:
    for variable in container.env:
        source = variable.value_from
        if source and source.config_map_key_ref and source.config_map_key_ref.name:
            yield "configmaps", source.config_map_key_ref.name
        if source and source.secret_key_ref and source.secret_key_ref.name:
            yield "secrets", source.secret_key_ref.name
    for every in container.env_from:
        if every.config_map_ref and every.config_map_ref.name:
            yield "configmaps", every.config_map_ref.name
        if every.secret_ref and every.secret_ref.name:
            yield "secrets", every.secret_ref.name


def _of_volume(volume: Volume) -> Iterator[Reference]:
    if volume.config_map and volume.config_map.name:
        yield "configmaps", volume.config_map.name
    if volume.secret and volume.secret.secret_name:
        yield "secrets", volume.secret.secret_name
    for source in volume.projected.sources if volume.projected else ():
        if source.config_map and source.config_map.name:
            yield "configmaps", source.config_map.name
        if source.secret and source.secret.name:
            yield "secrets", source.secret.name
