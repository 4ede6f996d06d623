"""Typed configuration: defaults, then a YAML file, then environment variables, then flags."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from api import manifest
from api.errors import Invalid

Config = TypeVar("Config", bound=msgspec.Struct)


class ConfigProblem(Exception):
    """The configuration cannot be used; the message names file, field and what was expected."""


def load(
    kind: type[Config],
    path: Path | None,
    environ: Mapping[str, str],
    *,
    prefix: str,
    flags: Mapping[str, Any] | None = None,
) -> Config:
    """Build `kind` from its defaults, the file, `PREFIX_FIELD` variables and flags, later ones winning.

    Flags that are None were not given. Unknown fields are refused. Raises ConfigProblem.
    """
    merged: dict[str, Any] = _read(path) if path else {}
    hints = typing.get_type_hints(kind)
    for field in kind.__struct_fields__:
        text = environ.get(f"{prefix}_{field.upper()}")
        if text is not None:
            merged[field] = text if _textual(hints[field]) else _value(f"{prefix}_{field.upper()}", text)
    merged.update({name: value for name, value in (flags or {}).items() if value is not None})
    unknown = sorted(merged.keys() - set(kind.__struct_fields__))
    if unknown:
        known = ", ".join(kind.__struct_fields__)
        raise ConfigProblem(f"{path or 'flags'}: unknown field {unknown[0]!r}; known are {known}")
    try:
        return msgspec.convert(merged, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigProblem(f"{path or prefix}: {error}") from error


def write(config: msgspec.Struct, path: Path) -> None:
    """Write a configuration file that `load` reads back equal."""
    path.write_text(yaml.safe_dump(msgspec.to_builtins(config), sort_keys=False), encoding="utf-8")


def _value(variable: str, text: str) -> Any:
    try:
        return manifest.load_value(text, variable, may_be_empty=True)
    except Invalid as error:
        raise ConfigProblem(str(error)) from error


def _textual(hint: object) -> bool:
    union = typing.get_origin(hint) in {typing.Union, types.UnionType}
    return hint is str or (union and str in typing.get_args(hint))


def _read(path: Path) -> dict[str, Any]:
    try:
        loaded = manifest.load_value(path.read_bytes(), str(path), may_be_empty=True)
    except OSError as error:
        raise ConfigProblem(f"{path}: {error.strerror}") from error
    except Invalid as error:
        raise ConfigProblem(str(error)) from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigProblem(f"{path}: expected a mapping of fields at the top")
    return loaded
