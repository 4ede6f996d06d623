"""Objects of custom kinds against their schema: what nobody knows goes, what is absent is completed, what is wrong is named.

Pure; arguments are never changed. Metadata is not looked at: it is the same for every kind.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from api.errors import FieldError
from api.faults import duplicate, field_path, required
from api.object import Tree
from api.patterns import one_object
from api.schema_checks import TYPES, wrong_type
from api.structural import IMPLIED, NOTHING, Schema


def known(schema: Schema, tree: Tree) -> tuple[Tree, list[str]]:
    """Return a whole object without the fields that the schema does not know, and the paths of those."""
    dropped: list[str] = []
    return _known_fields(schema, tree, "", dropped, whole=True), dropped


def _known(schema: Schema, value: Any, path: str, dropped: list[str]) -> Any:
    kind = type(value)
    if kind is dict:
        return _known_fields(schema, value, path, dropped, whole=schema.embedded)
    if kind is list and schema.items is not None:
        return [_known(schema.items, each, f"{path}[{index}]", dropped) for index, each in enumerate(value)]
    return value


def _known_fields(schema: Schema, tree: Tree, path: str, dropped: list[str], *, whole: bool) -> Tree:
    kept: Tree = {}
    for name, value in tree.items():
        where = f"{path}.{name}" if path else name
        inner = schema.properties.get(name, schema.additional)
        if whole and name in IMPLIED:
            kept[name] = value
        elif inner is not None:
            kept[name] = _known(inner, value, where, dropped)
        elif schema.preserve:
            kept[name] = value
        else:
            dropped.append(field_path(path, name))
    return kept


def completed(schema: Schema, tree: Tree) -> Tree:
    """Return the object with every default written out; a null where none may be is as good as absent if there is one."""
    result: Tree = _completed(schema, tree)
    return result


def _completed(schema: Schema, value: Any) -> Any:
    if not schema.completes:
        return value
    if type(value) is list and schema.items is not None:
        return [_completed(schema.items, each) for each in value]
    if type(value) is not dict:
        return value
    result = {name: _completed(inner, value[name]) for name, inner in _inner(schema, value)}
    for name, inner in schema.properties.items():
        if inner.default is NOTHING:
            continue
        if name not in value or (value[name] is None and not inner.nullable):
            result[name] = _completed(inner, _copied(inner.default))
    return {**value, **result}


def _inner(schema: Schema, value: Tree) -> Iterator[tuple[str, Schema]]:
    for name in value:
        inner = schema.properties.get(name, schema.additional)
        if inner is not None:
            yield name, inner


def _copied(value: Any) -> Any:
    if type(value) is dict:
        return {name: _copied(each) for name, each in value.items()}
    return [_copied(each) for each in value] if type(value) is list else value


def faults(schema: Schema, tree: Tree, old: Tree | None) -> Sequence[FieldError]:
    """Return what is wrong with an object. What is as it was before is let be: a schema may have become stricter since."""
    rest = {name: value for name, value in tree.items() if name not in IMPLIED or name in schema.properties}
    before = NOTHING if old is None else old
    with one_object():
        return list(_faults(schema, rest, before, "", whole=True))


def _faults(schema: Schema, value: Any, old: Any, path: str, *, whole: bool = False) -> Iterator[FieldError]:
    if old is not NOTHING and old == value:
        return
    if value is None and schema.nullable:
        return
    if schema.int_or_string:
        if type(value) not in {int, str}:
            yield wrong_type(path, value, "integer or string")
            return
    elif schema.form and not TYPES[schema.form](value):
        yield wrong_type(path, value, schema.form)
        return
    for check in schema.checks:
        yield from check(value, path)
    if type(value) is dict:
        yield from _field_faults(schema, value, old, path, whole=whole)
    elif type(value) is list:
        yield from _element_faults(schema, value, old, path)


def _field_faults(schema: Schema, value: Tree, old: Any, path: str, *, whole: bool) -> Iterator[FieldError]:
    if schema.embedded and not whole:
        for name in ("apiVersion", "kind"):
            if not value.get(name) or type(value[name]) is not str:
                yield required(f"{path}.{name}", "must not be empty")
    before: Mapping[str, Any] = old if type(old) is dict else {}
    for name, inner in _inner(schema, value):
        if not (whole and name in IMPLIED):
            yield from _faults(inner, value[name], before.get(name, NOTHING), f"{path}.{name}" if path else name)


def _element_faults(schema: Schema, value: list[Any], old: Any, path: str) -> Iterator[FieldError]:
    before = _by_key(schema, old) if schema.keys and type(old) is list else {}
    seen: set[str] = set()
    for index, each in enumerate(value):
        where = f"{path}[{index}]"
        if schema.is_set or schema.keys:
            key = _key(schema, each)
            if key in seen:
                shown = {name: each.get(name) for name in schema.keys} if type(each) is dict and schema.keys else each
                yield duplicate(where, shown)
            seen.add(key)
        if schema.items is not None:
            yield from _faults(schema.items, each, before.get(_key(schema, each), NOTHING), where)


def _by_key(schema: Schema, elements: list[Any]) -> Mapping[str, Any]:
    return {_key(schema, each): each for each in elements}


def _key(schema: Schema, element: Any) -> str:
    if schema.keys and type(element) is dict:
        element = [element.get(name) for name in schema.keys]
    return json.dumps(element, sort_keys=True)
