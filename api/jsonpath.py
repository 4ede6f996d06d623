r"""JSONPath templates as kubectl reads them. Pure: a template and a tree in, text or values out.

https://kubernetes.io/docs/reference/kubectl/jsonpath/: text with expressions in braces; `.name`, `['name']`, `..name`,
`*`, `[1]`, `[-1]`, `[0:4:2]`, `[a,b]`, `[?(@.x=="y")]`, `$` the whole and `@` the current object, `{range …}…{end}`,
quoted text, `\` before a dot in a name. A path that leads nowhere yields nothing, but an item that a list does not have
is an error in a template. Regular expressions do not exist.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from api.path_steps import Path, Range, Step, compared, descend, every, index, key, part, union, where

_NAME = re.compile(r"(?:\\.|[^\\.\[\](){}\s'\",=!<>?@$*:])+")
_QUOTED = re.compile(r"'((?:\\.|[^'\\])*)'|\"((?:\\.|[^\"\\])*)\"")
_INTEGER = re.compile(r"-?\d+")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?![\w.])")
_SLICE = re.compile(r"(-?\d*):(-?\d*)(?::(-?\d*))?")
_COMPARISON = re.compile(r"\s*(==|!=|<=|>=|<|>)\s*")
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


class BadPath(ValueError):
    """The template cannot be read; the message says where."""


class Template:
    """A template that was read; BadPath when it cannot be."""

    def __init__(self, text: str) -> None:
        reader = _Reader(text, strict=True)
        self._parts = reader.parts(inside=False)

    def render(self, tree: Any) -> str:
        """The text for one object. Several values of one expression stand with spaces between them. OutOfBounds."""
        return "".join(_rendered(self._parts, tree, tree))

    def values(self, tree: Any) -> list[Any]:
        """What the one expression of the template leads to; BadPath if it is something else. OutOfBounds."""
        if len(self._parts) != 1 or not isinstance(only := self._parts[0], Path):
            raise BadPath("values are those of one path in braces, without text around it")
        return only.values(tree, tree)


def path(text: str) -> Path:
    """One path as --sort-by and custom columns take it: `.a.b`, `a.b` or `{.a.b}`. BadPath."""
    inner = text.strip()
    if inner.startswith("{") and inner.endswith("}"):
        inner = inner[1:-1].strip()
    if not inner.startswith((".", "[", "$", "@")):
        inner = f".{inner}"
    reader = _Reader(inner)
    found = reader.path()
    reader.expect_end()
    return found


def shown(value: Any) -> str:
    """A value as it is printed: text as it is, everything else as JSON, null as nothing."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _rendered(parts: Sequence[str | Path | Range], current: Any, root: Any) -> Iterator[str]:
    for each in parts:
        if isinstance(each, str):
            yield each
        elif isinstance(each, Range):
            for value in each.path.values(current, root):
                yield from _rendered(each.body, value, root)
        else:
            yield " ".join(shown(value) for value in each.values(current, root))


