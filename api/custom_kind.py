"""Kinds that a CustomResourceDefinition makes: what it says of them, read once, and the view of their objects. Pure.

It must not know where definitions are kept, nor whether they may be stored: a definition is validated before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.columns import Column
from api.custom_columns import columns_of_version
from api.meta import ObjectMeta, Resource, required
from api.object import Tree, at
from api.scheme import Kind
from api.structural import Schema, compiled

_VERSION = re.compile(r"v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?", re.ASCII)
_STABILITY = {None: 2, "beta": 1, "alpha": 0}


class CustomObject(Resource):
    """The part that all objects of custom kinds share."""

    api_version: str = required("")
    kind: str = required("")
    metadata: ObjectMeta = ObjectMeta()


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where an object keeps what its Scale shows: as dotted paths without the first dot; `selector` "" is none."""

    spec_replicas: str
    status_replicas: str
    selector: str


@dataclass(frozen=True, slots=True, eq=False)
class Custom:
    """One version of a custom kind, compiled from its definition.

    `schema` judges and completes objects, `document` is the same as the definition has it. `uid` and `generation` say of
    which state of which definition this is; what is not `served` has no paths. `warning` is "" or what every request for this version is told.
    """

    list_kind: str
    schema: Schema
    document: Tree
    columns: Sequence[Column]
    scale: ScalePaths | None
    stored_as: str
    served: bool
    warning: str
    uid: str
    generation: int


def version_rank(version: str) -> tuple[int, int, int]:
    """By how much a version is to be preferred: stable before beta before alpha, then by number; then all other names."""
    found = _VERSION.fullmatch(version)
    if found is None:
        return (-1, 0, 0)
    return (_STABILITY[found[2]], int(found[1]), int(found[3] or 0))


def by_preference(versions: Sequence[Tree]) -> list[Tree]:
    """The versions of a definition as clients should try them; those with other names by their names, at the end."""
    named = sorted(versions, key=lambda each: str(each["name"]))
    return sorted(named, key=lambda each: version_rank(each["name"]), reverse=True)


def kinds_of(definition: Tree) -> list[Kind]:
    """The kinds that an established definition makes: one for each version that is served, the one that is stored first.

    Where none is served the one that is stored stands for the objects that there may be.
    """
    spec, names = definition["spec"], definition["status"]["acceptedNames"]
    versions = [each for each in spec["versions"] if each.get("served")]
    versions = versions or [each for each in spec["versions"] if each.get("storage")]
    versions.sort(key=lambda each: not each.get("storage"))
    return [_kind(definition, spec["group"], names, version) for version in versions]


def established(definition: Tree) -> bool:
    """Whether its kinds are served."""
    return any(
        each.get("type") == "Established" and each.get("status") == "True"
        for each in at(definition, "status.conditions", [])
    )


def _kind(definition: Tree, group: str, names: Tree, version: Tree) -> Kind:
    spec = definition["spec"]
    subresources = version.get("subresources", {})
    stored = next(each["name"] for each in spec["versions"] if each.get("storage"))
    document = at(version, "schema.openAPIV3Schema", {})
    return Kind(
        api_version=f"{group}/{version['name']}",
        kind=names["kind"],
        resource=f"{names['plural']}.{group}",
        singular=names.get("singular") or names["kind"].lower(),
        short_names=tuple(names.get("shortNames", ())),
        namespaced=spec["scope"] == "Namespaced",
        module="custom_kind",
        has_status="status" in subresources,
        categories=tuple(names.get("categories", ())),
        custom=Custom(
            list_kind=names.get("listKind") or f"{names['kind']}List",
            schema=compiled(document),
            document=document,
            columns=columns_of_version(version.get("additionalPrinterColumns", [])),
            scale=_scale(subresources.get("scale")),
            stored_as=f"{group}/{stored}",
            served=bool(version.get("served")),
            warning=_warning(group, names["kind"], version),
            uid=definition["metadata"].get("uid", ""),
            generation=definition["metadata"].get("generation", 0),
        ),
    )


def _scale(given: Mapping[str, Any] | None) -> ScalePaths | None:
    if given is None:
        return None
    paths = (given.get(name, "") for name in ("specReplicasPath", "statusReplicasPath", "labelSelectorPath"))
    return ScalePaths(*(path.removeprefix(".") for path in paths))


def _warning(group: str, kind: str, version: Tree) -> str:
    if not version.get("deprecated"):
        return ""
    own: str = version.get("deprecationWarning", "")
    return own or f"{group}/{version['name']} {kind} is deprecated"
