"""JSON patches: a list of operations on paths of a document (RFC 6902, with the pointers of RFC 6901).

Pure: arguments stay as they are, results share unchanged parts with them. Every refusal names the operation. A patch costs no more
than its own size and that of the document: containers are copied once, when they are first changed, and what is copied by
operations is bounded, as a document that doubles with every operation would not fit anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.errors import FieldError, Invalid

OPERATIONS_MAX = 10_000
"""Of one patch, as in Kubernetes."""

COPIED_BYTES_MAX = 3 << 20
"""What all copies of one patch add to the document; in Kubernetes, too, as much as a request may have."""

_END = "-"


def json_patch(document: Any, operations: Any) -> Any:
    """Return `document` after all operations; Invalid when one of them cannot be done, as if none had been."""
    if type(operations) is not list:
        raise Invalid("patch: a JSON patch is a list of operations")
    if len(operations) > OPERATIONS_MAX:
        raise Invalid(f"patch: {len(operations)} operations are more than {OPERATIONS_MAX}")
    edited = _Edited(document)
    for number, operation in enumerate(operations):
        try:
            _perform(edited, operation)
        except _ImpossibleError as error:
            raise _impossible(number, str(error)) from None
        except RecursionError:
            raise _impossible(number, "what it works on is nested too deep") from None
    return edited.root


def _impossible(number: int, why: str) -> Invalid:
    """With a field: a patch that can be read and not be done is no bad request (Kubernetes: 422)."""
    return Invalid("the patch cannot be done", [FieldError(f"operation {number}", why)])


class _ImpossibleError(Exception):
    """Why one operation cannot be done."""


class _Edited:
    """A document while it is changed. What was given stays as it is; containers that were copied from it are kept in `_own`."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self._own: dict[int, Any] = {}  # the containers by their identity, which stays theirs while they are held here
        self._room_bytes = COPIED_BYTES_MAX

    def add(self, path: tuple[str, ...], value: Any) -> None:
        """Set a field, insert an element, or replace everything."""
        if not path:
            self.root = value
            return
        holder, token = self._holder(path), path[-1]
        if type(holder) is dict:
            holder[token] = value
        else:
            holder.insert(len(holder) if token == _END else _place(token, len(holder)), value)

    def replace(self, path: tuple[str, ...], value: Any) -> None:
        """Set what is there."""
        _found(self.root, path)
        if not path:
            self.root = value
            return
        holder = self._holder(path)
        holder[path[-1] if type(holder) is dict else int(path[-1])] = value

    def remove(self, path: tuple[str, ...]) -> None:
        """Take away what is there."""
        if not path:
            raise _ImpossibleError("the whole document cannot be removed")
        _found(self.root, path)
        holder = self._holder(path)
        del holder[path[-1] if type(holder) is dict else int(path[-1])]

    def copied(self, value: Any) -> Any:
        """A copy that shares nothing with the value, within what copies may add."""
        kind = type(value)
        self._room_bytes -= len(value) + 2 if kind is str else 2
        if kind is dict:
            self._room_bytes -= sum(len(name) + 4 for name in value)
        if self._room_bytes < 0:
            raise _ImpossibleError(f"the patch copies more than {COPIED_BYTES_MAX} bytes")
        if kind is dict:
            return {name: self.copied(item) for name, item in value.items()}
        return [self.copied(item) for item in value] if kind is list else value

    def _holder(self, path: tuple[str, ...]) -> Any:
        """The container of the path's last token, which may be changed."""
        current = self.root = self._owned(self.root)
        for depth, token in enumerate(path[:-1]):
            child = _child(current, path, depth)
            owned = self._owned(child)
            if owned is not child:
                current[token if type(current) is dict else int(token)] = owned
            current = owned
        if type(current) not in {dict, list}:
            raise _ImpossibleError(f"{_pointer(path[:-1])} is neither an object nor a list")
        return current

    def _owned(self, value: Any) -> Any:
        if type(value) not in {dict, list} or id(value) in self._own:
            return value
        mine = value.copy()
        self._own[id(mine)] = mine
        return mine


def _perform(edited: _Edited, operation: Any) -> None:
    if type(operation) is not dict:
        raise _ImpossibleError("an operation is an object with op and path")
    path = _tokens(operation, "path")
    match operation.get("op"):
        case "add":
            edited.add(path, _value(operation))
        case "remove":
            edited.remove(path)
        case "replace":
            edited.replace(path, _value(operation))
        case "move":
            source = _tokens(operation, "from")
            if len(source) < len(path) and path[: len(source)] == source:
                raise _ImpossibleError(f"{_pointer(source)} cannot be moved into itself")
            moved = _found(edited.root, source)
            edited.remove(source)
            edited.add(path, moved)
        case "copy":
            edited.add(path, edited.copied(_found(edited.root, _tokens(operation, "from"))))
        case "test":
            if not _equal(_found(edited.root, path), _value(operation)):
                raise _ImpossibleError(f"the test failed: {_pointer(path)} has another value")
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
    for depth in range(len(path)):
        document = _child(document, path, depth)
    return document


def _child(container: Any, path: tuple[str, ...], depth: int) -> Any:
    token = path[depth]
    if type(container) is dict and token in container:
        return container[token]
    if type(container) is list:
        return container[_place(token, len(container) - 1)]
    raise _ImpossibleError(f"there is no {_pointer(path[: depth + 1])}")


def _place(token: str, last: int) -> int:
    """A list's index; RFC 6901 writes it without leading zeros."""
    if not (token.isascii() and token.isdigit()) or (len(token) > 1 and token[0] == "0"):
        raise _ImpossibleError(f'"{token}" is no place in a list')
    if len(token) > len(str(max(last, 0))) or int(token) > last:
        raise _ImpossibleError(f"the list has no place {token}")
    return int(token)


def _equal(one: Any, other: Any) -> bool:
    """JSON equality: 1 and 1.0 are equal, 1 and true are not."""
    if type(one) is dict and type(other) is dict:
        return one.keys() == other.keys() and all(_equal(one[name], other[name]) for name in one)
    if type(one) is list and type(other) is list:
        return len(one) == len(other) and all(map(_equal, one, other))
    if (type(one) is bool) != (type(other) is bool):
        return False
    return bool(one == other)
