"""What `tim explain` says of kinds and fields, read from the types and from what is honoured. Pure: words in, text out."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator

from api.honoured import HONOURED, NOT_YET, InHostNetwork, Keys, Only
from api.meta import Resource
from api.shape import Shape, fields
from cli import targets
from cli.mistakes import Misused
from cli.verb import nearest

INDENT = "  "


def explain(word: str, *, recursive: bool) -> str:
    """The text for `KIND[.field]...`; NotFound for an unknown kind, Misused for an unknown field."""
    name, _, path = word.partition(".")
    kind = targets.lookup(name)
    shape = Shape("object", struct=kind.type)
    lines = [f"KIND:     {kind.kind}", f"VERSION:  {kind.api_version}"]
    if path:
        note = ""
        for step in path.split("."):
            shape, note = _field(shape, step, word)
        lines.append(f"FIELD:    {path} <{_type(shape)}>{note}")
    struct = _struct(shape)
    if struct is None:
        return "\n".join(lines)
    lines += ["", "DESCRIPTION:", *(f"{INDENT}{line}".rstrip() for line in _described(struct))]
    lines += ["", "FIELDS:", *_listed(struct, recursive=recursive, above=())]
    return "\n".join(lines)


def _described(struct: type[Resource]) -> list[str]:
    """The type's docstring, fields named as in manifests."""
    own = dict(zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True))

    def outside(match: re.Match[str]) -> str:
        first, *others = match[1].split("_")
        return f"`{own.get(match[1], first + ''.join(map(str.capitalize, others)))}`"

    return re.sub(r"`([a-z0-9]+(?:_[a-z0-9]+)+)`", outside, inspect.getdoc(struct) or "").splitlines()


def _field(shape: Shape, step: str, word: str) -> tuple[Shape, str]:
    struct = _struct(shape)
    known = fields(struct) if struct else {}
    if struct is None or step not in known:
        raise Misused(f"{word}: there is no field {step!r}{nearest(step, list(known))}")
    return known[step], _note(struct, step)


def _listed(struct: type[Resource], *, recursive: bool, above: tuple[type[Resource], ...]) -> Iterator[str]:
    shapes = fields(struct)
    width = max(map(len, shapes), default=0)
    for name, shape in shapes.items():
        note = _note(struct, name)
        yield f"{INDENT * (len(above) + 1)}{name:<{width}}  <{_type(shape)}>{note}"
        inside = _struct(shape)
        if recursive and inside is not None and inside not in above and not note:
            yield from _listed(inside, recursive=True, above=(*above, struct))


def _note(struct: type[Resource], name: str) -> str:
    """What a manifest may not say there, as the API server would refuse it."""
    table = HONOURED.get(struct)
    if table is None:
        return ""
    match table.get(name, NOT_YET):
        case str():
            return f"  {NOT_YET}"
        case Only(values):
            return f"  only {', '.join(json.dumps(value) for value in values)}"
        case Keys(keys):
            return f"  only the keys {', '.join(keys)}"
        case InHostNetwork():
            return f"  {NOT_YET} outside the host's network"
    return ""


def _struct(shape: Shape) -> type[Resource] | None:
    return _struct(shape.item) if shape.item is not None else shape.struct


def _type(shape: Shape) -> str:
    if shape.form == "list" and shape.item:
        return f"[]{_type(shape.item)}"
    if shape.form == "map" and shape.item:
        return f"map[string]{_type(shape.item)}"
    return shape.struct.__name__ if shape.struct else shape.form
