"""How objects are printed. Pure: objects and options in, text out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

import yaml

from api.object import Object, Tree
from api.scheme import by_resource
from cli.columns import Cell, Column, at, columns_of

Format = Literal["table", "wide", "yaml", "json", "name"]
FORMATS: tuple[Format, ...] = ("table", "wide", "yaml", "json", "name")


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc] # the C one when it is built
    """Writes texts of several lines as blocks and repeats instead of using aliases."""

    def ignore_aliases(self, _data: object) -> bool:
        """Never an alias: people read this."""
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def as_yaml(tree: Tree) -> str:
    """YAML as people write it: kind first, sorted below."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=True, default_flow_style=False, width=120, allow_unicode=True)


def as_json(tree: Tree) -> str:
    """Indented JSON."""
    return json.dumps(tree, indent=4, ensure_ascii=False)


def document(objects: Sequence[Object], output: Format, *, single: bool) -> str:
    """YAML or JSON of one object, or of a List of all; one name a line for "name"."""
    if output == "name":
        return "\n".join(object_name(each) for each in objects)
    trees = [each.tree() for each in objects]
    tree = trees[0] if single and len(trees) == 1 else {"apiVersion": "v1", "kind": "List", "items": trees}
    return as_yaml(tree).rstrip("\n") if output == "yaml" else as_json(tree)


def object_name(each: Object) -> str:
    """`deployment.apps/web`, as every command names what it did."""
    kind = by_resource(each.resource)
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
) -> list[list[str]]:
    """A heading row, then one row an object. `prefix` goes before names (`pod/`) when kinds are mixed."""
    columns: list[Column] = list(columns_of(resource, wide=wide))
    if with_namespace:
        columns.insert(0, Column("NAMESPACE", lambda tree, _now: str(at(tree, "metadata.namespace"))))
    columns.extend(Column(label.rpartition("/")[2].upper(), _label(label)) for label in label_columns)
    if with_labels:
        columns.append(Column("LABELS", lambda tree, _now: _all_labels(tree)))
    table = [[column.heading for column in columns]]
    for tree in trees:
        cells = [column.cell(tree, now) for column in columns]
        table.append(
            [prefix + cell if column.heading == "NAME" else cell for column, cell in zip(columns, cells, strict=True)]
        )
    return table


def align(table: Sequence[Sequence[str]], widths: Sequence[int] = ()) -> str:
    """Columns padded to the widest cell (at least `widths`), three spaces between them, nothing at line ends."""
    sizes = [max(len(row[index]) for row in table) for index in range(len(table[0]))]
    sizes = [max(size, least) for size, least in zip(sizes, [*widths, *[0] * len(sizes)], strict=False)]
    lines = ("   ".join(cell.ljust(size) for cell, size in zip(row, sizes, strict=True)).rstrip() for row in table)
    return "\n".join(lines)


def _label(name: str) -> Cell:
    return lambda tree, _now: str(at(tree, "metadata.labels", {}).get(name, ""))


def _all_labels(tree: Tree) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(at(tree, "metadata.labels", {}).items())) or "<none>"
