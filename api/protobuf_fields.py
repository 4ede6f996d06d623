"""What the table of Kubernetes' messages says, field by field; and which values mean the same as none.

A Go program that reads an object and writes it back adds and drops values that its types cannot tell from absent ones: nothing may
depend on them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from api.object import Tree
from api.protobuf_messages import MESSAGES

_ROW: Final = re.compile(r"([\w+]+)=(\d+)([\[{]?)(?::(\w+)|(\w))(\*?)")


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message; `name` "+" joins the message's fields to those around it.

    `many` is "[" for lists, "{" for maps, else "". `letter` tells scalars apart, `message` is "" for them. What is not
    `only_when_set` means the same absent and empty.
    """

    name: str
    many: str
    message: str
    letter: str
    only_when_set: bool


@cache
def by_number(message: str) -> Mapping[int, Field]:
    """The fields of a message as they are written."""
    found = {}
    for row in MESSAGES[message].split():
        match = _ROW.fullmatch(row)
        assert match is not None, f"{message}: {row} says nothing"
        name, number, many, inner, letter, marked = match.groups()
        found[int(number)] = Field(name, many, inner or "", letter or "", bool(marked))
    return found


@cache
def by_name(message: str) -> Mapping[str, Field]:
    """The fields of a message as JSON shows them."""
    found: dict[str, Field] = {}
    for field in by_number(message).values():
        found |= by_name(field.message) if field.name == "+" else {field.name: field}
    return found


def meaning(message: str, tree: Tree) -> Tree:
    """Return the tree without values that mean the same as none, so that equal trees are equal objects."""
    known = by_name(message)
    said: Tree = {}
    for name, value in tree.items():
        field = known.get(name)
        if field is None:
            said[name] = value
            continue
        found = _meaning(field, value)
        always = field.only_when_set and not field.many
        if found is not None and (always or found not in ("", 0, {}, [])):
            said[name] = found
    return said


def _meaning(field: Field, value: Any) -> Any:
    if not field.message:
        return value
    if field.many == "[" and isinstance(value, list):
        return [meaning(field.message, each) if isinstance(each, dict) else each for each in value]
    if not field.many and isinstance(value, dict):
        return meaning(field.message, value)
    return value
