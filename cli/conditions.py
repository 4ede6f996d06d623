"""What `tim wait --for` means. Pure: a text in, a test of trees out."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from api.object import Tree, at
from cli.mistakes import Misused


@dataclass(frozen=True, slots=True)
class Created:
    """Until there is an object of that name."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """Until the object is gone."""


Condition = Created | Deleted | Callable[[Tree], bool]

_STEP = re.compile(r"\.((?:\\.|[^.\[\]\\])+)|\[(\d+)\]|\['([^']*)'\]")


def read(text: str) -> Condition:
    """The condition a --for value stands for. Invalid.

    `condition=NAME` means status True; `jsonpath={.path}` alone means that the field is there.
    """
    if text == "delete":
        return Deleted()
    if text == "create":
        return Created()
    word, _, rest = text.partition("=")
    if word == "condition" and rest:
        name, _, value = rest.partition("=")
        return lambda tree: _condition(tree, name, value or "True")
    if word == "jsonpath" and rest:
        return _jsonpath(rest, text)
    raise Misused(f"--for {text!r}: use condition=NAME[=VALUE], create, delete or jsonpath={{.path}}[=VALUE]")


def _jsonpath(rest: str, text: str) -> Callable[[Tree], bool]:
    braced = re.fullmatch(r"""['"]?\{(.*?)\}['"]?(?:=(.*))?""", rest, re.DOTALL)
    match = braced or re.fullmatch(r"(\..*?)(?:=(.*))?", rest, re.DOTALL)
    steps = path_steps(match[1]) if match else []
    if match is None or not steps:
        raise Misused(f"--for {text!r}: paths are names and indexes: jsonpath={{.status.phase}}=Running")
    value = match[2]
    if value is None:
        return lambda tree: bool(found(tree, steps))
    wanted = value.strip("'\"")
    return lambda tree: _word(found(tree, steps)).lower() == wanted.lower()


def path_steps(path: str) -> list[str | int]:
    """`.status.containerStatuses[0].ready` -> the names and indexes; [] for what is no such path."""
    steps: list[str | int] = []
    position = 0
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            return []
        name, index, quoted = match.groups()
        steps.append(int(index) if index else quoted if quoted is not None else re.sub(r"\\(.)", r"\1", name))
        position = match.end()
    return steps


def found(tree: Tree, steps: list[str | int]) -> Any:
    """The value at the end of a path, None when a step is missing."""
    value: Any = tree
    for step in steps:
        match value, step:
            case dict(), str():
                value = value.get(step)
            case list(), int() if step < len(value):
                value = value[step]
            case _:
                return None
    return value


def _word(value: Any) -> str:
    return "" if value is None else str(value)


def _condition(tree: Tree, name: str, value: str) -> bool:
    generation = at(tree, "metadata.generation", 0)
    if at(tree, "status.observedGeneration", generation) < generation:
        return False
    return any(
        each.get("type", "").lower() == name.lower() and each.get("status", "").lower() == value.lower()
        for each in at(tree, "status.conditions", [])
    )
