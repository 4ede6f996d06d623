"""Schemas of custom kinds as OpenAPI documents have them: what their definition says, and what every object has. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from api.openapi.machinery import META, Schema
from api.openapi.names import name_of_kind
from api.scheme import Kind
from api.structural import EMBEDDED, INT_OR_STRING, PRESERVE

_WHOLE: Final[Schema] = {
    "apiVersion": {"type": "string", "description": "Group and version of the schema that the object is written in."},
    "kind": {"type": "string", "description": "What the object is."},
    "metadata": {"$ref": f"{META}.ObjectMeta", "description": "Name, identity and bookkeeping of the object."},
}
_IN_2: Final = frozenset({"type", "format", "description", "required", "items", "properties", "additionalProperties"})
"""What clients check and explain by; the rest is this server's to judge, and not all of it has words in OpenAPI 2."""

_OF_VALUES: Final = frozenset({"type", "items", "properties", "additionalProperties"})


def schemas(kinds: Sequence[Kind], version: int) -> Mapping[str, Schema]:
    """The schema of every kind by its name, in the words of OpenAPI 2 or 3."""
    return {
        name_of_kind(kind.api_version, kind.kind): _whole(kind.custom.document, version)
        for kind in kinds
        if kind.custom is not None
    }


def _whole(document: Schema, version: int) -> Schema:
    shown = document if version > 2 else _plain(document)
    if not shown.get("properties") and shown.get(PRESERVE):
        return {**shown, "type": "object"}
    return {**shown, "type": "object", "properties": {**shown.get("properties", {}), **_WHOLE}}


def _plain(document: Schema) -> Schema:
    """The same for OpenAPI 2 as clients check manifests with it: what it has no words for may be anything."""
    anything: set[str] = set()
    if document.get("nullable") or document.get(INT_OR_STRING):
        anything |= _OF_VALUES
    if document.get(PRESERVE) or document.get(EMBEDDED):
        anything |= {"items", "properties"}
    if not isinstance(document.get("additionalProperties"), dict):
        anything.add("additionalProperties")
    return {
        name: _below(name, value)
        for name, value in document.items()
        if name.startswith("x-") or (name in _IN_2 and name not in anything)
    }


def _below(name: str, value: Any) -> Any:
    if name == "properties":
        return {each: _plain(schema) for each, schema in value.items()}
    return _plain(value) if name in {"items", "additionalProperties"} and isinstance(value, dict) else value
