"""How objects are described. Pure: a tree in, text out; every field that is set shows, so that nothing is hidden."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from api.object import Tree, at
from api.pod_cells import pod_status
from api.wellknown import LAST_APPLIED_ANNOTATION
from cli.output import align
from cli.policy_tables import policy_table

HIDDEN_METADATA = {
    "managedFields",
    "uid",
    "resourceVersion",
    "generation",
    "name",
    "namespace",
    "labels",
    "annotations",
    "ownerReferences",
}
INDENT = "  "
WIDTH = 24

FREE_KEYS = {
    *("labels", "matchLabels", "annotations", "nodeSelector", "selector", "data", "binaryData", "stringData"),
    *("limits", "requests", "capacity", "allocatable", "hard", "used"),
}
"""Maps whose keys people or machines chose: they are printed as they are."""

ACRONYMS = {"Api", "Cpu", "Dns", "Fs", "Http", "Https", "Id", "Ip", "Ipc", "Os", "Pid", "Tcp", "Tls", "Ttl", "Uid"}


def description(resource: str, tree: Tree) -> str:
    """Name, namespace, labels and annotations first, then all else in the order it is stored."""
    lines = [_line("Name", at(tree, "metadata.name"))]
    if at(tree, "metadata.namespace"):
        lines.append(_line("Namespace", at(tree, "metadata.namespace")))
    lines += _map("Labels", at(tree, "metadata.labels", {}))
    annotations = {
        key: value for key, value in at(tree, "metadata.annotations", {}).items() if key != LAST_APPLIED_ANNOTATION
    }
    lines += _map("Annotations", annotations)
    for owner in at(tree, "metadata.ownerReferences", []):
        title = "Controlled By" if owner.get("controller") else "Owned By"
        lines.append(_line(title, f"{owner.get('kind')}/{owner.get('name')}"))
    if resource == "pods":
        lines.append(_line("Status", pod_status(tree)))
        tree = _with_states(tree)
    metadata = {key: value for key, value in tree["metadata"].items() if key not in HIDDEN_METADATA}
    lines += _fields(metadata, 0)
    if table := policy_table(resource, tree):
        return "\n".join((*lines, *table))
    for section, value in tree.items():
        if section == "data" and resource == "secrets":
            lines += ["Data:", *(f"{INDENT}{key}:  {_size(text)} bytes" for key, text in value.items())]
        elif section not in {"apiVersion", "kind", "metadata"}:
            lines += _field(section, value, 0)
    return "\n".join(lines)


def _with_states(pod: Tree) -> Tree:
    """The pod with each container's status beside what it should be, where people look for it."""
    spec, status = dict(pod.get("spec") or {}), dict(pod.get("status") or {})
    for field in ("containers", "initContainers", "ephemeralContainers"):
        statuses = f"{field.removesuffix('s')}Statuses"
        states = {each.get("name"): each for each in status.get(statuses) or ()}
        containers = spec.get(field) or []
        if containers and states.keys() <= {each.get("name") for each in containers}:
            spec[field] = [{**states.get(each.get("name"), {}), **each} for each in containers]
            status.pop(statuses, None)
    return {**pod, "spec": spec, "status": status}


def _fields(tree: Tree, depth: int) -> Iterator[str]:
    for name, value in tree.items():
        yield from _field(name, value, depth)


def _field(name: str, value: Any, depth: int) -> Iterator[str]:
    indent = INDENT * depth
    title = _title(name)
    match value:
        case dict() if value and name in FREE_KEYS and all(isinstance(each, str | int) for each in value.values()):
            yield f"{indent}{title}:"
            for key, text in value.items():
                yield from _entry(key, str(text), depth + 1)
        case dict() if value:
            yield f"{indent}{title}:"
            yield from _fields(value, depth + 1)
        case list() if value and name == "conditions" and all(isinstance(each, dict) for each in value):
            yield f"{indent}{title}:"
            yield from _conditions(value, indent + INDENT)
        case list() if value and isinstance(value[0], dict):
            yield f"{indent}{title}:"
            for item in value:
                yield from _item(item, depth + 1)
        case list():
            yield indent + _line(title, ", ".join(map(str, value)) or "<none>")
        case dict():
            yield indent + _line(title, "<none>")
        case _:
            yield from _entry(title, str(value).lower() if isinstance(value, bool) else str(value), depth)


def _entry(title: str, text: str, depth: int) -> Iterator[str]:
    """A name with its value; a value of several lines below it."""
    indent = INDENT * depth
    if "\n" in text:
        yield f"{indent}{title}:"
        yield from (f"{indent}{INDENT}{line}" for line in text.split("\n"))
    else:
        yield indent + _line(title, text)


def _conditions(conditions: list[Tree], indent: str) -> Iterator[str]:
    """One condition a line, as a table."""
    table = [["Type", "Status", "Since", "Reason", "Message"]]
    table += [
        [str(each.get(name) or "") for name in ("type", "status", "lastTransitionTime", "reason", "message")]
        for each in conditions
    ]
    yield from (indent + line for line in align(table).split("\n"))


def _item(item: Tree, depth: int) -> Iterator[str]:
    """A list's item: what tells it from the others first."""
    first = next((name for name in ("name", "type", "ip", "key") if name in item), None)
    ordered = {first: item[first], **item} if first else item
    lines = list(_fields(ordered, depth + 1))
    if lines:
        yield INDENT * depth + "- " + lines[0].lstrip()
        yield from lines[1:]


def _map(title: str, values: dict[str, str]) -> list[str]:
    pairs = [f"{key}={value}" for key, value in sorted(values.items())] or ["<none>"]
    return [_line(title if index == 0 else "", pair) for index, pair in enumerate(pairs)]


def _line(title: str, value: object) -> str:
    return f"{title + ':' if title else '':<{WIDTH}} {value}"


def _title(name: str) -> str:
    """`podIPs` -> `Pod IPs`, `restartPolicy` -> `Restart Policy`, `dnsPolicy` -> `DNS Policy`; other names stay."""
    if not re.fullmatch(r"[a-z][A-Za-z]*", name):
        return name
    words = re.findall(r"[A-Z]+s(?![a-z])|[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    capitalised = (word if word[:2].isupper() else word.capitalize() for word in words)
    return " ".join(word.upper() if word in ACRONYMS else word for word in capitalised)


def _size(encoded: str) -> int:
    return len(encoded) * 3 // 4 - encoded.count("=")
