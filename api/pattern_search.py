"""Whether a pattern is found in a text, in time that its length bounds. Pure but for what it remembers.

All ways to match are followed at once, character by character, so that nothing is ever tried again; what was worked out for a set of ways and
a character is remembered. Working it out costs up to as many steps as the pattern has, and an object has only so many steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from itertools import chain
from typing import Final

from api.pattern_syntax import At, Chars, InOrder, Node, OneOf, Place, read

STEP_LIMIT: Final = 100_000
"""For all patterns of one object: up to 0.2 s. As many characters as FREE count as a step where everything is remembered."""

FREE: Final = 32

REMEMBERED: Final = 2_000
"""For one pattern: characters after sets of ways, a set of sixteen ways counting as one more."""

PATTERNS: Final = 128
"""Whose machines are kept."""

_FOUND: Final = 0


class TooCostly(Exception):
    """The object has used up its steps."""


class _Effort:
    """The steps that are left."""

    def __init__(self) -> None:
        self._left = STEP_LIMIT

    def spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise TooCostly


_EFFORT: ContextVar[_Effort | None] = ContextVar("effort", default=None)


@contextmanager
def one_object() -> Iterator[None]:
    """All searches inside share the steps of one object; otherwise every search has as many."""
    token = _EFFORT.set(_Effort())
    try:
        yield
    finally:
        _EFFORT.reset(token)


class Pattern:
    """A pattern, searched for anywhere in a text. Raises BadPattern for one that is not of Go's language."""

    def __init__(self, written: str) -> None:
        self._written = written
        self._size = read(written).size

    def found_in(self, text: str) -> bool:
        """Whether some part of the text matches. Raises TooCostly."""
        effort = _EFFORT.get() or _Effort()
        effort.spend(len(text) // FREE + 1)
        machine = _machine_of(self._written)
        if not machine.built:
            effort.spend(self._size)
        return machine.accepts(text, effort)


@lru_cache(PATTERNS)
def _machine_of(written: str) -> _Machine:
    return _Machine(written)


class _Ways:
    """Where all ways to match stand before a character, and what came before it."""

    __slots__ = ("after", "before", "steps")

    def __init__(self, steps: frozenset[int], before: str) -> None:
        self.steps = steps
        self.before = before
        self.after: dict[str, _Ways | None] = {}  # None: found


class _Machine:
    """The steps of a pattern: each takes a character, or checks a place, or goes on at several others."""

    def __init__(self, written: str) -> None:
        self._written = written
        self._steps: list[tuple[Chars | Place | None, tuple[int, ...]]] = [(None, ())]  # the first: found
        self._begin = _FOUND
        self.built = False
        self._known: dict[tuple[frozenset[int], str], _Ways] = {}
        self._remembered = 0

    def accepts(self, text: str, effort: _Effort) -> bool:
        if not self.built:
            self._begin = self._add(read(self._written), _FOUND)
            self.built = True
        ways = self._ways(frozenset(), "")
        for char in chain(text, ("",)):
            after = ways.after.get(char, ways)
            if after is ways and char not in ways.after:
                after = self._work_out(ways, char, effort)
            if after is None:
                return True
            ways = after
        return False

    def _work_out(self, ways: _Ways, char: str, effort: _Effort) -> _Ways | None:
        """Where the ways go with a character; "" is the end of the text."""
        reached = self._reached(ways, char)
        effort.spend(len(reached))
        after: _Ways | None = None
        if _FOUND not in reached:
            steps: set[int] = set()
            for each in reached:
                what, following = self._steps[each]
                if isinstance(what, Chars) and char and what.holds(char):
                    steps.update(following)
            after = self._ways(frozenset(steps), _kind(char))
        self._remembered += 1 + (len(after.steps) // 16 if after is not None else 0)
        if self._remembered > REMEMBERED:
            self._known.clear()
            self._remembered = 0
        ways.after[char] = after
        return after

    def _reached(self, ways: _Ways, char: str) -> set[int]:
        """All steps that come before the next character; a match may begin at every one."""
        before, following = ways.before, _kind(char)
        waiting = [self._begin, *ways.steps]
        reached: set[int] = set()
        while waiting:
            step = waiting.pop()
            if step in reached:
                continue
            reached.add(step)
            what, further = self._steps[step]
            if what is None or (isinstance(what, str) and _holds(what, before, following)):
                waiting += further
        return reached

    def _ways(self, steps: frozenset[int], before: str) -> _Ways:
        return self._known.setdefault((steps, before), _Ways(steps, before))

    def _add(self, node: Node, then: int) -> int:
        """Add the steps of a part after which it goes on at `then`; returns the first of them."""
        if isinstance(node, Chars):
            return self._step(node, then)
        if isinstance(node, At):
            return self._step(node.place, then)
        if isinstance(node, InOrder):
            for part in reversed(node.parts):
                then = self._add(part, then)
            return then
        if isinstance(node, OneOf):
            return self._step(None, *(self._add(option, then) for option in node.options))
        if node.most is None:
            loop = self._step(None)
            self._steps[loop] = (None, (self._add(node.inner, loop), then))
            first = loop
        else:
            first = then
            for _ in range(node.most - node.least):
                first = self._step(None, self._add(node.inner, first), then)
        for _ in range(node.least):
            first = self._add(node.inner, first)
        return first

    def _step(self, what: Chars | Place | None, *then: int) -> int:
        self._steps.append((what, then))
        return len(self._steps) - 1


def _kind(char: str) -> str:
    """What places depend on: nothing at all, a line break, a character of a word, another one."""
    if char in {"", "\n"}:
        return char
    return "w" if char.isascii() and (char.isalnum() or char == "_") else "."


def _holds(place: str, before: str, after: str) -> bool:
    match place:
        case "text start":
            return before == ""
        case "text end":
            return after == ""
        case "line start":
            return before in {"", "\n"}
        case "line end":
            return after in {"", "\n"}
        case "word":
            return (before == "w") != (after == "w")
        case _:
            return (before == "w") == (after == "w")
