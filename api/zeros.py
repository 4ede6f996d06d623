"""Statuses with the fields that readers count on: where a required text, number or flag was not said, its zero is written.

Kubernetes writes such fields always, and its clients' models, made of OpenAPI, fail without them. Only statuses need it: elsewhere
an object that lacks them is refused. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from api.meta import Required, Resource
from api.object import Tree
from api.scheme import Kind
from api.shape import Shape, fields


@dataclass(frozen=True, slots=True)
class _Plan:
    """What an object of one type may lack, and which of its fields hold objects that may lack something, too."""

    zeros: Mapping[str, Any]
    inner: Mapping[str, tuple[str, _Plan]]  # name -> form of the field, plan of what it holds


def fill_status(kind: Kind, status: Tree) -> None:
    """Complete the status of an object of `kind` in place. Expects one that `api.strict.check` accepts."""
    shape = fields(kind.type).get("status")
    if shape is not None and shape.struct is not None and (plan := _plan(shape.struct)):
        _fill(plan, status)


def _fill(plan: _Plan, tree: Tree) -> None:
    for name, zero in plan.zeros.items():
        tree.setdefault(name, zero)
    for name, (form, inner) in plan.inner.items():
        value = tree.get(name)
        if value is None:
            continue
        if form == "object":
            _fill(inner, value)
        else:
            for each in value if form == "list" else value.values():
                _fill(inner, each)


@cache
def _plan(struct: type[Resource]) -> _Plan | None:
    """The plan of a type; None when there is nothing to do. Types of statuses do not hold themselves."""
    zeros = {
        field.encode_name: field.default_factory()
        for field in msgspec.structs.fields(struct)
        if isinstance(field.default_factory, Required)
    }
    inner = {name: found for name, shape in fields(struct).items() if (found := _held(shape)) is not None}
    return _Plan(zeros, inner) if zeros or inner else None


def _held(shape: Shape) -> tuple[str, _Plan] | None:
    held = shape if shape.form == "object" else shape.item
    if held is None or held.struct is None:
        return None
    plan = _plan(held.struct)
    return (shape.form, plan) if plan is not None else None
