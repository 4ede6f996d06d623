"""What stands in volumes made from ConfigMaps, Secrets and the pod itself: pure, from objects to files."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.environment import ConfigError, Sources, field_value, resource_value
from api.core import ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret, Volume, VolumeProjection
from api.pod_containers import find_container
from api.volume import ServiceAccountTokenProjection

DEFAULT_MODE = 0o644
GROUPED_TOKEN_MODE = 0o600  # what the group may is added


@dataclass(frozen=True, slots=True)
class File:
    """Bytes and permission bits."""

    content: bytes
    mode: int


Payload = Mapping[str, File]
"""Files by their path relative to the volume."""


def payload(pod: Pod, volume: Volume, sources: Sources) -> Payload | None:
    """The files of a volume, or None for one that is not made from objects.

    Raises ConfigError when an object or key that is not optional is missing.
    """
    if volume.config_map is not None:
        source = volume.config_map
        data = _config_map(sources.config_maps.get(source.name or ""), source.name, optional=bool(source.optional))
        return _files(
            data, source.items, source.default_mode, f"configmap {source.name}", optional=bool(source.optional)
        )
    if volume.secret is not None:
        secret, optional = volume.secret, bool(volume.secret.optional)
        data = _secret(sources.secrets.get(secret.secret_name or ""), secret.secret_name, optional=optional)
        return _files(data, secret.items, secret.default_mode, f"secret {secret.secret_name}", optional=optional)
    if volume.downward_api is not None:
        return _downward(pod, volume.downward_api.items, volume.downward_api.default_mode, sources)
    if volume.projected is not None:
        files: dict[str, File] = {}
        for part in volume.projected.sources:
            files |= _projection(pod, volume, part, sources)
        return files
    return None


def confidential(volume: Volume) -> bool:
    """Whether the volume's files must never reach a disk."""
    if volume.projected is not None:
        return any(part.secret or part.service_account_token for part in volume.projected.sources)
    return volume.secret is not None


def named_objects(pod: Pod) -> frozenset[tuple[str, str]]:
    """("ConfigMap" or "Secret", name) of everything the pod's volumes are made from."""
    names: set[tuple[str, str]] = set()
    for volume in pod.spec.volumes:
        if volume.config_map is not None:
            names.add(("ConfigMap", volume.config_map.name or ""))
        if volume.secret is not None:
            names.add(("Secret", volume.secret.secret_name or ""))
        for part in volume.projected.sources if volume.projected is not None else ():
            if part.config_map is not None:
                names.add(("ConfigMap", part.config_map.name or ""))
            if part.secret is not None:
                names.add(("Secret", part.secret.name or ""))
    return frozenset(names)


def _config_map(found: ConfigMap | None, name: str | None, *, optional: bool) -> Mapping[str, bytes]:
    if found is None:
        if optional:
            return {}
        raise ConfigError(f'configmap "{name}" not found')
    text = {key: value.encode() for key, value in found.data.items()}
    return text | {key: base64.b64decode(value) for key, value in found.binary_data.items()}


def _secret(found: Secret | None, name: str | None, *, optional: bool) -> Mapping[str, bytes]:
    if found is None:
        if optional:
            return {}
        raise ConfigError(f'secret "{name}" not found')
    return {key: base64.b64decode(value) for key, value in found.data.items()}


def _files(
    data: Mapping[str, bytes], items: Sequence[KeyToPath], default_mode: int | None, what: str, *, optional: bool
) -> dict[str, File]:
    mode = DEFAULT_MODE if default_mode is None else default_mode
    if not items:
        return {key: File(content, mode) for key, content in data.items()}
    files: dict[str, File] = {}
    for item in items:
        if item.key in data:
            files[checked_path(item.path)] = File(data[item.key], mode if item.mode is None else item.mode)
        elif not optional:
            raise ConfigError(f"{what} references non-existent key: {item.key}")
    return files


def _downward(
    pod: Pod, items: Sequence[DownwardAPIVolumeFile], default_mode: int | None, sources: Sources
) -> dict[str, File]:
    files: dict[str, File] = {}
    for item in items:
        mode = item.mode if item.mode is not None else default_mode
        if item.field_ref is not None:
            text = _field_text(pod, item.field_ref.field_path, sources)
        elif item.resource_field_ref is not None:
            ref = item.resource_field_ref
            container = find_container(pod.spec, ref.container_name or "")
            if container is None:
                raise ConfigError(f"downwardAPI names container {ref.container_name!r}, which the pod does not have")
            text = resource_value(container, ref.resource, ref.divisor, sources.allocatable)
        else:
            raise ConfigError("a downwardAPI file needs a fieldRef or a resourceFieldRef")
        files[checked_path(item.path)] = File(text.encode(), DEFAULT_MODE if mode is None else mode)
    return files


def _field_text(pod: Pod, path: str, sources: Sources) -> str:
    """As `field_value`; all labels or annotations are one `key="value"` a line."""
    maps = {"metadata.labels": pod.metadata.labels, "metadata.annotations": pod.metadata.annotations}
    if path in maps:
        return "\n".join(f'{key}="{_escaped(value)}"' for key, value in sorted(maps[path].items()))
    return field_value(pod, path, sources)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _projection(pod: Pod, volume: Volume, part: VolumeProjection, sources: Sources) -> dict[str, File]:
    default_mode = volume.projected.default_mode if volume.projected is not None else None
    if part.config_map is not None:
        ref, optional = part.config_map, bool(part.config_map.optional)
        data = _config_map(sources.config_maps.get(ref.name or ""), ref.name, optional=optional)
        return _files(data, ref.items, default_mode, f"configmap {ref.name}", optional=optional)
    if part.secret is not None:
        secret, optional = part.secret, bool(part.secret.optional)
        data = _secret(sources.secrets.get(secret.name or ""), secret.name, optional=optional)
        return _files(data, secret.items, default_mode, f"secret {secret.name}", optional=optional)
    if part.downward_api is not None:
        return _downward(pod, part.downward_api.items, default_mode, sources)
    if part.service_account_token is not None:
        return _token(pod, volume, part.service_account_token, default_mode, sources)
    raise ConfigError("this source of a projected volume is not supported")


def _token(
    pod: Pod, volume: Volume, part: ServiceAccountTokenProjection, default_mode: int | None, sources: Sources
) -> dict[str, File]:
    """One file, for its group alone if the pod has one (Kubernetes: the same)."""
    token = sources.tokens.get((volume.name, part.path))
    if token is None:
        raise ConfigError(f"there is no token for {part.path}")
    context = pod.spec.security_context
    mode = DEFAULT_MODE if default_mode is None else default_mode
    grouped = context is not None and context.fs_group is not None
    return {checked_path(part.path): File(token.encode(), GROUPED_TOKEN_MODE if grouped else mode)}


def checked_path(path: str) -> str:
    """A path that stays inside its volume and clear of the names its swaps use. Raises ConfigError."""
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or parts[0].startswith("..") or not all(parts):
        raise ConfigError(f"path {path!r} must be relative, without '..' and empty parts")
    return path
