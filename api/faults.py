"""The words of refusals, as Kubernetes says them, so that people and tools recognise them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from api.errors import FieldError, Invalid
from api.meta import Quantity
from api.names import label_value_fault, qualified_name_fault
from api.quantity import parse

_SHOWN_CHARACTERS = 200
_NAME_CHARACTERS = 40  # of a field's name in a path
_FIELD_NAME = re.compile(r"[-\w$@/]+")
PORT_LIMIT = 65535


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."


def field_path(path: str, name: str) -> str:
    """The path of a field; a name that is none (empty, or with a line's end in it) is quoted, so that it is seen."""
    if not _FIELD_NAME.fullmatch(name):
        return f"{path}[{json.dumps(name[:_NAME_CHARACTERS])}]"
    return f"{path}.{name}" if path else name


def required(path: str, why: str = "") -> FieldError:
    """A field is missing or empty."""
    return FieldError(path, f"Required value: {why}" if why else "Required value")


def invalid(path: str, value: Any, why: str) -> FieldError:
    """A field holds a value that cannot be right."""
    return FieldError(path, f"Invalid value: {_shown(value)}: {why}")


def unsupported(path: str, value: Any, supported: Iterable[str]) -> FieldError:
    """A field holds none of the words it may hold."""
    return FieldError(
        path, f"Unsupported value: {_shown(value)}: supported values: {', '.join(map(_shown, supported))}"
    )


def forbidden(path: str, why: str) -> FieldError:
    """A field may not be set here, or not be changed."""
    return FieldError(path, f"Forbidden: {why}")


def duplicate(path: str, value: Any) -> FieldError:
    """An element is there twice."""
    return FieldError(path, f"Duplicate value: {_shown(value)}")


def immutable(path: str, value: Any) -> FieldError:
    """A field was changed that cannot change."""
    return invalid(path, value, "field is immutable")


def check_text(
    path: str, value: str | None, fault: Callable[[str], str | None], *, optional: bool = False
) -> Iterator[FieldError]:
    """Yield the fault of a name; an absent one is a fault unless `optional`."""
    if not value:
        if not optional:
            yield required(path)
    elif why := fault(value):
        yield invalid(path, value, why)


def check_choice(path: str, value: str | None, choices: Sequence[str]) -> Iterator[FieldError]:
    """Yield a fault unless the value is one of the words, or absent."""
    if value is not None and value not in choices:
        yield unsupported(path, value, choices)


def check_range(path: str, value: int | None, low: int, high: int | None = None) -> Iterator[FieldError]:
    """Yield a fault unless the number is absent or within both ends."""
    if value is None:
        return
    if high is None and value < low:
        yield invalid(path, value, f"must be greater than or equal to {low}")
    elif high is not None and not low <= value <= high:
        yield invalid(path, value, f"must be between {low} and {high}, inclusive")


def check_port(path: str, value: int | str, name_fault: Callable[[str], str | None]) -> Iterator[FieldError]:
    """Yield the fault of a port given by number or name."""
    if isinstance(value, str):
        yield from check_text(path, value, name_fault)
    else:
        yield from check_range(path, value, 1, PORT_LIMIT)


LARGEST_AMOUNT = 4 * 10**15
"""Of anything that is counted: in thousandths, and added to as much again, it still fits 64 bits."""


def check_quantity(path: str, value: Quantity) -> Iterator[FieldError]:
    """Yield a fault unless the value is a quantity from 0 to `LARGEST_AMOUNT`."""
    try:
        amount = parse(value)
        if amount < 0:
            yield invalid(path, value, "must be greater than or equal to 0")
        elif amount > LARGEST_AMOUNT:
            yield invalid(path, value, "must be at most 4P")
    except Invalid as error:
        yield invalid(path, value, str(error))


def check_labels(path: str, labels: Mapping[str, str]) -> Iterator[FieldError]:
    """Yield the faults of label keys and values."""
    for key, value in labels.items():
        if why := qualified_name_fault(key):
            yield invalid(path, key, why)
        if why := label_value_fault(value):
            yield invalid(f"{path}[{key}]", value, why)


def check_unique(path: str, values: Iterable[Any]) -> Iterator[FieldError]:
    """Yield a fault for each value seen before; `path` has a `{}` for the index. None and "" do not count."""
    seen = set()
    for index, value in enumerate(values):
        if value in seen:
            yield duplicate(path.format(index), value)
        elif value not in {None, ""}:
            seen.add(value)
