"""Apply as a pure decision: a three-way strategic merge of what was last applied, what is applied and what is stored."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from msgspec import structs

from api import merge
from api.errors import FieldError
from api.managed_fields import CLIENT_SIDE_SUFFIX
from api.object import Tree, canonical
from api.scheme import Kind
from api.validate_meta import ANNOTATIONS_LIMIT_BYTES
from api.wellknown import LAST_APPLIED_ANNOTATION
from component.client import ApplyOutcome
from controlplane.admission.request import Identity
from controlplane.apiserver import incoming as edge
from controlplane.apiserver import ownership
from controlplane.apiserver.decision import Decision, Snapshot
from controlplane.apiserver.incoming import Incoming
from controlplane.apiserver.objects import SERVER_OWNED, key_of, tree_of
from controlplane.apiserver.writes import Writing
from controlplane.rbac.attributes import Attributes, on

_NOT_APPLIED = (*SERVER_OWNED, "uid", "resourceVersion", "managedFields")


@dataclass(frozen=True, slots=True)
class Applied:
    """A decision and what it means to the person who applied."""

    decision: Decision
    outcome: ApplyOutcome


def asked(given: Incoming, snapshot: Snapshot) -> Attributes:
    """What somebody needs to be allowed to apply `given`: to create the object, or to patch the one that is there."""
    stored = snapshot.state.get(key_of(given.kind, given.namespace, given.name))
    if stored is None:
        return on(given.kind, "create", given.namespace)
    return on(given.kind, "patch", given.namespace, given.name)


def decide(writing: Writing, identity: Identity, given: Incoming, uid: str, snapshot: Snapshot) -> Applied:
    """Return how to make the stored object what `given` (read without defaults) says, leaving others' fields alone."""
    edge.refuse(given, list(given.faults))
    if not given.name:
        message = "Required value: apply needs the name; to generate one, create"
        edge.refuse(given, [FieldError("metadata.name", message)])
    manifest = manifest_of(given.kind, given.tree)
    annotated = recorded(manifest)
    size = sum(len(key) + len(value) for key, value in annotated["metadata"]["annotations"].items())
    if size > ANNOTATIONS_LIMIT_BYTES:  # characters, so at least as many bytes; the merge would only find it out late
        message = (
            f"Too long: may not be more than {ANNOTATIONS_LIMIT_BYTES} bytes, and apply records the whole object there: "
            "apply it with --server-side, or replace it"
        )
        edge.refuse(given, [FieldError("metadata.annotations", message)])
    stored = snapshot.state.get(key_of(given.kind, given.namespace, given.name))
    if stored is None:
        return Applied(writing.create(identity, edge.read_as(given.kind, annotated), uid, snapshot), "created")
    identity = structs.replace(identity, manager=ownership.manager_of(identity) + CLIENT_SIDE_SUFFIX)
    current = without_status(given.kind, tree_of(stored.body))
    merged = merge.three_way(given.kind, last_applied(current), annotated, current)
    preconditions = {"uid": given.uid, "resourceVersion": str(given.revision) if given.revision else ""}
    metadata = {**merged["metadata"], **{name: value for name, value in preconditions.items() if value}}
    decision = writing.update(identity, edge.read_as(given.kind, {**merged, "metadata": metadata}), snapshot)
    return Applied(decision, "configured" if decision.ops else "unchanged")


def manifest_of(kind: Kind, tree: Tree) -> Tree:
    """What a person writes down: without status and what the API fills in, so that a read object can be applied."""
    metadata = {name: value for name, value in tree["metadata"].items() if name not in _NOT_APPLIED}
    annotations = metadata.pop("annotations", {})
    if others := {name: value for name, value in annotations.items() if name != LAST_APPLIED_ANNOTATION}:
        metadata["annotations"] = others
    return {**without_status(kind, tree), "metadata": metadata}


def without_status(kind: Kind, tree: Tree) -> Tree:
    """The object without its status, which a custom kind may have as a field like others."""
    if kind.custom is not None and not kind.has_status:
        return tree
    return {name: value for name, value in tree.items() if name != "status"}


def recorded(manifest: Tree) -> Tree:
    """The manifest with itself as an annotation, for the next apply."""
    metadata = manifest["metadata"]
    annotations = {**metadata.get("annotations", {}), LAST_APPLIED_ANNOTATION: canonical(manifest).decode()}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def last_applied(current: Tree) -> Tree:
    """What was applied last; nothing if that was never recorded or cannot be read, so that nothing is removed."""
    text = current["metadata"].get("annotations", {}).get(LAST_APPLIED_ANNOTATION, "")
    try:
        original = msgspec.json.decode(text) if text else {}
    except msgspec.DecodeError:
        return {}
    if not isinstance(original, dict) or not isinstance(original.get("metadata", {}), dict):
        return {}
    return original
