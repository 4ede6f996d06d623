"""Read, change, write again: the loop behind every command that alters one thing of objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from api.errors import ApiError, Conflict, Unavailable
from api.object import Object, Tree
from cli.targets import Target, parse, words_selected
from component.client import ApiClient

ATTEMPTS = 5

Change = Callable[[Tree], Tree | None]
"""The changed tree, or None when nothing has to change."""

Tell = Callable[[Object, bool], None]
"""Called for each object, and whether it was changed."""


async def edit(
    client: ApiClient, target: Target, namespace: str, change: Change, *, dry_run: bool = False
) -> tuple[Object, bool]:
    """Apply `change` to the stored object; again when somebody else was faster. Returns (object, changed)."""
    where = namespace if target.kind.namespaced else ""
    for attempt in range(ATTEMPTS):
        stored = await client.get(target.kind.resource, where, target.name)
        changed = change(stored.tree())
        if changed is None:
            return stored, False
        try:
            return await client.update(changed, dry_run=dry_run), True
        except Conflict:
            if attempt + 1 == ATTEMPTS:
                raise
    raise AssertionError


async def edit_each(
    client: ApiClient, targets: Sequence[Target], namespace: str, change: Change, tell: Tell, *, dry_run: bool = False
) -> list[ApiError]:
    """Edit one after the other; one that is refused does not keep the others from it. Returns what was refused."""
    problems: list[ApiError] = []
    for target in targets:
        try:
            tell(*await edit(client, target, namespace, change, dry_run=dry_run))
        except Unavailable as error:  # the others would fail the same way, each after its time-out
            return [*problems, error]
        except ApiError as error:
            problems.append(error)
    return problems


async def chosen(
    client: ApiClient, words: Sequence[str], namespace: str, *, selector: str, everything: bool
) -> list[Target]:
    """The objects that words name, or that labels or --all choose of the kinds in words. Invalid, NotFound."""
    targets = parse(words)
    words_selected(targets, selector=selector, everything=everything)
    found: list[Target] = []
    for target in targets:
        if target.name:
            found.append(target)
            continue
        where = namespace if target.kind.namespaced else ""
        listed = await client.list(target.kind.resource, where, label_selector=selector)
        found.extend(Target(target.kind, each.name) for each in listed.items)
    return found
