"""A document of OpenAPI 2 as the protobuf message that kubectl asks for (openapi.v2.Document of gnostic's OpenAPIv2.proto).

Only what our documents use has a number here; anything else is a KeyError and no silent gap. Schemas nest without end, so
the message is written by hand from the tree: a generated class would have to be filled field by field just the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""What the message is sent as."""

ASKED_TYPES = frozenset({MEDIA_TYPE, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"})
"""What it is asked for by; the older name is none that a header may hold, and clients that parse it refuse it."""

_VARINT, _LENGTH = 0, 2  # wire types


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its number, and the message it holds (none: text, a list of texts, or a boolean).

    `inside` are the numbers of messages that are nothing but a wrapper, outermost first. In a `mapping`, the number of its entries.
    """

    number: int
    message: str = ""
    inside: tuple[int, ...] = ()
    mapping: int = 0


MESSAGES: Mapping[str, Mapping[str, Field]] = {
    "Document": {
        "swagger": Field(1),
        "info": Field(2, "Info"),
        "paths": Field(8, "PathItem", mapping=2),
        "definitions": Field(9, "Schema", mapping=1),
    },
    "Info": {"title": Field(1), "version": Field(2)},
    "PathItem": {
        "get": Field(2, "Operation"),
        "put": Field(3, "Operation"),
        "post": Field(4, "Operation"),
        "delete": Field(5, "Operation"),
        "patch": Field(8, "Operation"),
        "parameters": Field(9, "Parameter"),
    },
    "Operation": {
        "tags": Field(1),
        "description": Field(3),
        "operationId": Field(5),
        "produces": Field(6),
        "consumes": Field(7),
        "parameters": Field(8, "Parameter"),
        "responses": Field(9, "Response", inside=(1,), mapping=1),
        "schemes": Field(10),
    },
    "body": {
        "description": Field(1),
        "name": Field(2),
        "in": Field(3),
        "required": Field(4),
        "schema": Field(5, "Schema"),
    },
    "query": {"in": Field(2), "description": Field(3), "name": Field(4), "type": Field(6)},
    "path": {"required": Field(1), "in": Field(2), "description": Field(3), "name": Field(4), "type": Field(5)},
    "Response": {"description": Field(1), "schema": Field(2, "Schema", inside=(1,))},
    "Schema": {
        "$ref": Field(1),
        "format": Field(2),
        "description": Field(4),
        "required": Field(19),
        "additionalProperties": Field(21, "Schema", inside=(1,)),
        "type": Field(22, inside=(1,)),
        "items": Field(23, "Schema", inside=(1,)),
        "properties": Field(25, "Schema", mapping=1),
    },
}

_EXTENSIONS = {"Schema": 31, "Operation": 13}
_PARAMETER_INSIDE = {"body": (1, 1), "query": (1, 2, 3), "path": (1, 2, 4)}
"""The wrappers around a parameter, by where it stands."""


def encode(document: Mapping[str, Any]) -> bytes:
    """The message of a document."""
    return _message("Document", document)


def _message(name: str, value: Mapping[str, Any]) -> bytes:
    return b"".join(_fields(name, value))


def _fields(name: str, value: Mapping[str, Any]) -> Iterator[bytes]:
    known = MESSAGES[name]
    for key, held in value.items():
        if key.startswith("x-"):
            yield _extension(_EXTENSIONS[name], key, held)
        else:
            yield from _field(known[key], held)


def _field(field: Field, value: Any) -> Iterator[bytes]:
    if field.mapping:
        entries = (
            _delimited(field.mapping, _text(1, name) + _delimited(2, _held(field, held)))
            for name, held in value.items()
        )
        yield _delimited(field.number, b"".join(entries))
    elif isinstance(value, bool):
        yield _varint(field.number << 3 | _VARINT) + _varint(value)
    elif isinstance(value, list):
        for each in value:
            yield _delimited(field.number, _held(field, each))
    else:
        yield _delimited(field.number, _held(field, value))


def _held(field: Field, value: Any) -> bytes:
    """What a field of length-delimited type holds, wrappers included."""
    inside = field.inside
    if field.message == "Parameter":
        inside = _PARAMETER_INSIDE[value["in"]]
        held = _message(value["in"], value)
    else:
        held = _message(field.message, value) if field.message else value.encode()
    for number in reversed(inside):
        held = _delimited(number, held)
    return held


def _extension(number: int, name: str, value: Any) -> bytes:
    """A NamedAny; its YAML is JSON here, which is YAML."""
    return _delimited(number, _text(1, name) + _delimited(2, _text(2, json.dumps(value) + "\n")))


def _text(number: int, value: str) -> bytes:
    return _delimited(number, value.encode())


def _delimited(number: int, payload: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)
