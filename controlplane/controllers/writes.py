"""Performing one action through the API, forgiving what only says that somebody else was faster."""

from __future__ import annotations

from api import errors
from api.object import Object, Tree
from component.client import ApiClient
from controlplane.controllers.actions import Create, Delete, DropOwners, ReleaseFinalizer, Update, UpdateStatus, Write


async def perform(client: ApiClient, action: Write) -> Object | None:
    """Perform one write; returns the object as it is then, None when there was nothing left to do.

    Raises what the API raises, but for an object that is gone meanwhile: that is told by its own event.
    """
    try:
        match action:
            case Create(tree):
                return await client.create(tree)
            case Update(tree):
                return await client.update(tree)
            case UpdateStatus(tree):
                return await client.update_status(tree)
            case Delete():
                return await _delete(client, action)
            case ReleaseFinalizer() | DropOwners():
                return await _edit(client, action)
    except errors.NotFound:
        if isinstance(action, Create):
            raise
        return None


async def _delete(client: ApiClient, action: Delete) -> Object | None:
    try:
        return await client.delete(
            action.resource,
            action.namespace,
            action.name,
            uid=action.uid,
            grace_seconds=action.grace_seconds,
            propagation=action.propagation,
        )
    except errors.Conflict:
        if (await client.get(action.resource, action.namespace, action.name)).uid == action.uid:
            raise  # the state only kept changing: this has to be tried again
        return None  # a namesake: the one that was meant is gone


async def _edit(client: ApiClient, action: ReleaseFinalizer | DropOwners) -> Object | None:
    current = await client.get(action.resource, action.namespace, action.name)
    if current.uid != action.uid:
        return None
    tree = current.tree()
    if isinstance(action, ReleaseFinalizer):
        _keep(tree, "finalizers", [f for f in tree["metadata"].get("finalizers", []) if f != action.finalizer])
    else:
        owners = tree["metadata"].get("ownerReferences", [])
        _keep(tree, "ownerReferences", [owner for owner in owners if owner["uid"] not in action.owner_uids])
    return await client.update(tree)


def _keep(tree: Tree, field: str, values: list[object]) -> None:
    if values:
        tree["metadata"][field] = values
    else:
        tree["metadata"].pop(field, None)
