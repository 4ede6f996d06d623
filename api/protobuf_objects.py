"""Objects in Kubernetes' protobuf form, made the trees that JSON would have given.

Clients written in Go send it for the kinds they know; nothing here ever writes it. What a message may hold is the table in
`api.protobuf_messages`; a field that is not there is an error, never dropped.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from api.object import Tree
from api.protobuf_fields import Field, by_number
from api.protobuf_messages import MESSAGES

MAGIC: Final = b"k8s\x00"
"""What every such body begins with."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_TYPE_META, _RAW, _CONTENT_ENCODING = 1, 2, 3
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Malformed(ValueError):
    """The bytes are not what they should be; the message says where."""


def decode(data: bytes) -> Tree:
    """Return the object of a body, with the apiVersion and kind that it names. Raises Malformed."""
    if not data.startswith(MAGIC):
        raise Malformed("it does not begin as Kubernetes' protobuf does")
    parts = {number: value for number, _, value in _fields(data[len(MAGIC) :], "Unknown")}
    if parts.get(_CONTENT_ENCODING):
        raise Malformed("its content is encoded")
    names = {number: _text(value, "TypeMeta") for number, _, value in _fields(_held(parts, _TYPE_META), "TypeMeta")}
    kind = names.get(2, "")
    if kind not in MESSAGES:
        raise Malformed(f'the kind "{kind[:100]}" has no such form here: send JSON')
    return {"apiVersion": names.get(1, ""), "kind": kind, **_message(kind, _held(parts, _RAW))}


def _held(parts: Mapping[int, bytes | int], number: int) -> bytes:
    part = parts.get(number, b"")
    if isinstance(part, int):
        raise Malformed(f"Unknown: field {number} is no message")
    return part


def _message(name: str, data: bytes) -> Tree:
    known = by_number(name)
    tree: Tree = {}
    for number, wire_type, raw in _fields(data, name):
        field = known.get(number)
        if field is None:
            raise Malformed(f"{name}: field {number} is not known here")
        where = f"{name}.{field.name}"
        if field.many == "[":
            tree.setdefault(field.name, []).extend(_items(field, wire_type, raw, where))
        elif field.many == "{":
            key, value = _entry(field, raw, where)
            tree.setdefault(field.name, {})[key] = value
        else:
            value = _value(field, raw, where)
            if field.name == "+":
                tree |= value
            elif field.only_when_set or value not in (None, "", 0, {}):
                tree[field.name] = value
    return tree


def _items(field: Field, wire_type: int, raw: bytes | int, where: str) -> Iterator[Any]:
    if wire_type == _BYTES and field.letter in {"i", "b"}:  # several packed into one
        data, position = _bytes(raw, where), 0
        while position < len(data):
            number, position = _varint(data, position, where)
            yield _value(field, number, where)
    else:
        yield _value(field, raw, where)


def _entry(field: Field, raw: bytes | int, where: str) -> tuple[str, Any]:
    parts = {number: value for number, _, value in _fields(_bytes(raw, where), where)}
    value = parts.get(2, 0 if field.letter in {"i", "b"} else b"")
    return _text(parts.get(1, b""), where), _value(field, value, where)


def _value(field: Field, raw: bytes | int, where: str) -> Any:
    if not field.message:
        return _LETTERS[field.letter](raw, where)
    tree = _message(field.message, _bytes(raw, where))
    return tree.get("items", []) if field.message == "ExtraValue" else tree


def _bytes(raw: bytes | int, where: str) -> bytes:
    if isinstance(raw, int):
        raise Malformed(f"{where}: a number where there should be none")
    return raw


def _text(raw: bytes | int, where: str) -> str:
    try:
        return _bytes(raw, where).decode()
    except UnicodeDecodeError:
        raise Malformed(f"{where}: no text") from None


def _integer(raw: bytes | int, where: str) -> int:
    if not isinstance(raw, int):
        raise Malformed(f"{where}: no number")
    return raw - (1 << 64) if raw >> 63 else raw


def _boolean(raw: bytes | int, where: str) -> bool:
    return _integer(raw, where) != 0


def _base64(raw: bytes | int, where: str) -> str:
    return base64.b64encode(_bytes(raw, where)).decode()


def _quantity(raw: bytes | int, where: str) -> str:
    parts = {number: value for number, _, value in _fields(_bytes(raw, where), where)}
    return _text(parts.get(1, b""), where)


def _integer_or_string(raw: bytes | int, where: str) -> int | str:
    parts = {number: value for number, _, value in _fields(_bytes(raw, where), where)}
    if _integer(parts.get(1, 0), where):
        return _text(parts.get(3, b""), where)
    return _integer(parts.get(2, 0), where)


def _json(raw: bytes | int, where: str) -> Any:
    parts = {number: value for number, _, value in _fields(_bytes(raw, where), where)}
    try:
        return msgspec.json.decode(_bytes(parts.get(1, b"null"), where))
    except (msgspec.DecodeError, RecursionError) as error:
        raise Malformed(f"{where}: {error}") from None


def _instant(raw: bytes | int, where: str) -> datetime | None:
    """An instant; an empty message is none at all."""
    parts = {number: _integer(value, where) for number, _, value in _fields(_bytes(raw, where), where)}
    if not any(parts.values()):
        return None
    try:
        return _EPOCH + timedelta(seconds=parts.get(1, 0), microseconds=parts.get(2, 0) // 1000)
    except OverflowError:
        raise Malformed(f"{where}: no time") from None


def _time(raw: bytes | int, where: str) -> str | None:
    instant = _instant(raw, where)
    return None if instant is None else f"{instant:%Y-%m-%dT%H:%M:%SZ}"


def _micro_time(raw: bytes | int, where: str) -> str | None:
    instant = _instant(raw, where)
    return None if instant is None else f"{instant:%Y-%m-%dT%H:%M:%S.%fZ}"


_LETTERS: Final[Mapping[str, Callable[[bytes | int, str], Any]]] = {
    "s": _text,
    "i": _integer,
    "b": _boolean,
    "y": _base64,
    "t": _time,
    "u": _micro_time,
    "q": _quantity,
    "o": _integer_or_string,
    "r": _json,
}


def _fields(data: bytes, where: str) -> Iterator[tuple[int, int, bytes | int]]:
    """Number, wire type and content of every field, in order. Raises Malformed."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position, where)
        number, wire_type = tag >> 3, tag & 7
        value: bytes | int
        if wire_type == _VARINT:
            value, position = _varint(data, position, where)
        elif wire_type == _BYTES:
            size, position = _varint(data, position, where)
            value, position = data[position : position + size], position + size
        elif wire_type in {_FIXED64, _FIXED32}:
            size = 8 if wire_type == _FIXED64 else 4
            value, position = data[position : position + size], position + size
        else:
            raise Malformed(f"{where}: wire type {wire_type} is not known")
        if position > len(data):
            raise Malformed(f"{where}: it ends in the middle of field {number}")
        yield number, wire_type, value


def _varint(data: bytes, position: int, where: str) -> tuple[int, int]:
    result = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise Malformed(f"{where}: no number at byte {position}")
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & (1 << 64) - 1, position
        shift += 7
