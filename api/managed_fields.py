"""metadata.managedFields: who owns which fields of an object, and what a write does to that.

The rules are Kubernetes': whoever applies owns what it names, whoever writes otherwise owns what it changed; applying
another value over somebody else's is a conflict unless it is forced; what an applier no longer names and nobody else owns
goes. Pure; times are given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from api.errors import Conflict, FieldError
from api.field_sets import FieldSet, containers, from_fields_v1, is_element, text, to_fields_v1
from api.object import Tree
from api.scheme import Kind
from api.structured_merge import compare, fields_of, merged, without
from api.wellknown import LAST_APPLIED_ANNOTATION

WriteForm = Literal["Apply", "Update"]

BEFORE_FIRST_APPLY: Final = "before-first-apply"
"""Owns what an object had when it was first applied on the server, as in Kubernetes."""

ANCIENT_CHANGES: Final = "ancient-changes"
UPDATERS_MAX: Final = 10
"""Of one object; what those before them own goes to `ANCIENT_CHANGES`, as in Kubernetes."""

MANAGER_MAX_CHARACTERS: Final = 128
CLIENT_SIDE_SUFFIX: Final = "-client-side-apply"
"""A manager of this name applied the same manifests before they were applied on the server: its fields become the applier's."""

RESET: Final[list[Tree]] = [{}]
"""What a client sends to have everybody's ownership forgotten."""

_UNOWNED: Final[FieldSet] = frozenset(
    {("f:apiVersion",), ("f:kind",), ("f:metadata", "f:annotations", f"f:{LAST_APPLIED_ANNOTATION}")}
    | {
        ("f:metadata", f"f:{name}")
        for name in (
            *("name", "namespace", "uid", "resourceVersion", "generation", "selfLink", "managedFields"),
            *("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"),
        )
    }
)
"""Identity and bookkeeping: nobody's."""

_PLACES_KEPT: Final = 2
"""Levels (`spec.template`) that never go as a whole because nobody owns anything below them any more."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Somebody who writes. The same manager has an entry for each way of writing; `subresource` is "" or "status"."""

    manager: str
    form: WriteForm
    api_version: str
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Owned:
    """What an owner owns, and when (RFC 3339) it last wrote any of it."""

    fields: FieldSet
    time: str


Managed = Mapping[Owner, Owned]


def read(entries: Any) -> tuple[Managed, list[FieldError]]:
    """Return what metadata.managedFields says, and everything that is wrong with it."""
    if type(entries) is not list:
        return {}, [FieldError("metadata.managedFields", "Invalid value: must be a list")]
    found: dict[Owner, Owned] = {}
    faults: list[FieldError] = []
    for index, entry in enumerate(entries):
        try:
            owner, owned = _entry(entry)
        except ValueError as error:
            faults.append(FieldError(f"metadata.managedFields[{index}]", f"Invalid value: {error}"))
        else:
            found[owner] = owned
    return found, faults


def stored(entries: Any) -> Managed:
    """As `read`, of what is stored: nobody owns anything where it cannot be read."""
    found, faults = read(entries or [])
    return {} if faults else found


def _entry(entry: Any) -> tuple[Owner, Owned]:
    if type(entry) is not dict:
        raise ValueError("must be an object")
    texts = {name: entry.get(name, "") for name in ("manager", "operation", "apiVersion", "subresource", "time")}
    for name, value in texts.items():
        if type(value) is not str:
            raise ValueError(f"{name} must be text")
    if texts["operation"] not in {"Apply", "Update"}:
        raise ValueError("operation must be Apply or Update")
    if entry.get("fieldsType") != "FieldsV1":
        raise ValueError("fieldsType must be FieldsV1")
    form: WriteForm = "Apply" if texts["operation"] == "Apply" else "Update"
    owner = Owner(texts["manager"], form, texts["apiVersion"], texts["subresource"])
    return owner, Owned(from_fields_v1(entry.get("fieldsV1", {})), texts["time"])


def written(managed: Managed) -> list[Tree]:
    """Return the entries as metadata.managedFields holds them: appliers first, then by time and name."""
    ordered = sorted(
        managed.items(), key=lambda item: (item[0].form, item[1].time, item[0].manager, item[0].subresource)
    )
    return [
        {
            "manager": owner.manager,
            "operation": owner.form,
            "apiVersion": owner.api_version,
            "time": owned.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": to_fields_v1(owned.fields),
            **({"subresource": owner.subresource} if owner.subresource else {}),
        }
        for owner, owned in ordered
    ]


def updated(kind: Kind, managed: Managed, owner: Owner, old: Tree, new: Tree, time: str) -> Managed:
    """Return who owns what after a plain write: what it changed is its writer's alone, what it removed is nobody's."""
    difference = compare(kind, old, new)
    changed, removed = difference.changed - _UNOWNED, difference.removed
    if not changed and not removed:
        return managed
    after = {each: Owned(owned.fields - changed - removed, owned.time) for each, owned in managed.items()}
    own = after[owner].fields if owner in after else frozenset()
    after[owner] = Owned(own | changed, time)
    return _bounded({each: owned for each, owned in after.items() if owned.fields})