class _Reader:
    """Reads a template from left to right."""

    def __init__(self, text: str, *, strict: bool = False) -> None:
        self._text = text
        self._strict = strict
        self._at = 0

    def parts(self, *, inside: bool) -> tuple[str | Path | Range, ...]:
        """Text and expressions up to the end, or to `{end}` inside a range."""
        found: list[str | Path | Range] = []
        while self._at < len(self._text):
            brace = self._text.find("{", self._at)
            if brace != self._at:
                stop = len(self._text) if brace < 0 else brace
                found.append(self._text[self._at : stop])
                self._at = stop
                continue
            self._at += 1
            self._space()
            word = self._match(re.compile(r"(range|end)\b"))
            if word and word[1] == "end":
                self._close()
                if not inside:
                    raise self._bad("{end} without {range}")
                return tuple(found)
            quoted = self._match(_QUOTED)
            if quoted:
                found.append(_unquoted(quoted))
                self._close()
                continue
            self._space()
            here = self.path()
            self._close()
            found.append(Range(here, self.parts(inside=True)) if word else here)
        if inside:
            raise self._bad("{range} without {end}")
        return tuple(found)

    def path(self) -> Path:
        """A path from where the reader stands."""
        start = self._match(re.compile(r"[$@]"))
        steps: list[Step] = []
        while True:
            if self._match(re.compile(r"\.\.")):
                steps.append(descend)
                steps.append(self._subscript() if self._match(re.compile(r"\[")) else self._child())
            elif self._match(re.compile(r"\.(?=\[)")):
                continue
            elif self._match(re.compile(r"\.")):
                if self._at < len(self._text) and self._text[self._at] not in "} )":
                    steps.append(self._child())
            elif self._match(re.compile(r"\[")):
                steps.append(self._subscript())
            else:
                break
        if not (steps or start or self._text[self._at - 1 : self._at] == "."):
            raise self._bad("expected a path such as .metadata.name")
        return Path(tuple(steps), from_root=bool(start and start[0] == "$"))

    def expect_end(self) -> None:
        """BadPath unless everything was read."""
        if self._at < len(self._text):
            raise self._bad("expected the end")

    def _child(self) -> Step:
        if self._match(re.compile(r"\*")):
            return every
        name = self._match(_NAME)
        if not name:
            raise self._bad("expected a name")
        return key(name[0])

    def _subscript(self) -> Step:
        self._space()
        if self._match(re.compile(r"\?\s*\(")):
            step = self._filter()
            self._need(")")
        elif self._match(re.compile(r"\*")):
            step = every
        elif found := self._match(_SLICE):
            bounds = [int(each) if each else None for each in found.groups()]
            if bounds[2] == 0:
                raise self._bad("a slice's step cannot be 0")
            step = part(slice(*bounds))
        else:
            step = self._union()
        self._need("]")
        return step

    def _union(self) -> Step:
        steps: list[Step] = []
        while True:
            self._space()
            if found := self._match(_QUOTED):
                steps.append(key(found[1] if found[1] is not None else found[2]))
            elif found := self._match(_INTEGER):
                steps.append(index(int(found[0]), strict=self._strict))
            else:
                steps.append(self._child())
            self._space()
            if not self._match(re.compile(",")):
                return union(steps)

    def _filter(self) -> Step:
        left = self._operand()
        sign = self._match(_COMPARISON)
        right = self._operand() if sign else None
        compare = _COMPARISONS[sign[1]] if sign else None

        def holds(value: Any, root: Any) -> bool:
            known = left(value, root)
            if right is None or compare is None:
                return bool(known)
            return any(compared(compare, a, b) for a in known for b in right(value, root))

        return where(holds)

    def _operand(self) -> Callable[[Any, Any], list[Any]]:
        self._space()
        if found := self._match(_QUOTED):
            literal: Any = _unquoted(found)
        elif found := self._match(re.compile(r"(true|false)\b")):
            literal = found[1] == "true"
        elif found := self._match(_NUMBER):
            literal = json.loads(found[0])
        else:
            here = self.path()
            self._space()
            return here.values
        return lambda _value, _root: [literal]

    def _close(self) -> None:
        self._need("}")

    def _need(self, sign: str) -> None:
        self._space()
        if not self._text.startswith(sign, self._at):
            raise self._bad(f"expected {sign!r}")
        self._at += len(sign)

    def _space(self) -> None:
        self._match(re.compile(r"\s*"))

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        if found:
            self._at = found.end()
        return found

    def _bad(self, what: str) -> BadPath:
        return BadPath(f"column {self._at + 1} of {self._text!r}: {what}")


def _unquoted(found: re.Match[str]) -> str:
    inner = found[1] if found[1] is not None else found[2]
    return re.sub(r"\\(.)", lambda each: _ESCAPES.get(each[1], each[1]), inner)
