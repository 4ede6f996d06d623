"""How objects are described. Pure: a tree in, text out; every field that is set shows, so that nothing is hidden."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from api.object import Tree
from cli.columns import at, pod_status

HIDDEN_METADATA = {
    "managedFields",
    "uid",
    "resourceVersion",
    "generation",
    "name",
    "namespace",
    "labels",
    "annotations",
}
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
INDENT = "  "
WIDTH = 24


def description(resource: str, tree: Tree) -> str:
    """Name, namespace, labels and annotations first, then all else in the order it is stored."""
    lines = [_line("Name", at(tree, "metadata.name"))]
    if at(tree, "metadata.namespace"):
        lines.append(_line("Namespace", at(tree, "metadata.namespace")))
    lines += _map("Labels", at(tree, "metadata.labels", {}))
    annotations = {key: value for key, value in at(tree, "metadata.annotations", {}).items() if key != LAST_APPLIED}
    lines += _map("Annotations", annotations)
    if resource == "pods":
        lines.append(_line("Status", pod_status(tree)))
    metadata = {key: value for key, value in tree["metadata"].items() if key not in HIDDEN_METADATA}
    lines += _fields(metadata, 0)
    for section, value in tree.items():
        if section == "data" and resource == "secrets":
            lines += ["Data:", *(f"{INDENT}{key}:  {_size(text)} bytes" for key, text in value.items())]
        elif section not in {"apiVersion", "kind", "metadata"}:
            lines += _field(section, value, 0)
    return "\n".join(lines)


def _fields(tree: Tree, depth: int) -> Iterator[str]:
    for name, value in tree.items():
        yield from _field(name, value, depth)


def _field(name: str, value: Any, depth: int) -> Iterator[str]:
    indent = INDENT * depth
    title = _title(name)
    match value:
        case dict() if value:
            yield f"{indent}{title}:"
            yield from _fields(value, depth + 1)
        case list() if value and isinstance(value[0], dict):
            yield f"{indent}{title}:"
            for item in value:
                yield from _item(item, depth + 1)
        case list():
            yield indent + _line(title, ", ".join(map(str, value)) or "<none>")
        case dict():
            yield indent + _line(title, "<none>")
        case str() if "\n" in value:
            yield f"{indent}{title}:"
            yield from (f"{indent}{INDENT}{line}" for line in value.splitlines())
        case _:
            yield indent + _line(title, str(value).lower() if isinstance(value, bool) else value)


def _item(item: Tree, depth: int) -> Iterator[str]:
    lines = list(_fields(item, depth + 1))
    if lines:
        yield INDENT * depth + "- " + lines[0].lstrip()
        yield from lines[1:]


def _map(title: str, values: dict[str, str]) -> list[str]:
    pairs = [f"{key}={value}" for key, value in sorted(values.items())] or ["<none>"]
    return [_line(title if index == 0 else "", pair) for index, pair in enumerate(pairs)]


def _line(title: str, value: object) -> str:
    return f"{title + ':' if title else '':<{WIDTH}} {value}"


def _title(name: str) -> str:
    """`podIP` -> `Pod IP`, `restartPolicy` -> `Restart Policy`; names that are values (labels, keys) stay."""
    if not re.fullmatch(r"[a-z][A-Za-z]*", name):
        return name
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return " ".join(word if word.isupper() else word.capitalize() for word in words)


def _size(encoded: str) -> int:
    return len(encoded) * 3 // 4 - encoded.count("=")
