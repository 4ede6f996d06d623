"""Columns of custom kinds: additionalPrinterColumns as cells of tables. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from api.cells import Cell, age
from api.columns import AGE, NAME, Column
from api.jsonpath import BadPath, path, shown
from api.object import Tree

TYPES = ("integer", "number", "string", "boolean", "date")
FORMATS = ("int32", "int64", "float", "double", "byte", "date", "date-time", "password")


def columns_of_version(given: Sequence[Tree]) -> Sequence[Column]:
    """Name, then what the definition names; the age where it names nothing."""
    return (NAME, *map(_column, given)) if given else (NAME, AGE)


def _column(given: Tree) -> Column:
    return Column(
        str(given["name"]),
        _cell(str(given["jsonPath"]), str(given["type"])),
        given["type"],
        wide=given.get("priority", 0) > 0,
        text=str(given.get("description", "")),
        nullable=True,
    )


def _cell(written: str, form: str) -> Cell:
    try:
        found = path(written)
    except BadPath:  # a definition from before this was checked
        return lambda _tree, _now: ""

    def cell(tree: Tree, now: float) -> str:
        values = found.values(tree, tree)
        if not values or values[0] is None:
            return ""
        return _text(values[0], form, now)

    return cell


def _text(value: Any, form: str, now: float) -> str:
    """One value as a cell; "" when it is not of the column's type."""
    if form == "date":
        return age(value, now) if type(value) is str else ""
    if form == "boolean":
        return shown(value) if type(value) is bool else ""
    if form in {"integer", "number"}:
        if type(value) not in {int, float}:
            return ""
        return str(int(value)) if form == "integer" else shown(value)
    return shown(value)
