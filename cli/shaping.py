"""`-o custom-columns=`, `-o jsonpath=` and `--sort-by` as kubectl's. Pure: specifications and trees in, columns and order out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from api import jsonpath
from api.cells import NONE, Cell
from api.errors import Invalid
from api.object import Tree
from api.path_steps import Path
from api.quantity import parse

_DIGITS = re.compile(r"(\d+)")


def check(output: str) -> None:
    """ValueError unless an jsonpath=… or custom-columns=… can be read; the message says why."""
    shape, _, specification = output.partition("=")
    if not specification:
        raise ValueError(f"{shape} needs what to print: {_EXAMPLES[shape]}")
    if shape == "jsonpath":
        jsonpath.Template(specification)
    else:
        columns(specification)


_EXAMPLES = {
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
