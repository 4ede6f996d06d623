"""Rules for ConfigMaps and Secrets."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Generator, Iterator, Mapping

from api.config import ConfigMap, Secret
from api.errors import FieldError
from api.faults import check_text, forbidden, immutable, invalid, required
from api.names import config_key_fault

SIZE_LIMIT_BYTES = 1024 * 1024
_IMMUTABLE = "field is immutable when `immutable` is set"
_NEEDED_KEYS = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
}
_JSON_KEYS = {kind: keys[0] for kind, keys in _NEEDED_KEYS.items() if "docker" in kind}
_ACCOUNT_TOKEN = "kubernetes.io/service-account-token"  # noqa: S105 - the name of a type of Secret
_ACCOUNT_ANNOTATION = "kubernetes.io/service-account.name"


def config_map_faults(config: ConfigMap, old: ConfigMap | None) -> Iterator[FieldError]:
    """Yield what is wrong with a ConfigMap."""
    yield from _key_faults(config.data, "data")
    yield from _key_faults(config.binary_data, "binaryData")
    for key in config.binary_data:
        if key in config.data:
            yield invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    binary = yield from _decoded_size(config.binary_data, "binaryData")
    yield from _size_faults(binary + sum(len(value.encode()) for value in config.data.values()), "")
    if old is not None and old.immutable:
        yield from _unlocked(immutable_now=config.immutable)
        if config.data != old.data:
            yield forbidden("data", _IMMUTABLE)
        if config.binary_data != old.binary_data:
            yield forbidden("binaryData", _IMMUTABLE)


def secret_faults(secret: Secret, old: Secret | None) -> Iterator[FieldError]:
    """Yield what is wrong with a Secret; `stringData` is expected to be merged into `data` already."""
    yield from _key_faults(secret.data, "data")
    size = yield from _decoded_size(secret.data, "data")
    yield from _size_faults(size, "data")
    for key in _NEEDED_KEYS.get(secret.type or "", ()):
        if key not in secret.data:
            yield required(f"data[{key}]")
    json_key = _JSON_KEYS.get(secret.type or "", "")
    if json_key in secret.data:
        yield from _json_faults(secret.data[json_key], f"data[{json_key}]")
    if secret.type == "kubernetes.io/basic-auth" and not {"username", "password"} & secret.data.keys():
        yield required("data[username]", "username or password is required")
    if secret.type == _ACCOUNT_TOKEN and not secret.metadata.annotations.get(_ACCOUNT_ANNOTATION):
        yield required(f"metadata.annotations[{_ACCOUNT_ANNOTATION}]")
    if old is None:
        return
    if secret.type != old.type:
        yield immutable("type", secret.type or "")
    if old.immutable:
        yield from _unlocked(immutable_now=secret.immutable)
        if secret.data != old.data:
            yield forbidden("data", _IMMUTABLE)


def _json_faults(value: str, path: str) -> Iterator[FieldError]:
    try:
        json.loads(base64.b64decode(value, validate=True))
    except (ValueError, RecursionError):  # what is not base64 is told elsewhere; what it says must not be shown
        yield FieldError(path, "Invalid value: <secret contents redacted>: must be JSON")


def _unlocked(*, immutable_now: bool | None) -> Iterator[FieldError]:
    if not immutable_now:
        yield forbidden("immutable", _IMMUTABLE)


def _key_faults(values: Mapping[str, str], path: str) -> Iterator[FieldError]:
    for key in values:
        yield from check_text(f"{path}[{key}]", key, config_key_fault)


def _decoded_size(values: Mapping[str, str], path: str) -> Generator[FieldError, None, int]:
    size = 0
    for key, value in values.items():
        try:
            size += len(base64.b64decode(value, validate=True))
        except (binascii.Error, ValueError):
            # The value is confidential: it must not be shown.
            yield FieldError(f"{path}[{key}]", "Invalid value: is not valid base64")
    return size


def _size_faults(size: int, path: str) -> Iterator[FieldError]:
    if size > SIZE_LIMIT_BYTES:
        yield FieldError(path, f"Too long: may not be more than {SIZE_LIMIT_BYTES} bytes")
