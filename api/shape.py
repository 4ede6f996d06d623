"""What the types say about a JSON tree: for every field its form, for walkers that check, merge or default trees.

Read once per type from the annotations and kept; nothing here looks at values.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import msgspec

from api.meta import IntOrString, Number, Quantity, Resource

Form = Literal[
    "string", "time", "integer", "number", "boolean", "quantity", "integer or string", "object", "list", "map", "any"
]

_TIME_NAMES = ("Time", "Timestamp", "startedAt", "finishedAt", "timeAdded")
"""How the names of text fields end that hold an instant, in RFC 3339."""

WIDE = frozenset(
    (
        *("generation", "observedGeneration", "deletionGracePeriodSeconds", "terminationGracePeriodSeconds"),
        *("activeDeadlineSeconds", "tolerationSeconds", "expirationSeconds", "seconds"),
        *("runAsUser", "runAsGroup", "fsGroup", "supplementalGroups", "uid", "gid", "sizeBytes"),
        *("maxLength", "minLength", "maxItems", "minItems", "maxProperties", "minProperties"),
    )
)
"""The names of numbers that have 64 bits in Kubernetes, whatever type they belong to; all others have 32."""

_SCALARS: dict[Any, Form] = {
    str: "string",
    int: "integer",
    bool: "boolean",
    Number: "number",
    Quantity: "quantity",
    IntOrString: "integer or string",
    Any: "any",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """One field or element. `struct` belongs to objects, `item` to lists and maps, `bits` to whole numbers."""

    form: Form
    struct: type[Resource] | None = None
    item: Shape | None = None
    bits: int = 64


def _shape(hint: Any) -> Shape:
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is types.UnionType and types.NoneType in arguments:
        (hint, *others) = [argument for argument in arguments if argument is not types.NoneType]
        for other in others:
            hint |= other
    if form := _SCALARS.get(hint):
        return Shape(form)
    origin = typing.get_origin(hint)
    if origin is tuple:
        return Shape("list", item=_shape(arguments[0]))
    if origin is dict:
        return Shape("map", item=_shape(arguments[1]))
    return Shape("object", struct=hint)


@cache
def fields(struct: type[Resource]) -> Mapping[str, Shape]:
    """Return the fields of a type by their JSON names, in the order of their definition."""
    hints = typing.get_type_hints(struct)
    return {
        field.encode_name: _named(field.encode_name, _shape(hints[field.name]))
        for field in msgspec.structs.fields(struct)
    }


def _named(name: str, shape: Shape) -> Shape:
    """What Kubernetes has types of its own for, and names tell here: instants, and numbers by their size."""
    if shape.form == "string" and name.endswith(_TIME_NAMES):
        return Shape("time")
    if shape.form in {"integer", "integer or string"} and name not in WIDE:
        return Shape(shape.form, bits=32)
    return shape
