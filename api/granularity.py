"""How finely an object's fields have owners: which maps and lists are shared entry by entry, and which belong to one as a whole.

Kubernetes writes this into its schema as `x-kubernetes-list-type`, `-list-map-keys` and `-map-type`. Here it comes from the
types, the merge keys of `api.merge`, and the exceptions below. Everything that is not granular is a leaf.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

import msgspec

from api.affinity import NodeSelector, NodeSelectorTerm
from api.env import ConfigMapKeySelector, FileKeySelector, ObjectFieldSelector, ResourceFieldSelector, SecretKeySelector
from api.merge import ABSENT_KEY, MERGE_KEYS, SETS
from api.meta import (
    LabelSelector,
    LocalObjectReference,
    ObjectReference,
    OwnerReference,
    Resource,
    TypedLocalObjectReference,
)
from api.object import Tree, canonical
from api.pod import PodSpec, PodStatus
from api.scheme import Kind
from api.service import ServiceSpec
from api.shape import Shape, fields
from api.structural import Schema

ATOMIC_TYPES: Final[frozenset[type[Resource]]] = frozenset(
    {
        ConfigMapKeySelector,
        FileKeySelector,
        LabelSelector,
        LocalObjectReference,
        NodeSelector,
        NodeSelectorTerm,
        ObjectFieldSelector,
        ObjectReference,
        OwnerReference,
        ResourceFieldSelector,
        SecretKeySelector,
        TypedLocalObjectReference,
    }
)
"""Structs that mean something only as a whole: half a selector of one owner and half of another select nothing sensible."""

ATOMIC_FIELDS: Final[Mapping[type[Resource], frozenset[str]]] = {
    PodSpec: frozenset({"nodeSelector"}),
    PodStatus: frozenset({"hostIPs"}),
    ServiceSpec: frozenset({"selector"}),
}
"""Maps and lists that would be granular by their form."""

Form = Literal["leaf", "object", "map", "keyed", "set", "open"]


@dataclass(frozen=True, slots=True)
class Part:
    """One place of an object. `struct` is an object's type; of "keyed", its elements', None where these are leaves.

    What a custom kind's `schema` describes has no struct; of an "open" object nothing is known.
    """

    form: Form
    struct: type[Resource] | None = None
    keys: tuple[str, ...] = ()
    schema: Schema | None = None


LEAF: Final = Part("leaf")
OPEN: Final = Part("open")

Children = dict[str, tuple[Part, Any]]
"""What is directly below a place, by path element as FieldsV1 writes it: `f:name`, `k:{"name":"web"}`, `v:"x"`."""


@cache
def parts(struct: type[Resource]) -> Mapping[str, Part]:
    """Return the place of every field of a type, by JSON name."""
    return {name: _part(struct, name, shape) for name, shape in fields(struct).items()}


def _part(struct: type[Resource], name: str, shape: Shape) -> Part:
    if name in ATOMIC_FIELDS.get(struct, ()):
        return LEAF
    match shape.form:
        case "object" if shape.struct not in ATOMIC_TYPES:
            return Part("object", shape.struct)
        case "map":
            return Part("map")
        case "list" if name in SETS.get(struct, ()):
            return Part("set")
        case "list" if shape.item and shape.item.struct and (keys := MERGE_KEYS.get(struct, {}).get(name)):
            return Part("keyed", None if shape.item.struct in ATOMIC_TYPES else shape.item.struct, keys)
    return LEAF


def root(kind: Kind) -> Part:
    """Return the place that is a whole object of a kind."""
    return Part("object", kind.type, schema=kind.custom.schema if kind.custom is not None else None)


def _of_schema(schema: Schema) -> Part:
    if schema.owned_whole:
        return LEAF
    if schema.form == "object" or schema.properties or schema.additional is not None:
        return Part("object", schema=schema)
    if schema.form == "array":
        if schema.keys:
            return Part("keyed", keys=tuple(schema.keys), schema=schema.items)
        return Part("set") if schema.is_set else LEAF
    return OPEN if schema.preserve else LEAF


def _fields_below(part: Part, value: Tree) -> Children:
    """What is directly below an object; a whole one that a schema describes has what its struct says, too."""
    known = parts(part.struct) if part.struct else {}
    if part.form == "open":
        return {f"f:{name}": (OPEN, item) for name, item in value.items()}
    if part.schema is None:
        return {f"f:{name}": (known.get(name, LEAF), item) for name, item in value.items()}
    found: Children = {}
    for name, item in value.items():
        inner = part.schema.properties.get(name, part.schema.additional)
        found[f"f:{name}"] = (known.get(name) or (_of_schema(inner) if inner is not None else OPEN), item)
    return found


def children(part: Part, value: Any) -> Children | None:
    """Return what is directly below a value; None for a leaf, which empty maps and lists are, too.

    A list whose elements cannot be told apart (a key is missing or appears twice) is a leaf.
    """
    if part is LEAF or not value:
        return None
    match part.form:
        case "open" | "object" if type(value) is dict:
            return _fields_below(part, value)
        case "map" if type(value) is dict:
            return {f"f:{name}": (LEAF, item) for name, item in value.items()}
        case "keyed" if type(value) is list:
            inner = Part("object", part.struct, schema=part.schema) if part.struct or part.schema else LEAF
            found = {element: (inner, item) for item in value if (element := element_of(item, part.keys))}
            return found if len(found) == len(value) else None
        case "set" if type(value) is list and all(type(item) in {str, int, float, bool} for item in value):
            found = {_value_element(item): (LEAF, item) for item in value}
            return found if len(found) == len(value) else None
    return None


def element_of(item: Any, keys: tuple[str, ...]) -> str:
    """The path element of one element of a keyed list, `k:{"name":"web"}`; "" when it lacks its first key."""
    if type(item) is not dict or type(item.get(keys[0])) not in {str, int}:
        return ""
    named = {key: item.get(key, ABSENT_KEY.get(key)) for key in keys}
    return "k:" + canonical({key: value for key, value in named.items() if value is not None}).decode()


def _value_element(value: str | float) -> str:
    return "v:" + msgspec.json.encode(value).decode()
