"""Rules for ephemeral containers, which are added to a running pod to look into it (Kubernetes: "Ephemeral Containers").

Which fields they may not have at all stands in `api.honoured`.
"""

from __future__ import annotations

from collections.abc import Iterator

from api.errors import FieldError
from api.faults import duplicate, forbidden
from api.object import Tree
from api.pod import PodSpec
from api.pod_containers import own_containers
from api.validate_container import common_faults

PATH = "spec.ephemeralContainers"
_NO_SUB_PATH = "cannot be set for an Ephemeral Container"


def ephemeral_container_faults(spec: PodSpec, path: str, volumes: frozenset[str]) -> Iterator[FieldError]:
    """Yield what is wrong with them; names are unique among all containers, a target is none of them."""
    others = {container.name for container in own_containers(spec)}
    names = set(others)
    for index, container in enumerate(spec.ephemeral_containers):
        where = f"{path}.ephemeralContainers[{index}]"
        yield from common_faults(container, where, volumes)
        if container.name and container.name in names:
            yield duplicate(f"{where}.name", container.name)
        names.add(container.name)
        target = container.target_container_name
        if target and target not in others:
            yield FieldError(f"{where}.targetContainerName", f'Not found: "{target}"')
        for place, mount in enumerate(container.volume_mounts):
            for name, value in (("subPath", mount.sub_path), ("subPathExpr", mount.sub_path_expr)):
                if value:
                    yield forbidden(f"{where}.volumeMounts[{place}].{name}", _NO_SUB_PATH)


def ephemeral_change_faults(spec: Tree, old_spec: Tree) -> Iterator[FieldError]:
    """Yield the changes of a pod's ephemeral containers that are no additions; their order does not count."""
    there = {each["name"]: each for each in spec.get("ephemeralContainers", ())}
    for old in old_spec.get("ephemeralContainers", ()):
        name = old["name"]
        if name not in there:
            yield forbidden(PATH, f'existing ephemeral containers "{name}" may not be removed')
        elif there[name] != old:
            yield forbidden(PATH, f'existing ephemeral containers "{name}" may not be changed')
