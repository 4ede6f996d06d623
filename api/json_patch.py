"""JSON patches: a list of operations on paths of a document (RFC 6902, with the pointers of RFC 6901).

Pure: arguments stay as they are, results share unchanged parts with them. Every refusal names the operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from api.errors import Invalid

OPERATIONS_MAX = 10_000
"""Of one patch, as in Kubernetes."""

_END = "-"

Change = Callable[[Any, str], Any]
"""A container and the last token of a path in; the changed copy of the container out."""


def json_patch(document: Any, operations: Any) -> Any:
    """Return `document` after all operations; Invalid when one of them cannot be done, as if none had been."""
    if type(operations) is not list:
        raise Invalid("patch: a JSON patch is a list of operations")
    if len(operations) > OPERATIONS_MAX:
        raise Invalid(f"patch: {len(operations)} operations are more than {OPERATIONS_MAX}")
    for number, operation in enumerate(operations):
        try:
            document = _perform(document, operation)
        except _ImpossibleError as error:
            raise Invalid(f"patch: operation {number}: {error}") from None
    return document


class _ImpossibleError(Exception):
    """Why one operation cannot be done."""


def _perform(document: Any, operation: Any) -> Any:
    if type(operation) is not dict:
        raise _ImpossibleError("an operation is an object with op and path")
    name = operation.get("op")
    path = _tokens(operation, "path")
    match name:
        case "add":
            return _changed(document, path, _adding(_value(operation)))
        case "remove":
            return _removed(document, path)
        case "replace":
            value = _value(operation)
            _found(document, path)
            return _changed(document, path, _replacing(value))
        case "move":
            source = _tokens(operation, "from")
            if len(source) < len(path) and path[: len(source)] == source:
                raise _ImpossibleError(f"{_pointer(source)} cannot be moved into itself")
            moved = _found(document, source)
            return _changed(_removed(document, source), path, _adding(moved))
        case "copy":
            return _changed(document, path, _adding(_found(document, _tokens(operation, "from"))))
        case "test":
            if not _equal(_found(document, path), _value(operation)):
                raise _ImpossibleError(f"the test failed: {_pointer(path)} has another value")
            return document
        case other:
            raise _ImpossibleError(f'op "{other}" is not known; use add, remove, replace, move, copy or test')


def _tokens(operation: Mapping[str, Any], name: str) -> tuple[str, ...]:
    pointer = operation.get(name)
    if type(pointer) is not str:
        raise _ImpossibleError(f'"{name}" is required')
    if not pointer:
        return ()
    if not pointer.startswith("/"):
        raise _ImpossibleError(f'"{name}" must be empty or begin with /: {pointer}')
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in pointer[1:].split("/"))


def _pointer(tokens: tuple[str, ...]) -> str:
    escaped = (token.replace("~", "~0").replace("/", "~1") for token in tokens)
    return "".join(f"/{token}" for token in escaped) or "the document"


def _value(operation: Mapping[str, Any]) -> Any:
    if "value" not in operation:
        raise _ImpossibleError('"value" is required')
    return operation["value"]


def _found(document: Any, path: tuple[str, ...]) -> Any:
    """What is at the path."""
    for depth, token in enumerate(path):
        document = _child(document, token, path[: depth + 1])
    return document


def _child(container: Any, token: str, path: tuple[str, ...]) -> Any:
    if type(container) is dict and token in container:
        return container[token]
    if type(container) is list:
        place = _place(token, len(container) - 1)
        return container[place]
    raise _ImpossibleError(f"there is no {_pointer(path)}")


def _place(token: str, last: int) -> int:
    """A list's index; RFC 6901 writes it without leading zeros."""
    if not (token.isascii() and token.isdigit()) or (len(token) > 1 and token[0] == "0"):
        raise _ImpossibleError(f'"{token}" is no place in a list')
    if len(token) > len(str(max(last, 0))) or int(token) > last:
        raise _ImpossibleError(f"the list has no place {token}")
    return int(token)


def _changed(document: Any, path: tuple[str, ...], change: Change) -> Any:
    """A copy of the document in which `change` was done to the container of the path's last token."""
    if not path:
        return change(None, "")
    return _rebuilt(document, path, 0, change)


def _rebuilt(container: Any, path: tuple[str, ...], depth: int, change: Change) -> Any:
    token = path[depth]
    if depth == len(path) - 1:
        if type(container) not in {dict, list}:
            raise _ImpossibleError(f"{_pointer(path[:depth])} is neither an object nor a list")
        return change(container, token)
    child = _rebuilt(_child(container, token, path[: depth + 1]), path, depth + 1, change)
    return _replacing(child)(container, token)


def _adding(value: Any) -> Change:
    def add(container: Any, token: str) -> Any:
        if container is None:
            return value
        if type(container) is dict:
            return {**container, token: value}
        place = len(container) if token == _END else _place(token, len(container))
        return [*container[:place], value, *container[place:]]

    return add


def _replacing(value: Any) -> Change:
    def replace(container: Any, token: str) -> Any:
        if container is None:
            return value
        if type(container) is dict:
            return {**container, token: value}
        place = _place(token, len(container) - 1)
        return [*container[:place], value, *container[place + 1 :]]

    return replace


def _removed(document: Any, path: tuple[str, ...]) -> Any:
    if not path:
        raise _ImpossibleError("the whole document cannot be removed")

    def remove(container: Any, token: str) -> Any:
        if type(container) is dict:
            return {name: value for name, value in container.items() if name != token}
        place = _place(token, len(container) - 1)
        return [*container[:place], *container[place + 1 :]]

    _found(document, path)
    return _changed(document, path, remove)


def _equal(one: Any, other: Any) -> bool:
    """JSON equality: 1 and 1.0 are equal, 1 and true are not."""
    if type(one) is dict and type(other) is dict:
        return one.keys() == other.keys() and all(_equal(one[name], other[name]) for name in one)
    if type(one) is list and type(other) is list:
        return len(one) == len(other) and all(map(_equal, one, other))
    if (type(one) is bool) != (type(other) is bool):
        return False
    return bool(one == other)
