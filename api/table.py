"""Objects as rows: the Table of meta.k8s.io/v1 that kubectl asks for when it prints lists. Pure: objects and the time in, a tree out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from api.columns import Column, columns_of
from api.errors import Invalid
from api.object import Object, Tree

API_VERSION = "meta.k8s.io/v1"
WIDE_PRIORITY = 1  # kubectl shows columns of priority 0 without -o wide

Include = Literal["Metadata", "Object", "None"]
"""What comes with each row: its metadata (kubectl's own choice), the whole object, or nothing."""


def include_of(text: str) -> Include:
    """Read the query parameter `includeObject`; "" is Metadata. Invalid for another word."""
    for choice in get_args(Include):
        if text in {choice, "" if choice == "Metadata" else choice}:
            found: Include = choice
            return found
    raise Invalid(f"includeObject: {text!r} is none of {', '.join(get_args(Include))}")


def table(
    resource: str,
    objects: Sequence[Object],
    now: float,
    *,
    include: Include = "Metadata",
    metadata: Tree | None = None,
    headers: bool = True,
    custom: Sequence[Column] = (),
) -> Tree:
    """The objects of one resource as a Table; `now` is in seconds since the epoch, `custom` its columns if it has other ones.

    `metadata` is the list's own (`resourceVersion`, `continue`, ...). Without `headers` there are no definitions of columns:
    a watch sends them with its first event only.
    """
    return {
        "kind": "Table",
        "apiVersion": API_VERSION,
        "metadata": metadata or {},
        "columnDefinitions": column_definitions(resource, custom) if headers else None,
        "rows": [row(resource, each, now, include, custom) for each in objects],
    }


def column_definitions(resource: str, custom: Sequence[Column] = ()) -> list[Tree]:
    """What the cells of each row are, in their order."""
    return [
        {
            "name": column.name,
            "type": column.type,
            "format": "name" if column.name == "Name" else "",
            "description": column.text,
            "priority": WIDE_PRIORITY if column.wide else 0,
        }
        for column in columns_of(resource, foreign=True, custom=custom)
    ]


def row(
    resource: str, stored: Object, now: float, include: Include = "Metadata", custom: Sequence[Column] = ()
) -> Tree:
    """The row of one object, for whoever sends a long table in pieces."""
    tree = stored.tree()
    shown: Tree = {"cells": [_value(column, tree, now) for column in columns_of(resource, foreign=True, custom=custom)]}
    match include:
        case "Object":
            shown["object"] = tree
        case "Metadata":
            shown["object"] = {"kind": "PartialObjectMetadata", "apiVersion": API_VERSION, "metadata": tree["metadata"]}
    return shown


def _value(column: Column, tree: Tree, now: float) -> str | float | bool | None:
    cell = column.cell(tree, now)
    if column.nullable and not cell:
        return None
    match column.type:
        case "integer":
            return int(cell)
        case "number":
            return float(cell)
        case "boolean":
            return cell == "true"
    return cell
