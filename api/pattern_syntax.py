"""The language of patterns: Go's regular expressions (RE2's), read into a tree. Pure.

It has nothing that needs going back over the text: no references to groups, no looking ahead or behind. Which group matched what, and how greedily,
says nothing about whether a pattern is found, so groups and lazy repetition leave no trace in the tree. Sizes are bounded while
it is read, so that a short pattern cannot stand for a huge one.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

SIZE_LIMIT: Final = 5_000
"""Steps of the machine that a pattern stands for."""

DEPTH_LIMIT: Final = 100
REPEAT_LIMIT: Final = 1000
_LAST: Final = 0x10FFFF

Place = Literal["text start", "text end", "line start", "line end", "word", "no word"]


class BadPattern(ValueError):
    """The pattern is not of the language, or too large; the message says where."""


@dataclass(frozen=True)
class Chars:
    """One character: within one of the ranges, or of one of the Unicode categories, or of another set."""

    parts: tuple[tuple[int, int] | str | Chars, ...]
    negated: bool = False
    folded: bool = False
    size: int = 1

    def holds(self, char: str) -> bool:
        """Whether the character is one of them."""
        forms = {char, char.lower(), char.upper(), char.casefold()} if self.folded else {char}
        return any(self._has(part, form) for form in forms if len(form) == 1 for part in self.parts) != self.negated

    def _has(self, part: tuple[int, int] | str | Chars, char: str) -> bool:
        if isinstance(part, str):
            return unicodedata.category(char).startswith(part)
        return part.holds(char) if isinstance(part, Chars) else part[0] <= ord(char) <= part[1]


@dataclass(frozen=True)
class At:
    """A place between characters."""

    place: Place
    size: int = 1


@dataclass(frozen=True)
class InOrder:
    """One after the other; of none, the empty text."""

    parts: tuple[Node, ...]

    @cached_property
    def size(self) -> int:
        """Steps."""
        return sum(each.size for each in self.parts)


@dataclass(frozen=True)
class OneOf:
    """Any of several."""

    options: tuple[Node, ...]

    @cached_property
    def size(self) -> int:
        """Steps."""
        return sum(each.size for each in self.options) + 1


@dataclass(frozen=True)
class Repeated:
    """`least` times or more, up to `most` times; None: without end."""

    inner: Node
    least: int
    most: int | None

    @cached_property
    def size(self) -> int:
        """Steps."""
        return (self.inner.size + 1) * max(self.least + 1 if self.most is None else self.most, 1)


Node = Chars | At | InOrder | OneOf | Repeated

_DIGIT: Final = Chars(((48, 57),))
_SPACE: Final = Chars(((9, 10), (12, 13), (32, 32)))
_WORD: Final = Chars(((48, 57), (65, 90), (95, 95), (97, 122)))
_PERL: Final = {"d": _DIGIT, "s": _SPACE, "w": _WORD}
_ANY: Final = Chars(((0, _LAST),))
_BUT_NEWLINE: Final = Chars(((10, 10),), negated=True)
_CONTROL: Final = {"a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11}
_PLACES: Final[dict[str, Place]] = {"A": "text start", "z": "text end", "b": "word", "B": "no word"}
_POSIX: Final[dict[str, tuple[tuple[int, int], ...]]] = {
    "alnum": ((48, 57), (65, 90), (97, 122)),
    "alpha": ((65, 90), (97, 122)),
    "ascii": ((0, 127),),
    "blank": ((9, 9), (32, 32)),
    "cntrl": ((0, 31), (127, 127)),
    "digit": ((48, 57),),
    "graph": ((33, 126),),
    "lower": ((97, 122),),
    "print": ((32, 126),),
    "punct": ((33, 47), (58, 64), (91, 96), (123, 126)),
    "space": ((9, 13), (32, 32)),
    "upper": ((65, 90),),
    "word": _WORD.parts,  # type: ignore[dict-item] # ranges alone
    "xdigit": ((48, 57), (65, 70), (97, 102)),
}
_CATEGORIES: Final = frozenset(
    [
        "C",
        "Cc",
        "Cf",
        "Co",
        "Cs",
        "L",
        "Ll",
        "Lm",
        "Lo",
        "Lt",
        "Lu",
        "M",
        "Mc",
        "Me",
        "Mn",
        "N",
        "Nd",
        "Nl",
        "No",
        "P",
        "Pc",
        "Pd",
        "Pe",
        "Pf",
        "Pi",
        "Po",
        "Ps",
        "S",
        "Sc",
        "Sk",
        "Sm",
        "So",
        "Z",
        "Zl",
        "Zp",
        "Zs",
    ]
)
_REPEAT: Final = re.compile(r"\{(0|[1-9]\d*)(,(0|[1-9]\d*)?)?\}", re.ASCII)
_GROUP: Final = re.compile(
    r"\(\?(?:P?<(?P<name>[A-Za-z0-9_]+)>|(?P<flags>[imsU]*(?:-[imsU]+)?)(?P<end>[:)]))", re.ASCII
)
_HEX: Final = re.compile(r"x(?:\{([0-9A-Fa-f]{1,8})\}|([0-9A-Fa-f]{2}))")
_OCTAL: Final = re.compile(r"0[0-7]{0,2}|[1-7][0-7]{1,2}")
_POSIX_CLASS: Final = re.compile(r"\[:(\^?)([a-z]+):\]")
_PROPERTY: Final = re.compile(r"[pP](?:\{(\^?)([A-Za-z_]+)\}|([A-Z]))")


def read(text: str) -> Node:
    """Return what a pattern means. Raises BadPattern."""
    return _Reader(text).whole()


class _Reader:
    """Goes through one pattern from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._flags = frozenset[str]()

    def whole(self) -> Node:
        node = self._choice(0)
        if self._at < len(self._text):
            raise BadPattern(f"unexpected ): `{self._text}`")
        return node

    def _choice(self, depth: int) -> Node:
        if depth > DEPTH_LIMIT:
            raise BadPattern(f"nested deeper than {DEPTH_LIMIT} levels")
        options = [self._sequence(depth)]
        while self._take("|"):
            options.append(self._sequence(depth))
        return options[0] if len(options) == 1 else _bounded(OneOf(tuple(options)))

    def _sequence(self, depth: int) -> Node:
        parts: list[Node] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            begun = self._at
            node = self._atom(depth)
            if node is not None:
                parts.append(self._repeated(node, begun))
        return parts[0] if len(parts) == 1 else _bounded(InOrder(tuple(parts)))

    def _repeated(self, node: Node, begun: int) -> Node:
        counts = self._counts()
        if counts is None:
            return node
        self._take("?")
        after = self._at
        if self._counts() is not None:
            raise BadPattern(f"invalid nested repetition operator: `{self._text[begun : self._at]}`")
        self._at = after
        return _bounded(Repeated(node, *counts))

    def _counts(self) -> tuple[int, int | None] | None:
        """A repetition that stands here, or None."""
        for sign, counts in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                return counts
        found = _REPEAT.match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        least = int(found[1][:5])  # so long ones are too large anyway
        most = least if not found[2] else int(found[3][:5]) if found[3] else None
        if max(least, most or 0) > REPEAT_LIMIT or (most is not None and most < least):
            raise BadPattern(f"invalid repeat count: `{found[0]}`")
        return least, most

    def _atom(self, depth: int) -> Node | None:
        """What stands here; None for flags alone."""
        char = self._text[self._at]
        if char in "*+?" or (char == "{" and _REPEAT.match(self._text, self._at)):
            raise BadPattern(f"missing argument to repetition operator: `{char}`")
        if char == "(":
            return self._group(depth)
        if char == "[":
            return self._set()
        self._at += 1
        return self._escape() if char == "\\" else self._sign(char)

    def _sign(self, char: str) -> Node:
        match char:
            case ".":
                return _ANY if "s" in self._flags else _BUT_NEWLINE
            case "^":
                return At("line start" if "m" in self._flags else "text start")
            case "$":
                return At("line end" if "m" in self._flags else "text end")
            case _:
                return self._literal(ord(char))

    def _group(self, depth: int) -> Node | None:
        outside = self._flags
        if self._text.startswith("(?", self._at):
            found = _GROUP.match(self._text, self._at)
            if found is None or (found["end"] == ")" and not found["flags"]):
                raise BadPattern(f"invalid or unsupported Perl syntax: `{self._text[self._at : self._at + 4]}`")
            on, _, off = (found["flags"] or "").partition("-")
            self._at = found.end()
            self._flags = (self._flags | set(on)) - set(off)
            if found["end"] == ")":
                return None  # until the group around it ends
        else:
            self._at += 1
        node = self._choice(depth + 1)
        if not self._take(")"):
            raise BadPattern(f"missing closing ): `{self._text}`")
        self._flags = outside
        return node

    def _escape(self) -> Node:
        """What stands after a backslash."""
        char = self._text[self._at : self._at + 1]
        if char in _PLACES:
            self._at += 1
            return At(_PLACES[char])
        if char == "Q":
            end = self._text.find("\\E", self._at)
            quoted = self._text[self._at + 1 : end if end >= 0 else None]
            self._at = end + 2 if end >= 0 else len(self._text)
            return _bounded(InOrder(tuple(self._literal(ord(each)) for each in quoted)))
        return self._class_escape() or self._literal(self._code())

    def _class_escape(self) -> Chars | None:
        """A class after a backslash, or None."""
        char = self._text[self._at : self._at + 1]
        if char.lower() in _PERL:
            self._at += 1
            return Chars((_PERL[char.lower()],), negated=char.isupper())
        if char not in {"p", "P"}:
            return None
        found = _PROPERTY.match(self._text, self._at)
        name = (found[2] or found[3]) if found else ""
        if found is None or name not in _CATEGORIES | {"Any"}:
            raise BadPattern(f"only general categories are supported yet: `\\{self._text[self._at : self._at + 12]}`")
        self._at = found.end()
        return Chars(("" if name == "Any" else name,), negated=(char == "P") != bool(found[1]))

    def _code(self) -> int:
        """The character that an escape stands for."""
        char = self._text[self._at : self._at + 1]
        if found := _HEX.match(self._text, self._at):
            self._at = found.end()
            code = int(found[1] or found[2], 16)
        elif found := _OCTAL.match(self._text, self._at):
            self._at = found.end()
            code = int(found[0], 8)
        elif char in _CONTROL or (char.isascii() and char and not char.isalnum()):
            self._at += 1
            return _CONTROL.get(char, ord(char))
        else:
            raise BadPattern(f"invalid escape sequence: `\\{char}`" if char else "trailing backslash at end")
        if code > _LAST:
            raise BadPattern(f"invalid escape sequence: `\\{found[0]}`")
        return code

    def _set(self) -> Chars:
        """What stands in brackets."""
        begun = self._at
        self._at += 1
        negated = self._take("^")
        parts: list[tuple[int, int] | str | Chars] = []
        while not (parts and self._take("]")):
            if self._at >= len(self._text):
                raise BadPattern(f"missing closing ]: `{self._text[begun:]}`")
            parts.append(self._member(begun))
        return Chars(tuple(parts), negated=negated, folded="i" in self._flags)

    def _member(self, begun: int) -> tuple[int, int] | Chars:
        if named := _POSIX_CLASS.match(self._text, self._at):
            if named[2] not in _POSIX:
                raise BadPattern(f"invalid character class range: `{named[0]}`")
            self._at = named.end()
            return Chars(_POSIX[named[2]], negated=bool(named[1]))
        low = self._one(begun)
        if isinstance(low, Chars):
            return low
        dash = self._text.startswith("-", self._at) and not self._text.startswith("-]", self._at)
        if not dash or self._at + 1 >= len(self._text):
            return low, low
        self._at += 1
        high = self._one(begun)
        if isinstance(high, Chars) or high < low:
            raise BadPattern(f"invalid character class range: `{self._text[begun : self._at]}`")
        return low, high

    def _one(self, begun: int) -> int | Chars:
        if self._at >= len(self._text):
            raise BadPattern(f"missing closing ]: `{self._text[begun:]}`")
        char = self._text[self._at]
        self._at += 1
        if char != "\\":
            return ord(char)
        return self._class_escape() or self._code()

    def _literal(self, code: int) -> Chars:
        return Chars(((code, code),), folded="i" in self._flags)

    def _take(self, sign: str) -> bool:
        if not self._text.startswith(sign, self._at):
            return False
        self._at += len(sign)
        return True


def _bounded(node: Node) -> Node:
    if node.size > SIZE_LIMIT:
        raise BadPattern(f"it stands for more than {SIZE_LIMIT} steps")
    return node
