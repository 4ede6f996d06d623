"""The strict edge: every unknown field and every wrong type of a tree, by path.

Only form is checked here; whether values make sense is `api.validation`'s question.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from api import schema_trees
from api.errors import FieldError, Invalid
from api.faults import field_path
from api.meta import Resource
from api.object import Tree
from api.scheme import Kind
from api.shape import Form, Shape, fields
from api.structural import IMPLIED

Validation = Literal["Strict", "Warn", "Ignore"]
"""What becomes of fields that a kind does not know: they are refused, dropped and told of, or dropped."""

DEPTH_LIMIT = 100
"""Levels of nesting in one object; far beyond any real one, far below the interpreter's stack."""

_UNKNOWN = "unknown field"
_SUGGESTED = 20  # for so many unknown fields the nearest known one is looked for: each look costs 0.1 ms
_SHOWN_CHARACTERS = 40
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
"""RFC 3339, section 5.6, as strictly as Kubernetes reads it."""


def prune(tree: Tree, kind: Kind | None = None) -> Tree:
    """Return the tree without null fields: clients send `creationTimestamp: null`, and null means absent.

    Nulls in lists stay, for `check` to name; where a kind's own schema says what null means, all of them do outside the
    metadata. Raises Invalid when the tree is nested too deeply.
    """
    pruned: Tree = _prune(tree, 0)
    if kind is None or kind.custom is None:
        return pruned
    return {name: pruned[name] if name in IMPLIED and name in pruned else value for name, value in tree.items()}


def _prune(value: Any, depth: int) -> Any:
    if depth > DEPTH_LIMIT:
        raise Invalid(f"the object is nested deeper than {DEPTH_LIMIT} levels")
    kind = type(value)
    if kind is dict:
        return {name: _prune(item, depth + 1) for name, item in value.items() if item is not None}
    if kind is list:
        return [_prune(item, depth + 1) for item in value]
    return value


def check(kind: Kind, tree: Tree) -> list[FieldError]:
    """Return every unknown field and wrong type, in document order; [] when the tree has the form of its kind."""
    if kind.custom is not None:
        _, dropped = schema_trees.known(kind.custom.schema, tree)
        own = {name: value for name, value in tree.items() if name in IMPLIED}
        return check_struct(kind.type, own, "") + [FieldError(path, _UNKNOWN) for path in dropped]
    return check_struct(kind.type, tree, "")


def check_struct(struct: type[Resource], tree: Tree, path: str) -> list[FieldError]:
    """As `check`, of a part of an object; `path` is where it stands."""
    errors: list[FieldError] = []
    _check_object(struct, tree, path, errors)
    return errors


def _check_object(struct: type[Resource], tree: Tree, path: str, errors: list[FieldError]) -> None:
    shapes = fields(struct)
    for name, value in tree.items():
        shape = shapes.get(name)
        if shape is None:
            errors.append(FieldError(field_path(path, name), _unknown(name, shapes, len(errors))))
        elif shape.form != "string" or type(value) is not str:
            _check_value(shape, value, field_path(path, name), errors)


def without_unknown(kind: Kind, tree: Tree) -> tuple[Tree, list[FieldError]]:
    """Return the tree without fields that the kind does not know, and which those were.

    Names that begin with "$" stay: in a patch they say how to merge. Wrong types stay for `check` to name.
    """
    dropped: list[FieldError] = []
    if kind.custom is not None:
        known, unknown = schema_trees.known(kind.custom.schema, tree)
        own = _known_object(kind.type, {name: each for name, each in tree.items() if name in IMPLIED}, "", dropped)
        return {**known, **own}, dropped + [FieldError(path, _UNKNOWN) for path in unknown]
    kept: Tree = _known_object(kind.type, tree, "", dropped)
    return kept, dropped


def _known_object(struct: type[Resource], tree: Tree, path: str, dropped: list[FieldError]) -> Tree:
    shapes = fields(struct)
    kept: Tree = {}
    for name, value in tree.items():
        shape = shapes.get(name)
        if shape is not None:
            kept[name] = _known_value(shape, value, field_path(path, name), dropped)
        elif name.startswith("$"):
            kept[name] = value
        else:
            dropped.append(FieldError(field_path(path, name), _unknown(name, shapes, len(dropped))))
    return kept


def _known_value(shape: Shape, value: Any, path: str, dropped: list[FieldError]) -> Any:
    if shape.form == "object" and type(value) is dict and shape.struct:
        return _known_object(shape.struct, value, path, dropped)
    if shape.form == "list" and type(value) is list and shape.item:
        return [_known_value(shape.item, item, f"{path}[{index}]", dropped) for index, item in enumerate(value)]
    return value


def _check_value(shape: Shape, value: Any, path: str, errors: list[FieldError]) -> None:
    match shape.form:
        case "object" if type(value) is dict and shape.struct:
            _check_object(shape.struct, value, path, errors)
        case "list" if type(value) is list and shape.item:
            for index, item in enumerate(value):
                _check_value(shape.item, item, f"{path}[{index}]", errors)
        case "map" if type(value) is dict and shape.item:
            for key, item in value.items():
                _check_value(shape.item, item, f"{path}[{key}]", errors)
        case "object" | "list" | "map":
            errors.append(FieldError(path, _wrong(shape.form, value)))
        case "integer" | "integer or string" if type(value) is int:
            if not -(1 << shape.bits - 1) <= value < 1 << shape.bits - 1:
                why = f"expected {shape.form}, got {value}, which does not fit {shape.bits} bits"
                errors.append(FieldError(path, why))
        case form if not _ACCEPTS[form](value):
            errors.append(FieldError(path, _wrong(form, value)))


def _is_time(value: Any) -> bool:
    if type(value) is not str or not _TIME.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


_ACCEPTS: dict[Form, Callable[[Any], bool]] = {
    "string": lambda value: type(value) is str,
    "time": _is_time,
    "integer": lambda _: False,  # whole numbers are looked at before
    "number": lambda value: type(value) in {int, float},
    "boolean": lambda value: type(value) is bool,
    "quantity": lambda value: type(value) in {str, int, float},
    "integer or string": lambda value: type(value) is str,
    "any": lambda _: True,
}

_NAMES = {str: "string", bool: "boolean", int: "integer", float: "number", dict: "object", list: "list"}


def _wrong(form: Form, value: Any) -> str:
    wanted = "RFC 3339 time" if form == "time" else form
    if value is None:
        return f"expected {wanted}, got null"
    name = _NAMES.get(type(value), type(value).__name__)
    if isinstance(value, dict | list):
        return f"expected {wanted}, got {name}"
    shown = json.dumps(value, ensure_ascii=False)
    if len(shown) > _SHOWN_CHARACTERS:
        shown = shown[:_SHOWN_CHARACTERS] + "..."
    return f"expected {wanted}, got {name} {shown}"


def _unknown(name: str, known: Any, before: int) -> str:
    if before >= _SUGGESTED:
        return _UNKNOWN
    by_lower = {field.lower(): field for field in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.7)
    return f'{_UNKNOWN}, did you mean "{by_lower[near[0]]}"?' if near else _UNKNOWN
