"""Manifests: YAML or JSON text to trees, with the line in every complaint.

YAML is read from the parser's events, so that nesting, aliases and duplicate keys are bounded and named. Scalars mean what
they mean to kubectl: `yes` and `on` are booleans, 0644 is octal, but dates, `12:30` and `1_000` stay text. Keys are always
text, as written. Kinds and fields are not looked at.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from api.errors import Invalid
from api.object import Tree, canonical

DOCUMENT_LIMIT_BYTES = 3 * 1024 * 1024
DEPTH_LIMIT = 100
VALUE_LIMIT = 500_000
"""Values in one document, aliases counted as often as they are used: a few lines can stand for billions."""

_SEPARATOR = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_SPACE = re.compile(r"\s*")
_INTEGER = re.compile(r"[-+]?(?:0b[01]+|0x[0-9a-fA-F]+|0o[0-7]+|[0-9]+)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {
    spelled: value
    for word, value in (("true", True), ("yes", True), ("on", True), ("false", False), ("no", False), ("off", False))
    for spelled in (word, word.capitalize(), word.upper())
} | dict.fromkeys(("", "~", "null", "Null", "NULL"))
_TAG = "tag:yaml.org,2002:"
_MERGE = "<<"


def load_all(text: str | bytes, source: str) -> list[Tree]:
    """Return every object in the text, lists flattened, in order.

    Raises Invalid with `source:line: problem` for anything that is no YAML or JSON, for duplicate keys, for documents
    over the limits, and for documents that are no objects or lack apiVersion or kind.
    """
    return [tree for line, document in _documents(text, source) for tree in _objects(document, source, line)]


def load_value(text: str | bytes, source: str, *, may_be_empty: bool = False) -> Any:
    """Return the one value, of any form, that the text is; Invalid as `load_all`, and unless there is exactly one.

    With `may_be_empty` a text of nothing but comments is None.
    """
    documents = _documents(text, source)
    if may_be_empty and not documents:
        return None
    if len(documents) != 1:
        _fail(source, 1, f"expected one document, not {len(documents)}")
    return documents[0][1]


def _documents(text: str | bytes, source: str) -> list[tuple[int, Any]]:
    text = _decoded(text, source)
    _check_sizes(text, source)
    documents = _load_json(text, source) if text.lstrip()[:1] == "{" else None
    if documents is None:
        documents = list(_load_yaml(text, source))
    for line, document in documents:
        _check_sendable(document, source, line)
    return documents


def _check_sendable(document: Any, source: str, line: int) -> None:
    r"""Refuse what can be written in YAML or JSON, but not sent: half a character ("\ud800"), an integer over 64 bits."""
    try:
        canonical(document)
    except UnicodeEncodeError as error:
        _fail(source, line, f"the document holds half of a character, \\u{ord(error.object[error.start]):04x}")
    except OverflowError:
        _fail(source, line, "the document holds an integer of more than 64 bits; quote it if it is text")


def _fail(source: str, line: int, problem: str) -> NoReturn:
    raise Invalid(f"{source}:{line}: {problem}")


def _decoded(text: str | bytes, source: str) -> str:
    if isinstance(text, bytes):
        try:
            return text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            _fail(source, text.count(b"\n", 0, error.start) + 1, "not UTF-8 text")
    return text.removeprefix("\ufeff")


def _check_sizes(text: str, source: str) -> None:
    if len(text) * 4 <= DOCUMENT_LIMIT_BYTES:
        return
    start = 0
    for end in (*(match.start() for match in _SEPARATOR.finditer(text)), len(text)):
        size = len(text[start:end].encode())
        if size > DOCUMENT_LIMIT_BYTES:
            line = text.count("\n", 0, start) + 1
            _fail(source, line, f"the document has {size:,} bytes, more than the limit of {DOCUMENT_LIMIT_BYTES:,}")
        start = end


def _objects(document: Any, source: str, line: int) -> Iterator[Tree]:
    if document is None:
        return
    if not isinstance(document, dict):
        _fail(source, line, "expected an object with apiVersion and kind")
    kind, api_version = document.get("kind"), document.get("apiVersion")
    if isinstance(kind, str) and kind.endswith("List") and isinstance(document.get("items"), list):
        inherited = {} if kind == "List" else {"apiVersion": api_version, "kind": kind.removesuffix("List")}
        for item in document["items"]:
            yield from _objects(inherited | item if isinstance(item, dict) else item, source, line)
        return
    for name, value in (("apiVersion", api_version), ("kind", kind)):
        if not isinstance(value, str) or not value:
            _fail(source, line, f"{name} is missing" if value is None else f"{name} must be text")
    yield document


class _DuplicateKeyError(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> Tree:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise _DuplicateKeyError
    return tree


def _not_finite(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number")


def _finite(word: str) -> float:
    if math.isinf(value := float(word)):
        raise ValueError(f"{word} is too large a number")
    return value


def _load_json(text: str, source: str) -> list[tuple[int, Any]] | None:
    """Return the JSON values in the text; None when it must be YAML, or has duplicate keys, for YAML to name the line."""
    decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_not_finite, parse_float=_finite)
    documents, position = [], 0
    try:
        while (start := _skip_space(text, position)) < len(text):
            document, position = decoder.raw_decode(text, start)
            line = text.count("\n", 0, start) + 1
            if _depth_exceeds(document, DEPTH_LIMIT):
                _fail(source, line, f"nested deeper than {DEPTH_LIMIT} levels")
            documents.append((line, document))
    except ValueError:
        return None
    except RecursionError:
        _fail(source, 1, f"nested deeper than {DEPTH_LIMIT} levels")
    return documents


def _skip_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _depth_exceeds(value: Any, limit: int) -> bool:
    if isinstance(value, dict):
        return limit == 0 or any(_depth_exceeds(item, limit - 1) for item in value.values())
    if isinstance(value, list):
        return limit == 0 or any(_depth_exceeds(item, limit - 1) for item in value)
    return False


@dataclass(slots=True)
class _Open:
    """A collection being read. `key` is None while a mapping waits for one; `merged` are keys that came with `<<`."""

    value: Any
    anchor: str | None
    line: int
    weight: int = 1
    key: str | None = None
    merged: set[str] = field(default_factory=set)


def _load_yaml(text: str, source: str) -> Iterator[tuple[int, Any]]:
    builder = _Builder(source)
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if builder.feed(event):
                yield builder.line, builder.document
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        _fail(source, mark.line + 1 if mark else 1, " ".join(filter(None, (error.context, error.problem))))
    except yaml.reader.ReaderError as error:
        _fail(source, text.encode().count(b"\n", 0, error.position) + 1, error.reason)


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


class _Builder:
    """Builds one document after the other from parser events; a stack instead of recursion bounds the depth."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._reset()

    def _reset(self) -> None:
        self.document: Any = None
        self.line = 1
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._weight = 0

    def feed(self, event: yaml.Event) -> bool:
        """Take one event; True when `document` is complete."""
        match event:
            case yaml.ScalarEvent():
                self._scalar(event)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._open(event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                closed = self._stack.pop()
                self._place(closed.value, closed.anchor, closed.weight, closed.line)
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.DocumentStartEvent():
                self._reset()
                self.line = _line(event) + (1 if event.explicit else 0)
            case yaml.DocumentEndEvent():
                return True
        return False

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        line = _line(event)
        kind = "map" if isinstance(event, yaml.MappingStartEvent) else "seq"
        if event.tag not in {None, "!", _TAG + kind}:
            _fail(self.source, line, f"the tag {event.tag} is not supported")
        if len(self._stack) >= DEPTH_LIMIT:
            _fail(self.source, line, f"nested deeper than {DEPTH_LIMIT} levels")
        if self._stack and isinstance(self._stack[-1].value, dict) and self._stack[-1].key is None:
            _fail(self.source, line, "a key must be text")
        self._stack.append(_Open({} if kind == "map" else [], event.anchor, line))

    def _alias(self, event: yaml.AliasEvent) -> None:
        line = _line(event)
        if event.anchor not in self._anchors:
            _fail(self.source, line, f"*{event.anchor} refers to nothing that is complete before it")
        value, weight = self._anchors[event.anchor]
        self._count(weight, line)
        self._place(copy.deepcopy(value), None, weight, line)

    def _count(self, weight: int, line: int) -> None:
        self._weight += weight
        if self._weight > VALUE_LIMIT:
            _fail(self.source, line, f"the document has more than {VALUE_LIMIT:,} values, aliases included")

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        line = _line(event)
        parent = self._stack[-1] if self._stack else None
        if parent is not None and isinstance(parent.value, dict) and parent.key is None:
            if event.value in parent.value and event.value not in parent.merged:
                _fail(self.source, line, f'the key "{event.value}" is given twice')
            parent.key = event.value
            return
        self._count(1, line)
        self._place(self._resolve(event, line), event.anchor, 1, line)

    def _place(self, value: Any, anchor: str | None, weight: int, line: int) -> None:
        """Put a finished value where it belongs: into the open collection, or as the document."""
        if anchor is not None:
            self._anchors[anchor] = (value, weight)
        if not self._stack:
            self.document = value
            return
        parent = self._stack[-1]
        parent.weight += weight
        if isinstance(parent.value, list):
            parent.value.append(value)
        elif parent.key is None:
            _fail(self.source, line, "a key must be text")
        elif parent.key == _MERGE:
            self._merge(parent, value, line)
            parent.key = None
        else:
            parent.value[parent.key] = value
            parent.merged.discard(parent.key)
            parent.key = None

    def _merge(self, parent: _Open, value: Any, line: int) -> None:
        """`<<: *base`: the keys of another mapping, which keys of this one override; the first of a list wins."""
        for base in value if isinstance(value, list) else [value]:
            if not isinstance(base, dict):
                _fail(self.source, line, "<< needs a mapping or a list of mappings")
            for key, item in base.items():
                if key not in parent.value:
                    parent.value[key] = item
                    parent.merged.add(key)

    def _resolve(self, event: yaml.ScalarEvent, line: int) -> Any:
        text: str = event.value
        tag = event.tag
        if tag in {"!", f"{_TAG}str"} or (tag is None and event.style):
            return text
        if tag not in {None, *(_TAG + name for name in ("int", "float", "bool", "null"))}:
            _fail(self.source, line, f"the tag {tag} is not supported")
        if text in _WORDS:
            return _WORDS[text]
        if len(text) > 400:  # beyond any number; int() would take its time
            return text
        if _INTEGER.fullmatch(text):
            return _integer(text)
        if _FLOAT.fullmatch(text):
            return self._float(text, line)
        if _NOT_FINITE.fullmatch(text):
            _fail(self.source, line, f"{text} is not a number; quote it if it is text")
        return text

    def _float(self, text: str, line: int) -> float:
        value = float(text)
        if value in {float("inf"), float("-inf")}:
            _fail(self.source, line, f"{text} is too large a number")
        return value


def _integer(text: str) -> int:
    sign, digits = (-1, text[1:]) if text[0] == "-" else (1, text.removeprefix("+"))
    base = {"0b": 2, "0o": 8, "0x": 16}.get(digits[:2])
    if base:
        return sign * int(digits[2:], base)
    if digits[0] == "0" and set(digits) <= set("01234567"):
        return sign * int(digits, 8)
    return sign * int(digits)
