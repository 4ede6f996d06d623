"""What somebody changed of an object in an editor. Pure: texts and trees in, texts and trees out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from api.errors import Conflict, Invalid
from api.object import Tree, at

FIXED = ("apiVersion", "kind", "metadata.name", "metadata.namespace", "metadata.uid")
"""What says which object it is."""
_MISSING = object()
_HEADING = (
    "# Change the object below and leave the editor; lines that begin with # here at the top do not count.",
    "# An empty file, or one without a change, changes nothing.",
)


def shown(tree: str, problems: Sequence[str] = ()) -> str:
    """What the editor gets: a heading, what was wrong with the last attempt, and the object as text."""
    told = [f"# {line}" for problem in problems for line in f"Not accepted: {problem}".splitlines()]
    return "\n".join([*_HEADING, *(["#", *told] if told else []), tree, ""])


def body(text: str) -> str:
    """What was left of the object: all but the heading."""
    lines = text.splitlines()
    while lines and lines[0].startswith("#"):
        del lines[0]
    return "\n".join(lines).strip("\n")


def check(original: Tree, wanted: Tree) -> None:
    """Invalid when what was edited is another object now, or says what only the cluster writes."""
    for path in FIXED:
        if at(original, path, None) != at(wanted, path, None):
            raise Invalid(f"{path}: an edit cannot change it: to make another object, use `tim create -f`")
    if original.get("status") != wanted.get("status"):
        raise Invalid("status: the cluster writes it, `tim edit` cannot")


def merged(original: Tree, wanted: Tree, current: Tree, path: str = "") -> Tree:
    """`current` with whatever differs between `original` and `wanted`. Conflict where others changed the same meanwhile."""
    result = dict(current)
    for name in original.keys() | wanted.keys():
        before, after, now = (tree.get(name, _MISSING) for tree in (original, wanted, current))
        if after in (before, now):
            continue
        value = _merged_value(before, after, now, f"{path}.{name}".lstrip("."))
        if value is _MISSING:
            result.pop(name, None)
        else:
            result[name] = value
    return result


def _merged_value(before: Any, after: Any, now: Any, path: str) -> Any:
    if isinstance(before, dict) and isinstance(after, dict) and isinstance(now, dict):
        return merged(before, after, now, path)
    if now != before:
        raise Conflict(f"{path}: somebody else changed it meanwhile")
    return after
