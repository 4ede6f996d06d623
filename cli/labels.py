"""What `tim label` and `tim annotate` do to one object. Pure: words and trees in, trees out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from api.errors import Conflict
from api.object import Tree
from cli.mistakes import Misused


def split(words: Sequence[str]) -> tuple[list[str], dict[str, str], list[str]]:
    """Tell (objects, values to set, keys to remove) apart; changes come after the objects. Invalid."""
    objects: list[str] = []
    settings: dict[str, str] = {}
    removals: list[str] = []
    for word in words:
        key, separator, value = word.partition("=")
        if separator and key:
            settings[key] = value
        elif word.endswith("-") and len(word) > 1 and objects:
            removals.append(word[:-1])
        elif separator or settings or removals:
            raise Misused(f"{word!r} is neither KEY=VALUE nor KEY-")
        else:
            objects.append(word)
    both = sorted(settings.keys() & set(removals))
    if both:
        raise Misused(f"{both[0]!r} cannot be set and removed in one call")
    return objects, settings, removals


def changed(
    tree: Tree, field: str, settings: Mapping[str, str], removals: Sequence[str], *, overwrite: bool
) -> Tree | None:
    """The object with its labels or annotations changed; None when it has them so already.

    Conflict when a key has another value and `overwrite` does not allow to change it.
    """
    before: dict[str, str] = tree["metadata"].get(field) or {}
    taken = [key for key, value in settings.items() if before.get(key, value) != value]
    if taken and not overwrite:
        raise Conflict(f"{tree['metadata']['name']} has {taken[0]}={before[taken[0]]}: --overwrite changes it")
    after = {key: value for key, value in (before | dict(settings)).items() if key not in removals}
    return None if after == before else {**tree, "metadata": {**tree["metadata"], field: after}}
