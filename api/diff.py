"""Which fields differ between two versions of an object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from api.object import Tree
from api.wellknown import LAST_APPLIED_ANNOTATION

_OWNERS = "metadata.managedFields"
_BOOKKEEPING = frozenset({"metadata.generation", "metadata.resourceVersion", _OWNERS})


def changed_paths(before: Tree, after: Tree) -> list[str]:
    """The paths of what was added, changed or removed, sorted: `spec.containers[0].image`.

    A part that is new or gone is one path. What only records the change (the generation, the manifest that was
    applied last, who owns which fields) is named only when nothing else changed.
    """
    paths = sorted(_paths("", before, after))
    told = [path for path in paths if path not in _BOOKKEEPING and LAST_APPLIED_ANNOTATION not in path]
    return told or paths


def _paths(path: str, before: Any, after: Any) -> Iterator[str]:
    if before == after:
        return
    if path == _OWNERS:
        yield path  # their paths say nothing to people
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        absent: Mapping[str, Any] | None = {} if path == "metadata" else None  # labels and annotations, one by one
        for name in before.keys() | after.keys():
            yield from _paths(_below(path, name), before.get(name, absent), after.get(name, absent))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _paths(f"{path}[{index}]", old, new)
    else:
        yield path


def _below(path: str, name: str) -> str:
    """The path of a field; a name that is no identifier, such as a label's, stands in brackets."""
    if not name.isidentifier():
        return f"{path}[{name}]"
    return f"{path}.{name}" if path else name
