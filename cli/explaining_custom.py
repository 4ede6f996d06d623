"""What `tim explain` says of custom kinds, read from the schema in their definition. Pure: a kind and words in, text out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from api.field_docs import type_text
from api.meta import ObjectMeta
from api.object import Tree
from api.scheme import Kind
from api.structural import INT_OR_STRING
from cli.mistakes import Misused
from cli.verb import nearest

INDENT = "  "
_WHOLE: Tree = {
    "apiVersion": {"type": "string", "description": "Group and version of the schema that the object is written in."},
    "kind": {"type": "string", "description": "What the object is."},
    "metadata": {"type": "ObjectMeta", "description": type_text(ObjectMeta)},
}


def explain_custom(kind: Kind, path: Sequence[str], *, recursive: bool) -> str:
    """The text for a field of a custom kind, or for the kind. Misused for an unknown field."""
    assert kind.custom is not None, "other kinds have types"
    document = kind.custom.document
    here: Tree = {"type": kind.kind, **document, "properties": {**_WHOLE, **document.get("properties", {})}}
    for step in path:
        known = _fields(here)
        if step not in known:
            raise Misused(f"{'.'.join(path)}: there is no field {step!r}{nearest(step, list(known))}")
        here = known[step]
    lines = [f"KIND:     {kind.kind}", f"VERSION:  {kind.api_version}"]
    if path:
        lines.append(f"FIELD:    {'.'.join(path)} <{_type(here)}>")
    if text := here.get("description"):
        lines += ["", "DESCRIPTION:", *(f"{INDENT}{line}".rstrip() for line in str(text).splitlines())]
    if listed := list(_listed(here, recursive=recursive, depth=1)):
        lines += ["", "FIELDS:", *listed]
    return "\n".join(lines)


def _fields(document: Tree) -> Tree:
    """The fields of an object, of the elements of a list or of the values of a map."""
    inner = document.get("items") or document.get("additionalProperties")
    found: Tree = _fields(inner) if isinstance(inner, dict) else document.get("properties", {})
    return found


def _listed(document: Tree, *, recursive: bool, depth: int) -> Iterator[str]:
    known, indent = _fields(document), INDENT * depth
    width = max(map(len, known), default=0)
    for name, each in known.items():
        required = " -required-" if name in document.get("required", ()) else ""
        yield f"{indent}{name:<{width}}  <{_type(each)}>{required}"
        if recursive:
            yield from _listed(each, recursive=True, depth=depth + 1)
        elif text := each.get("description"):
            yield f"{indent}{INDENT}{str(text).splitlines()[0]}"


def _type(document: Tree) -> str:
    if isinstance(document.get("items"), dict):
        return f"[]{_type(document['items'])}"
    if isinstance(document.get("additionalProperties"), dict):
        return f"map[string]{_type(document['additionalProperties'])}"
    return "integer or string" if document.get(INT_OR_STRING) else document.get("type", "any")
