"""What `tim explain` says of kinds and fields, read from the types and from what is honoured. Pure: words in, text out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from api.field_docs import field_text, own_text, type_text
from api.honoured import HONOURED, NOT_YET, InHostNetwork, InInitContainer, Keys, Never, Only
from api.meta import Resource
from api.required import required_fields
from api.shape import Shape, fields
from cli import targets
from cli.explaining_custom import explain_custom
from cli.mistakes import Misused
from cli.verb import nearest

INDENT = "  "


def explain(word: str, *, recursive: bool) -> str:
    """The text for `KIND[.field]...`; NotFound for an unknown kind, Misused for an unknown field."""
    name, _, path = word.partition(".")
    kind = targets.lookup(name)
    if kind.custom is not None:
        return explain_custom(kind, path.split(".") if path else (), recursive=recursive)
    shape = Shape("object", struct=kind.type)
    lines = [f"KIND:     {kind.kind}", f"VERSION:  {kind.api_version}"]
    texts, note = [], ""
    for step in path.split(".") if path else ():
        owner, field = _field(shape, step, word)
        texts = [text] if (text := own_text(owner, step)) else []
        shape, note = field, _note(owner, step)
    if path:
        lines.append(f"FIELD:    {path} <{_type(shape)}>{note}")
    struct = _struct(shape)
    if struct is not None:
        texts.append(type_text(struct))
    if texts:
        described = "\n\n".join(texts).splitlines()
        lines += ["", "DESCRIPTION:", *(f"{INDENT}{line}".rstrip() for line in described)]
    if struct is not None:
        lines += ["", "FIELDS:", *_listed(struct, recursive=recursive, above=())]
    return "\n".join(lines)


def _field(shape: Shape, step: str, word: str) -> tuple[type[Resource], Shape]:
    """The type that has the field, and the field. Misused when there is none of that name."""
    struct = _struct(shape)
    known = fields(struct) if struct else {}
    if struct is None or step not in known:
        raise Misused(f"{word}: there is no field {step!r}{nearest(step, list(known))}")
    return struct, known[step]


def _listed(struct: type[Resource], *, recursive: bool, above: tuple[type[Resource], ...]) -> Iterator[str]:
    """A line a field, followed by its meaning, or by the fields in it if these are wanted."""
    shapes = fields(struct)
    needed = required_fields(struct)
    width = max(map(len, shapes), default=0)
    indent = INDENT * (len(above) + 1)
    for name, shape in shapes.items():
        note = _note(struct, name)
        required = " -required-" if name in needed else ""
        yield f"{indent}{name:<{width}}  <{_type(shape)}>{required}{note}"
        if not recursive and (text := field_text(struct, name)):
            yield f"{indent}{INDENT}{text}"
        inside = _struct(shape)
        if recursive and inside is not None and inside not in above and not note:
            yield from _listed(inside, recursive=True, above=(*above, struct))


def _note(struct: type[Resource], name: str) -> str:
    """What a manifest may not say there, as the API server would refuse it."""
    table = HONOURED.get(struct, {name: None})
    match table.get(name, Never(NOT_YET)):
        case Never(why):
            return f"  {why}"
        case Only(values):
            return f"  only {_words(values)}"
        case Keys(keys):
            return f"  only the keys {', '.join(keys)}"
        case InHostNetwork():
            return f"  {NOT_YET} outside the host's network"
        case InInitContainer(values):
            return f"  only {_words(values)}, in init containers"
    return ""


def _words(values: Iterable[object]) -> str:
    return ", ".join(json.dumps(value) for value in values)


def _struct(shape: Shape) -> type[Resource] | None:
    return _struct(shape.item) if shape.item is not None else shape.struct


def _type(shape: Shape) -> str:
    if shape.form == "list" and shape.item:
        return f"[]{_type(shape.item)}"
    if shape.form == "map" and shape.item:
        return f"map[string]{_type(shape.item)}"
    return shape.struct.__name__ if shape.struct else shape.form
