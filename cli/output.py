"""How objects are printed. Pure: objects and options in, text out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from api.cells import NONE, Cell
from api.columns import columns_of
from api.object import Object, Tree, at
from cli import kinds
from cli.visible import visible

Paint = Callable[[str, str], str]
"""(heading, padded cell) -> the cell in colour."""


def as_json(tree: Tree) -> str:
    """Indented JSON."""
    return json.dumps(tree, indent=4, ensure_ascii=False)


def as_yaml(tree: Tree) -> str:
    """YAML, without the last line's end."""
    from cli import yaml_text  # noqa: PLC0415 - tables do without the YAML library

    return yaml_text.as_yaml(tree)


def document(objects: Sequence[Object], output: str, *, single: bool, managed_fields: bool = False) -> str:
    """YAML, JSON or jsonpath=TEMPLATE of one object, or of a List of all; one name a line for "name".

    YAML and JSON say who owns which fields only with `managed_fields`: it is long, and for programs.
    """
    if output == "name":
        return "\n".join(object_name(each) for each in objects)
    trees = [each.tree() for each in objects]
    if output in {"yaml", "json"} and not managed_fields:
        for each in trees:
            each["metadata"].pop("managedFields", None)
    tree: Tree = {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": trees}
    if single and len(trees) == 1:
        tree = trees[0]
    if output.startswith("jsonpath"):
        from cli.shaping import templated  # noqa: PLC0415 - most starts print tables

        return templated(output, tree)
    return as_yaml(tree) if output == "yaml" else as_json(tree)


def told(stored: Object, done: str, output: str) -> str:
    """What a command that changed an object prints of it: a line in words, or the object as -o asks."""
    if output in {"yaml", "json"}:
        return ("---\n" if output == "yaml" else "") + document([stored], output, single=True)
    return object_name(stored) if output == "name" else f"{object_name(stored)} {done}"


def object_name(each: Object) -> str:
    """`deployment.apps/web`, as every command names what it did."""
    kind = kinds.find(lambda known: known.by_resource(each.resource))
    return f"{kind.singular}{'.' + kind.group if kind.group else ''}/{each.name}"


def rows(
    resource: str,
    trees: Sequence[Tree],
    now: float,
    *,
    wide: bool = False,
    with_namespace: bool = False,
    with_labels: bool = False,
    label_columns: Sequence[str] = (),
    prefix: str = "",
    custom: str = "",
) -> list[list[str]]:
    """A heading row, then one row an object. `prefix` goes before names (`pod/`) when kinds are mixed.

    `custom` is the specification of columns to print instead of the kind's.
    """
    columns = _custom(custom) if custom else _own(resource, wide=wide)
    if with_namespace and not custom:
        columns.insert(0, ("NAMESPACE", lambda tree, _now: str(at(tree, "metadata.namespace"))))
    columns.extend((label.rpartition("/")[2].upper(), _label(label)) for label in label_columns)
    if with_labels:
        columns.append(("LABELS", lambda tree, _now: _all_labels(tree)))
    prefixes = [prefix if heading == "NAME" and not custom else "" for heading, _cell in columns]
    cells = [(before, cell) for before, (_heading, cell) in zip(prefixes, columns, strict=True)]
    heading_row = [heading for heading, _cell in columns]
    return [heading_row, *([visible(before + cell(tree, now)) for before, cell in cells] for tree in trees)]


def align(
    table: Sequence[Sequence[str]], widths: Sequence[int] = (), paint: Paint | None = None, *, headed: bool = True
) -> str:
    """Columns padded to the widest cell (at least `widths`), three spaces between them, nothing at line ends.

    The first row is the heading, which `paint` is told and which is not painted; unless `headed`, it is left out.
    """
    table = [[visible(cell) for cell in row] for row in table]
    sizes = column_widths(table if headed else table[1:] or table, widths)
    lines = []
    for number, row in enumerate(table):
        if not (number or headed):
            continue
        cells = [cell.ljust(size) for cell, size in zip(row[:-1], sizes[:-1], strict=True)] + list(row[-1:])
        if paint is not None and number:
            cells = [paint(heading, cell) for heading, cell in zip(table[0], cells, strict=True)]
        lines.append("   ".join(cells).rstrip())
    return "\n".join(lines)


def column_widths(table: Sequence[Sequence[str]], least: Sequence[int] = ()) -> list[int]:
    """The widest cell of each column, but at least `least`."""
    sizes = [max(len(row[index]) for row in table) for index in range(len(table[0]))]
    return [max(size, floor) for size, floor in zip(sizes, [*least, *[0] * len(sizes)], strict=False)]


def _custom(specification: str) -> list[tuple[str, Cell]]:
    from cli.shaping import columns  # noqa: PLC0415 - most starts print the kind's own

    return columns(specification)


def _own(resource: str, *, wide: bool) -> list[tuple[str, Cell]]:
    made = kinds.known().by_resource(resource).custom
    columns = columns_of(resource, wide=wide, custom=made.columns if made is not None else ())
    return [(each.heading, each.cell) for each in columns]


def _label(name: str) -> Cell:
    return lambda tree, _now: str(at(tree, "metadata.labels", {}).get(name, ""))


def _all_labels(tree: Tree) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(at(tree, "metadata.labels", {}).items())) or NONE
