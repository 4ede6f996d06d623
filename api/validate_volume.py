"""Rules for the volumes of a pod."""

from __future__ import annotations

from collections.abc import Iterator

from api.errors import FieldError
from api.faults import check_choice, check_quantity, check_text, check_unique, forbidden, invalid, required
from api.names import config_key_fault, dns_label_fault, dns_subdomain_fault
from api.validate_field_ref import IN_FILES, field_ref_faults
from api.validate_resource_field import resource_field_faults
from api.volume import DownwardAPIVolumeFile, KeyToPath, ServiceAccountTokenProjection, Volume, VolumeProjection

HOST_PATH_TYPES = (
    *("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"),
)
SHORTEST_TOKEN_SECONDS = 600
LONGEST_TOKEN_SECONDS = 1 << 32
_MODE_LIMIT = 0o777
_SOURCES = tuple(
    (attribute, name)
    for attribute, name in zip(Volume.__struct_fields__, Volume.__struct_encode_fields__, strict=True)
    if attribute != "name"
)
_PROJECTIONS = tuple(zip(VolumeProjection.__struct_fields__, VolumeProjection.__struct_encode_fields__, strict=True))


def volume_faults(volumes: tuple[Volume, ...], path: str) -> Iterator[FieldError]:
    """Yield what is wrong with a pod's volumes."""
    for index, volume in enumerate(volumes):
        yield from _volume_faults(volume, f"{path}[{index}]")
    yield from check_unique(f"{path}[{{}}].name", (volume.name for volume in volumes))


def _volume_faults(volume: Volume, path: str) -> Iterator[FieldError]:
    yield from check_text(f"{path}.name", volume.name, dns_label_fault)
    given = [name for attribute, name in _SOURCES if getattr(volume, attribute) is not None]
    if not given:
        yield required(path, "must specify a volume type")
    for name in given[1:]:
        yield forbidden(f"{path}.{name}", "may not specify more than 1 volume type")
    if volume.host_path:
        yield from _host_path_faults(volume.host_path.path, f"{path}.hostPath.path")
        yield from check_choice(f"{path}.hostPath.type", volume.host_path.type, HOST_PATH_TYPES)
    if volume.empty_dir:
        if volume.empty_dir.size_limit is not None:
            yield from check_quantity(f"{path}.emptyDir.sizeLimit", volume.empty_dir.size_limit)
        medium = volume.empty_dir.medium
        if medium not in {None, "", "Memory"} and not str(medium).startswith("HugePages"):
            yield invalid(f"{path}.emptyDir.medium", medium, 'must be "", "Memory" or "HugePages"')
    yield from _object_faults(volume, path)


def _object_faults(volume: Volume, path: str) -> Iterator[FieldError]:
    """Volumes whose files are made from objects."""
    if volume.config_map:
        yield from check_text(f"{path}.configMap.name", volume.config_map.name, dns_subdomain_fault)
        yield from _mode_faults(volume.config_map.default_mode, f"{path}.configMap.defaultMode")
        yield from _item_faults(volume.config_map.items, f"{path}.configMap.items")
    if volume.secret:
        yield from check_text(f"{path}.secret.secretName", volume.secret.secret_name, dns_subdomain_fault)
        yield from _mode_faults(volume.secret.default_mode, f"{path}.secret.defaultMode")
        yield from _item_faults(volume.secret.items, f"{path}.secret.items")
    if volume.downward_api:
        yield from _mode_faults(volume.downward_api.default_mode, f"{path}.downwardAPI.defaultMode")
        yield from _downward_faults(volume.downward_api.items, f"{path}.downwardAPI.items")
    if volume.projected:
        yield from _mode_faults(volume.projected.default_mode, f"{path}.projected.defaultMode")
        yield from _projected_faults(volume.projected.sources, f"{path}.projected.sources")


def _host_path_faults(host_path: str, path: str) -> Iterator[FieldError]:
    if not host_path:
        yield required(path)
    elif not host_path.startswith("/"):
        yield invalid(path, host_path, "must be an absolute path")
    elif ".." in host_path.split("/"):
        yield invalid(path, host_path, "must not contain '..'")


def _mode_faults(mode: int | None, path: str) -> Iterator[FieldError]:
    if mode is not None and not 0 <= mode <= _MODE_LIMIT:
        yield invalid(path, mode, "must be a number between 0 and 0777 (octal), both inclusive")


def _item_faults(items: tuple[KeyToPath, ...], path: str) -> Iterator[FieldError]:
    for index, item in enumerate(items):
        yield from check_text(f"{path}[{index}].key", item.key, config_key_fault)
        yield from _mode_faults(item.mode, f"{path}[{index}].mode")
        yield from _path_faults(item.path, f"{path}[{index}].path")


def _path_faults(file: str, path: str) -> Iterator[FieldError]:
    if not file:
        yield required(path)
    elif file.startswith("/"):
        yield invalid(path, file, "must be a relative path")
    elif ".." in file.split("/"):
        yield invalid(path, file, "must not contain '..'")
    elif file.startswith(".."):
        yield invalid(path, file, "must not start with '..'")


def _downward_faults(items: tuple[DownwardAPIVolumeFile, ...], path: str) -> Iterator[FieldError]:
    for index, item in enumerate(items):
        where = f"{path}[{index}]"
        yield from _path_faults(item.path, f"{where}.path")
        yield from _mode_faults(item.mode, f"{where}.mode")
        if item.field_ref and item.resource_field_ref:
            yield forbidden(where, "fieldRef and resourceFieldRef can not be specified simultaneously")
        elif item.field_ref:
            yield from field_ref_faults(item.field_ref, f"{where}.fieldRef", IN_FILES, "a volume")
        elif item.resource_field_ref:
            if not item.resource_field_ref.container_name:
                yield required(f"{where}.resourceFieldRef.containerName")
            yield from resource_field_faults(item.resource_field_ref, f"{where}.resourceFieldRef")
        else:
            yield required(where, "one of fieldRef and resourceFieldRef is required")


def _token_faults(token: ServiceAccountTokenProjection, path: str) -> Iterator[FieldError]:
    yield from _path_faults(token.path, f"{path}.path")
    seconds = token.expiration_seconds
    if seconds is not None and seconds < SHORTEST_TOKEN_SECONDS:
        yield invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
    elif seconds is not None and seconds > LONGEST_TOKEN_SECONDS:
        yield invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")


def _projected_faults(sources: tuple[VolumeProjection, ...], path: str) -> Iterator[FieldError]:
    taken: set[str] = set()
    for index, source in enumerate(sources):
        where = f"{path}[{index}]"
        given = [name for attribute, name in _PROJECTIONS if getattr(source, attribute) is not None]
        if not given:
            yield required(where, "must specify a volume source")
        for name in given[1:]:
            yield forbidden(f"{where}.{name}", "may not specify more than 1 volume source")
        files: list[str] = []
        for name, objects in (("configMap", source.config_map), ("secret", source.secret)):
            if objects:
                yield from check_text(f"{where}.{name}.name", objects.name, dns_subdomain_fault)
                yield from _item_faults(objects.items, f"{where}.{name}.items")
                files += [item.path for item in objects.items]
        if source.service_account_token:
            yield from _token_faults(source.service_account_token, f"{where}.serviceAccountToken")
            files.append(source.service_account_token.path)
        if source.downward_api:
            yield from _downward_faults(source.downward_api.items, f"{where}.downwardAPI.items")
            files += [item.path for item in source.downward_api.items]
        for file in files:
            if file in taken:
                yield invalid(where, file, "conflicting duplicate paths")
            taken.add(file)