def _bounded(managed: dict[Owner, Owned]) -> dict[Owner, Owned]:
    """At most `UPDATERS_MAX` owners that do not apply, and one for all that were before them."""
    updaters = sorted(
        (each for each in managed if each.form == "Update"), key=lambda each: (managed[each].time, each.manager)
    )
    for oldest in updaters[: max(0, len(updaters) - UPDATERS_MAX)]:
        owned = managed.pop(oldest)
        ancient = Owner(ANCIENT_CHANGES, "Update", oldest.api_version, oldest.subresource)
        before = managed.get(ancient)
        managed[ancient] = Owned(owned.fields | before.fields if before else owned.fields, owned.time)
    return managed


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply comes to: the object it leaves, and who owns what then."""

    tree: Tree
    managed: Managed


def created(kind: Kind, owner: Owner, configuration: Tree, time: str) -> Managed:
    """Return who owns what of an object that an apply makes."""
    return {owner: Owned(fields_of(kind, configuration) - _UNOWNED, time)}


def first_owners(kind: Kind, owner: Owner, live: Tree, last_applied: Tree, time: str) -> Managed:
    """Return who owns what of an object that was never applied on the server; `last_applied`: by a client, {} if not.

    Nothing was kept before, so all of it is `BEFORE_FIRST_APPLY`'s, but for what the same program applied itself.
    """
    there = fields_of(kind, live) - _UNOWNED
    applied = fields_of(kind, last_applied) & there
    found = {
        Owner(BEFORE_FIRST_APPLY, "Update", owner.api_version): Owned(there - applied, time),
        Owner(owner.manager + CLIENT_SIDE_SUFFIX, "Update", owner.api_version): Owned(applied, time),
    }
    return {each: owned for each, owned in found.items() if owned.fields}


def apply(
    kind: Kind, managed: Managed, owner: Owner, live: Tree, configuration: Tree, time: str, *, force: bool
) -> Applied:
    """Lay `configuration` over `live` for `owner`, and take out what it alone owned and no longer names.

    Raises Conflict, with a field error for each manager and field, when it would change what others own.
    """
    heir = Owner(owner.manager + CLIENT_SIDE_SUFFIX, "Update", owner.api_version)
    last: FieldSet = frozenset().union(*(managed[each].fields for each in (owner, heir) if each in managed))
    others = {each: owned for each, owned in managed.items() if each not in {owner, heir}}
    wanted = fields_of(kind, configuration) - _UNOWNED
    kept = wanted.union(*(owned.fields for owned in others.values()))
    tree = without(merged(kind, live, configuration), _withdrawn(last - kept, kept))
    difference = compare(kind, live, tree)
    changed = difference.changed - _UNOWNED
    if not force:
        _check_conflicts(others, changed)
    after = {each: Owned(owned.fields - changed - difference.removed, owned.time) for each, owned in others.items()}
    before = managed.get(owner)
    unchanged = before is not None and before.fields == wanted and not changed and not difference.removed
    after[owner] = before if before is not None and unchanged else Owned(wanted, time)
    return Applied(tree, {each: owned for each, owned in after.items() if owned.fields})


def _withdrawn(gone: FieldSet, kept: FieldSet) -> FieldSet:
    """What goes with the fields `gone`, where `kept` are those that somebody still owns.

    A struct stays while anybody owns a part of it. An element of a list goes with its last owner, whatever others set in
    it. Below a struct of which nobody owns anything any more are only defaults that came with what is gone: half a probe
    would not even be valid, so they go, too; Kubernetes leaves them.
    """
    on_the_way = containers(kept)
    leaves = {path for path in gone if is_element(path) or path not in on_the_way}
    emptied = {path for path in containers(gone) - on_the_way - kept if len(path) > _PLACES_KEPT}
    return frozenset(leaves | {path for path in emptied if not is_element(path)})


def _check_conflicts(others: Managed, changed: FieldSet) -> None:
    """Raise Conflict in the words of Kubernetes, which kubectl prints."""
    found = {
        each: paths
        for each, owned in sorted(others.items(), key=lambda item: (item[0].manager, item[0].subresource))
        if (paths := sorted(map(text, owned.fields & changed)))
    }
    faults = [FieldError(path, f"conflict with {_named(each)}") for each, paths in found.items() for path in paths]
    if len(faults) == 1:
        raise Conflict(f"Apply failed with 1 conflict: {faults[0].message}: {faults[0].path}", faults)
    if faults:
        lines = [line for each, paths in found.items() for line in (f"conflicts with {_named(each)}:", *_items(paths))]
        raise Conflict(f"Apply failed with {len(faults)} conflicts: " + "\n".join(lines), faults)


def _items(paths: Sequence[str]) -> list[str]:
    return [f"- {path}" for path in paths]


def _named(owner: Owner) -> str:
    name = f'"{owner.manager}"'
    if owner.subresource:
        name += f' with subresource "{owner.subresource}"'
    return name if owner.form == "Apply" else f"{name} using {owner.api_version}"
