"""metadata.managedFields on the write path: where it comes from, and what a write makes of it.

It is kept only for objects that have been applied on the server (docs/adr/0011): everything else pays for one look-up.
"""

from __future__ import annotations

from typing import Any

from api import managed_fields
from api.managed_fields import MANAGER_MAX_CHARACTERS, Managed, Owner
from api.object import Tree
from api.scheme import Kind
from controlplane.admission.request import Identity
from controlplane.apiserver.incoming import Incoming, refuse

FIELD = "managedFields"


def manager_of(identity: Identity) -> str:
    """Whose a write's fields are: the program that asks, or, when it does not say which it is, the user."""
    return (identity.manager or identity.user)[:MANAGER_MAX_CHARACTERS]


def carried(incoming: Incoming, metadata: Tree, old: Tree) -> Tree:
    """The metadata of an update with the entries that it starts from: the stored ones, or others that were sent.

    A client that sends none, or an empty list, does not know about them; `[{}]` asks for them to be forgotten. Invalid.
    """
    sent, before = metadata.get(FIELD), old.get(FIELD)
    if sent == before:
        return metadata
    rest = {name: value for name, value in metadata.items() if name != FIELD}
    if sent == managed_fields.RESET:
        return rest
    if sent:
        managed, faults = managed_fields.read(sent)
        refuse(incoming, faults)
        before = managed_fields.written(managed)
    return {**rest, FIELD: before} if before else rest


def tracked(kind: Kind, identity: Identity, old: Tree, new: Tree, time: str, subresource: str = "") -> Tree:
    """The object with what a plain write by `identity` took over; as it is when nobody's fields are kept."""
    entries = new["metadata"].get(FIELD)
    if not entries:
        return new
    owner = Owner(manager_of(identity), "Update", kind.api_version, subresource)
    managed = managed_fields.stored(entries)
    after = managed_fields.updated(kind, managed, owner, old, new, time)
    return new if after is managed else with_entries(new, managed_fields.written(after))


def settled(old: Tree, new: Tree, managed: Managed) -> Tree:
    """The object after an apply, with its owners. If only times would be new it is the stored one."""
    before = managed_fields.stored(old["metadata"].get(FIELD))
    same_owners = {each: owned.fields for each, owned in before.items()} == {
        each: owned.fields for each, owned in managed.items()
    }
    if same_owners and with_entries(old, None) == with_entries(new, None):
        return old
    return with_entries(new, managed_fields.written(managed))


def with_entries(tree: Tree, entries: Any) -> Tree:
    """The object with these entries; without the field when there are none."""
    metadata = {name: value for name, value in tree["metadata"].items() if name != FIELD}
    if entries:
        metadata[FIELD] = entries
    return {**tree, "metadata": metadata}
