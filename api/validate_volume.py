"""Rules for the volumes of a pod."""

from __future__ import annotations

from collections.abc import Iterator

from api.errors import FieldError
from api.faults import check_choice, check_quantity, check_text, check_unique, forbidden, invalid, required
from api.names import config_key_fault, dns_label_fault, dns_subdomain_fault
from api.volume import KeyToPath, Volume

HOST_PATH_TYPES = (
    *("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"),
)
_MODE_LIMIT = 0o777
_SOURCES = tuple(
    (attribute, name)
    for attribute, name in zip(Volume.__struct_fields__, Volume.__struct_encode_fields__, strict=True)
    if attribute != "name"
)


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
    if volume.config_map:
        yield from check_text(f"{path}.configMap.name", volume.config_map.name, dns_subdomain_fault)
        yield from _mode_faults(volume.config_map.default_mode, f"{path}.configMap.defaultMode")
        yield from _item_faults(volume.config_map.items, f"{path}.configMap.items")
    if volume.secret:
        yield from check_text(f"{path}.secret.secretName", volume.secret.secret_name, dns_subdomain_fault)
        yield from _mode_faults(volume.secret.default_mode, f"{path}.secret.defaultMode")
        yield from _item_faults(volume.secret.items, f"{path}.secret.items")


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
        if not item.path:
            yield required(f"{path}[{index}].path")
        elif item.path.startswith("/"):
            yield invalid(f"{path}[{index}].path", item.path, "must be a relative path")
        elif ".." in item.path.split("/"):
            yield invalid(f"{path}[{index}].path", item.path, "must not contain '..'")
        elif item.path.startswith(".."):
            yield invalid(f"{path}[{index}].path", item.path, "must not start with '..'")
