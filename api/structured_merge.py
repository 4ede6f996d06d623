"""Merging by who names what: which fields a tree has, what differs between two, one laid over another, fields taken out.

The rules are those of Kubernetes' structured merge: maps, structs and lists with keys merge entry by entry, everything
else (`api.granularity`) is replaced as a whole. Pure; results share unchanged parts with their arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from api.errors import FieldError
from api.field_sets import MEMBER, FieldSet, Path, text, to_fields_v1
from api.granularity import Children, Part, children, root
from api.merge import ABSENT_KEY
from api.object import Tree
from api.scheme import Kind

_NOTHING: Final = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """What is new or another than before, and what is not there any more."""

    changed: FieldSet
    removed: FieldSet


def fields_of(kind: Kind, tree: Tree) -> FieldSet:
    """Return every leaf of the tree and every element of its keyed lists."""
    found: set[Path] = set()
    _collect(root(kind), tree, (), found)
    return frozenset(found)


def _collect(part: Part, value: Any, path: Path, found: set[Path]) -> None:
    below = children(part, value)
    if path and (below is None or path[-1].startswith("k:")):
        found.add(path)
    for element, (inner, item) in (below or {}).items():
        _collect(inner, item, (*path, element), found)


def compare(kind: Kind, old: Tree, new: Tree) -> Difference:
    """Return what differs; the order of elements that have keys is nobody's and no difference."""
    changed: set[Path] = set()
    removed: set[Path] = set()
    _compare(root(kind), old, new, (), changed, removed)
    return Difference(frozenset(changed), frozenset(removed))


def _compare(part: Part, old: Any, new: Any, path: Path, changed: set[Path], removed: set[Path]) -> None:
    if old == new and type(old) is type(new):
        return
    before, after = children(part, old), children(part, new)
    if before is None and after is None:
        changed.add(path)
        return
    if before is None and path:
        removed.add(path)
    if after is None and path:
        changed.add(path)
    before, after = before or {}, after or {}
    for element in before.keys() - after.keys():
        _collect(*before[element], (*path, element), removed)
    for element, (inner, item) in after.items():
        if element in before:
            _compare(inner, before[element][1], item, (*path, element), changed, removed)
        else:
            _collect(inner, item, (*path, element), changed)


def ambiguous(kind: Kind, tree: Tree) -> Iterator[FieldError]:
    """Yield the lists whose elements cannot be told apart: nobody can own one of them."""
    yield from _ambiguous(root(kind), tree, ())


def _ambiguous(part: Part, value: Any, path: Path) -> Iterator[FieldError]:
    below = children(part, value)
    if below is None and value and part.form in {"keyed", "set"}:
        what = f"each with another {', '.join(part.keys)}" if part.keys else "each once"
        yield FieldError(text(path).removeprefix("."), f"Invalid value: to apply them, name the elements {what}")
    for element, (inner, item) in (below or {}).items():
        yield from _ambiguous(inner, item, (*path, element))


def merged(kind: Kind, live: Tree, applied: Tree) -> Tree:
    """Return `live` with all that `applied` names as it says. Merging the same twice changes nothing."""
    result: Tree = _merged(root(kind), live, applied)
    return result


def _merged(part: Part, live: Any, applied: Any) -> Any:
    below, known = children(part, applied), children(part, live)
    if known is None or (below is None and (applied or type(applied) is not type(live))):
        return applied
    if below is None:
        return live  # an empty map or list asks for nothing that is not there
    if type(applied) is dict:
        laid = {
            element[2:]: _merged(inner, known[element][1], item) if element in known else item
            for element, (inner, item) in below.items()
        }
        return {**live, **laid}
    return _merged_list(known, below)


def _merged_list(live: Children, applied: Children) -> list[Any]:
    """Applied elements in their order; others stay behind the applied one that they followed."""
    followers: dict[str, list[Any]] = {}
    anchor = ""
    for element, (_, item) in live.items():
        if element in applied:
            anchor = element
        else:
            followers.setdefault(anchor, []).append(item)
    result = followers.get("", [])
    for element, (inner, item) in applied.items():
        result.append(_merged(inner, live[element][1], item) if element in live else item)
        result += followers.get(element, ())
    return result


def without(tree: Tree, gone: Iterable[Path]) -> Tree:
    """Return the tree without these fields, and without what became empty by that."""
    remaining: Tree = _without(tree, to_fields_v1(gone))
    return remaining


def _without(value: Any, gone: Tree) -> Any:
    if type(value) is dict:
        left = {name: _left(item, gone.get(f"f:{name}")) for name, item in value.items()}
        return {name: item for name, item in left.items() if item is not _NOTHING}
    if type(value) is list:
        elements = {element: _decoded(element) for element in gone if element[:2] in {"k:", "v:"}}
        items = [_left(item, _gone_of(item, gone, elements)) for item in value]
        return [item for item in items if item is not _NOTHING]
    return value


def _left(value: Any, gone: Tree | None) -> Any:
    """What is left of a value of which `gone` (None: nothing) goes; _NOTHING when that is all."""
    if gone is None:
        return value
    if not gone or MEMBER in gone:
        return _NOTHING
    remaining = _without(value, gone)
    return remaining if remaining or not value else _NOTHING


def _decoded(element: str) -> Any:
    return msgspec.json.decode(element[2:])


def _gone_of(item: Any, gone: Tree, elements: dict[str, Any]) -> Tree | None:
    """What goes of one element of a list."""
    for element, named in elements.items():
        if named == item if element.startswith("v:") else _has_keys(item, named):
            below: Tree = gone[element]
            return below
    return None


def _has_keys(item: Any, named: Tree) -> bool:
    return type(item) is dict and all(item.get(key, ABSENT_KEY.get(key)) == value for key, value in named.items())
