"""Patches as a pure decision: the stored object, changed as the patch says, goes the way of an update.

A patch is applied to the object as it is stored; one that names metadata.resourceVersion thereby states a precondition.
One of type "apply" is a configuration (`server_side_apply`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from api import json_patch, merge, strict
from api.errors import FieldError, Invalid, NotFound
from api.object import Tree
from api.scheme import Kind
from api.strict import Validation
from component.client import PatchType
from controlplane.admission.request import Identity
from controlplane.apiserver import ephemeral_containers, incoming, server_side_apply
from controlplane.apiserver.decision import Decision, Snapshot
from controlplane.apiserver.ephemeral_containers import EPHEMERAL
from controlplane.apiserver.objects import key_of, tree_of
from controlplane.apiserver.server_side_apply import STATUS, Application
from controlplane.apiserver.writes import Writing
from controlplane.rbac.attributes import Attributes, on


@dataclass(frozen=True, slots=True)
class Patch:
    """A decoded patch and what it is for; `subresource` is "", "status" or, of pods, "ephemeralcontainers".

    `unknown` says what becomes of fields that the kind does not know in what the patch leaves.
    """

    kind: Kind
    namespace: str
    name: str
    type: PatchType
    body: Any
    subresource: str
    unknown: Validation = "Strict"


def read(
    kind: Kind,
    namespace: str,
    name: str,
    patch_type: PatchType,
    body: bytes,
    subresource: str,
    new_uid: Callable[[], str],
    *,
    force: bool,
    unknown: Validation = "Strict",
) -> Patch | Application:
    """Check the form of a patch. Invalid."""
    if force and patch_type != "apply":
        raise Invalid("the patch is invalid", [FieldError("force", "Forbidden: only what is applied can be forced")])
    decoded = _decoded(patch_type, body)
    if patch_type == "apply":
        return server_side_apply.read(kind, namespace, name, decoded, subresource, new_uid(), force=force)
    if patch_type == "strategic" and kind.custom is not None:
        raise Invalid(f"{kind.resource} take no strategic merge patch: send a JSON, merge or apply patch")
    parts = (STATUS, EPHEMERAL) if kind.resource == "pods" else (STATUS,)
    if subresource and subresource not in parts:
        there = ", ".join(parts)
        raise Invalid(f'{kind.resource} have no subresource "{subresource}" that can be patched; there is: {there}')
    if subresource == STATUS and not kind.has_status:
        raise Invalid(f"{kind.resource} have no status")
    return Patch(kind, namespace, name, patch_type, decoded, subresource, unknown)


def _decoded(patch_type: PatchType, body: bytes) -> Any:
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"patch: this is not JSON: {error}") from None
    if patch_type != "json" and type(decoded) is not dict:
        raise Invalid(f"patch: a {patch_type} patch is an object")
    return decoded


def creating(patch: Patch | Application, snapshot: Snapshot) -> Attributes | None:
    """What somebody needs to be allowed besides patching: to create the object, where an apply makes it."""
    if not isinstance(patch, Application):
        return None
    there = snapshot.state.get(key_of(patch.kind, patch.namespace, patch.name)) is not None
    return None if there else on(patch.kind, "create", patch.namespace)


def decide(writing: Writing, identity: Identity, patch: Patch | Application, snapshot: Snapshot) -> Decision:
    """Return how to make the stored object what the patch makes of it. NotFound, Invalid, Conflict."""
    if isinstance(patch, Application):
        return server_side_apply.decide(writing, identity, patch, snapshot)
    kind = patch.kind
    stored = snapshot.state.get(key_of(kind, patch.namespace, patch.name))
    if stored is None:
        raise NotFound(f'{kind.resource} "{patch.name}" not found')
    current = tree_of(stored.body)
    current["apiVersion"] = kind.api_version
    current["metadata"] = {**current["metadata"], "resourceVersion": str(stored.revision)}
    try:
        patched = _patched(patch, current)
        _check_identity(patch, current, patched)
        patched = known_of(kind, patched, patch.unknown, snapshot.warn)
    except RecursionError:
        raise Invalid(f"patch: nested deeper than {strict.DEPTH_LIMIT} levels") from None
    if patch.subresource == STATUS:
        return writing.update_status(identity, incoming.read_as(kind, patched, with_defaults=False), snapshot)
    if patch.subresource == EPHEMERAL:
        return ephemeral_containers.decide(writing, identity, incoming.read_as(kind, patched), snapshot)
    return writing.update(identity, incoming.read_as(kind, patched), snapshot)


def known_of(kind: Kind, tree: Tree, unknown: Validation, warn: Callable[[str], None]) -> Tree:
    """The object without fields that its kind does not know, unless these are to be refused."""
    if unknown == "Strict":
        return tree
    kept, dropped = strict.without_unknown(kind, tree)
    for fault in dropped if unknown == "Warn" else ():
        warn(f'unknown field "{fault.path}"')
    return kept


def _patched(patch: Patch, current: Tree) -> Any:
    match patch.type:
        case "json":
            return json_patch.json_patch(current, patch.body)
        case "merge":
            return merge.merge_patch(current, patch.body)
        case "strategic":
            return merge.strategic_merge(patch.kind, current, patch.body)
        case "apply":
            raise AssertionError("a configuration is no change of the stored object")


def _check_identity(patch: Patch, current: Tree, patched: Any) -> None:
    """A patch changes an object, it does not make another one of it."""
    title = incoming.title(patch.kind, patch.name)
    if type(patched) is not dict or type(patched.get("metadata")) is not dict:
        raise Invalid(f"{title}: what the patch leaves is no object")
    faults = [
        FieldError(path, "Forbidden: a patch cannot change it")
        for path, before, after in (
            ("apiVersion", current["apiVersion"], patched.get("apiVersion")),
            ("kind", current["kind"], patched.get("kind")),
            ("metadata.name", patch.name, patched["metadata"].get("name")),
            ("metadata.namespace", patch.namespace, patched["metadata"].get("namespace", "")),
        )
        if before != after
    ]
    if faults:
        raise Invalid(f"{title} is invalid", faults)
