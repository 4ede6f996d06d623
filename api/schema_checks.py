"""Values against the validating words of an OpenAPI v3 schema: bounds, patterns, formats, choices. Pure.

Each word of a schema becomes a check once, so that nothing is read or compiled while objects are judged. Messages are those
of Kubernetes, which clients and people search for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

from api import patterns
from api.errors import FieldError
from api.faults import invalid
from api.object import Tree
from api.schema_formats import FORMATS

Check = Callable[[Any, str], Iterator[FieldError]]
"""(value, path) -> what is wrong with it."""

TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: type(value) is dict,
    "array": lambda value: type(value) is list,
    "string": lambda value: type(value) is str,
    "integer": lambda value: type(value) is int or (type(value) is float and value.is_integer()),
    "number": lambda value: type(value) in {int, float},
    "boolean": lambda value: type(value) is bool,
}


def checks_of(document: Tree) -> Sequence[Check]:
    """The checks of one place, without those of its type and of what is below it."""
    made = (make(document) for make in _MAKERS)
    return tuple(check for check in made if check is not None)


def json_name(value: Any) -> str:
    """The type of a value as schemas call it."""
    if value is None:
        return "null"
    return next((name for name, holds in TYPES.items() if holds(value)), type(value).__name__)


def wrong_type(path: str, value: Any, wanted: str) -> FieldError:
    """The fault of a value of another type."""
    found = json_name(value)
    return FieldError(path, f'Invalid value: "{found}": {_in_body(path)} must be of type {wanted}: "{found}"')


def _whole(document: Tree) -> Check:
    """A schema inside allOf, anyOf, oneOf or not: the whole of it, types too."""
    own = checks_of(document)
    form = document.get("type", "")
    properties = {name: _whole(each) for name, each in document.get("properties", {}).items()}
    items = _whole(document["items"]) if isinstance(document.get("items"), dict) else None
    given = document.get("additionalProperties")
    additional = _whole(given) if isinstance(given, dict) else None

    def check(value: Any, path: str) -> Iterator[FieldError]:
        if form and not TYPES[form](value):
            yield wrong_type(path, value, form)
            return
        for each in own:
            yield from each(value, path)
        if type(value) is dict:
            for name, item in value.items():
                inner = properties.get(name, additional)
                if inner is not None:
                    yield from inner(item, f"{path}.{name}".lstrip("."))
        if items is not None and type(value) is list:
            for index, item in enumerate(value):
                yield from items(item, f"{path}[{index}]")

    return check


def _enum(document: Tree) -> Check | None:
    if "enum" not in document:
        return None
    allowed = {_key(value) for value in document["enum"]}
    shown = ", ".join(json.dumps(value) for value in document["enum"])

    def check(value: Any, path: str) -> Iterator[FieldError]:
        if value is not None and _key(value) not in allowed:
            yield FieldError(path, f"Unsupported value: {json.dumps(value)}: supported values: {shown}")

    return check


def _bounds(document: Tree) -> Check | None:
    lower, upper, step = document.get("minimum"), document.get("maximum"), document.get("multipleOf")
    above, below = document.get("exclusiveMinimum"), document.get("exclusiveMaximum")
    if lower is None and upper is None and step is None:
        return None

    def check(value: Any, path: str) -> Iterator[FieldError]:
        if type(value) not in {int, float}:
            return
        if lower is not None and (value < lower or (above and value == lower)):
            yield invalid(
                path, value, f"{_in_body(path)} should be greater than {'' if above else 'or equal to '}{lower}"
            )
        if upper is not None and (value > upper or (below and value == upper)):
            yield invalid(path, value, f"{_in_body(path)} should be less than {'' if below else 'or equal to '}{upper}")
        if step and not _is_multiple(value, step):
            yield invalid(path, value, f"{_in_body(path)} should be a multiple of {step}")

    return check


def _is_multiple(value: float, step: float) -> bool:
    if type(value) is int and type(step) is int:
        return value % step == 0
    try:
        quotient = value / step
    except OverflowError:  # a whole number beyond all others
        return (Fraction(value) / Fraction(step)).denominator == 1
    return math.isfinite(quotient) and math.isclose(quotient, round(quotient), rel_tol=1e-9, abs_tol=1e-9)


def _text(document: Tree) -> Check | None:
    shortest, longest = document.get("minLength"), document.get("maxLength")
    written, form = document.get("pattern", ""), document.get("format", "")
    right_form = FORMATS.get(form)
    if shortest is None and longest is None and not written and right_form is None:
        return None

    def check(value: Any, path: str) -> Iterator[FieldError]:
        if type(value) is not str:
            return
        if longest is not None and len(value) > longest:
            yield FieldError(path, f"Too long: may not be more than {longest} characters")
        if shortest is not None and len(value) < shortest:
            yield invalid(path, value, f"{_in_body(path)} should be at least {shortest} chars long")
        if written:
            yield from _pattern_faults(written, value, path)
        if right_form is not None and not right_form(value):
            yield invalid(path, value, f"{_in_body(path)} must be of type {form}: {json.dumps(value)}")

    return check


def _pattern_faults(written: str, value: str, path: str) -> Iterator[FieldError]:
    try:
        if not patterns.found_in(written, value):
            yield invalid(path, value, f"{_in_body(path)} should match '{written}'")
    except patterns.TooCostly:
        yield FieldError(
            path, f"{_in_body(path)} takes too long to compare with '{written}': shorten it or the pattern"
        )


def _integer_format(document: Tree) -> Check | None:
    bits = {"int32": 31, "int64": 63}.get(document.get("format", ""), 63)
    if document.get("type") != "integer":
        return None
    form = "int32" if bits == 31 else "int64"

    def check(value: Any, path: str) -> Iterator[FieldError]:
        if type(value) in {int, float} and not -(2**bits) <= value < 2**bits:
            yield invalid(path, value, f"{_in_body(path)} must be of type {form}: {json.dumps(value)}")

    return check


def _counts(document: Tree) -> Check | None:
    found = [
        (kind, document.get(f"min{word}"), document.get(f"max{word}"), word.lower())
        for kind, word in ((list, "Items"), (dict, "Properties"))
        if f"min{word}" in document or f"max{word}" in document
    ]
    if not found:
        return None

    def check(value: Any, path: str) -> Iterator[FieldError]:
        for kind, fewest, most, word in found:
            if type(value) is not kind:
                continue
            if most is not None and len(value) > most:
                yield FieldError(path, f"Too many: {len(value)}: must have at most {most} {word}")
            if fewest is not None and len(value) < fewest:
                yield invalid(path, len(value), f"{_in_body(path)} should have at least {fewest} {word}")

    return check


def _required(document: Tree) -> Check | None:
    names = document.get("required", ())
    if not names:
        return None

    def check(value: Any, path: str) -> Iterator[FieldError]:
        if type(value) is dict:
            for name in names:
                if name not in value:
                    yield FieldError(f"{path}.{name}".lstrip("."), "Required value")

    return check


def _combined(document: Tree) -> Check | None:
    inner = {word: [_whole(each) for each in document.get(word, ())] for word in ("allOf", "anyOf", "oneOf")}
    never = _whole(document["not"]) if "not" in document else None
    if never is None and not any(inner.values()):
        return None

    def check(value: Any, path: str) -> Iterator[FieldError]:
        for each in inner["allOf"]:
            yield from each(value, path)
        if inner["anyOf"] and not any(_holds(each, value) for each in inner["anyOf"]):
            yield _unmet(path, "at least one schema (anyOf)")
        if inner["oneOf"] and (count := sum(_holds(each, value) for each in inner["oneOf"])) != 1:
            found = f"{count} valid alternatives" if count else "none valid"
            yield _unmet(path, f"one and only one schema (oneOf). Found {found}")
        if never is not None and _holds(never, value):
            yield FieldError(path, f'Invalid value: "": {_in_body(path)} must not validate the schema (not)')

    return check


def _holds(check: Check, value: Any) -> bool:
    return next(check(value, ""), None) is None


def _unmet(path: str, which: str) -> FieldError:
    return FieldError(path, f'Invalid value: "": {_in_body(path)} must validate {which}')


def _in_body(path: str) -> str:
    return f"{path} in body" if path else "in body"


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


_MAKERS: Sequence[Callable[[Tree], Check | None]] = (
    *(_required, _enum, _bounds, _text, _integer_format, _counts, _combined),
)
