"""Structural schemas, compiled: what an OpenAPI v3 schema of a CustomResourceDefinition says of each place of an object. Pure.

A schema is compiled once for each state of its definition. It expects documents that `api.validate_schema` accepts and must
not know kinds, nor what becomes of faults.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from api.object import Tree
from api.schema_checks import Check, checks_of

Form = Literal["object", "array", "string", "integer", "number", "boolean", ""]

PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING: Final = "x-kubernetes-int-or-string"
EMBEDDED: Final = "x-kubernetes-embedded-resource"
LIST_TYPE: Final = "x-kubernetes-list-type"
MAP_KEYS: Final = "x-kubernetes-list-map-keys"
MAP_TYPE: Final = "x-kubernetes-map-type"

IMPLIED: Final = frozenset({"apiVersion", "kind", "metadata"})
"""What every whole object has, whatever its schema says."""


class Nothing:
    """No default: null is one."""


NOTHING: Final = Nothing()


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """One place. `form` "" is any value, or an integer or string if `int_or_string`.

    `additional` is of the values of a map, `items` of the elements of a list. `preserve` keeps fields that nobody names,
    `embedded` is a whole object. `owned_whole` has one owner, `keys` tell elements of a list apart, a `is_set` list has each
    value once. `checks` judge a value besides its form; `completes` says that there is a default somewhere below.
    """

    form: Form
    nullable: bool
    properties: Mapping[str, Schema]
    additional: Schema | None
    items: Schema | None
    preserve: bool
    embedded: bool
    int_or_string: bool
    owned_whole: bool
    is_set: bool
    keys: Sequence[str]
    default: Any
    checks: Sequence[Check]
    completes: bool


def compiled(document: Tree) -> Schema:
    """The schema of a whole object; an empty document knows no fields besides the implied ones."""
    return _compiled(document)


def _compiled(document: Tree) -> Schema:
    properties = {name: _compiled(each) for name, each in document.get("properties", {}).items()}
    given = document.get("additionalProperties")
    additional = _compiled(given) if isinstance(given, dict) else ANYTHING if given else None
    items = _compiled(document["items"]) if isinstance(document.get("items"), dict) else None
    default = document.get("default", NOTHING)
    below = (*properties.values(), *(each for each in (additional, items) if each is not None))
    list_type = document.get(LIST_TYPE, "atomic")
    return Schema(
        form=document.get("type", ""),
        nullable=bool(document.get("nullable")),
        properties=properties,
        additional=additional,
        items=items,
        preserve=bool(document.get(PRESERVE)),
        embedded=bool(document.get(EMBEDDED)),
        int_or_string=bool(document.get(INT_OR_STRING)),
        owned_whole=document.get(MAP_TYPE) == "atomic",
        is_set=list_type == "set",
        keys=tuple(document.get(MAP_KEYS, ())) if list_type == "map" else (),
        default=default,
        checks=checks_of(document),
        completes=any(each.completes or each.default is not NOTHING for each in below),
    )


ANYTHING: Final = Schema(
    form="",
    nullable=True,
    properties={},
    additional=None,
    items=None,
    preserve=True,
    embedded=False,
    int_or_string=False,
    owned_whole=False,
    is_set=False,
    keys=(),
    default=NOTHING,
    checks=(),
    completes=False,
)
"""A place of which nothing is said."""
