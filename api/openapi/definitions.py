"""A schema for every type, by the name that Kubernetes has for it.

References are plain names here (`{"$ref": "io.k8s.api.core.v1.Pod"}`); `api.openapi.documents` writes them as each version of
OpenAPI wants them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache

import msgspec

from api.field_docs import field_text, type_text
from api.granularity import ATOMIC_FIELDS, ATOMIC_TYPES, parts
from api.merge import MERGE_KEYS, RETAINED, SETS
from api.meta import Required, Resource, resource_types
from api.openapi import machinery
from api.openapi.machinery import META, Described, Schema
from api.openapi.names import name_of_kind
from api.required import required_fields
from api.scheme import EVENTS_V1, KINDS, REVIEWS
from api.shape import Form, Shape, fields

_CORE_IN_META = {"ObjectReference", "LocalObjectReference", "TypedLocalObjectReference", "TypedObjectReference"}

_PLAIN: Mapping[Form, Schema] = {
    "string": {"type": "string"},
    "boolean": {"type": "boolean"},
    "quantity": {"$ref": machinery.QUANTITY},
    "integer or string": {"$ref": machinery.INT_OR_STRING},
    "number": {"type": "number", "format": "double"},
    "any": {"$ref": machinery.JSON},
}
_BYTES = {("Secret", "data"), ("ConfigMap", "binaryData"), ("WebhookClientConfig", "caBundle")}
_MICRO_TIMES = {("Event", "eventTime"), ("EventSeries", "lastObservedTime")} | {
    ("LeaseSpec", name) for name in ("acquireTime", "renewTime")
}


def group_version_kind(api_version: str, kind: str) -> dict[str, str]:
    """How OpenAPI extensions name a kind."""
    group, _, version = api_version.rpartition("/")
    return {"group": group, "kind": kind, "version": version}


def name_of(struct: type[Resource]) -> str:
    """Kubernetes' full name of a type. Modules without whole objects hold parts of pods, nodes and volumes: the core group's."""
    if struct.__module__ == "api.meta" and struct.__name__ not in _CORE_IN_META:
        return f"{META}.{struct.__name__}"
    version = _api_version(struct) or _versions().get(struct.__module__, "v1")
    return name_of_kind(version, struct.__name__)


def list_name(name: str) -> str:
    """The name of the list of what is called `name`."""
    return f"{name}List"


def definitions(
    kinds: Iterable[tuple[str, str, bool]], others: Iterable[str] = (), custom: Mapping[str, Schema] | None = None
) -> dict[str, Schema]:
    """Schemas of (api version, kind, listed), of those named in `others`, and of all that they refer to; sorted by name.

    `custom` are those of kinds that are not this program's.
    """
    types = _types()
    found: dict[str, Schema] = {name: dict(schema) for name, schema in (custom or {}).items()}
    for schema in list(found.values()):
        for reference in _references(schema):
            _add(reference, found, types)
    for api_version, kind, listed in kinds:
        name = name_of_kind(api_version, kind)
        _add(name, found, types)
        schema = found.setdefault(name, {"type": "object", "description": f"A {kind}."})
        schema["x-kubernetes-group-version-kind"] = [group_version_kind(api_version, kind)]
        if listed:
            found[list_name(name)] = _list(api_version, kind)
            _add(machinery.LIST_META, found, types)
    for name in others:
        _add(name, found, types)
    return dict(sorted(found.items()))


@cache
def _versions() -> Mapping[str, str]:
    """By module, the api version of the whole objects in it; of several the one that is defined last."""
    kinds = [kind.type for kind in (*KINDS, EVENTS_V1, *REVIEWS)]  # loads them
    types = (*kinds, *resource_types())
    return {struct.__module__: version for struct in types if (version := _api_version(struct))}


def _api_version(struct: type[Resource]) -> str:
    """What objects of this type say of themselves; "" for parts."""
    given = {field.name: field.default_factory for field in msgspec.structs.fields(struct)}.get("api_version")
    return str(given()) if isinstance(given, Required) else ""


def _types() -> Mapping[str, type[Resource]]:
    """All types by name."""
    return {name_of(struct): struct for struct in resource_types() if struct.__module__.startswith("api.")}


def _list(api_version: str, kind: str) -> Schema:
    fields = {
        "apiVersion": "string",
        "items": f"[]{name_of_kind(api_version, kind)}",
        "kind": "string",
        "metadata": machinery.LIST_META,
    }
    schema = _described(Described(f"Objects of the kind {kind}.", fields, ("items",)))
    return schema | {"x-kubernetes-group-version-kind": [group_version_kind(api_version, f"{kind}List")]}


def _add(name: str, found: dict[str, Schema], types: Mapping[str, type[Resource]]) -> None:
    """The definition of that name, if there is one, and those that it refers to."""
    if name in found:
        return
    if name in machinery.SCALARS:
        found[name] = dict(machinery.SCALARS[name])
    elif described := machinery.OBJECTS.get(name):
        found[name] = _described(described)
    elif struct := types.get(name):
        found[name] = _object(struct)
    for reference in _references(found.get(name)):
        _add(reference, found, types)


def _references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from _references(each)


def _object(struct: type[Resource]) -> Schema:
    properties = {}
    for name, shape in fields(struct).items():
        schema = _field(struct, name, shape)
        if text := field_text(struct, name):
            schema = {"description": text, **schema}
        properties[name] = schema
    schema = {"description": type_text(struct), "type": "object", "properties": properties}
    if required := required_fields(struct):
        schema["required"] = list(required)
    return schema | ({"x-kubernetes-map-type": "atomic"} if struct in ATOMIC_TYPES else {})


def _field(struct: type[Resource], name: str, shape: Shape) -> Schema:
    where = (struct.__name__, name)
    if shape.form == "list" and shape.item is not None:
        return {"type": "array", "items": _element(where, shape.item), **_merging(struct, name)}
    if shape.form == "map" and shape.item is not None:
        whole = {"x-kubernetes-map-type": "atomic"} if name in ATOMIC_FIELDS.get(struct, ()) else {}
        return {"type": "object", "additionalProperties": _field(struct, name, shape.item), **whole}
    schema = _element(where, shape)
    return schema | ({"x-kubernetes-patch-strategy": "retainKeys"} if name in RETAINED.get(struct, ()) else {})


def _element(where: tuple[str, str], shape: Shape) -> Schema:
    if shape.struct is not None:
        return {"$ref": name_of(shape.struct)}
    name = where[1]
    if shape.form == "integer":
        return {"type": "integer", "format": f"int{shape.bits}"}
    if shape.form == "string" and where in _BYTES:
        return {"type": "string", "format": "byte"}
    if shape.form == "time":
        return {"$ref": machinery.MICRO_TIME if where in _MICRO_TIMES else machinery.TIME}
    if name == "managedFields":
        return {"$ref": machinery.MANAGED_FIELDS_ENTRY}
    return dict(_PLAIN[shape.form])


def _merging(struct: type[Resource], name: str) -> Schema:
    """How patches merge a list, and how its owners share it."""
    part = parts(struct)[name]
    shared: Schema = {"x-kubernetes-list-type": {"keyed": "map", "set": "set"}.get(part.form, "atomic")}
    if part.form == "keyed":
        shared["x-kubernetes-list-map-keys"] = list(part.keys)
    if keys := MERGE_KEYS.get(struct, {}).get(name):
        strategy = "merge,retainKeys" if name in RETAINED.get(struct, ()) else "merge"
        return shared | {"x-kubernetes-patch-merge-key": keys[0], "x-kubernetes-patch-strategy": strategy}
    return shared | ({"x-kubernetes-patch-strategy": "merge"} if name in SETS.get(struct, ()) else {})


def _described(described: Described) -> Schema:
    schema: Schema = {
        "description": described.text,
        "type": "object",
        "properties": {name: _short(text) for name, text in described.fields.items()},
    }
    if described.required:
        schema["required"] = list(described.required)
    if described.kinds:
        schema["x-kubernetes-group-version-kind"] = [
            {"group": group, "kind": kind, "version": version} for group, version, kind in described.kinds
        ]
    return schema


def _short(text: str) -> Schema:
    """A field as `api.openapi.machinery` writes it."""
    if text.startswith("[]"):
        return {"type": "array", "items": _short(text[2:]), "x-kubernetes-list-type": "atomic"}
    if text in {"string", "boolean", "object"}:
        return {"type": text}
    if text in {"int32", "int64"}:
        return {"type": "integer", "format": text}
    return {"$ref": text}
