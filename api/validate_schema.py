"""Rules for schemas in CustomResourceDefinitions: the words that are known, and what makes a schema structural.

The rules are those of Kubernetes ("Specifying a structural schema"), so that a definition that is accepted there and uses
nothing that is not honoured here is accepted here. Works on trees: documents and paths in, faults out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from api import patterns, strict
from api.apiextensions import JSONSchemaProps
from api.errors import FieldError
from api.faults import check_choice, forbidden, invalid, required
from api.object import Tree
from api.schema_checks import TYPES, json_name
from api.schema_trees import completed, faults, known
from api.structural import EMBEDDED, INT_OR_STRING, LIST_TYPE, MAP_KEYS, MAP_TYPE, PRESERVE, compiled

DEPTH_LIMIT: Final = 40
"""Levels of a schema: what it describes must stay within the nesting that objects may have."""

_UNSUPPORTED: Final = ("id", "$ref", "patternProperties", "dependencies", "additionalItems", "definitions")
_LOGICAL: Final = ("allOf", "anyOf", "oneOf")
_NOT_IN_LOGIC: Final = ("description", "type", "default", "title", "additionalProperties", "nullable")
_EXTENSIONS: Final = (PRESERVE, EMBEDDED, INT_OR_STRING, LIST_TYPE, MAP_KEYS, MAP_TYPE)
_CEL: Final = "x-kubernetes-validations"
_COUNTS: Final = ("maxLength", "minLength", "maxItems", "minItems", "maxProperties", "minProperties")
_OF_METADATA: Final = frozenset({"name", "generateName"})
_SCALARS: Final = frozenset({"string", "integer", "number", "boolean"})
_INT_OR_STRING_CHOICE: Final = [{"type": "integer"}, {"type": "string"}]


def schema_faults(document: Tree, path: str) -> Iterator[FieldError]:
    """Yield what is wrong with the schema of whole objects."""
    if "type" not in document:
        yield required(f"{path}.type", "must not be empty at the root")
    elif document["type"] != "object":
        yield invalid(f"{path}.type", document["type"], "must be object at the root")
    if document.get("nullable"):
        yield forbidden(f"{path}.nullable", "nullable cannot be true at the root")
    with patterns.one_object():
        found = list(_place_faults(document, path, 0))
    yield from found
    yield from _metadata_faults(document, path)
    if not found:
        yield from _default_faults(document, path)


def _place_faults(document: Tree, path: str, depth: int) -> Iterator[FieldError]:
    if depth > DEPTH_LIMIT:
        yield invalid(path, "...", f"may not be nested deeper than {DEPTH_LIMIT} levels")
        return
    yield from _word_faults(document, path)
    yield from _type_faults(document, path, root=depth == 0)
    yield from _extension_faults(document, path)
    yield from _logic_faults(document, document, path, depth)
    for where, below in _below(document, path):
        if type(below) is dict:
            yield from _place_faults(below, where, depth + 1)


def _below(document: Tree, path: str) -> Iterator[tuple[str, Any]]:
    for name, each in document.get("properties", {}).items():
        yield f"{path}.properties[{name}]", each
    if type(document.get("additionalProperties")) is dict:
        yield f"{path}.additionalProperties", document["additionalProperties"]
    if "items" in document:
        yield f"{path}.items", document["items"]


def _word_faults(document: Tree, path: str) -> Iterator[FieldError]:
    """Words that may not be there, and values that the types of the definition leave open."""
    for name in _UNSUPPORTED:
        if document.get(name):
            yield forbidden(f"{path}.{name}", f"{name.removeprefix('$')} is not supported")
    if document.get(_CEL):
        yield FieldError(f"{path}.{_CEL}", "not supported yet")
    if document.get("uniqueItems"):
        message = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden(f"{path}.uniqueItems", message)
    if document.get("pattern"):
        yield from _pattern_faults(document["pattern"], f"{path}.pattern")
    yield from _number_faults(document, path)
    yield from _additional_faults(document, path)


def _number_faults(document: Tree, path: str) -> Iterator[FieldError]:
    if document.get("multipleOf", 1) <= 0:
        yield invalid(f"{path}.multipleOf", document["multipleOf"], "must be greater than 0")
    for name in _COUNTS:
        if document.get(name, 0) < 0:
            yield invalid(f"{path}.{name}", document[name], "must be greater than or equal to 0")


def _additional_faults(document: Tree, path: str) -> Iterator[FieldError]:
    where, additional = f"{path}.additionalProperties", document.get("additionalProperties")
    if additional is None:
        return
    if type(additional) is dict:
        yield from strict.check_struct(JSONSchemaProps, additional, where)
    elif additional is False:
        yield forbidden(where, "additionalProperties cannot be set to false")
    elif additional is not True:
        yield FieldError(where, f"expected object or boolean, got {json_name(additional)}")
    if document.get("properties"):
        yield forbidden(where, "additionalProperties and properties are mutual exclusive")


def _pattern_faults(pattern: str, path: str) -> Iterator[FieldError]:
    try:
        patterns.check(pattern)
    except patterns.BadPattern as error:
        yield invalid(path, pattern, f"must be a valid regular expression: {error}")
    except patterns.TooCostly:
        yield FieldError(path, "the patterns of this definition take too long to read: leave some out or shorten them")


def _type_faults(document: Tree, path: str, *, root: bool) -> Iterator[FieldError]:
    form = document.get("type", "")
    if form == "null":
        yield forbidden(f"{path}.type", "type cannot be set to null, use nullable as an alternative")
    else:
        yield from check_choice(f"{path}.type", form or None, tuple(TYPES))
    if document.get(INT_OR_STRING):
        if form:
            yield forbidden(f"{path}.type", f"must be empty if {INT_OR_STRING} is true")
    elif not form and not root and not document.get(PRESERVE):
        kind = "array items" if path.endswith(".items") else "object fields"
        yield required(f"{path}.type", f"must not be empty for specified {kind}")
    if form == "array" and "items" not in document:
        yield required(f"{path}.items", "must be specified")


def _extension_faults(document: Tree, path: str) -> Iterator[FieldError]:
    form = document.get("type", "")
    if document.get(PRESERVE) is False:
        yield invalid(f"{path}.{PRESERVE}", document[PRESERVE], "must be true or undefined")
    if document.get(EMBEDDED):
        if form != "object":
            yield required(f"{path}.type", f"must be object if {EMBEDDED} is true")
        if not document.get(PRESERVE) and not document.get("properties"):
            yield required(f"{path}.properties", f"must not be empty if {EMBEDDED} is true without {PRESERVE}")
    if document.get(INT_OR_STRING) and (document.get(PRESERVE) or document.get(EMBEDDED)):
        yield forbidden(f"{path}.{INT_OR_STRING}", f"excludes {PRESERVE} and {EMBEDDED}")
    yield from check_choice(f"{path}.{MAP_TYPE}", document.get(MAP_TYPE), ("atomic", "granular"))
    if MAP_TYPE in document and form != "object":
        yield required(f"{path}.type", f"must be object if {MAP_TYPE} is specified")
    yield from check_choice(f"{path}.{LIST_TYPE}", document.get(LIST_TYPE), ("atomic", "set", "map"))
    if LIST_TYPE in document and form != "array":
        yield required(f"{path}.type", f"must be array if {LIST_TYPE} is specified")
    yield from _key_faults(document, path)


def _key_faults(document: Tree, path: str) -> Iterator[FieldError]:
    """What tells the elements of a list apart must be there, and be plain."""
    keys, list_type = document.get(MAP_KEYS, []), document.get(LIST_TYPE)
    items = document.get("items")
    items = items if type(items) is dict else {}
    if list_type == "map" and not keys:
        yield required(f"{path}.{MAP_KEYS}", f"must not be empty if {LIST_TYPE} is map")
    elif list_type != "map" and keys:
        yield forbidden(f"{path}.{MAP_KEYS}", f"must be empty unless {LIST_TYPE} is map")
    if list_type == "map" and items.get("type") != "object":
        yield invalid(f"{path}.items.type", items.get("type", ""), f"must be object if parent's {LIST_TYPE} is map")
    if list_type == "set":
        atomic = items.get(MAP_TYPE) == "atomic" or ("items" in items and items.get(LIST_TYPE, "atomic") == "atomic")
        if items.get("nullable") or not (items.get("type") in _SCALARS or atomic or items.get(INT_OR_STRING)):
            yield invalid(f"{path}.items", items.get("type", ""), f"must be scalar or atomic if {LIST_TYPE} is set")
    for index, key in enumerate(keys):
        inner = items.get("properties", {}).get(key)
        if inner is None:
            yield invalid(f"{path}.{MAP_KEYS}[{index}]", key, "must be the name of a property of the items")
        elif inner.get("type") not in _SCALARS and not inner.get(INT_OR_STRING):
            yield invalid(f"{path}.items.properties[{key}].type", inner.get("type", ""), "must be a scalar type")
        elif key not in items.get("required", ()) and "default" not in inner:
            message = f"this property is in {MAP_KEYS}, so it must have a default or be a required property"
            yield required(f"{path}.items.properties[{key}].default", message)


def _logic_faults(structure: Tree, document: Tree, path: str, depth: int) -> Iterator[FieldError]:
    """Inside allOf, anyOf, oneOf and not a schema may only judge what the structure around it describes."""
    for where, each in _logical(document, path):
        if depth > DEPTH_LIMIT:
            yield invalid(where, "...", f"may not be nested deeper than {DEPTH_LIMIT} levels")
        else:
            allowed = structure.get(INT_OR_STRING) and each in _INT_OR_STRING_CHOICE
            if not allowed:
                yield from _judging_faults(structure, each, where, depth + 1)


def _logical(document: Tree, path: str) -> Iterator[tuple[str, Tree]]:
    for word in _LOGICAL:
        for index, each in enumerate(document.get(word, ())):
            yield f"{path}.{word}[{index}]", each
    if "not" in document:
        yield f"{path}.not", document["not"]


def _judging_faults(structure: Tree, document: Tree, path: str, depth: int) -> Iterator[FieldError]:
    for name in (*_NOT_IN_LOGIC, *_EXTENSIONS):
        if document.get(name):
            yield forbidden(f"{path}.{name}", "must be empty to be structural")
    yield from _word_faults(document, path)
    for name, each in document.get("properties", {}).items():
        outside = structure.get("properties", {}).get(name)
        where = f"{path}.properties[{name}]"
        if outside is None:
            around = re.sub(r"\.(allOf|anyOf|oneOf)\[\d+\].*|\.not\b.*", "", path)
            message = f"because it is defined in {where}"
            yield required(f"{around}.properties[{name}]", message)
        else:
            yield from _judging_faults(outside, each, where, depth + 1)
    if type(document.get("items")) is dict:
        inner = structure.get("items")
        if type(inner) is dict:
            yield from _judging_faults(inner, document["items"], f"{path}.items", depth + 1)
        else:
            yield required(f"{path}.items", "must also be specified outside")
    yield from _logic_faults(structure, document, path, depth)


def _metadata_faults(document: Tree, path: str) -> Iterator[FieldError]:
    """What objects have anyway may be narrowed only where Kubernetes lets it."""
    properties: Mapping[str, Tree] = document.get("properties", {})
    for name in ("apiVersion", "kind"):
        if properties.get(name, {}).get("type", "string") != "string":
            yield invalid(f"{path}.properties[{name}].type", properties[name]["type"], "must be string")
    metadata = properties.get("metadata", {})
    where = f"{path}.properties[metadata]"
    if metadata.get("type", "object") != "object":
        yield invalid(f"{where}.type", metadata["type"], "must be object")
    others = set(metadata.get("properties", {})) - _OF_METADATA
    if others or metadata.get("additionalProperties") or metadata.get(PRESERVE):
        message = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        yield forbidden(where, message)


def _default_faults(document: Tree, path: str) -> Iterator[FieldError]:
    """Defaults must be what the schema itself accepts."""
    for where, below in _below(document, path):
        if type(below) is dict:
            if "default" in below:
                yield from _one_default(below, f"{where}.default")
            yield from _default_faults(below, where)


def _one_default(document: Tree, path: str) -> Iterator[FieldError]:
    value = document["default"]
    schema = compiled({"type": "object", "properties": {"default": document}})
    tree = completed(schema, {"default": value})
    _, dropped = known(schema, tree)
    for each in dropped:
        yield invalid(path, value, f"must not have unknown fields: {each.removeprefix('default.')}")
    base = path.removesuffix("default")
    for fault in faults(schema, tree, None):
        yield FieldError(base + fault.path, fault.message)
