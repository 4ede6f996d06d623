"""Adding ephemeral containers to a pod, as a pure decision: nothing else of the pod that is sent counts.

The one way in is the subresource `pods/ephemeralcontainers`, as Kubernetes documents ("Ephemeral Containers").
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import structs

from api import defaults, strict, validation
from api.errors import FieldError
from api.faults import forbidden
from api.object import Tree
from api.validate_ephemeral import PATH, ephemeral_change_faults
from controlplane.admission.request import Identity, Request
from controlplane.apiserver import ownership, webhook_changes
from controlplane.apiserver.decision import Decision, Snapshot
from controlplane.apiserver.incoming import Incoming, refuse
from controlplane.apiserver.kinds.pods import terminal
from controlplane.apiserver.objects import tree_of
from controlplane.apiserver.writes import Writing

EPHEMERAL: Final = "ephemeralcontainers"
"""The subresource."""

_FIELD: Final = "ephemeralContainers"


def decide(writing: Writing, identity: Identity, incoming: Incoming, snapshot: Snapshot) -> Decision:
    """Return how to give the stored pod the ephemeral containers of the one that is sent. NotFound, Invalid, Conflict.

    metadata.uid and resourceVersion are preconditions when given.
    """
    kind = incoming.kind
    stored = writing.current(incoming, snapshot)
    old = tree_of(stored.body)
    known = set(strict.check(kind, old)) if incoming.faults else set()
    refuse(incoming, [fault for fault in incoming.faults if fault not in known])
    request = Request(
        identity,
        "update_ephemeral",
        kind,
        incoming.namespace,
        incoming.name,
        _with_those_of(incoming.tree, old),
        old,
        stored.revision,
    )
    rules = writing.rules_of(kind)
    tree = writing.chain.admit(
        request, snapshot, lambda changed: _with_those_of(webhook_changes.finished(request, changed, rules), old)
    )
    before = defaults.default(kind, old)  # stored by a version that knew fewer defaults
    refuse(incoming, [*ephemeral_change_faults(tree["spec"], before["spec"]), *validation.validate(kind, tree, tree)])
    writing.chain.check(structs.replace(request, tree=tree), snapshot)
    if tree["spec"] != old["spec"]:
        refuse(incoming, list(_too_late(old)))
        tree = {**tree, "metadata": {**tree["metadata"], "generation": old["metadata"].get("generation", 0) + 1}}
    tree = ownership.tracked(kind, identity, old, tree, writing.env.timestamp(), EPHEMERAL)
    return writing.replaced(incoming, stored, old, tree, snapshot)


def _too_late(pod: Tree) -> Iterator[FieldError]:
    """Nothing starts any more in a pod that is over. Kubernetes would take the container and never run it."""
    if terminal(pod):
        yield forbidden(PATH, "the pod has ended: nothing starts in it any more")
    elif "deletionTimestamp" in pod["metadata"]:
        yield forbidden(PATH, "the pod is being deleted: nothing starts in it any more")


def _with_those_of(sent: Tree, old: Tree) -> Tree:
    """The stored pod with the ephemeral containers of the one that was sent."""
    spec = {name: value for name, value in old["spec"].items() if name != _FIELD}
    if containers := sent["spec"].get(_FIELD):
        spec[_FIELD] = containers
    return {**old, "spec": spec}
