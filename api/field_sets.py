"""Sets of fields: what one manager owns of an object. Their algebra is that of `frozenset`; here is how they are written.

A path is the way from the object to the field, one element a level: `f:spec`, `k:{"name":"web"}` (the element of a list with
that key), `v:"x"` (the element of a set), `i:0`. A member is a leaf, or an element of a list as such: who owns
`k:{"name":"web"}` and not what is below it decides only whether there is such an element.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from api.object import Tree

Path = tuple[str, ...]
FieldSet = frozenset[Path]

DEPTH_LIMIT: Final = 100
PREFIXES: Final = ("f:", "k:", "v:", "i:")

MEMBER: Final = "."
"""In FieldsV1: the place itself is a member, too."""


def to_fields_v1(paths: Iterable[Path]) -> Tree:
    """Return the set as Kubernetes writes it: a tree of path elements, `.` for a member that has others below it."""
    root: Tree = {}
    for path in paths:
        node = root
        for element in path:
            node = node.setdefault(element, {})
        node[MEMBER] = {}
    return {element: _without_lone_mark(below) for element, below in root.items()}


def _without_lone_mark(node: Tree) -> Tree:
    """A leaf is written `{}`, not `{".": {}}`."""
    if len(node) == 1 and MEMBER in node:
        return {}
    return {element: below if element == MEMBER else _without_lone_mark(below) for element, below in node.items()}


def from_fields_v1(tree: Any) -> FieldSet:
    """Read such a tree. Raises ValueError for anything else."""
    found: list[Path] = []
    _read(tree, (), found)
    return frozenset(found)


def _read(node: Any, path: Path, found: list[Path]) -> None:
    if type(node) is not dict:
        raise ValueError(f"{text(path) or 'it'} is not an object")
    if len(path) > DEPTH_LIMIT:
        raise ValueError(f"it is nested deeper than {DEPTH_LIMIT} levels")
    if not node and path:
        found.append(path)
    for element, below in node.items():
        if element == MEMBER and path:
            found.append(path)
        else:
            _check_element(element)
            _read(below, (*path, element), found)


def _check_element(element: str) -> None:
    if element.startswith("f:"):
        return
    if not element.startswith(PREFIXES):
        raise ValueError(f'"{element}" is no path element: it begins with {", ".join(PREFIXES)}')
    try:
        value = msgspec.json.decode(element[2:])
    except msgspec.DecodeError:
        raise ValueError(f'"{element}" is no path element: JSON must follow its colon') from None
    if element.startswith("k:") and not (type(value) is dict and value):
        raise ValueError(f'"{element}" is no path element: an object with keys must follow its colon')


def text(path: Path) -> str:
    """Return a path as conflicts name it: `.spec.containers[name="web"].image`."""
    return "".join(map(_element_text, path))


def _element_text(element: str) -> str:
    form, rest = element[:2], element[2:]
    if form == "f:":
        return f".{rest}"
    if form == "i:":
        return f"[{rest}]"
    if form == "v:":
        return f"[={rest}]"
    keys: Tree = msgspec.json.decode(rest)
    shown = ",".join(f"{key}={msgspec.json.encode(value).decode()}" for key, value in sorted(keys.items()))
    return f"[{shown}]"


def is_element(path: Path) -> bool:
    """Whether the path ends at an element of a keyed list."""
    return path[-1].startswith("k:")


def containers(paths: Iterable[Path]) -> FieldSet:
    """Return everything that lies on the way to a member, members themselves only when they lie on the way to others."""
    return frozenset(path[:depth] for path in paths for depth in range(1, len(path)))
