"""What types and fields mean, for people: `tim explain`, and the descriptions in OpenAPI documents. Pure.

A type is described by its docstring. A field is by its line in the tables of texts; without one, by the type it holds.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from functools import cache

from api import field_texts, field_texts_pod, field_texts_webhooks
from api.field_texts import ANYWHERE, COMMON, SAME
from api.meta import Resource
from api.shape import fields

TABLES: Mapping[str, str] = {**field_texts.TEXTS, **field_texts_pod.TEXTS, **field_texts_webhooks.TEXTS}
"""By type, a line a field."""

_WORD = re.compile(r"`([a-z0-9]+(?:_[a-z0-9]+)+)`")


def type_text(struct: type[Resource]) -> str:
    """The type's docstring, fields named as in manifests; its paragraphs are parted by an empty line."""
    own = dict(zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True))

    def outside(match: re.Match[str]) -> str:
        first, *others = match[1].split("_")
        return f"`{own.get(match[1], first + ''.join(map(str.capitalize, others)))}`"

    return _WORD.sub(outside, inspect.getdoc(struct) or "")


def own_text(struct: type[Resource], name: str) -> str:
    """What the tables say of the field, in one line; "" if nothing."""
    own = texts(struct.__name__)
    common = COMMON if "metadata" in struct.__struct_encode_fields__ else ANYWHERE
    return own.get(name) or texts(SAME.get(struct.__name__, "")).get(name) or common.get(name, "")


def field_text(struct: type[Resource], name: str) -> str:
    """What the field is for: its own line, or what the type means that it holds; "" where there is nothing to say."""
    if text := own_text(struct, name):
        return text
    shape = fields(struct)[name]
    held = shape.struct or (shape.item.struct if shape.item else None)
    return type_text(held).partition("\n\n")[0] if held else ""


@cache
def texts(type_name: str) -> Mapping[str, str]:
    """The tables' lines for a type, by field."""
    lines = (line.split(None, 1) for line in TABLES.get(type_name, "").splitlines() if line)
    return {name: text.strip() for name, text in lines}
