"""What types and fields mean, for people: `tim explain`, and the descriptions in OpenAPI documents. Pure.

A type is described by its docstring. A field is by its line in the table below; without one, by the type it holds.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from functools import cache

from api.field_texts import COMMON, TEXTS
from api.meta import Resource
from api.shape import fields

_WORD = re.compile(r"`([a-z0-9]+(?:_[a-z0-9]+)+)`")


def type_text(struct: type[Resource]) -> str:
    """The type's docstring, fields named as in manifests; its paragraphs are parted by an empty line."""
    own = dict(zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True))

    def outside(match: re.Match[str]) -> str:
        first, *others = match[1].split("_")
        return f"`{own.get(match[1], first + ''.join(map(str.capitalize, others)))}`"

    return _WORD.sub(outside, inspect.getdoc(struct) or "")


def own_text(struct: type[Resource], name: str) -> str:
    """What the table says of the field, in one line; "" if nothing."""
    common = COMMON if "metadata" in struct.__struct_encode_fields__ else {}
    return texts(struct.__name__).get(name) or common.get(name, "")


def field_text(struct: type[Resource], name: str) -> str:
    """What the field is for: its own line, or what the type means that it holds; "" where there is nothing to say."""
    if text := own_text(struct, name):
        return text
    shape = fields(struct)[name]
    held = shape.struct or (shape.item.struct if shape.item else None)
    return type_text(held).partition("\n\n")[0] if held else ""


@cache
def texts(type_name: str) -> Mapping[str, str]:
    """The table's lines for a type, by field."""
    lines = (line.split(None, 1) for line in TEXTS.get(type_name, "").splitlines() if line)
    return {name: text.strip() for name, text in lines}
