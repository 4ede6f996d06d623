"""CustomResourceDefinitions: which names they get, whether their kinds are served, and their end.

Names are taken in the transaction that stores the definition: two definitions never share one. What is taken by another
one is not accepted until that is gone, and nothing is served meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final

from api.errors import Conflict, Invalid
from api.faults import invalid
from api.object import Tree, at
from api.wellknown import DEFINITION_FINALIZER
from component.env import Env
from controlplane.apiserver.decision import Snapshot
from controlplane.apiserver.kinds.base import KindRules
from controlplane.commands import Claim, Op, Release

SPACE: Final = "custom-names/"
"""What names are claimed under, followed by the group."""


_RESOURCE_NAMES: Final = ("plural", "singular", "shortNames")
_KIND_NAMES: Final = ("kind", "listKind")


class DefinitionRules(KindRules):
    """Rules of CustomResourceDefinitions."""

    def __init__(self, env: Env) -> None:
        self._env = env

    def completed(self, tree: Tree, old: Tree | None, snapshot: Snapshot) -> Tree:
        """With the names that are accepted, and the versions in which objects may be stored."""
        spec, before = tree["spec"], at(old or {}, "status", {})
        accepted, problem = _accepted(tree, at(before, "acceptedNames", {}), snapshot)
        stored = [each["name"] for each in spec["versions"] if each.get("storage")]
        earlier = [each for each in before.get("storedVersions", []) if each not in stored]
        conditions = list(before.get("conditions", []))
        if problem:
            self._set(conditions, "NamesAccepted", "False", *problem)
            if not _holds(conditions, "Established"):
                self._set(conditions, "Established", "False", "NotAccepted", "not all names are accepted")
        else:
            self._set(conditions, "NamesAccepted", "True", "NoConflicts", "no conflicts found")
            self._set(conditions, "Established", "True", "InitialNamesAccepted", "the initial names have been accepted")
        status = {"acceptedNames": accepted, "conditions": conditions, "storedVersions": [*earlier, *stored]}
        return {**tree, "status": status}

    def consequences(self, old: Tree | None, new: Tree | None) -> Sequence[Op]:
        """Accepted names are claimed while the definition has them."""
        before, after = _claims(old), _claims(new)
        ops: list[Op] = [Release(*each) for each in sorted(before - after)]
        return ops + [Claim(*each) for each in sorted(after - before)]

    def check_status(self, tree: Tree) -> None:
        """What is accepted is decided here; who migrated all objects may shorten status.storedVersions."""
        status, spec = tree["status"], tree["spec"]
        faults = [
            invalid(f"status.acceptedNames.{name}", value, "must be as in spec.names")
            for name, value in at(status, "acceptedNames", {}).items()
            if value != spec["names"].get(name, "") and value
        ]
        stored = status.get("storedVersions", [])
        faults += [
            invalid("status.storedVersions", stored, f"must have the storage version {each['name']}")
            for each in spec["versions"]
            if each.get("storage") and each["name"] not in stored
        ]
        known = {each["name"] for each in spec["versions"]}
        faults += [
            invalid(f"status.storedVersions[{index}]", each, "must appear in spec.versions")
            for index, each in enumerate(stored)
            if each not in known
        ]
        if faults:
            raise Invalid(f'CustomResourceDefinition "{tree["metadata"]["name"]}" is invalid', faults)

    def marked(self, tree: Tree) -> Tree:
        """From now on no objects are made; those there are go first."""
        metadata, status = tree["metadata"], tree.get("status", {})
        finalizers = metadata.get("finalizers", [])
        if DEFINITION_FINALIZER not in finalizers:
            finalizers = [*finalizers, DEFINITION_FINALIZER]
        conditions = list(status.get("conditions", []))
        message = "CustomResource deletion is in progress"
        self._set(conditions, "Terminating", "True", "InstanceDeletionPending", message)
        return {
            **tree,
            "metadata": {**metadata, "finalizers": finalizers},
            "status": {**status, "conditions": conditions},
        }

    def leaving(self, tree: Tree, snapshot: Snapshot) -> None:
        """A terminating definition's objects only ever get fewer, so where none are seen none will be."""
        resource = tree["metadata"]["name"]
        if snapshot.state.count(resource):
            raise Conflict(f'there still are {resource}: "{snapshot.state.scan(resource, limit=1)[0].envelope.key}"')

    def _set(self, conditions: list[Tree], kind: str, status: str, reason: str, message: str) -> None:
        """Let a condition be so; its time stays as long as its status does."""
        new = {"type": kind, "status": status, "reason": reason, "message": message}
        for index, each in enumerate(conditions):
            if each["type"] == kind:
                time = each.get("lastTransitionTime") if each["status"] == status else None
                conditions[index] = {**new, "lastTransitionTime": time or self._env.timestamp()}
                return
        conditions.append({**new, "lastTransitionTime": self._env.timestamp()})


def _accepted(tree: Tree, before: Tree, snapshot: Snapshot) -> tuple[Tree, tuple[str, str] | None]:
    """The names that nobody else has, those accepted earlier in place of others; reason and message if some are taken."""
    names, uid, problem = tree["spec"]["names"], tree["metadata"]["uid"], None
    accepted: Tree = {"plural": "", "kind": ""}
    for name, value in names.items():
        taken = [
            word
            for word, place in _places(tree["spec"]["group"], name, value)
            if snapshot.state.claimed(*place) not in {None, uid}
        ]
        if not taken:
            accepted[name] = value
            continue
        if name in before:
            accepted[name] = before[name]
        reason = f"{name[0].upper()}{name[1:]}Conflict"
        problem = problem or (reason, f"{', '.join(json.dumps(word) for word in taken)} is already in use")
    return accepted, problem


def _places(group: str, name: str, value: str | list[str]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Each word of a name with the space and the value that stand for it; words of resources and of kinds do not meet."""
    for word in [value] if isinstance(value, str) else value:
        if name in _RESOURCE_NAMES and word:
            yield word, (SPACE + group, f"resource/{word}")
        elif name in _KIND_NAMES and word:
            yield word, (SPACE + group, f"kind/{word}")


def _claims(tree: Tree | None) -> frozenset[tuple[str, str, str]]:
    if tree is None:
        return frozenset()
    group, uid = tree["spec"]["group"], tree["metadata"]["uid"]
    names: Tree = at(tree, "status.acceptedNames", {})
    found = (place for name, value in names.items() for _, place in _places(group, name, value))
    return frozenset((*place, uid) for place in found)


def _holds(conditions: Sequence[Tree], kind: str) -> bool:
    return any(each["type"] == kind and each["status"] == "True" for each in conditions)
