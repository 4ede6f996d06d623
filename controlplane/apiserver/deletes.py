"""Deletion as a pure decision: the object vanishes now, or is marked and waits for its node and its finalizers."""

from __future__ import annotations

from dataclasses import dataclass

from api.errors import FieldError, Invalid, NotFound
from api.object import Tree
from api.scheme import Kind
from api.wellknown import FOREGROUND_FINALIZER, ORPHAN_FINALIZER
from component.client import Propagation
from component.env import parse_time, rfc3339
from controlplane.admission.request import Identity, Request
from controlplane.admission.webhooks.plugin import as_it_is
from controlplane.apiserver.decision import Decision, Snapshot
from controlplane.apiserver.incoming import title
from controlplane.apiserver.objects import key_of, object_at, object_of, put_of, tree_of
from controlplane.apiserver.writes import Writing, check_preconditions
from controlplane.commands import Check, Delete

_FINALIZERS: dict[Propagation, tuple[str, ...]] = {
    "Background": (),
    "Foreground": (FOREGROUND_FINALIZER,),
    "Orphan": (ORPHAN_FINALIZER,),
}

LONGEST_GRACE_SECONDS = 2**31 - 1
"""Whatever is asked for: 68 years. The instant of a deletion must have a year that can be written."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """What is to be deleted and how. `uid` "" and `revision` 0 are no preconditions.

    `grace_seconds` None: the object's own. `propagation` "": as the object's finalizers say, else Background.
    """

    kind: Kind
    namespace: str
    name: str
    uid: str = ""
    revision: int = 0
    grace_seconds: int | None = None
    propagation: Propagation = ""


def decide(writing: Writing, identity: Identity, deletion: Deletion, snapshot: Snapshot) -> Decision:
    """Return how to delete. NotFound; Conflict when a precondition does not hold; Forbidden by admission."""
    kind, name = deletion.kind, deletion.name
    if deletion.grace_seconds is not None and deletion.grace_seconds < 0:
        raise Invalid(f"{title(kind, name)} cannot be deleted", [FieldError("graceSeconds", "must be 0 or more")])
    key = key_of(kind, deletion.namespace, name)
    stored = snapshot.state.get(key)
    if stored is None:
        raise NotFound(f'{kind.resource} "{name}" not found')
    check_preconditions(title(kind, name), stored, deletion.uid, deletion.revision)
    old = tree_of(stored.body)
    request = Request(identity, "delete", kind, deletion.namespace, name, old, old, stored.revision, _options(deletion))
    writing.chain.ask(request, snapshot, as_it_is)
    writing.chain.check(request, snapshot)
    rules = writing.rules_of(kind)
    new = _marked(writing, deletion, old)
    unchanged = Check(key, stored.envelope.uid, stored.revision)
    metadata = new["metadata"]
    waiting = metadata.get("finalizers") or metadata["deletionGracePeriodSeconds"] or rules.held(new)
    if not waiting:
        rules.leaving(old, snapshot)
        ops = (*snapshot.checks, unchanged, *writing.consequences(kind, old, None, snapshot), Delete(key))
        return Decision(object_of(stored), ops)
    put = put_of(kind, new)
    if put.body == stored.body:
        return Decision(object_of(stored))
    ops = (*snapshot.checks, unchanged, *writing.consequences(kind, old, new, snapshot), put)
    return Decision(object_at(put.envelope, put.body, 0), ops)


def _options(deletion: Deletion) -> Tree:
    """How to delete, as Kubernetes writes it."""
    options: Tree = {}
    if deletion.grace_seconds is not None:
        options["gracePeriodSeconds"] = deletion.grace_seconds
    if deletion.propagation:
        options["propagationPolicy"] = deletion.propagation
    preconditions = {"uid": deletion.uid, "resourceVersion": str(deletion.revision or "")}
    if wanted := {name: value for name, value in preconditions.items() if value}:
        options["preconditions"] = wanted
    return options


def _marked(writing: Writing, deletion: Deletion, old: Tree) -> Tree:
    """The object with its deletion written down. A second deletion may shorten the grace, never lengthen it."""
    rules = writing.rules_of(deletion.kind)
    metadata = dict(old["metadata"])
    grace = min(rules.grace_seconds(old, deletion.grace_seconds), LONGEST_GRACE_SECONDS)
    first = "deletionTimestamp" not in metadata
    if first:
        metadata["deletionTimestamp"] = rfc3339(writing.env.now() + grace)
        metadata["deletionGracePeriodSeconds"] = grace
        if "generation" in metadata:
            metadata["generation"] += 1
    elif grace < (before := metadata.get("deletionGracePeriodSeconds", 0)):
        asked_time = parse_time(metadata["deletionTimestamp"]) - before
        metadata["deletionTimestamp"] = rfc3339(asked_time + grace)
        metadata["deletionGracePeriodSeconds"] = grace
    if deletion.propagation:
        others = [
            each for each in metadata.get("finalizers", ()) if each not in {FOREGROUND_FINALIZER, ORPHAN_FINALIZER}
        ]
        metadata["finalizers"] = [*others, *_FINALIZERS[deletion.propagation]]
        if not metadata["finalizers"]:
            del metadata["finalizers"]
    new = {**old, "metadata": metadata}
    return rules.marked(new) if first else new
