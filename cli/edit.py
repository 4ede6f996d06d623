"""Read, change, write again: the loop behind every command that alters one thing of an object."""

from __future__ import annotations

from collections.abc import Callable

from api.errors import Conflict
from api.object import Object, Tree
from cli.targets import Target
from component.client import ApiClient

ATTEMPTS = 5

Change = Callable[[Tree], Tree | None]
"""The changed tree, or None when nothing has to change."""


async def edit(client: ApiClient, target: Target, namespace: str, change: Change) -> tuple[Object, bool]:
    """Apply `change` to the stored object; again when somebody else was faster. Returns (object, changed)."""
    where = namespace if target.kind.namespaced else ""
    for attempt in range(ATTEMPTS):
        stored = await client.get(target.kind.resource, where, target.name)
        changed = change(stored.tree())
        if changed is None:
            return stored, False
        try:
            return await client.update(changed), True
        except Conflict:
            if attempt + 1 == ATTEMPTS:
                raise
    raise AssertionError
