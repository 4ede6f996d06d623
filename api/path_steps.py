"""The parts of a JSONPath: each leads from values to others. Pure; `api.jsonpath` reads them from text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Step = Callable[[Sequence[Any], Any], Iterable[Any]]
"""(values, root) -> the values that one part of a path leads to."""

_PARTING_DOT = re.compile(r"(?<!\\)\.")


@dataclass(frozen=True, slots=True)
class Path:
    """Steps from the root or, in a range or filter, from the current object."""

    steps: tuple[Step, ...]
    from_root: bool = False

    def values(self, current: Any, root: Any) -> list[Any]:
        """Everything the path leads to, in order."""
        found = [root if self.from_root else current]
        for step in self.steps:
            found = list(step(found, root))
        return found


@dataclass(frozen=True, slots=True)
class Range:
    """`{range PATH}…{end}`."""

    path: Path
    body: tuple[str | Path | Range, ...]


def key(name: str) -> Step:
    """The field of mappings. As in kubectl a dot parts two names, unless it is escaped or a field is called just so."""
    parts = [re.sub(r"\\(.)", r"\1", each) for each in _PARTING_DOT.split(name)]
    whole = ".".join(parts)

    def field(value: Any, words: Sequence[str]) -> Iterator[Any]:
        if not words:
            yield value
        elif isinstance(value, dict) and words[0] in value:
            yield from field(value[words[0]], words[1:])

    def step(values: Sequence[Any], _root: Any) -> Iterator[Any]:
        for value in values:
            exact = isinstance(value, dict) and whole in value
            yield from field(value, [whole] if exact else parts)

    return step


class OutOfBounds(ValueError):
    """A list has no such item; the message says which and how many there are."""


def index(number: int, *, strict: bool = False) -> Step:
    """The item of lists, from their end when negative. A list without it leads nowhere; `strict`: OutOfBounds."""

    def step(values: Sequence[Any], _root: Any) -> Iterator[Any]:
        for value in values:
            if not isinstance(value, list):
                continue
            if -len(value) <= number < len(value):
                yield value[number]
            elif strict:
                raise OutOfBounds(f"array index out of bounds: index {number}, length {len(value)}")

    return step


def part(bounds: slice) -> Step:
    """A slice of lists."""
    return lambda values, _root: (each for value in values if isinstance(value, list) for each in value[bounds])


def every(values: Sequence[Any], _root: Any) -> Iterator[Any]:
    """All items of lists, all values of mappings."""
    for value in values:
        yield from _below(value)


def descend(values: Sequence[Any], root: Any) -> Iterator[Any]:
    """The values and everything below them, outermost first."""
    for value in values:
        yield value
        yield from descend(list(_below(value)), root)


def union(steps: Sequence[Step]) -> Step:
    """What the first step leads to from all values, then what the second does, and so on."""
    return lambda values, root: (each for step in steps for each in step(values, root))


def where(holds: Callable[[Any, Any], bool]) -> Step:
    """Those items for which `holds(item, root)`."""
    return lambda values, root: (each for each in every(values, root) if holds(each, root))


def compared(compare: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    """The comparison; values of types that have no order never meet it."""
    try:
        return compare(left, right)
    except TypeError:
        return False


def _below(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
