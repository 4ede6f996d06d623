"""`-o custom-columns=`, `-o jsonpath=` and `--sort-by` as kubectl's. Specifications and trees in, columns and order out."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Any

from api import jsonpath
from api.cells import NONE, Cell
from api.errors import Invalid
from api.object import Tree
from api.path_steps import OutOfBounds, Path
from api.quantity import parse

_DIGITS = re.compile(r"(\d+)")


def check(output: str) -> None:
    """ValueError unless an jsonpath=… or custom-columns=… can be read; the message says why."""
    shape, _, specification = output.partition("=")
    if not specification:
        raise ValueError(f"{shape} needs what to print: {_EXAMPLES[shape]}")
    if shape == "jsonpath-as-json":
        jsonpath.Template(specification).values({})
    elif shape == "jsonpath":
        jsonpath.Template(specification)
    else:
        columns(specification)


def from_file(output: str) -> str:
    """jsonpath-file=… or custom-columns-file=… as what stands in the file. ValueError, also when it cannot be read."""
    shape, _, name = output.partition("=")
    try:
        text = FilePath(name).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: not UTF-8 text") from error
    except OSError as error:
        raise ValueError(f"{name or shape}: {error.strerror}") from error
    if shape == "jsonpath-file":
        return f"jsonpath={text.removesuffix(chr(10))}"
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if len(lines) != 2 or len(lines[0]) != len(lines[1]):
        raise ValueError(f"{name}: it needs a line of headings and one of as many paths")
    return "custom-columns=" + ",".join(f"{heading}:{path}" for heading, path in zip(*lines, strict=True))


def templated(output: str, tree: Tree) -> str:
    """What jsonpath=… or jsonpath-as-json=… prints of a tree. Invalid for an item that a list does not have."""
    shape, _, text = output.partition("=")
    try:
        if shape == "jsonpath":
            return jsonpath.Template(text).render(tree)
        return json.dumps(jsonpath.Template(text).values(tree), indent=4, ensure_ascii=False)
    except OutOfBounds as error:
        raise Invalid(f"jsonpath {text!r}: {error}") from error


_EXAMPLES = {
    "jsonpath-as-json": "-o jsonpath-as-json='{.items[*].metadata.name}'",
    "jsonpath": "-o jsonpath='{.items[*].metadata.name}'",
    "custom-columns": "-o custom-columns=NAME:.metadata.name,NODE:.spec.nodeName",
}


def columns(specification: str) -> list[tuple[str, Cell]]:
    """`HEADING:PATH,…` as headings and cells; several values of one path stand with commas. ValueError."""
    found = []
    for part in re.split(r",(?=[^,:\[\]()]*:)", specification):
        heading, colon, text = part.partition(":")
        if not (heading and colon and text):
            raise ValueError(f"{part!r}: write every column as HEADING:PATH, as in {_EXAMPLES['custom-columns']}")
        found.append((heading, _cell(jsonpath.path(text))))
    return found


def in_order(trees: Sequence[Tree], path: Path) -> list[int]:
    """The places of the trees when sorted by what the path leads to; those without it come first, ties keep their order.

    Numbers and quantities sort by amount, text so that `web-2` stands before `web-10`.
    """
    return sorted(range(len(trees)), key=lambda place: _rank(path.values(trees[place], trees[place])))


def _cell(path: Path) -> Cell:
    def cell(tree: Tree, _now: float) -> str:
        values = [NONE if each is None else jsonpath.shown(each) for each in path.values(tree, tree)]
        return ",".join(values) or NONE

    return cell


def _rank(values: Sequence[Any]) -> tuple[int, Any]:
    value = values[0] if values else None
    if value is None:
        return 0, 0
    if isinstance(value, bool | int | float):
        return 1, value
    if not isinstance(value, str):
        return 3, jsonpath.shown(value)
    try:
        return 1, parse(value)
    except Invalid:
        return 2, [(0, int(each), "") if each.isdigit() else (1, 0, each) for each in _DIGITS.split(value) if each]
