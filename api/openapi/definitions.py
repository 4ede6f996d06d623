"""A schema for every type, by the name that Kubernetes has for it.

References are plain names here (`{"$ref": "io.k8s.api.core.v1.Pod"}`); `api.openapi.documents` writes them as each version of
OpenAPI wants them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from api.field_docs import field_text, type_text
from api.merge import MERGE_KEYS, RETAINED, SETS
from api.meta import Resource
from api.openapi import machinery
from api.openapi.machinery import META, Described, Schema
from api.required import required_fields
from api.scheme import KINDS, REVIEWS, Kind
from api.shape import Form, Shape, fields

CORE = "io.k8s.api.core.v1"

_CORE_IN_META = {"ObjectReference", "LocalObjectReference", "TypedLocalObjectReference", "TypedObjectReference"}

_PLAIN: Mapping[Form, Schema] = {
    "string": {"type": "string"},
    "boolean": {"type": "boolean"},
    "quantity": {"$ref": machinery.QUANTITY},
    "integer or string": {"$ref": machinery.INT_OR_STRING},
    "any": {"type": "object"},
}
_BYTES = {("Secret", "data"), ("ConfigMap", "binaryData")}
_MICRO_TIMES = {("Event", "eventTime"), ("EventSeries", "lastObservedTime")} | {
    ("LeaseSpec", name) for name in ("acquireTime", "renewTime")
}
_TIME_ENDS = ("Time", "Timestamp", "startedAt", "finishedAt", "timeAdded")
_INT64 = frozenset(
    [
        "generation",
        "observedGeneration",
        "deletionGracePeriodSeconds",
        "terminationGracePeriodSeconds",
        "activeDeadlineSeconds",
        "tolerationSeconds",
        "expirationSeconds",
        "seconds",
        "runAsUser",
        "runAsGroup",
        "fsGroup",
        "supplementalGroups",
        "uid",
        "gid",
        "sizeBytes",
    ]
)
"""Integers of 64 bits; the others have 32."""


def group_version_kind(kind: Kind) -> dict[str, str]:
    """How OpenAPI extensions name a kind."""
    return {"group": kind.group, "kind": kind.kind, "version": kind.api_version.rpartition("/")[2]}


def package(api_version: str) -> str:
    """The package of a group's types: `io.k8s.api.apps.v1`."""
    group, _, version = api_version.rpartition("/")
    return f"io.k8s.api.{group.partition('.')[0] or 'core'}.{version}"


@cache
def _packages() -> Mapping[str, str]:
    """By module, where its types stand in Kubernetes; modules without kinds hold parts of pods, nodes and volumes: core."""
    return {kind.type.__module__: package(kind.api_version) for kind in (*KINDS, *REVIEWS)}


def name_of(struct: type[Resource]) -> str:
    """Kubernetes' full name of a type."""
    if struct.__module__ == "api.meta" and struct.__name__ not in _CORE_IN_META:
        return f"{META}.{struct.__name__}"
    return f"{_packages().get(struct.__module__, CORE)}.{struct.__name__}"


def list_name(kind: Kind) -> str:
    """The name of a kind's list."""
    return f"{name_of(kind.type)}List"


def definitions(kinds: tuple[Kind, ...], others: Iterable[str] = ()) -> dict[str, Schema]:
    """Schemas of these kinds, their lists, the definitions named in `others`, and all that those refer to; sorted by name."""
    found: dict[str, Schema] = {}
    for kind in kinds:
        _add_struct(kind.type, found)
        found[name_of(kind.type)] |= {"x-kubernetes-group-version-kind": [group_version_kind(kind)]}
        found[list_name(kind)] = _list(kind)
        _add_named(machinery.LIST_META, found)
    for name in others:
        _add_named(name, found)
    return dict(sorted(found.items()))


def _list(kind: Kind) -> Schema:
    own = group_version_kind(kind)
    schema = _described(
        Described(
            f"Some or all of the {kind.plural}.",
            {
                "apiVersion": "string",
                "items": f"[]{name_of(kind.type)}",
                "kind": "string",
                "metadata": machinery.LIST_META,
            },
            ("items",),
        )
    )
    return schema | {"x-kubernetes-group-version-kind": [own | {"kind": f"{kind.kind}List"}]}


def _add_struct(struct: type[Resource], found: dict[str, Schema]) -> None:
    name = name_of(struct)
    if name in found:
        return
    found[name] = schema = _object(struct)
    for shape in fields(struct).values():
        inner = shape.item or shape
        if inner.struct is not None:
            _add_struct(inner.struct, found)
    for reference in _references(schema):
        _add_named(reference, found)


def _add_named(name: str, found: dict[str, Schema]) -> None:
    if name in found:
        return
    if name in machinery.SCALARS:
        found[name] = dict(machinery.SCALARS[name])
    elif described := machinery.OBJECTS.get(name):
        found[name] = _described(described)
        for reference in _references(found[name]):
            _add_named(reference, found)
    elif struct := _shared().get(name):
        _add_struct(struct, found)


@cache
def _shared() -> Mapping[str, type[Resource]]:
    """Types that the machinery refers to, by name."""
    return {name_of(each): each for each in Resource.__subclasses__() if each.__module__ == "api.meta"}


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
    return schema


def _field(struct: type[Resource], name: str, shape: Shape) -> Schema:
    where = (struct.__name__, name)
    if shape.form == "list" and shape.item is not None:
        return {"type": "array", "items": _element(where, shape.item), **_merging(struct, name)}
    if shape.form == "map" and shape.item is not None:
        return {"type": "object", "additionalProperties": _field(struct, name, shape.item)}
    schema = _element(where, shape)
    return schema | ({"x-kubernetes-patch-strategy": "retainKeys"} if name in RETAINED.get(struct, ()) else {})


def _element(where: tuple[str, str], shape: Shape) -> Schema:
    if shape.struct is not None:
        return {"$ref": name_of(shape.struct)}
    name = where[1]
    if shape.form == "integer":
        return {"type": "integer", "format": "int64" if name in _INT64 else "int32"}
    if shape.form == "string" and where in _BYTES:
        return {"type": "string", "format": "byte"}
    if shape.form == "string" and name.endswith(_TIME_ENDS):
        return {"$ref": machinery.MICRO_TIME if where in _MICRO_TIMES else machinery.TIME}
    if name == "managedFields":
        return {"$ref": machinery.MANAGED_FIELDS_ENTRY}
    return dict(_PLAIN[shape.form])


def _merging(struct: type[Resource], name: str) -> Schema:
    """How patches and several writers merge a list."""
    if keys := MERGE_KEYS.get(struct, {}).get(name):
        strategy = "merge,retainKeys" if name in RETAINED.get(struct, ()) else "merge"
        return {
            "x-kubernetes-list-map-keys": list(keys),
            "x-kubernetes-list-type": "map",
            "x-kubernetes-patch-merge-key": keys[0],
            "x-kubernetes-patch-strategy": strategy,
        }
    if name in SETS.get(struct, ()):
        return {"x-kubernetes-list-type": "set", "x-kubernetes-patch-strategy": "merge"}
    return {"x-kubernetes-list-type": "atomic"}


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
